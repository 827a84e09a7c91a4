// How well the paths determine a sum or difference of expected shortfalls.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "components.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// Of sum of +-ES over tails of the same N paths,
///   se^2 = [sum e^2 - (sum e)^2 / N] / k^2,  e(p) = sum of +-max(0, L(p) - VaR),
/// the sums over all paths: the variance of the mean of what an expected shortfall averages, VaR
/// held (Manistre and Hancock 2005, "Variance of the CTE estimator", section 3, to which this
/// reduces for one tail and a whole k). What is in both tails of a path cancels or adds up.
class JointError {
 public:
  /// `keys` is a tail as group_risks takes it, the least of them last; `usd` is USD per unit of
  /// loss, negative for a tail that is taken away.
  void add(std::span<const std::uint64_t> keys, double usd);

  /// USD, and nothing is left to add to. Of several scramblings from the spread of their sums, as
  /// group_risks has it.
  double take(const TailSize& tail, std::uint64_t path_count, std::uint32_t scrambling_count = 1);

 private:
  void add_up_by_path(std::uint64_t path_count);

  std::vector<std::pair<std::uint32_t, double>> excesses_;  // path, USD
  std::vector<double> by_path_;                             // zero between two uses
};

/// The tail that a margin group's risk is of.
using TailOfGroup = std::function<std::span<const std::uint64_t>(std::uint32_t group)>;

/// Of each account's expected shortfall, USD: of several margin groups jointly, since they share
/// paths; of one that group's own.
std::vector<double> account_errors(const Plan& plan, const std::vector<GroupRisk>& risks,
                                   const TailOfGroup& tail_of);

}  // namespace shortfall
