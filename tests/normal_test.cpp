// Normals from words: their lattice, symmetry, error against Boost.Math and distribution.
#include "shortfall/core/normal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "shortfall/core/philox.hpp"

namespace shortfall {
namespace {

using core::normal_from_word;

constexpr std::uint32_t half = 0x80000000u;
constexpr std::uint32_t extreme_words[] = {0, 1, 2, half - 2, half - 1, half, half + 1, ~1u, ~0u};

/// Quantile of u = (word + 1/2) 2^-32, from the nearer tail so that nothing cancels.
double exact_normal(std::uint32_t word) {
  const std::uint32_t lower = std::min(word, ~word);
  const double z = -std::sqrt(2.0) * boost::math::erfc_inv(2.0 * (lower + 0.5) * 0x1p-32);
  return word < half ? z : -z;
}

/// Extremes, then a million random ones.
std::vector<std::uint32_t> many_words() {
  std::vector<std::uint32_t> words(std::begin(extreme_words), std::end(extreme_words));
  std::mt19937 random(1);
  for (int i = 0; i < 1'000'000; ++i) words.push_back(static_cast<std::uint32_t>(random()));
  return words;
}

TEST(Normal, IsAMultipleOfTwoToTheMinus20InRange) {
  for (const std::uint32_t word : many_words()) {
    const double scaled = static_cast<double>(normal_from_word(word)) * 0x1p20;
    ASSERT_EQ(scaled, std::rint(scaled)) << word;
    ASSERT_LE(std::abs(scaled), core::normal_max * 0x1p20) << word;
  }
}

TEST(Normal, IsMinusThatOfTheComplement) {
  for (const std::uint32_t word : many_words())
    ASSERT_EQ(core::bit_cast<std::uint32_t>(normal_from_word(word)),
              core::bit_cast<std::uint32_t>(-normal_from_word(~word)))
        << word;
}

TEST(Normal, ExtremeWords) {
  EXPECT_NEAR(normal_from_word(0), -6.337958, 1e-6);
  EXPECT_NEAR(normal_from_word(~0u), 6.337958, 1e-6);
  // u = 1/2 -+ 2^-33: 3e-10, less than a unit of the lattice.
  EXPECT_LE(std::abs(normal_from_word(half - 1)), 0x1p-20);
  EXPECT_LE(std::abs(normal_from_word(half)), 0x1p-20);
}

TEST(Normal, ErrorIsWithinTheBound) {
  // Half a unit of the lattice, and what the header claims before rounding: near |z| = 4 a unit of
  // the quotient is 4.8e-7, and the logarithm's 1.1e-6 moves t = sqrt(-2 ln u) by a quarter of it.
  constexpr double bound = 0x1p-21 + 1.7e-6;
  double largest = 0;
  const auto check = [&](std::uint32_t word) {
    const double error = std::abs(normal_from_word(word) - exact_normal(word));
    largest = std::max(largest, error);
    return error <= bound;
  };
  for (const std::uint32_t word : many_words()) ASSERT_TRUE(check(word)) << word;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    ASSERT_TRUE(check(i)) << i;                    // lower tail: |z| > 3.9, every word
    ASSERT_TRUE(check(half - 1 - i * 1000)) << i;  // the middle, where u runs into 1/2
  }
  RecordProperty("largest_error", std::to_string(largest));
  std::printf("largest error of a normal: %.3g (bound %.3g)\n", largest, bound);
}

TEST(Normal, MomentsAndTailFrequencies) {
  constexpr std::uint32_t blocks = 250'000;
  constexpr double n = 4.0 * blocks;
  // Four standard errors: one of the eight checks fails by chance for one seed in 2,000, and this
  // seed is fixed.
  constexpr double allowed = 4.0;
  constexpr double thresholds[] = {1.0, 2.0, 3.0, 4.0};
  double sums[5] = {}, exceeding[4] = {};
  for (std::uint32_t path = 0; path < blocks; ++path) {
    for (const std::uint32_t word : core::philox4x32(2026, 0, 0, path, 0).word) {
      const double z = normal_from_word(word);
      double power = 1;
      for (int m = 1; m <= 4; ++m) sums[m] += power *= z;
      for (int i = 0; i < 4; ++i) exceeding[i] += std::abs(z) > thresholds[i];
    }
  }
  const double mean = sums[1] / n, second = sums[2] / n, third = sums[3] / n, fourth = sums[4] / n;
  const double variance = second - mean * mean;
  const double skewness =
      (third - 3 * mean * second + 2 * mean * mean * mean) / std::pow(variance, 1.5);
  const double kurtosis =
      (fourth - 4 * mean * third + 6 * mean * mean * second - 3 * mean * mean * mean * mean) /
      (variance * variance);
  // Standard errors under normality: Kendall and Stuart, The Advanced Theory of Statistics, 10.
  EXPECT_NEAR(mean, 0, allowed * std::sqrt(1 / n));
  EXPECT_NEAR(variance, 1, allowed * std::sqrt(2 / n));
  EXPECT_NEAR(skewness, 0, allowed * std::sqrt(6 / n));
  EXPECT_NEAR(kurtosis, 3, allowed * std::sqrt(24 / n));
  for (int i = 0; i < 4; ++i) {
    const double p = std::erfc(thresholds[i] / std::sqrt(2.0));
    EXPECT_NEAR(exceeding[i] / n, p, allowed * std::sqrt(p * (1 - p) / n)) << thresholds[i];
  }
}

}  // namespace
}  // namespace shortfall
