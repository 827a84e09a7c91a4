// calibrate(): degrees of freedom, horizons, mixtures, and what it refuses.
#include "shortfall/calibrate.hpp"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <limits>

#include "host/calibrate/tail_fit.hpp"
#include "shortfall/error.hpp"
#include "simulated.hpp"

namespace shortfall {
namespace {

using calibration::Matrix;
using calibration::Vector;

constexpr double none = std::numeric_limits<double>::quiet_NaN();

const Matrix truth =
    (Matrix(3, 3) << 4e-4, 3e-4, 2e-4, 3e-4, 9e-4, 1e-4, 2e-4, 1e-4, 16e-4).finished();

FactorChanges t_changes(double degrees_of_freedom, Eigen::Index row_count, std::uint32_t seed) {
  Draws draws(seed);
  Matrix rows = normal_rows(truth, row_count, draws);
  for (Eigen::Index t = 0; t < row_count; ++t) rows.row(t) *= draws.mixing(degrees_of_freedom);
  return changes_of(rows);
}

CalibrationSettings settings_of(CalibrationMethod method) {
  CalibrationSettings settings;
  settings.method = method;
  return settings;
}

std::string problems_of(const FactorChanges& changes, const CalibrationSettings& settings) {
  try {
    calibrate(changes, all_rows(changes), settings);
    return {};
  } catch (const InputError& error) {
    return error.what();
  }
}

constexpr CalibrationMethod methods[] = {CalibrationMethod::sample, CalibrationMethod::ewma,
                                         CalibrationMethod::ledoit_wolf, CalibrationMethod::garch};

TEST(TailFit, RecoversDegreesOfFreedom) {
  for (const double nu : {3.0, 4.0, 8.0}) {
    const FactorChanges changes = t_changes(nu, 20'000, 11);
    const calibration::ObservedChanges observed =
        calibration::observed_changes(changes, all_rows(changes));
    const TailFit fit = calibration::fit_tail(calibration::whiten_all(observed, truth));
    // With the true covariance the estimate is asymptotically normal: four standard errors.
    EXPECT_NEAR(fit.degrees_of_freedom, nu, 4 * fit.standard_error);
    EXPECT_LT(fit.standard_error, 0.05 * nu);
    EXPECT_GT(fit.standard_error, 0);
    EXPECT_EQ(fit.observations, 20'000u);
    EXPECT_GT(fit.log_likelihood_gain, 0);
  }
}

TEST(TailFit, StandardErrorIsTheCurvature) {
  Draws draws(12);
  std::vector<calibration::WhitenedRow> rows;
  for (std::uint32_t t = 0; t < 3'000; ++t) {
    const std::uint32_t dimension = 1 + t % 3;
    const double mixing = draws.mixing(5);
    rows.push_back({draws.normals(dimension).squaredNorm() * mixing * mixing, dimension});
  }
  const TailFit fit = calibration::fit_tail(rows);
  const double nu = fit.degrees_of_freedom, step = 1e-2;
  const auto gain = [&](double at) { return calibration::t_log_likelihood_gain(rows, at); };
  const double second = (gain(nu + step) - 2 * gain(nu) + gain(nu - step)) / (step * step);
  // Central differences: an error of about step^2 / nu^2.
  EXPECT_NEAR(fit.standard_error, 1 / std::sqrt(-second), 1e-3 * fit.standard_error);
}

TEST(TailFit, SaysThatNormalsAreGaussian) {
  Draws draws(13);
  const FactorChanges changes = changes_of(normal_rows(truth, 5'000, draws));
  const Calibration found =
      calibrate(changes, all_rows(changes), settings_of(CalibrationMethod::sample));
  ASSERT_TRUE(found.tail);
  EXPECT_GT(found.tail->degrees_of_freedom, 60);
}

TEST(TailFit, WhitensWhatWasObserved) {
  const Vector x = (Vector(3) << 0.02, 0, 0.04).finished();
  const Vector mask = (Vector(3) << 1, 0, 1).finished();
  const calibration::WhitenedRow row = calibration::whiten(x, mask, truth);
  EXPECT_EQ(row.dimension, 2u);
  // x' S^-1 x of the block 4e-4, 2e-4; 2e-4, 16e-4, whose determinant is 6e-7.
  EXPECT_NEAR(row.square, (16e-4 * 4e-4 - 2 * 2e-4 * 8e-4 + 4e-4 * 16e-4) / 6e-7, 1e-12);
}

TEST(Calibrate, EveryMethodRecoversAConstantCovariance) {
  const FactorChanges changes = t_changes(6, 4'000, 14);
  for (const CalibrationMethod method : methods) {
    CalibrationSettings settings = settings_of(method);
    settings.half_life_days = 400;
    settings.fits_degrees_of_freedom = false;
    const Calibration found = calibrate(changes, all_rows(changes), settings);
    const Matrix covariance = square_of(found.covariance);
    // A variance of a t of 6 degrees of freedom has a relative standard error of sqrt(5 / n), n the
    // rows that count: about 1,150 for this half-life, 0.066.
    for (Eigen::Index i = 0; i < 3; ++i)
      EXPECT_NEAR(covariance(i, i) / truth(i, i), 1, 4 * 0.066) << to_string(method);
    EXPECT_EQ(covariance, covariance.transpose());
    EXPECT_GT(Eigen::SelfAdjointEigenSolver<Matrix>(covariance).eigenvalues()[0], 0);
    EXPECT_NEAR(found.volatilities[0], std::sqrt(365 * covariance(0, 0)), 1e-12);
    EXPECT_FALSE(found.repair);
  }
}

TEST(Calibrate, HorizonsScaleVariance) {
  const FactorChanges changes = t_changes(6, 600, 15);
  for (const CalibrationMethod method :
       {CalibrationMethod::sample, CalibrationMethod::ewma, CalibrationMethod::ledoit_wolf}) {
    CalibrationSettings settings = settings_of(method);
    const Calibration day = calibrate(changes, all_rows(changes), settings);
    settings.horizon_days = 2.5;
    const Calibration longer = calibrate(changes, all_rows(changes), settings);
    for (std::size_t k = 0; k < day.covariance.size(); ++k)
      EXPECT_NEAR(longer.covariance[k], 2.5 * day.covariance[k], 1e-15);
    EXPECT_NEAR(longer.volatilities[0], day.volatilities[0], 1e-12);
    EXPECT_NEAR(longer.tail->degrees_of_freedom, day.tail->degrees_of_freedom, 1e-6);
  }
}

TEST(Calibrate, MixesWithTheWholeHistory) {
  const FactorChanges changes = t_changes(6, 600, 16);
  const RowRange window{300, 500};
  CalibrationSettings settings = settings_of(CalibrationMethod::ewma);
  settings.fits_degrees_of_freedom = false;
  const Calibration method = calibrate(changes, window, settings);
  settings.method_weight = 0.7;
  const Calibration mixed = calibrate(changes, window, settings);
  const Calibration all = calibrate(changes, {0, 500}, settings_of(CalibrationMethod::sample));
  for (std::size_t k = 0; k < mixed.covariance.size(); ++k)
    EXPECT_NEAR(mixed.covariance[k], 0.7 * method.covariance[k] + 0.3 * all.covariance[k], 1e-18);
}

TEST(Calibrate, RepairsPairwiseCorrelationsAndSaysSo) {
  // Three series that were observed in pairs only: together, against, and a third with both.
  Draws draws(17);
  Matrix rows(900, 3);
  for (Eigen::Index t = 0; t < 900; ++t) {
    const double common = draws.normal();
    const Vector noise = 0.2 * draws.normals(3);
    if (t < 300)
      rows.row(t) << common + noise[0], common + noise[1], none;
    else if (t < 600)
      rows.row(t) << common + noise[0], none, common + noise[2];
    else
      rows.row(t) << none, common + noise[1], -common + noise[2];
  }
  const FactorChanges changes = changes_of(rows);
  CalibrationSettings settings;
  settings.fits_degrees_of_freedom = false;
  const Calibration found = calibrate(changes, all_rows(changes), settings);
  ASSERT_TRUE(found.repair);
  EXPECT_LT(found.repair->smallest_eigenvalue, -0.5);
  EXPECT_GT(found.repair->largest_change, 0.1);
  EXPECT_GE(found.eigenvalues.back(), 1e-9);
  EXPECT_EQ(found.observations[1], 300u);
}

TEST(Calibrate, CountsObservationsOfSeriesAndPairs) {
  FactorChanges changes = t_changes(6, 400, 18);
  for (std::size_t t = 0; t < 150; ++t) changes.values[3 * t + 2] = none;
  for (const CalibrationMethod method : methods) {
    CalibrationSettings settings = settings_of(method);
    settings.observations_min = 100;
    const Calibration found = calibrate(changes, all_rows(changes), settings);
    EXPECT_EQ(found.observations[0], 400u);
    EXPECT_EQ(found.observations[8], 250u);
    EXPECT_EQ(found.observations[2], 250u);
  }
}

TEST(Calibrate, TakesASingleFactor) {
  Draws draws(22);
  const FactorChanges changes = changes_of(0.02 * draws.normals(400));
  for (const CalibrationMethod method : methods) {
    const Calibration found = calibrate(changes, all_rows(changes), settings_of(method));
    EXPECT_EQ(found.correlations, std::vector<double>{1});
    EXPECT_FALSE(found.dcc);
    // Of a half-life of 30 days: 86 rows that count, a relative error of 0.15.
    EXPECT_NEAR(found.covariance[0] / 4e-4, 1, 0.6);
  }
}

TEST(Calibrate, StandardisesWhereFactorsAreOfSeveralKinds) {
  FactorChanges changes = t_changes(6, 400, 19);
  const Calibration one =
      calibrate(changes, all_rows(changes), settings_of(CalibrationMethod::ledoit_wolf));
  EXPECT_FALSE(one.is_standardised);
  changes.factors[1] = "A.perp";
  const Calibration several =
      calibrate(changes, all_rows(changes), settings_of(CalibrationMethod::ledoit_wolf));
  EXPECT_TRUE(several.is_standardised);
}

struct Refusal {
  const char* name;
  void (*spoil)(FactorChanges&, CalibrationSettings&);
  const char* message;
};

class CalibrateRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(CalibrateRefuses, WithTheReason) {
  FactorChanges changes = t_changes(6, 400, 20);
  CalibrationSettings settings;
  GetParam().spoil(changes, settings);
  const std::string problems = problems_of(changes, settings);
  EXPECT_TRUE(problems.starts_with("history.csv: ")) << problems;
  EXPECT_NE(problems.find(GetParam().message), std::string::npos) << problems;
}

void set_column(FactorChanges& changes, std::size_t factor, RowRange rows, double value) {
  for (std::size_t row = rows.begin; row < rows.end; ++row)
    changes.values[3 * row + factor] = value;
}

void fatten_tails(FactorChanges& changes) {
  Draws draws(21);
  for (std::size_t row = 0; row < changes.times.size(); ++row) {
    const double mixing = draws.mixing(2.02) * 10;
    for (std::size_t i = 0; i < 3; ++i) changes.values[3 * row + i] *= mixing;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Reasons, CalibrateRefuses,
    testing::Values(
        Refusal{"constant",
                [](auto& c, auto&) {
                  set_column(c, 1, {0, 400}, 0.001);
                },
                "factor B.spot is constant in the window (every change is 0.001)"},
        Refusal{"short",
                [](auto& c, auto&) {
                  set_column(c, 1, {99, 400}, none);
                },
                "factor B.spot has 99 changes in the window, and at least 100 are needed"},
        Refusal{"garch_needs_more",
                [](auto& c, auto& s) {
                  set_column(c, 1, {249, 400}, none);
                  s.method = CalibrationMethod::garch;
                },
                "factor B.spot has 249 changes in the window, and at least 250 are needed"},
        Refusal{"never_together",
                [](auto& c, auto&) {
                  set_column(c, 0, {200, 400}, none);
                  set_column(c, 1, {0, 180}, none);
                },
                "factors A.spot and B.spot have 20 changes in common"},
        Refusal{"constant_together",
                [](auto& c, auto&) {
                  set_column(c, 1, {0, 200}, none);
                  set_column(c, 0, {200, 400}, 0);
                },
                "does not move where another was observed"},
        Refusal{"no_more_rows_than_factors",
                [](auto& c, auto& s) {
                  c.times.resize(3);
                  c.values.resize(9);
                  s.observations_min = 2;
                },
                "has 3 changes for 3 factors"},
        Refusal{"short_half_life",
                [](auto&, auto& s) {
                  s.method = CalibrationMethod::ewma;
                  s.half_life_days = 0.9;
                },
                "a half-life of 0.9 days has the weight of 2.7 changes for 3 factors"},
        Refusal{"heavy_tails", [](auto& c, auto&) { fatten_tails(c); },
                "below 2.5: the covariance hardly exists"},
        Refusal{"few_rows_to_standardise",
                [](auto&, auto& s) {
                  s.method = CalibrationMethod::ewma;
                  s.half_life_days = 190;
                },
                "rows can be standardised to estimate the degrees of freedom"}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace shortfall
