#include "shortfall/importance.hpp"

#include <algorithm>
#include <functional>
#include <optional>

#include "cpu/machine.hpp"
#include "fmt/format.h"
#include "margin/components.hpp"
#include "model/canonical_math.hpp"
#include "model/confidence_interval.hpp"
#include "model/symmetric_factor.hpp"
#include "one_account.hpp"
#include "output/atomic_file.hpp"
#include "output/csv_text.hpp"
#include "run/margin_run.hpp"
#include "shortfall/core/philox.hpp"
#include "shortfall/core/tail.hpp"
#include "weighted_tail.hpp"

namespace shortfall {
namespace {

constexpr double model_share = 0.1;
constexpr double pilot_tail_count = 327.68;
constexpr double least_tail_count = 100;

/// What a group's paths are drawn for. Each has a seed of its own, so that the tilt depends on none
/// of the paths that are weighed by it, and groups are independent.
enum class Purpose : std::uint32_t { pilot = 16, tilt = 17, model = 18 };

std::uint64_t seed_of(std::uint64_t seed, std::uint32_t group, Purpose purpose) {
  const core::PhiloxWords words =
      core::philox4x32(seed, group, static_cast<std::uint32_t>(purpose), 0, 0);
  return (std::uint64_t{words.word[1]} << 32) | words.word[0];
}

/// What came of one margin group.
struct GroupEstimate {
  WeightedTail tail;
  MarginGroup group;
  std::uint32_t position_count = 0;
  std::uint64_t pilot_path_count = 0;
  std::vector<std::string> warnings;
};

/// One margin group, in inputs whose only account it is, in portfolio mode.
class GroupSampling {
 public:
  /// All outlive it. revalue_at is horizon or now.
  GroupSampling(const RunConfig& config, const RunInputs& inputs, std::uint32_t group,
                const Simulate& simulate)
      : config_(config), inputs_(inputs), group_(group), simulate_(simulate) {}

  GroupEstimate estimate() const;

 private:
  Plan plan_of(Purpose purpose, std::uint64_t path_count, const FactorModel& model) const {
    RunConfig config = config_;
    config.risk.path_count = path_count;
    config.risk.seed = seed_of(config_.risk.seed, group_, purpose);
    return build_plan(config, inputs_, model);
  }
  Tails simulate(const Plan& plan) const {
    try {
      return simulate_(plan);
    } catch (const LossError& error) {
      throw_named(error, plan, inputs_.book);
    }
  }
  /// Those of all paths: how many of them are in the tail is known only by their weights.
  AllLosses losses(Purpose purpose, std::uint64_t path_count, const FactorModel& model) const {
    AllLosses all{plan_of(purpose, path_count, model), {}};
    all.plan.tail = {static_cast<double>(path_count), path_count, path_count};
    all.keys = simulate(all.plan).keys;
    return all;
  }
  PilotTail tail_of_pilot(const Plan& plan) const;

