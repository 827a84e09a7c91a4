// Sobol points and their scrambling, against Boost's engine and against theory.
#include "host/model/sobol.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/random/sobol.hpp>
#include <cmath>
#include <set>
#include <vector>

#include "books.hpp"
#include "shortfall/core/normal.hpp"
#include "shortfall/core/sobol.hpp"

namespace shortfall {
namespace {

constexpr std::uint32_t bits = core::sobol_bit_count;

/// Boost counts in Gray code, from the second point on.
TEST(Sobol, PointsAreThoseOfBoost) {
  constexpr std::uint32_t dimensions = 1500;
  const std::vector<std::uint32_t> directions = sobol_directions(dimensions);
  boost::random::sobol_engine<std::uint32_t, 32> engine(dimensions);
  for (std::uint32_t i = 1; i < 600; ++i)
    for (std::uint32_t d = 0; d < dimensions; ++d)
      ASSERT_EQ(core::reverse_bits(core::sobol_reversed(&directions[d * bits], i ^ (i >> 1))),
                engine())
          << "point " << i << ", dimension " << d;
  EXPECT_GE(sobol_dimension_max(), 1024u);
}

/// A scrambled net is a net: of the first 2^m points of a dimension one lies in each of 2^m equal
/// parts, whatever the key, from any multiple of 2^m on.
TEST(Sobol, ScrambledPointsStayStratified) {
  const std::vector<std::uint32_t> directions = sobol_directions(1200);
  for (const std::uint32_t d : {0u, 1u, 2u, 63u, 1199u})
    for (const std::uint32_t key : {0u, 1u, 0x12345678u, 0xffffffffu})
      for (const std::uint32_t first : {0u, 4096u}) {
        std::set<std::uint32_t> parts;
        for (std::uint32_t i = first; i < first + 1024; ++i)
          parts.insert(core::owen_scrambled(core::sobol_reversed(&directions[d * bits], i), key) >>
                       22);
        EXPECT_EQ(parts.size(), 1024u) << d << " " << key << " " << first;
      }
}

/// Over keys a scrambled coordinate is uniform: the mean of 4,000 is within 5 of its deviations
/// 1 / sqrt(12 * 4000), and two points of a pair are not tied to each other.
TEST(Sobol, ScramblingIsUniformOverKeys) {
  const std::vector<std::uint32_t> directions = sobol_directions(4);
  const std::vector<std::uint32_t> keys = scrambling_keys(42, 1000, 4);
  EXPECT_EQ(std::set<std::uint32_t>(keys.begin(), keys.end()).size(), keys.size());
  for (const std::uint32_t index : {0u, 1u, 5u, 1000u}) {
    double sum = 0, square_sum = 0;
    for (std::size_t k = 0; k < keys.size(); ++k) {
      const double u =
          (core::owen_scrambled(core::sobol_reversed(&directions[k % 4 * bits], index), keys[k]) +
           0.5) *
          0x1p-32;
      sum += u - 0.5;
      square_sum += (u - 0.5) * (u - 0.5);
    }
    const double n = static_cast<double>(keys.size());
    EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(12 * n));
    // The variance of (u - 1/2)^2 is 1/180.
    EXPECT_NEAR(square_sum / n, 1.0 / 12, 5 / std::sqrt(180 * n));
  }
}

/// What every backend draws: plain loops over the tables, with the mixing variable first.
TEST(Sobol, DrawsAreThePoints) {
  MemoryBook book(4 * 512);
  book.config.risk.sampler = Sampler::sobol;
  book.config.risk.scrambling_count = 4;
  book.config.model.distribution = Distribution::student_t;
  const std::uint32_t underlying = book.add_underlying(100);
  for (int f = 0; f < 3; ++f)
    book.add_factor(underlying, f == 0 ? FactorKind::spot : FactorKind::vol, 0.04, 30 * f);
  book.add_holder(book.add({"", InstrumentType::perpetual, Settlement::linear, underlying}), 1);
  const Plan plan = book.plan();
  EXPECT_EQ(plan.dimension_count(), 4u);
  const PathTrace trace = trace_paths(plan, 37, 130);
  for (std::uint32_t p = 0; p < trace.path_count; ++p)
    for (std::uint32_t f = 0; f < 3; ++f) {
      const std::uint32_t word = core::owen_scrambled(
          core::sobol_reversed(&plan.sobol_directions[(f + 1) * bits], (37 + p) / 4),
          plan.sobol_keys[(f + 1) * 4 + (37 + p) % 4]);
      ASSERT_EQ(trace.normals[f * trace.path_count + p],
                static_cast<double>(core::normal_from_word(word)));
    }
  EXPECT_GT(*std::max_element(trace.mixing.begin(), trace.mixing.end()), 1.5);
}

}  // namespace
}  // namespace shortfall
