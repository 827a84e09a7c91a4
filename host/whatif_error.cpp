#include "whatif_error.hpp"

#include <algorithm>

#include "shortfall/core/tail.hpp"

namespace shortfall {

void ShortfallDifference::add(std::span<const std::uint64_t> keys, double usd) {
  const double value_at_risk = static_cast<double>(core::tail_loss(keys.back()));
  for (const std::uint64_t key : keys.first(keys.size() - 1)) {
    const double excess = static_cast<double>(core::tail_loss(key)) - value_at_risk;
    excesses_.emplace_back(core::tail_path(key), excess * usd);
  }
}

double ShortfallDifference::standard_error(const TailSize& tail, std::uint64_t path_count,
                                           std::uint32_t scrambling_count) {
  // By path, and within a path in the order of the tails, so that the sums have one order.
  std::ranges::stable_sort(excesses_, {}, &std::pair<std::uint32_t, double>::first);
  double sum = 0, square = 0;
  std::vector<double> by_scrambling(scrambling_count);
  for (auto at = excesses_.begin(); at != excesses_.end();) {
    const std::uint32_t path = at->first;
    double e = 0;
    for (; at != excesses_.end() && at->first == path; ++at) e += at->second;
    sum += e;
    square += e * e;
    by_scrambling[path % scrambling_count] += e;
  }
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

}  // namespace shortfall
