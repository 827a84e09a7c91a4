// The rounds of paths = "auto": each simulates new paths only and joins them to those before.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "shortfall/scheduler.hpp"

namespace shortfall {

/// Simulations of one book with more and more paths. Of each part of the paths the tails are kept,
/// with more entries than a run of so many paths would keep: of the worst paths of a longer run a
/// part may have more than its share.
class Rounds {
 public:
  /// Simulates some paths of a plan.
  using SimulatePart = std::function<Simulated(const Plan&, PathRange)>;

  explicit Rounds(std::uint32_t thread_count) : thread_count_(thread_count) {}

  /// All paths of a plan, which is that of the last call but for more paths. Only new ones are
  /// simulated; groups of which too few were kept, for which losses in no relation to path numbers
  /// have a chance of 10^-15, are simulated again from the first. The tails have the losses of a
  /// run's and so, with every bit, its risks and errors. Not always its paths: where more have the
  /// value at risk as loss than were kept, others of that loss stand in for them. Throws
  /// OperatingError where the machine's memory cannot hold the tails.
  Simulated simulate(const Plan& plan, const SimulatePart& simulate_part);

  /// Makes the last tails a run's, path by path: simulates the groups concerned from the first.
  void complete(const Plan& plan, const SimulatePart& simulate_part, Tails& tails) const {
    redo(plan, lacking_paths_, simulate_part, tails);
  }

 private:
  std::vector<std::uint32_t> join(const Plan& plan, Tails& tails);
  void redo(const Plan& plan, const std::vector<std::uint32_t>& groups,
            const SimulatePart& simulate_part, Tails& tails) const;

  std::uint32_t thread_count_;
  std::vector<Tails> parts_;
  std::vector<PathShare> shares_;
  std::vector<std::uint32_t> lacking_paths_;  // groups whose last tail may lack paths
};

}  // namespace shortfall
