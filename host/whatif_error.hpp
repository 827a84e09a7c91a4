// How well the paths determine a difference of expected shortfalls.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "shortfall/plan.hpp"

namespace shortfall {

/// Of sum of +-ES over tails of the same N paths,
///   se^2 = [sum e^2 - (sum e)^2 / N] / k^2,  e(p) = sum of +-max(0, L(p) - VaR),
/// the sums over all paths: the variance of the mean of what an expected shortfall averages, VaR
/// held (Manistre and Hancock 2005, "Variance of the CTE estimator", section 3, to which this
/// reduces for one tail and a whole k). What is in both tails of a path cancels.
class ShortfallDifference {
 public:
  /// `keys` is a tail as group_risks takes it, the least of them last; `usd` is USD per unit of
  /// loss, negative for a tail that is taken away.
  void add(std::span<const std::uint64_t> keys, double usd);

  /// USD. Of several scramblings from the spread of their differences, as group_risks has it.
  double standard_error(const TailSize& tail, std::uint64_t path_count,
                        std::uint32_t scrambling_count = 1);

 private:
  std::vector<std::pair<std::uint32_t, double>> excesses_;  // path, USD
};

}  // namespace shortfall
