#include "margin_run.hpp"

#include <algorithm>
#include <utility>

#include "attribution.hpp"
#include "cpu/machine.hpp"
#include "fmt/format.h"
#include "margin/joint_error.hpp"

namespace shortfall {

[[noreturn]] void throw_named(const LossError& error, const Plan& plan, const Book& book) {
  const std::string culprit =
      error.instrument == core::none
          ? "the sum of its positions"
          : "instrument " + book.instruments[plan.instruments[error.instrument]].name;
  throw OperatingError(
      fmt::format("account {}: the loss on path {} is not a usable number ({}): the covariance "
                  "over the horizon "
                  "moves prices beyond what can be represented; check its units and horizon_days",
                  book.accounts[plan.groups[error.group].account].name, error.path, culprit));
}

namespace {

void add_warnings_of(const Plan& plan, std::vector<std::string>& warnings) {
  warnings.insert(warnings.end(), plan.model.warnings.begin(), plan.model.warnings.end());
  if (plan.tail.k < 100)
    warnings.push_back(fmt::format(
        "only {:.6g} paths in the tail: the standard error is unreliable below 100", plan.tail.k));
}

/// The CPU where the configuration allows it, else nothing.
MakeFallback fallback_of(ComputeConfig config) {
  if (!config.fallback_to_cpu) return {};
  config.backend = BackendChoice::cpu;
  return [config] { return make_backend(config); };
}

}  // namespace

RunBackends::RunBackends(const ComputeConfig& config)
    : backends_(make_backends(config)), make_fallback_(fallback_of(config)) {}

Simulated RunBackends::simulate(const Plan& plan, const Progress& progress,
                                std::vector<std::string>& warnings,
                                std::optional<PathRange> paths) {
  Simulated simulated = simulate_on(backends_, plan, progress, make_fallback_, paths);
  std::sort(simulated.failed.begin(), simulated.failed.end());
  for (auto b = simulated.failed.rbegin(); b != simulated.failed.rend(); ++b)
    backends_.erase(backends_.begin() + static_cast<std::ptrdiff_t>(*b));
  warnings.insert(warnings.end(), simulated.warnings.begin(), simulated.warnings.end());
  failures_.insert(failures_.end(), simulated.warnings.begin(), simulated.warnings.end());
  return simulated;
}

void RunBackends::replay(const Plan& plan, std::span<const std::uint32_t> paths,
                         const UseValues& use, std::vector<std::string>& warnings) {
  std::unique_ptr<Backend> fallback;
  std::string lost;
  for (std::size_t done = 0; done < paths.size();) {
    if (backends_.empty()) {
      if (!make_fallback_)
        throw DeviceError(
            lost + "; no device is left: fallback = \"cpu\" lets the CPU redo such paths",
            {0, plan.path_count});
      fallback = make_fallback_();
    }
    Backend& backend = fallback ? *fallback : *backends_.front();
    if (!lost.empty()) {
      const BackendDescription next = backend.describe(plan);
      warnings.push_back(
          fmt::format("{}, and were replayed on {}, {}", lost, next.name, next.device));
    }
    const std::size_t begin = done;
    try {
      backend.replay(plan, paths.subspan(begin), [&](std::size_t first, const PathValues& values) {
        use(begin + first, values);
        done = begin + first + values.path_count;
      });
      SHORTFALL_ASSERT(done == paths.size());
    } catch (const DeviceError& error) {
      if (fallback) throw;
      lost = error.what();
      failures_.push_back(lost);
      backends_.erase(backends_.begin());
    }
  }
}

void require_number_of_paths(const RunConfig& config) {
  if (!config.risk.is_automatic) return;
  throw InputError(
      {{config.file.string(), 0, "[risk] paths = \"auto\" is for run; give a number with --paths"}},
      0);
}

BaseRun MarginRun::plan(RunInputs as_read) {
  Covariance covariance = as_read.covariance;
  BaseRun base = plan_simulated(simulated_inputs(config_, std::move(as_read)));
  base.covariance = std::move(covariance);
  return base;
}

BaseRun MarginRun::plan_simulated(RunInputs inputs) {
  BaseRun base;
  base.inputs = std::move(inputs);
  std::vector<RevalueAt> times = {config_.risk.revalue_at};
  if (times.front() == RevalueAt::worst) times = {RevalueAt::horizon, RevalueAt::now};
  for (const RevalueAt time : times) {
    RunConfig at_time = config_;
    at_time.risk.revalue_at = time;
    base.revaluations.push_back({build_plan(at_time, base.inputs), {}});
  }
  add_warnings_of(base.revaluations.front().plan, warnings_);
  return base;
}

void MarginRun::simulate(BaseRun& base) {
  simulate_with(
      [this](std::size_t, const Plan& plan, const Progress& progress) {
        return backends_.simulate(plan, progress, warnings_);
      },
      base);
}

void MarginRun::simulate(BaseRun& base, std::vector<Rounds>& rounds) {
  if (rounds.empty()) rounds.assign(base.revaluations.size(), Rounds(thread_count()));
  simulate_with(
      [&](std::size_t revaluation, const Plan& plan, const Progress& progress) {
        return rounds[revaluation].simulate(plan, [&](const Plan& part, PathRange paths) {
          return backends_.simulate(part, progress, warnings_, paths);
        });
      },
      base);
}

void MarginRun::complete(BaseRun& base, const std::vector<Rounds>& rounds) {
  for (std::size_t r = 0; r < rounds.size(); ++r) {
    auto& [plan, tails] = base.revaluations[r];
    const auto simulate_part = [&](const Plan& part, PathRange paths) {
      return backends_.simulate(part, progress_, warnings_, paths);
    };
    rounds[r].complete(plan, simulate_part, tails);
  }
}

void MarginRun::simulate_with(const SimulatePlan& simulate_plan, BaseRun& base) {
  const std::size_t group_count = base.revaluations.front().plan.groups.size();
  base.revaluation_of.assign(group_count, 0);
  for (std::uint32_t r = 0; r < base.revaluations.size(); ++r) {
    SimulatedPlan& revaluation = base.revaluations[r];
    const Plan& plan = revaluation.plan;
    // The bar is full after the first; a caller who wants to stop is heard all the same.
    const Progress stop = [&](std::uint64_t) { progress_(plan.path_count); };
    std::vector<GroupRisk> risks;
    try {
      Simulated simulated = simulate_plan(r, plan, r == 0 || !progress_ ? progress_ : stop);
      revaluation.tails = std::move(simulated.tails);
      if (r == 0) base.shares = std::move(simulated.shares);
      risks = group_risks(plan, revaluation.tails);
    } catch (const LossError& error) {
      throw_named(error, plan, base.inputs.book);
    }
    if (r == 0) {
      base.risks = std::move(risks);
      continue;
    }
    for (std::size_t g = 0; g < group_count; ++g) {
      if (!(risks[g].expected_shortfall_usd > base.risks[g].expected_shortfall_usd)) continue;
      base.risks[g] = risks[g];
      base.revaluation_of[g] = r;
    }
  }
  base.errors_usd = account_errors_usd(
      base.revaluations.front().plan, base.risks, [&](std::uint32_t g) { return base.tail(g); },
      thread_count());
}

std::vector<AccountMargin> MarginRun::margins(const BaseRun& base) {
  const Plan& plan = base.revaluations.front().plan;
  std::vector<AccountMargin> margins =
      account_margins(plan, base.inputs.book, base.risks, base.errors_usd, config_.margin);
  if (!config_.margin.has_components()) return margins;
  const Simulate simulate = [&](const Plan& other) {
    const Progress stop = [&](std::uint64_t) {
      if (progress_) progress_(other.path_count);
    };
    return backends_.simulate(other, stop, warnings_).tails;
  };
  try {
    return charge_components(config_, base.inputs, {plan, base.risks, base.covariance}, simulate,
                             std::move(margins));
  } catch (const LossError& error) {
    // Components have plans and books of their own: there is no account to name.
    throw OperatingError(fmt::format(
        "a margin component: the loss on path {} is not a usable number; check the covariances and "
        "[margin.liquidity]",
        error.path));
  }
}

Attribution MarginRun::attribute(const BaseRun& base, const std::vector<AccountMargin>& margins) {
  return shortfall::attribute(
      base, margins,
      [this](const Plan& plan, std::span<const std::uint32_t> paths, const UseValues& use) {
        replay(plan, paths, use);
      },
      thread_count());
}

std::uint32_t MarginRun::thread_count() const {
  return config_.compute.thread_count ? config_.compute.thread_count : usable_cores();
}

void MarginRun::replay(const Plan& plan, std::span<const std::uint32_t> paths,
                       const UseValues& use) {
  const UseValues and_stop = [&](std::size_t first, const PathValues& values) {
    if (progress_) progress_(plan.path_count);
    use(first, values);
  };
  backends_.replay(plan, paths, and_stop, warnings_);
}

}  // namespace shortfall
