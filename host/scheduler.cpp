#include "shortfall/scheduler.hpp"

#include <chrono>

#include "fmt/format.h"

namespace shortfall {
namespace {

/// Wall time since the last call.
class Stopwatch {
 public:
  double lap_seconds() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// The same failure in the words of the book.
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

std::vector<std::string> warnings_of(const Plan& plan) {
  std::vector<std::string> warnings = plan.model.warnings;
  if (plan.tail.k < 100)
    warnings.push_back(fmt::format(
        "only {:.6g} paths in the tail: the standard error is unreliable below 100", plan.tail.k));
  return warnings;
}

}  // namespace

RunResult run(const RunConfig& config, const Progress& progress) {
  RunResult result;
  RunRecord& record = result.record;
  Stopwatch stopwatch;
  const auto finish = [&](const char* stage) {
    record.seconds_by_stage.emplace_back(stage, stopwatch.lap_seconds());
  };
  const std::unique_ptr<Backend> backend = make_backend(config.compute);
  const RunInputs inputs = load_inputs(config);
  finish("load");
  const Plan plan = build_plan(config, inputs);
  finish("plan");
  try {
    const Tails tails = backend->simulate(plan, {0, plan.path_count}, progress);
    finish("simulate");
    result.margins = compute_margins(plan, inputs.book, tails, config.margin);
    finish("margin");
  } catch (const LossError& error) {
    throw_named(error, plan, inputs.book);
  }
  record.config = config;
  record.plan_hash = plan.hash;
  record.backend = backend->describe(plan);
  record.warnings = warnings_of(plan);
  record.tail_floor = plan.model.tail_floor;
  record.instrument_count = plan.instruments.size();
  record.position_count = plan.holdings.size();
  record.account_count = plan.accounts.size();
  record.group_count = plan.groups.size();
  record.factor_count = plan.model.factor_count;
  return result;
}

RunResult run(const std::filesystem::path& config_file) { return run(load_config(config_file)); }

}  // namespace shortfall
