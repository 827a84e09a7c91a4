#include "stressed.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "fmt/format.h"
#include "run/margin_run.hpp"

namespace shortfall::calibration {
namespace {

constexpr std::size_t refined_count = 3;

/// A book whose covariance is exchanged from simulation to simulation.
class StressedBook {
 public:
  explicit StressedBook(const StressedSearch& search)
      : config_(load_book(search)), inputs_(load_inputs(config_)), backends_(config_.compute) {}

  const RunConfig& config() const { return config_; }

  std::vector<std::string> factors() const {
    std::vector<std::string> names;
    for (const Factor& factor : inputs_.covariance.factors) names.push_back(factor.name);
    return names;
  }

  /// With the covariance that it has.
  double expected_shortfall_usd() { return simulate(inputs_); }
  double expected_shortfall_usd(const NamedCovariance& covariance) {
    RunInputs inputs = inputs_;
    inputs.covariance.matrix = covariance.matrix;
    return simulate(std::move(inputs));
  }

 private:
  /// The components of [margin] are not simulated, and its stressed covariance is what is to be
  /// written.
  static RunConfig load_book(const StressedSearch& search) {
    RunConfig config = load_config(search.book);
    config.margin.procyclicality.reset();
    config.risk.is_automatic = false;
    config.risk.sampler = Sampler::philox;
    config.risk.path_count = search.path_count;
    return config;
  }

  double simulate(RunInputs inputs) {
    const Progress progress;
    std::vector<std::string> warnings;
    MarginRun run(config_, backends_, progress, warnings);
    BaseRun base = run.plan(std::move(inputs));
    run.simulate(base);
    double sum = 0;
    for (const GroupRisk& risk : base.risks) sum += std::max(0.0, risk.expected_shortfall_usd);
    return sum;
  }

  RunConfig config_;
  RunInputs inputs_;
  RunBackends backends_;
};

class StressedSearcher {
 public:
  StressedSearcher(const CalibrateConfig& config, const FactorChanges& changes, RowRange rows,
                   const std::function<void(std::size_t)>& progress)
      : search_(*config.stressed),
        settings_(config.settings),
        changes_(changes),
        rows_(rows),
        progress_(progress),
        book_(search_),
        request_{book_.factors(), config.fills} {
    settings_.fits_degrees_of_freedom = false;  // that of the run is used
    check(config);
  }

  StressedWindow find() {
    found_.path_count = book_.config().risk.path_count;
    found_.current_usd = book_.expected_shortfall_usd();
    std::size_t step = interval_count(search_.step_days);
    const std::size_t last = rows_.end - length_;
    for (std::size_t begin = rows_.begin; begin < last; begin += step) evaluate(begin);
    evaluate(last);
    require_any();
    while (step > 1) {
      const std::size_t fine = std::max<std::size_t>(1, step / 5);
      for (const std::size_t centre : worst_begins())
        for (std::size_t offset = 0; offset <= 2 * step; offset += fine)
          if (centre + offset >= rows_.begin + step && centre + offset - step <= last)
            evaluate(centre + offset - step);
      step = fine;
    }
    finish();
    return std::move(found_);
  }

 private:
  void check(const CalibrateConfig& config) {
    length_ = interval_count(search_.window_days);
    Problems problems;
    const double horizon = book_.config().model.covariance_horizon_days;
    if (settings_.horizon_days != horizon)
      problems.add(search_.book.string(), 0,
                   fmt::format("has covariance_horizon_days = {}, and the calibration a horizon of "
                               "{} days; make them equal",
                               horizon, settings_.horizon_days));
    if (length_ > rows_.end - rows_.begin)
      problems.add(changes_.source, 0,
                   fmt::format("has {} intervals between from and to, fewer than the {} of a "
                               "stressed window; shorten window_days or begin earlier",
                               rows_.end - rows_.begin, length_));
    if (config.settings.method_weight < 1)
      problems.add(changes_.source, 0,
                   "a stressed window is not mixed with other history; leave method_weight out");
    problems.throw_if_any();
  }

  std::size_t interval_count(double days) const {
    return std::max<std::size_t>(
        1, static_cast<std::size_t>(std::llround(days / changes_.interval_days)));
  }

  BuiltModel model_of(std::size_t begin) const {
    return build_model(changes_, {begin, begin + length_}, settings_, request_);
  }

  void evaluate(std::size_t begin) {
    if (!risks_.try_emplace(begin, -1).second) return;
    progress_(risks_.size());
    try {
      risks_[begin] = book_.expected_shortfall_usd(model_of(begin).covariance);
    } catch (const InputError& error) {
      if (found_.skipped_count++ == 0) found_.skipped_because = to_string(error.problems().front());
    }
  }

  void require_any() const {
    if (std::any_of(risks_.begin(), risks_.end(), [](const auto& r) { return r.second >= 0; }))
      return;
    throw InputError({{changes_.source, 0,
                       fmt::format("no window of {} days has an estimate of all {} factors of {}; "
                                   "the first: {}",
                                   search_.window_days, request_.factors.size(),
                                   search_.book.string(), found_.skipped_because)}},
                     0);
  }

  std::vector<std::size_t> worst_begins() const {
    std::vector<std::pair<double, std::size_t>> ranked;
    for (const auto& [begin, risk] : risks_)
      if (risk >= 0) ranked.emplace_back(risk, begin);
    std::sort(ranked.rbegin(), ranked.rend());
    ranked.resize(std::min(ranked.size(), refined_count));
    std::vector<std::size_t> begins;
    for (const auto& [risk, begin] : ranked) begins.push_back(begin);
    return begins;
  }

  void finish() {
    const auto interval = static_cast<std::int64_t>(std::llround(changes_.interval_days * 86'400));
    for (const auto& [begin, risk] : risks_)
      if (risk >= 0)
        found_.windows.push_back({changes_.times[begin] - interval,
                                  changes_.times[begin + length_ - 1],
                                  {begin, begin + length_},
                                  risk});
    found_.worst = *std::max_element(found_.windows.begin(), found_.windows.end(),
                                     [](const WindowRisk& a, const WindowRisk& b) {
                                       return a.expected_shortfall_usd < b.expected_shortfall_usd;
                                     });
    found_.model = model_of(found_.worst.rows.begin);
  }

  const StressedSearch& search_;
  CalibrationSettings settings_;
  const FactorChanges& changes_;
  RowRange rows_;
  const std::function<void(std::size_t)>& progress_;
  StressedBook book_;
  ModelRequest request_;
  std::size_t length_ = 0;
  std::map<std::size_t, double> risks_;  ///< by first row; -1: skipped
  StressedWindow found_;
};

}  // namespace

StressedWindow find_stressed_window(const CalibrateConfig& config, const FactorChanges& changes,
                                    RowRange rows,
                                    const std::function<void(std::size_t)>& progress) {
  return StressedSearcher(config, changes, rows, progress).find();
}

}  // namespace shortfall::calibration
