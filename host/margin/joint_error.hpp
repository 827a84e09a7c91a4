// How well the paths determine a sum of expected shortfalls that share them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "components.hpp"

namespace shortfall {

/// Of sum of +-ES over tails of the same N paths,
///   se^2 = [sum s^2 - (sum s)^2 / N] / k^2,  s(p) = sum of +-max(0, L(p) - VaR),
/// and with weights of paths that add up to N, as group_risks has it,
///   se^2 = sum w^2 (s - m)^2 / k^2,  m = (1/N) sum w s,
/// the sums over all paths: the variance of the mean of what an expected shortfall averages, VaR
/// held (Manistre and Hancock 2005, "Variance of the CTE estimator", section 3, to which this
/// reduces for one tail and a whole k). What is in several tails of a path adds up or cancels.
class JointError {
 public:
  /// Memory for so many entries of tails.
  void reserve(std::size_t entry_count);
  /// `keys` is a tail as group_risks takes it, the least of them last; `usd` is USD per unit of
  /// loss, negative for a tail that is taken away.
  void add(std::span<const std::uint64_t> keys, double usd);

  /// USD, and starts anew. Of several scramblings from the spread of their sums, as group_risks has
  /// it.
  double standard_error(const TailSize& tail, std::uint64_t path_count,
                        std::uint32_t scrambling_count = 1, std::span<const double> weights = {});

 private:
  struct Excess {
    std::uint32_t path;
    double usd;
  };
  void sort_by_path(std::uint64_t path_count);

  std::vector<Excess> excesses_, sorted_;
};

/// The tail of a margin group of a plan, the least of its keys last.
using TailOfGroup = std::function<std::span<const std::uint64_t>(std::uint32_t group)>;

/// Standard errors of the expected shortfalls of a plan's accounts, USD, from the risks and the
/// tails of its groups: joint over an account's groups, a single group's own to the bit. A thread
/// holds 32 bytes per entry of the tails of the largest account.
std::vector<double> account_errors_usd(const Plan& plan, const std::vector<GroupRisk>& risks,
                                       const TailOfGroup& tail_of, std::uint32_t thread_count = 1);

}  // namespace shortfall
