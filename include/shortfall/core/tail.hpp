// The tail of a loss distribution: its order, its fixed point, and the one definition of expected
// shortfall, value at risk and their standard error.
#pragma once

#include "shortfall/core/portable.hpp"

namespace shortfall::core {

/// A (loss, path) pair as one integer: the greater the worse, ties to the lower path. The loss is
/// not NaN and not -0.
SHORTFALL_CORE std::uint64_t tail_key(float loss, std::uint32_t path) {
  const std::uint32_t bits = bit_cast<std::uint32_t>(loss);
  const std::uint32_t ordered = (bits >> 31) ? ~bits : bits | 0x80000000u;
  return (static_cast<std::uint64_t>(ordered) << 32) | static_cast<std::uint32_t>(~path);
}

SHORTFALL_CORE float tail_loss(std::uint64_t key) {
  const std::uint32_t ordered = static_cast<std::uint32_t>(key >> 32);
  return bit_cast<float>((ordered >> 31) ? ordered & 0x7fffffffu : ~ordered);
}

SHORTFALL_CORE std::uint32_t tail_path(std::uint64_t key) {
  return ~static_cast<std::uint32_t>(key);
}

/// With `done` of `path_count` paths seen, the worst loss of this rank so far is almost surely
/// below the keep_count-th worst of all: the rank is five standard deviations above its mean.
SHORTFALL_CORE std::uint64_t threshold_rank(std::uint64_t keep_count, std::uint64_t done,
                                            std::uint64_t path_count) {
  const double expected =
      static_cast<double>(keep_count) * static_cast<double>(done) / static_cast<double>(path_count);
  return static_cast<std::uint64_t>(expected + 5.0 * __builtin_sqrt(expected) + 5.0);
}

/// Where thresholds are set: after a 2nd, 8th, 32nd ... of the paths, from 128 paths on, so that
/// few candidates are taken before and few too many after. The next such count of paths after
/// `done`, or path_count.
SHORTFALL_CORE std::uint64_t next_pilot(std::uint64_t done, std::uint64_t path_count) {
  std::uint64_t next = path_count;
  for (std::uint64_t size = path_count / 2; size >= 128; size /= 4) {
    const std::uint64_t rows = size / 64 * 64;
    if (rows > done) next = rows;
  }
  return next;
}

/// Losses are summed as integers of 2^-30 group units, in which the gross notional is in [1, 2):
/// q = rint(loss 2^30), so that gross in units of q is in [2^30, 2^31).
inline constexpr int fixed_point_bits = 30;
inline constexpr double fixed_point_max = 140737488355328.0;  // 2^47

/// The loss in fixed point, to nearest, ties to even. Domain |loss| 2^30 < 2^47.
SHORTFALL_CORE std::int64_t fixed_point(float loss) {
  constexpr double shifter = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = static_cast<double>(loss) * 1073741824.0 + shifter;
  return static_cast<std::int64_t>(bit_cast<std::uint64_t>(shifted) -
                                   bit_cast<std::uint64_t>(shifter));
}

/// Wide enough for 2^32 squares of 2^48.
__extension__ typedef __int128 Int128;

/// In units of q.
struct TailStatistics {
  double value_at_risk;
  double expected_shortfall;
  double standard_error;  ///< of the expected shortfall, for independent paths
};

/// Statistics of the tail of N paths. `keys` are the floor(k) + 1 worst in any order but the least
/// of them last; k = (1 - confidence_level) N >= 1, whole = floor(k).
///   VaR = L_{whole+1},  ES = (1/k) [sum_{j<=whole} L_j + (k - whole) L_{whole+1}]
/// (Acerbi and Tasche 2002, "On the coherence of expected shortfall", definition 2.6), computed as
/// VaR + (1/k) sum (L_j - VaR), so that ES >= VaR in every bit;
///   se^2 = [var(L_j, j <= whole) + confidence_level (ES - VaR)^2] / k
/// (Manistre and Hancock 2005, "Variance of the CTE estimator", section 3), var the population
/// variance. Sums are integers, so no order of the keys changes a bit.
SHORTFALL_CORE TailStatistics tail_statistics(const std::uint64_t* keys, std::uint64_t whole,
                                              double k, double confidence_level) {
  const std::int64_t least = fixed_point(tail_loss(keys[whole]));
  Int128 excess = 0;
  for (std::uint64_t j = 0; j < whole; ++j) excess += fixed_point(tail_loss(keys[j])) - least;
  const Int128 mean = excess / static_cast<Int128>(whole);
  Int128 deviation = 0, square = 0;
  for (std::uint64_t j = 0; j < whole; ++j) {
    const Int128 d = fixed_point(tail_loss(keys[j])) - least - mean;
    deviation += d;
    square += d * d;
  }
  const double count = static_cast<double>(whole);
  const double rest = static_cast<double>(deviation);  // below `whole`: the mean was truncated
  const double variance = (static_cast<double>(square) - rest * rest / count) / count;
  const double above = static_cast<double>(excess) / k;
  const double squared_error = (variance + confidence_level * above * above) / k;
  return {static_cast<double>(least), static_cast<double>(least) + above,
          __builtin_sqrt(squared_error)};
}

}  // namespace shortfall::core