  const RunConfig& config_;
  const RunInputs& inputs_;
  const std::uint32_t group_;
  const Simulate& simulate_;
};

PilotTail GroupSampling::tail_of_pilot(const Plan& plan) const {
  std::vector<std::uint64_t> keys = simulate(plan).keys;
  std::sort(keys.begin(), keys.end(), std::greater<>());
  const double value_at_risk = static_cast<double>(core::tail_loss(keys.back()));
  PilotTail pilot;
  pilot.path_count = plan.path_count;
  std::vector<std::uint32_t> paths;
  for (const std::uint64_t key : keys) {
    const double excess = static_cast<double>(core::tail_loss(key)) - value_at_risk;
    if (!(excess > 0)) break;
    paths.push_back(core::tail_path(key));
    pilot.excess.push_back(excess);
  }
  const std::size_t n = plan.model.factor_count;
  pilot.normals.resize(n * paths.size());
  pilot.mixing.resize(paths.size());
  draw_paths(plan, paths, 1,
             [&](std::size_t at, std::size_t count, const double* normals, const double* mixing) {
               for (std::size_t p = 0; p < count; ++p) {
                 pilot.mixing[at + p] = mixing[p];
                 for (std::size_t k = 0; k < n; ++k)
                   pilot.normals[(at + p) * n + k] = normals[k * core::row_path_count + p];
               }
             });
  return pilot;
}

GroupEstimate GroupSampling::estimate() const {
  const RiskConfig& risk = config_.risk;
  Problems problems;
  const FactorModel model = build_factor_model(inputs_.covariance, config_, problems);
  problems.throw_if_any();
  const double wanted = pilot_tail_count / (1.0 - risk.confidence_level);
  const Plan pilot =
      plan_of(Purpose::pilot,
              wanted < static_cast<double>(risk.path_count) ? static_cast<std::uint64_t>(wanted) + 1
                                                            : risk.path_count,
              model);
  std::vector<std::uint32_t> underlyings;
  for (const Factor& factor : inputs_.covariance.factors) underlyings.push_back(factor.underlying);
  const Tilt tilt = fit_tilt(pilot, underlyings, tail_of_pilot(pilot), model_share).tilt;

  const auto model_count = static_cast<std::uint64_t>(
      __builtin_ceil(model_share * static_cast<double>(risk.path_count)));
  AllLosses from_tilt = losses(Purpose::tilt, risk.path_count - model_count, tilted(model, tilt));
  AllLosses from_model = losses(Purpose::model, model_count, tilted(model, tilt.plain()));
  const std::uint32_t threads = config_.compute.thread_count;
  return {weighted_tail(model, tilt, std::move(from_tilt), std::move(from_model),
                        tail_size(risk.path_count, risk.confidence_level).k,
                        threads ? threads : usable_cores()),
          pilot.groups.front(), pilot.accounts.front().position_count, pilot.path_count,
          model.warnings};
}

/// The simulations of all groups, and how far along they are.
class Simulations {
 public:
  Simulations(const RunConfig& config, const Progress& progress, std::uint64_t group_count,
              std::vector<std::string>& warnings)
      : backends_(config.compute),
        progress_(progress),
        path_count_(config.risk.path_count),
        group_count_(group_count),
        warnings_(warnings) {}

  Tails operator()(const Plan& plan) {
    const Progress part = [&](std::uint64_t paths) {
      if (progress_) progress_(std::min(path_count_, (done_ + paths) / group_count_));
    };
    Tails tails = backends_.simulate(plan, part, warnings_).tails;
    done_ += plan.path_count;
    return tails;
  }

