// Covariances of changes, some of which were not observed: hand numbers and published ones.
#include "host/calibrate/moments.hpp"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <limits>

#include "simulated.hpp"

namespace shortfall::calibration {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();
// Sums of tens of numbers of order one: a few hundred roundings.
constexpr double rounding = 1e-13;

ObservedChanges observed(const Matrix& rows) {
  const FactorChanges changes = changes_of(rows);
  return observed_changes(changes, all_rows(changes));
}

const Matrix ten_rows = (Matrix(10, 3) << 0.01, 0.03, 0.0, -0.02, -0.03, 0.01, 0.03, 0.05, 0.01,
                         0.0, -0.01, -0.01, -0.05, -0.08, -0.03, 0.02, 0.03, 0.02, 0.01, 0.02,
                         -0.01, -0.03, -0.06, -0.01, 0.04, 0.05, 0.02, -0.02, -0.02, 0.0)
                            .finished();

TEST(Moments, SampleHasTheTextbookDivisorAndMean) {
  const Matrix rows = (Matrix(4, 2) << 1, 2, 3, 2, 5, 8, 7, 4).finished();
  // About the means 4 and 4: sums of squares 20 and 24, of products 12; divisor 3.
  const Matrix covariance = sample_moments(observed(rows)).covariance();
  EXPECT_NEAR(covariance(0, 0), 20.0 / 3, rounding);
  EXPECT_NEAR(covariance(1, 1), 24.0 / 3, rounding);
  EXPECT_NEAR(covariance(0, 1), 12.0 / 3, rounding);
  EXPECT_EQ(covariance(0, 1), covariance(1, 0));
}

TEST(Moments, LateListingsHaveTheirOwnVarianceAndThePairsCorrelation) {
  const Matrix rows = (Matrix(5, 2) << 9, none, 1, 2, 3, 2, 5, 8, 7, 4).finished();
  const Moments moments = sample_moments(observed(rows));
  EXPECT_NEAR(moments.correlations(0, 1), 12 / std::sqrt(20.0 * 24), rounding);
  EXPECT_NEAR(moments.variances[0], 40.0 / 4, rounding);  // 9, 1, 3, 5, 7 about 5
  EXPECT_NEAR(moments.variances[1], 24.0 / 3, rounding);
}

TEST(Moments, EwmaHalvesTheWeightOverAHalfLife) {
  const Matrix rows = (Matrix(3, 2) << 4, 1, 2, none, 1, 3).finished();
  const Moments moments = ewma_moments(observed(rows), 0.5);
  EXPECT_NEAR(moments.variances[0], (16 / 4.0 + 4 / 2.0 + 1) / 1.75, rounding);
  EXPECT_NEAR(moments.variances[1], (1 / 4.0 + 9) / 1.25, rounding);
  EXPECT_NEAR(moments.correlations(0, 1), (4 / 4.0 + 3) / std::sqrt((16 / 4.0 + 1) * (1 / 4.0 + 9)),
              rounding);
}

TEST(Moments, EwmaOfOneImpulseDecaysInClosedForm) {
  // r at age k and zeros after it: decay^k r^2 (1 - decay) / (1 - decay^T).
  constexpr int row_count = 50, age = 20;
  constexpr double decay = 0.94;
  Matrix rows = Matrix::Zero(row_count, 1);
  rows(row_count - 1 - age, 0) = 0.3;
  EXPECT_NEAR(ewma_moments(observed(rows), decay).variances[0],
              std::pow(decay, age) * 0.09 * (1 - decay) / (1 - std::pow(decay, row_count)), 1e-15);
}

TEST(Moments, RunningEwmaEndsWhereTheWholeOneDoes) {
  Draws draws(1);
  Matrix rows = normal_rows(Matrix::Identity(4, 4) + Matrix::Ones(4, 4), 200, draws);
  rows.col(2).head(60).setConstant(none);
  rows(120, 0) = none;
  const ObservedChanges changes = observed(rows);
  RunningEwma running(4, 0.97);
  for (Eigen::Index t = 0; t < 200; ++t)
    running.add(changes.values.row(t).transpose(), changes.mask.row(t).transpose());
  const Matrix whole = ewma_moments(changes, 0.97).covariance();
  EXPECT_LE((running.moments().covariance() - whole).cwiseAbs().maxCoeff(), rounding);
}

TEST(Moments, LedoitWolfEqualsScikitLearn) {
  // sklearn.covariance.ledoit_wolf (1.9.1) of the same rows.
  double shrinkage = 0;
  const Matrix covariance = ledoit_wolf_moments(observed(ten_rows), false, shrinkage).covariance();
  EXPECT_NEAR(shrinkage, 0.17046896369362288, rounding);
  const Matrix expected =
      (Matrix(3, 3) << 0.0007641166065208865, 0.0009440063193166572, 0.00024885931089191316,
       0.0009440063193166572, 0.0016989980844381734, 0.0003898795870639972, 0.00024885931089191316,
       0.0003898795870639972, 0.0003418853090409404)
          .finished();
  EXPECT_LE((covariance - expected).cwiseAbs().maxCoeff(), rounding);
}

TEST(Moments, StandardisedLedoitWolfEqualsScikitLearnOnStandardisedRows) {
  double shrinkage = 0;
  const Moments moments = ledoit_wolf_moments(observed(ten_rows), true, shrinkage);
  EXPECT_NEAR(shrinkage, 0.26342492054720845, rounding);
  const Matrix expected =
      (Matrix(3, 3) << 0.9999999999999998, 0.7206203682448145, 0.5517764636232485,
       0.7206203682448145, 1.0, 0.5417695011938484, 0.5517764636232485, 0.5417695011938484, 1.0)
          .finished();
  EXPECT_LE((moments.correlations - expected).cwiseAbs().maxCoeff(), rounding);
  const Matrix centred = ten_rows.rowwise() - ten_rows.colwise().mean();
  EXPECT_LE((moments.variances - centred.cwiseAbs2().colwise().mean().transpose()).norm(),
            rounding);
}

TEST(Moments, LedoitWolfGoesOnWithFewerRowsThanFactors) {
  Draws draws(2);
  double shrinkage = 0;
  const Matrix covariance =
      ledoit_wolf_moments(observed(normal_rows(Matrix::Identity(20, 20), 10, draws)), false,
                          shrinkage)
          .covariance();
  EXPECT_GT(shrinkage, 0.1);
  EXPECT_GT(Eigen::SelfAdjointEigenSolver<Matrix>(covariance).eigenvalues()[0], 0.01);
}

TEST(CorrelationRepair, FindsHighamsNearestMatrix) {
  // Higham's (2002) example: this tridiagonal matrix, its nearest one and their distance.
  Matrix r = (Matrix(3, 3) << 1, 1, 0, 1, 1, 1, 0, 1, 1).finished();
  const auto repair = repair_correlations(r);
  ASSERT_TRUE(repair);
  EXPECT_NEAR(repair->smallest_eigenvalue, 1 - std::sqrt(2.0), rounding);
  // Printed with four digits.
  EXPECT_NEAR(r(0, 1), 0.7607, 5e-5);
  EXPECT_NEAR(r(0, 2), 0.1573, 5e-5);
  EXPECT_NEAR(repair->frobenius_distance, 0.5278, 5e-5);
  EXPECT_NEAR(repair->largest_change, 1 - r(0, 1), rounding);
  EXPECT_EQ(r.diagonal(), Vector::Ones(3));
  EXPECT_GT(Eigen::SelfAdjointEigenSolver<Matrix>(r).eigenvalues()[0], 1e-9);
}

TEST(CorrelationRepair, LeavesSingularMatricesAlone) {
  Matrix r = Matrix::Ones(5, 5);
  EXPECT_FALSE(repair_correlations(r));
  EXPECT_EQ(r, Matrix::Ones(5, 5));
}

}  // namespace
}  // namespace shortfall::calibration
