// Factor models with another dependence between underlyings: what they keep and what they change.
#include "host/model/block_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "block_models.hpp"
#include "books.hpp"

namespace shortfall {
namespace {

using enum BetweenUnderlyings;
using enum FactorKind;

double covariance_of(const FactorModel& model, std::size_t i, std::size_t j) {
  const std::size_t n = model.factor_count;
  double sum = 0;
  for (std::size_t k = 0; k < n; ++k) sum += model.loading[i * n + k] * model.loading[j * n + k];
  return sum;
}
double correlation_of(const FactorModel& model, std::size_t i, std::size_t j) {
  return covariance_of(model, i, j) /
         std::sqrt(covariance_of(model, i, i) * covariance_of(model, j, j));
}

// A row of L has norm |L_i| and moves by at most 2^-24 sqrt(F) of it when it is rounded, so an
// entry of L L^T by 2^-23 sqrt(F) |L_i| |L_j|; up to 16 factors here.
constexpr double rounding = 0x1p-21;

/// Covariances within underlyings are those of the file over the horizon.
void expect_blocks(const MemoryBook& made, const FactorModel& model) {
  const Covariance& covariance = made.inputs.covariance;
  const std::size_t n = covariance.factors.size();
  const double scale = covariance_scale(made.config);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      if (covariance.factors[i].underlying != covariance.factors[j].underlying) continue;
      const double deviations =
          std::sqrt(covariance.matrix[i * n + i] * covariance.matrix[j * n + j]) * scale;
      EXPECT_NEAR(covariance_of(model, i, j), covariance.matrix[i * n + j] * scale,
                  rounding * deviations)
          << i << ' ' << j;
    }
}

TEST(BlockModel, KeepsEachUnderlyingAndChangesWhatIsBetween) {
  const MemoryBook made = mixed_book();
  const FactorModel apart = model_of(made, uncorrelated), together_model = model_of(made, together);
  expect_blocks(made, apart);
  expect_blocks(made, together_model);
  const std::vector<Factor>& factors = made.inputs.covariance.factors;
  for (std::size_t i = 0; i < factors.size(); ++i)
    for (std::size_t j = 0; j < factors.size(); ++j)
      if (factors[i].underlying != factors[j].underlying) {
        EXPECT_EQ(covariance_of(apart, i, j), 0) << i << ' ' << j;
      }
  // The first of a block depends on its own normal alone.
  EXPECT_NEAR(correlation_of(together_model, 3, 7), 1, rounding);
}

// Two underlyings {spot, perp} with Cholesky factors (a, 0; b, c): together, perp and perp have
// covariance b b' + c c' and spot and perp a b'. With deviations 1 and correlations 0.6 and 0.8:
// b = 0.6, c = 0.8; b' = 0.8, c' = 0.6.
TEST(BlockModel, TogetherSharesNormalsByKind) {
  MemoryBook made;
  made.add_underlying(100);
  made.add_underlying(200);
  made.add_factor(0, spot, 1);
  made.add_factor(1, perp, 1);
  made.add_factor(0, perp, 1);
  made.add_factor(1, spot, 1);
  made.correlate(0, 2, 0.6);
  made.correlate(1, 3, 0.8);
  const FactorModel model = model_of(made, together);
  EXPECT_NEAR(covariance_of(model, 0, 3), 1, rounding);
  EXPECT_NEAR(covariance_of(model, 0, 1), 0.8, rounding);
  EXPECT_NEAR(covariance_of(model, 3, 2), 0.6, rounding);
  EXPECT_NEAR(covariance_of(model, 1, 2), 0.6 * 0.8 + 0.8 * 0.6, rounding);
}

// By tenor, not by place: the second volatility of one is the first of the other.
TEST(BlockModel, TogetherSharesNormalsByTenor) {
  MemoryBook made;
  made.add_underlying(100);
  made.add_underlying(200);
  for (const std::uint32_t days : {90u, 7u}) made.add_factor(0, vol, 0.1, days);
  made.add_factor(1, vol, 0.1, 90);
  const FactorModel model = model_of(made, together);
  EXPECT_NEAR(correlation_of(model, 0, 2), 1, rounding);
  EXPECT_EQ(correlation_of(model, 1, 2), 0);
}

TEST(BlockModel, OneUnderlyingInTheOrderOfABlockIsTheModelItself) {
  MemoryBook made;
  made.add_underlying(100);
  made.add_factor(0, spot, 0.03);
  for (const std::uint32_t days : {7u, 30u, 90u}) made.add_factor(0, vol, 0.1, days);
  made.add_factor(0, skew, 0.02);
  made.add_factor(0, basis, 0.01);
  made.add_factor(0, perp, 1e-3);
  correlate_all(made);
  const FactorModel model = model_of(made);
  EXPECT_EQ(model_of(made, together).loading, model.loading);
  EXPECT_EQ(model_of(made, uncorrelated).loading, model.loading);
  EXPECT_EQ(model_of(made, uncorrelated).unit, model.unit);
  EXPECT_EQ(model_of(made, uncorrelated).column_count, model.column_count);
}

TEST(BlockModel, OfUncorrelatedUnderlyingsUncorrelatedIsTheModelItself) {
  MemoryBook made;
  for (std::uint32_t u = 0; u < 3; ++u) {
    made.add_underlying(100);
    const std::size_t first = made.add_factor(u, spot, 0.03);
    made.add_factor(u, vol, 0.1, 30);
    made.correlate(first, first + 1, -0.5);
  }
  EXPECT_EQ(model_of(made, uncorrelated).loading, model_of(made).loading);
  EXPECT_NE(model_of(made, together).loading, model_of(made).loading);
}

// Tenors that always move alike are legal. The columns still belong to kinds: the spots of the
// singular and of a regular underlying are one, and so are the skews that nothing else explains.
TEST(BlockModel, SingularBlock) {
  MemoryBook made;
  made.add_underlying(100);
  made.add_underlying(200);
  made.add_factor(0, skew, 0.02);                                                 // 0
  for (const std::uint32_t days : {30u, 7u}) made.add_factor(0, vol, 0.1, days);  // 1, 2
  made.add_factor(0, spot, 0.03);                                                 // 3
  made.correlate(1, 2, 1);
  made.correlate(1, 3, -0.5);
  made.correlate(2, 3, -0.5);
  made.add_factor(1, spot, 0.05);  // 4
  made.add_factor(1, skew, 0.01);  // 5
  for (const BetweenUnderlyings dependence : {together, uncorrelated}) {
    const FactorModel model = model_of(made, dependence);
    EXPECT_TRUE(model.is_singular);
    expect_blocks(made, model);
  }
  const FactorModel model = model_of(made, together);
  EXPECT_NEAR(correlation_of(model, 3, 4), 1, rounding);
  EXPECT_NEAR(correlation_of(model, 0, 5), 1, rounding);
  EXPECT_NEAR(correlation_of(model, 1, 4), -0.5, rounding);
}

// Three equal correlations of -1/2 are singular; a little more is not positive semi-definite, but
// within what the whole covariance is accepted with.
TEST(BlockModel, RepairedBlock) {
  MemoryBook made;
  made.add_underlying(100);
  for (const std::uint32_t days : {7u, 30u, 90u}) made.add_factor(0, vol, 0.1, days);
  for (std::size_t i = 0; i < 3; ++i) made.correlate(i, (i + 1) % 3, -0.5 - 1e-9);
  EXPECT_TRUE(model_of(made).is_repaired);
  expect_blocks(made, model_of(made, together));
}

TEST(BlockModel, ProductsWithNormalsAreExact) {
  const MemoryBook made = mixed_book();
  for (const BetweenUnderlyings dependence : {together, uncorrelated}) {
    const FactorModel model = model_of(made, dependence);
    const std::size_t n = model.factor_count;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        const double units = model.loading[i * n + j] / model.unit[i];
        EXPECT_EQ(units, std::rint(units));
        EXPECT_LE(std::abs(units), 0x1p24);
        EXPECT_TRUE(j < model.column_count[i] || units == 0);
      }
  }
}

