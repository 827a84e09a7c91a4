#include "joint_error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>

#include "cpu/cpu_backend.hpp"
#include "model/canonical_math.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {

void JointError::reserve(std::size_t entry_count) {
  excesses_.reserve(entry_count);
  sorted_.reserve(entry_count);
}

void JointError::add(std::span<const std::uint64_t> keys, double usd) {
  const double value_at_risk = static_cast<double>(core::tail_loss(keys.back()));
  const std::size_t old = excesses_.size();
  excesses_.resize(old + keys.size() - 1);
  for (std::size_t j = 0; j + 1 < keys.size(); ++j) {
    const double excess = static_cast<double>(core::tail_loss(keys[j])) - value_at_risk;
    excesses_[old + j] = {core::tail_path(keys[j]), excess * usd};
  }
}

/// Stable: a counting sort per digit, the lowest first. A sort by comparison takes seven times as
/// long, and as long as the simulation where accounts have hundreds of groups.
void JointError::sort_by_path(std::uint64_t path_count) {
  constexpr std::uint32_t digit_bits = 11, digit_count = 1u << digit_bits;
  sorted_.resize(excesses_.size());
  for (std::uint32_t shift = 0; (path_count - 1) >> shift; shift += digit_bits) {
    const auto digit = [&](const Excess& e) { return (e.path >> shift) % digit_count; };
    std::array<std::size_t, digit_count + 1> begin{};
    for (const Excess& e : excesses_) ++begin[digit(e) + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    for (const Excess& e : excesses_) sorted_[begin[digit(e)]++] = e;
    excesses_.swap(sorted_);
  }
}

double JointError::standard_error(const TailSize& tail, std::uint64_t path_count,
                                  std::uint32_t scrambling_count, std::span<const double> weights) {
  // By path, and within a path in the order of the tails, so that the sums have one order.
  sort_by_path(path_count);
  double sum = 0, square = 0, linear = 0;
  std::vector<double> by_scrambling(scrambling_count);
  for (auto at = excesses_.begin(); at != excesses_.end();) {
    const std::uint32_t path = at->path;
    double s = 0;
    for (; at != excesses_.end() && at->path == path; ++at) s += at->usd;
    const double w = weights.empty() ? 1 : weights[path];
    sum += w * s;
    linear += w * w * s;
    square += w * w * (s * s);
    by_scrambling[path % scrambling_count] += s;
  }
  excesses_.clear();
  double variance = square - sum * sum / static_cast<double>(path_count);
  if (!weights.empty()) {
    const double mean = sum / static_cast<double>(path_count);
    double weight_square_sum = 0;
    for (const double w : weights) weight_square_sum += w * w;
    variance = square - 2 * mean * linear + mean * mean * weight_square_sum;
  }
  if (scrambling_count > 1) {
    const double count = scrambling_count;
    double spread = 0;
    for (const double of_one : by_scrambling)
      spread += (of_one * count - sum) * (of_one * count - sum);
    variance = spread / (count * (count - 1));
  }
  return variance > 0 ? __builtin_sqrt(variance) / tail.k : 0;
}

std::vector<double> account_errors_usd(const Plan& plan, const std::vector<GroupRisk>& risks,
                                       const TailOfGroup& tail_of, std::uint32_t thread_count) {
  std::vector<double> errors_usd(plan.accounts.size());
  std::vector<std::uint32_t> several;
  std::uint32_t group_count_max = 0;
  for (std::uint32_t a = 0; a < plan.accounts.size(); ++a) {
    const Plan::AccountSummary& account = plan.accounts[a];
    const std::uint32_t group_count = account.group_end - account.group_begin;
    if (group_count == 1) errors_usd[a] = risks[account.group_begin].standard_error_usd;
    if (group_count > 1) several.push_back(a);
    group_count_max = std::max(group_count_max, group_count);
  }
  std::atomic<std::size_t> next{0};
  const std::size_t useful_count = std::min<std::size_t>(thread_count, several.size());
  on_threads(static_cast<std::uint32_t>(useful_count), [&](std::uint32_t) {
    JointError joint;  // which keeps its memory
    joint.reserve(group_count_max * plan.tail.count);
    for (std::size_t i; (i = next.fetch_add(1)) < several.size();) {
      const Plan::AccountSummary& account = plan.accounts[several[i]];
      for (std::uint32_t g = account.group_begin; g < account.group_end; ++g)
        joint.add(tail_of(g), canonical::power_of_two(plan.groups[g].scale_exponent));
      errors_usd[several[i]] = joint.standard_error(plan.tail, plan.path_count,
                                                    plan.scrambling_count, plan.model.weights);
    }
  });
  return errors_usd;
}

}  // namespace shortfall
