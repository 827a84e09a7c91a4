#include "joint_error.hpp"

#include <algorithm>

#include "canonical_math.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {

void JointError::add(std::span<const std::uint64_t> keys, double usd) {
  const double value_at_risk = static_cast<double>(core::tail_loss(keys.back()));
  for (const std::uint64_t key : keys.first(keys.size() - 1)) {
    const double excess = static_cast<double>(core::tail_loss(key)) - value_at_risk;
    excesses_.emplace_back(core::tail_path(key), excess * usd);
  }
}

/// Leaves one excess per path, in the order of paths; within a path they are added in the order of
/// the tails, so that the sums have one order, whichever way is taken.
void JointError::add_up_by_path(std::uint64_t path_count) {
  constexpr std::uint64_t array_max = std::uint64_t{1} << 26;
  if (path_count <= array_max && excesses_.size() > path_count / 16) {
    if (by_path_.size() < path_count) by_path_.resize(path_count);
    for (const auto& [path, excess] : excesses_) by_path_[path] += excess;
    excesses_.clear();
    for (std::uint32_t path = 0; path < path_count; ++path) {
      if (by_path_[path] == 0) continue;
      excesses_.emplace_back(path, by_path_[path]);
      by_path_[path] = 0;
    }
    return;
  }
  std::ranges::stable_sort(excesses_, {}, &std::pair<std::uint32_t, double>::first);
  auto end = excesses_.begin();
  for (auto at = excesses_.begin(); at != excesses_.end();) {
    std::pair<std::uint32_t, double> sum(at->first, 0.0);
    for (; at != excesses_.end() && at->first == sum.first; ++at) sum.second += at->second;
    *end++ = sum;
  }
  excesses_.erase(end, excesses_.end());
}

double JointError::take(const TailSize& tail, std::uint64_t path_count,
                        std::uint32_t scrambling_count) {
  add_up_by_path(path_count);
  double sum = 0, square = 0;
  std::vector<double> by_scrambling(scrambling_count);
  for (const auto& [path, e] : excesses_) {
    sum += e;
    square += e * e;
    by_scrambling[path % scrambling_count] += e;
  }
  excesses_.clear();
  double variance = square - sum * sum / static_cast<double>(path_count);
  if (scrambling_count > 1) {
    const double count = scrambling_count;
    double spread = 0;
    for (const double of_one : by_scrambling)
      spread += (of_one * count - sum) * (of_one * count - sum);
    variance = spread / (count * (count - 1));
  }
  return variance > 0 ? __builtin_sqrt(variance) / tail.k : 0;
}

std::vector<double> account_errors(const Plan& plan, const std::vector<GroupRisk>& risks,
                                   const TailOfGroup& tail_of) {
  std::vector<double> errors;
  errors.reserve(plan.accounts.size());
  JointError joint;
  for (const Plan::AccountSummary& account : plan.accounts) {
    if (account.group_end - account.group_begin < 2) {
      errors.push_back(account.group_begin == account.group_end
                           ? 0
                           : risks[account.group_begin].standard_error_usd);
      continue;
    }
    for (std::uint32_t g = account.group_begin; g < account.group_end; ++g)
      joint.add(tail_of(g), canonical::power_of_two(plan.groups[g].scale_exponent));
    errors.push_back(joint.take(plan.tail, plan.path_count, plan.scrambling_count));
  }
  return errors;
}

}  // namespace shortfall