 private:
  RunBackends backends_;
  const Progress& progress_;
  const std::uint64_t path_count_, group_count_;
  std::uint64_t done_ = 0;  ///< with the pilots a little more than groups times paths
  std::vector<std::string>& warnings_;
};

/// Upper limits are where a run would be refused, too.
void require_sampling(const RunConfig& config, const RunInputs& inputs) {
  require_number_of_paths(config);
  Problems problems;
  const std::string file = config.file.string();
  if (config.model.scenarios == Scenarios::history)
    problems.add(
        file, 0,
        "importance sampling draws from a distribution, and a history is none: set [model] "
        "scenarios = \"drawn\"");
  if (config.risk.sampler != Sampler::philox)
    problems.add(file, 0,
                 "importance sampling draws independent paths: set [risk] sampler = \"philox\"");
  // So that the paths of the model have a tail.
  const auto needed =
      static_cast<std::uint64_t>(least_tail_count / (1.0 - config.risk.confidence_level)) + 1;
  if (config.risk.path_count < needed)
    problems.add(file, 0,
                 fmt::format("importance sampling at confidence {} takes at least {} paths",
                             config.risk.confidence_level, needed));
  if (inputs.covariance.factors.size() > decomposition_size_max)
    problems.add(inputs.covariance.file.string(), 0,
                 fmt::format("importance sampling decomposes matrices of at most {} factors; this "
                             "file has {}",
                             decomposition_size_max, inputs.covariance.factors.size()));
  problems.throw_if_any();
}

/// The worse of the revaluations that the configuration asks for; one that is not usable is worse
/// than any.
GroupEstimate estimate_group(const RunConfig& config, const RunInputs& inputs, std::uint32_t group,
                             const Simulate& simulate) {
  std::vector<RevalueAt> times = {config.risk.revalue_at};
  if (times.front() == RevalueAt::worst) times = {RevalueAt::horizon, RevalueAt::now};
  std::optional<GroupEstimate> worst;
  for (const RevalueAt time : times) {
    RunConfig at_time = config;
    at_time.risk.revalue_at = time;
    GroupEstimate estimate = GroupSampling(at_time, inputs, group, simulate).estimate();
    const double effective_count = estimate.tail.effective_count;
    if (effective_count < least_tail_count)
      throw OperatingError(fmt::format(
          "account {}: {} paths drawn by importance are worth {:.3g} in the tail, and below {} no "
          "error can be trusted; use more paths, or a run without importance sampling",
          inputs.book.accounts.front().name, config.risk.path_count, effective_count,
          least_tail_count));
    if (!worst || estimate.tail.expected_shortfall > worst->tail.expected_shortfall)
      worst = std::move(estimate);
  }
  return std::move(*worst);
}

double square(double x) { return x * x; }

void add_group(ImportanceEstimate& sum, const GroupEstimate& of, const MarginConfig& margin) {
  const double usd = canonical::power_of_two(of.group.scale_exponent);
  const double shortfall = of.tail.expected_shortfall * usd, error = of.tail.standard_error * usd;
  const double base = margin.multiplier * (shortfall + margin.sampling_uplift * error);
  sum.position_count += of.position_count;
  sum.gross_notional_usd += of.group.gross_notional_usd;
  sum.value_at_risk_usd += of.tail.value_at_risk * usd;
  sum.expected_shortfall_usd += shortfall;
  sum.base_usd += base > 0 ? base : 0;
  sum.effective_tail_count = sum.group_count == 0
                                 ? of.tail.effective_count
                                 : std::min(sum.effective_tail_count, of.tail.effective_count);
  sum.pilot_path_count = of.pilot_path_count;
  ++sum.group_count;
  for (const std::string& warning : of.warnings)
    if (std::ranges::find(sum.warnings, warning) == sum.warnings.end())
      sum.warnings.push_back(warning);
}

}  // namespace

ImportanceEstimate sample_importance(const RunConfig& config, const RunInputs& inputs,
                                     const Progress& progress) {
  SHORTFALL_ASSERT(inputs.book.accounts.size() == 1);
  require_sampling(config, inputs);
  const GroupedInputs grouped = group_accounts(simulated_inputs(config, inputs));
  const auto group_count = static_cast<std::uint32_t>(grouped.account.size());
  if (group_count == 0) throw_empty(config, inputs.book.accounts.front().name);
  ImportanceEstimate sum;
  sum.account = inputs.book.accounts.front().name;
  sum.mode = inputs.book.accounts.front().mode;
  sum.path_count = config.risk.path_count;
  Simulations simulations(config, progress, group_count, sum.warnings);
  const Simulate simulate = [&](const Plan& plan) { return simulations(plan); };
  double variance = 0, plain_variance = 0;
  for (std::uint32_t g = 0; g < group_count; ++g) {
    const GroupEstimate of =
        estimate_group(config, inputs_of_account(grouped.inputs, g), g, simulate);
    add_group(sum, of, config.margin);
    const double usd = canonical::power_of_two(of.group.scale_exponent);
    variance += square(of.tail.standard_error * usd);
    plain_variance += square(of.tail.plain_error * usd);
  }
  sum.standard_error_usd = __builtin_sqrt(variance);
  const double half = interval_quantile(1) * sum.standard_error_usd;
  sum.confidence_low_usd = sum.expected_shortfall_usd - half;
  sum.confidence_high_usd = sum.expected_shortfall_usd + half;
  if (variance > 0) sum.variance_ratio = plain_variance / variance;
  return sum;
}

ImportanceEstimate sample_importance(const RunConfig& config, const std::string& account,
                                     const Progress& progress) {
  return sample_importance(config, load_account(config, account), progress);
}

std::string format_importance(const ImportanceEstimate& e) {
  std::string text =
      "account,mode,positions,gross_notional,value_at_risk,expected_shortfall,standard_error,"
      "confidence_low,confidence_high,base,paths,pilot_paths,effective_tail,variance_ratio\n";
  append_field(text, e.account);
  text += fmt::format(",{},{}", to_string(e.mode), e.position_count);
  const auto add = [&](double number) {
    text += ',';
    append_number(text, number);
  };
  for (const double usd :
       {e.gross_notional_usd, e.value_at_risk_usd, e.expected_shortfall_usd, e.standard_error_usd,
        e.confidence_low_usd, e.confidence_high_usd, e.base_usd})
    add(usd);
  text += fmt::format(",{},{}", e.path_count, e.pilot_path_count);
  add(e.effective_tail_count);
  add(e.variance_ratio);
  return text + '\n';
}

void write_importance(const std::filesystem::path& directory, const ImportanceEstimate& estimate) {
  create_directory_for(directory);
  AtomicFile file(directory / "importance.csv");
  file.write(format_importance(estimate));
  file.publish();
}

}  // namespace shortfall
