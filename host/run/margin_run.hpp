// What run, explain, what-if and compare have in common: inputs in memory, simulated on the
// backends of a run, and what becomes of them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "margin/components.hpp"
#include "rounds.hpp"
#include "shortfall/attribution.hpp"
#include "shortfall/scheduler.hpp"

namespace shortfall {

/// The backends of a run, less those that failed in it.
class RunBackends {
 public:
  explicit RunBackends(const ComputeConfig& config);
  /// At least one backend; without `make_fallback` nothing stands in for those that fail.
  RunBackends(std::vector<std::unique_ptr<Backend>> backends, MakeFallback make_fallback)
      : backends_(std::move(backends)), make_fallback_(std::move(make_fallback)) {}

  /// simulate_on; what is to be said of failures is added to `warnings`.
  Simulated simulate(const Plan& plan, const Progress& progress, std::vector<std::string>& warnings,
                     std::optional<PathRange> paths = {});
  /// Backend::replay on the first of them. What a device that fails has not handed over, the next
  /// does, then the fallback; without any left that is a DeviceError.
  void replay(const Plan& plan, std::span<const std::uint32_t> paths, const UseValues& use,
              std::vector<std::string>& warnings);
  /// Which devices failed since the last call, and why.
  std::vector<std::string> take_failures() { return std::exchange(failures_, {}); }

 private:
  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<std::string> failures_;
  MakeFallback make_fallback_;
};

/// The same failure in the words of the book.
[[noreturn]] void throw_named(const LossError& error, const Plan& plan, const Book& book);

/// Throws InputError where the configuration leaves the number of paths to a run.
void require_number_of_paths(const RunConfig& config);

/// A plan and the tails of its groups.
struct SimulatedPlan {
  Plan plan;
  Tails tails;
};

/// The simulation that the expected shortfall comes from.
struct BaseRun {
  RunInputs inputs;       ///< as simulated: see simulated_inputs
  Covariance covariance;  ///< as read, not scaled to a liquidation
  /// One; two where revalue_at is worst, at the horizon and now, whose groups are the same.
  std::vector<SimulatedPlan> revaluations;
  std::vector<std::uint32_t> revaluation_of;  ///< per group: which of them is the worse
  std::vector<GroupRisk> risks;               ///< per group, of that one
  std::vector<double> errors_usd;             ///< per account, jointly over its groups
  std::vector<PathShare> shares;              ///< of the first

  /// Of a group, from the worse revaluation: what counts in full, and the boundary last.
  std::span<const std::uint64_t> tail(std::uint32_t group) const {
    const auto& [plan, tails] = revaluations[revaluation_of[group]];
    return {tails.group(group), tail_cut(plan, tails.group(group)).whole + 1};
  }
};

/// Simulates inputs as they were read. A loss that is not usable is an OperatingError that names
/// account, path and instrument.
class MarginRun {
 public:
  /// All outlive it.
  MarginRun(const RunConfig& config, RunBackends& backends, const Progress& progress,
            std::vector<std::string>& warnings)
      : config_(config), backends_(backends), progress_(progress), warnings_(warnings) {
    require_number_of_paths(config);
  }

  /// The plans, from inputs as they were read; what is to be said of them goes to the warnings.
  BaseRun plan(RunInputs as_read);
  /// The same for inputs that simulated_inputs has seen. They have no covariance as read, and
  /// `margins` is not for them.
  BaseRun plan_simulated(RunInputs inputs);
  /// Tails, risks and the worse revaluation.
  void simulate(BaseRun& base);
  /// The same where rounds with fewer paths went before: none yet, or one per revaluation.
  void simulate(BaseRun& base, std::vector<Rounds>& rounds);
  /// Makes the tails of the last of them those of a run, path by path.
  void complete(BaseRun& base, const std::vector<Rounds>& rounds);
  /// Every account's margin with all of its components.
  std::vector<AccountMargin> margins(const BaseRun& base);
  /// Where their expected shortfalls come from.
  Attribution attribute(const BaseRun& base, const std::vector<AccountMargin>& margins);
  /// RunBackends::replay; progress is told that all paths are done, and may throw.
  void replay(const Plan& plan, std::span<const std::uint32_t> paths, const UseValues& use);

 private:
  using SimulatePlan = std::function<Simulated(std::size_t, const Plan&, const Progress&)>;
  void simulate_with(const SimulatePlan& simulate_plan, BaseRun& base);
  std::uint32_t thread_count() const;

  const RunConfig& config_;
  RunBackends& backends_;
  const Progress& progress_;
  std::vector<std::string>& warnings_;
};

}  // namespace shortfall