TEST(BlockModel, RefusesASingularBlockThatIsTooLarge) {
  MemoryBook made;
  made.add_underlying(100);
  const std::size_t n = 1001;
  made.inputs.covariance.file = "covariance.csv";
  for (std::uint32_t i = 0; i < n; ++i)
    made.inputs.covariance.factors.push_back({"U0.vol." + std::to_string(i + 1) + "d", 0, vol, i});
  made.inputs.covariance.matrix.assign(n * n, 0.01);
  try {
    model_of(made, together);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_EQ(to_string(error.problems().at(0)),
              "covariance.csv:2: the 1001 factors of the underlying of U0.vol.1d are linearly "
              "dependent; [margin.dependence] takes such an underlying of up to 1000: leave out "
              "factors that follow from the others");
  }
}

// Normals and the mixing variable belong to the path, whatever L is.
TEST(BlockModel, SharesDrawsAndMixingVariable) {
  MemoryBook made = mixed_book();
  made.config.model.distribution = Distribution::student_t;
  made.config.model.degrees_of_freedom = 3;
  made.sort_positions();
  const auto traced = [&](const FactorModel& model) {
    return trace_paths(build_plan(made.config, made.inputs, model), 0, 64);
  };
  const PathTrace own = traced(model_of(made));
  for (const BetweenUnderlyings dependence : {together, uncorrelated}) {
    const PathTrace changed = traced(model_of(made, dependence));
    EXPECT_EQ(changed.normals, own.normals);
    EXPECT_EQ(changed.mixing, own.mixing);
    EXPECT_NE(changed.factors, own.factors);
  }
  EXPECT_NE(own.mixing[0], own.mixing[1]);
}

}  // namespace
}  // namespace shortfall
