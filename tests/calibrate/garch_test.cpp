// GARCH(1,1) and DCC(1,1): known parameters recovered, forecasts in closed form, published fits.
#include "host/calibrate/garch.hpp"

#include <gtest/gtest.h>

#include <Eigen/LU>

#include "host/calibrate/dcc.hpp"
#include "simulated.hpp"

namespace shortfall::calibration {
namespace {

/// A series from its equation; the first variance is the long-run one.
Vector simulate_garch(const GarchParameters& p, Eigen::Index count, Draws& draws) {
  Vector x(count);
  double variance = p.omega / (1 - p.alpha - p.beta);
  for (double& value : x) {
    value = std::sqrt(variance) * draws.normal();
    variance = p.omega + p.alpha * value * value + p.beta * variance;
  }
  return x;
}

/// The likelihood once more, written for the test.
double likelihood(const Vector& x, double omega, double alpha, double beta) {
  double variance = x.squaredNorm() / static_cast<double>(x.size()), sum = 0;
  for (const double value : x) {
    sum -= 0.5 * (std::log(2 * M_PI) + std::log(variance) + value * value / variance);
    variance = omega + alpha * value * value + beta * variance;
  }
  return sum;
}

/// Asymptotic standard errors from the observed information, by central differences in shares of
/// the parameters.
Vector standard_errors(const Vector& x, const GarchParameters& p) {
  const Eigen::Vector3d at(p.omega, p.alpha, p.beta);
  const auto moved = [&](int i, double a, int j, double b) {
    Eigen::Vector3d y = at;
    y[i] += a * 1e-3 * at[i];
    y[j] += b * 1e-3 * at[j];
    return likelihood(x, y[0], y[1], y[2]);
  };
  Eigen::Matrix3d information;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      information(i, j) =
          -(moved(i, 1, j, 1) - moved(i, 1, j, -1) - moved(i, -1, j, 1) + moved(i, -1, j, -1)) /
          (4e-6 * at[i] * at[j]);
  return information.inverse().diagonal().cwiseSqrt();
}

GarchFit fit(const Vector& x, const GarchParameters* start = nullptr) {
  return fit_garch({x, Vector::Ones(x.size())}, start, "history.csv", "A.spot");
}

TEST(Garch, RecoversTheParametersOfASimulation) {
  const GarchParameters truth{2e-5, 0.08, 0.90};
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    Draws draws(seed);
    const Vector x = simulate_garch(truth, 20'000, draws);
    const GarchFit found = fit(x);
    const Vector error = standard_errors(x, found.parameters);
    // Four standard errors: of nine estimates one in 1,700 runs would be further off.
    EXPECT_NEAR(found.parameters.omega, truth.omega, 4 * error[0]);
    EXPECT_NEAR(found.parameters.alpha, truth.alpha, 4 * error[1]);
    EXPECT_NEAR(found.parameters.beta, truth.beta, 4 * error[2]);
    EXPECT_LT(error[1], 0.01);
    EXPECT_FALSE(found.is_integrated || found.is_constant);
  }
}

TEST(Garch, StandsAtTheTopOfTheLikelihood) {
  Draws draws(4);
  const Vector x = simulate_garch({1e-4, 0.15, 0.75}, 2'000, draws);
  const GarchFit found = fit(x);
  const auto [omega, alpha, beta] = found.parameters;
  // Summed in another order.
  EXPECT_NEAR(found.log_likelihood, likelihood(x, omega, alpha, beta), 1e-8);
  for (const double up : {0.98, 1.02}) {
    EXPECT_LT(likelihood(x, omega * up, alpha, beta), found.log_likelihood);
    EXPECT_LT(likelihood(x, omega, alpha * up, beta), found.log_likelihood);
    EXPECT_LT(likelihood(x, omega, alpha, beta * up), found.log_likelihood);
  }
  const GarchFit warm = fit(x, &found.parameters);
  EXPECT_NEAR(warm.parameters.alpha, alpha, 1e-4);
  EXPECT_NEAR(warm.log_likelihood, found.log_likelihood, 1e-6);
}

TEST(Garch, FindsConstantVolatilityInIndependentNormals) {
  Draws draws(5);
  const GarchFit found = fit(draws.normals(5'000));
  EXPECT_NEAR(found.next_variance, 1, 0.1);
  EXPECT_LT(found.parameters.alpha, 0.05);
}

TEST(Garch, ForecastIsTheSumOfExpectedVariances) {
  GarchFit known;
  known.parameters = {2e-5, 0.1, 0.85};
  known.long_run_variance = 2e-5 / 0.05;
  known.next_variance = 9e-4;
  double variance = known.next_variance, sum = 0;
  for (int k = 1; k <= 10; ++k) {
    sum += variance;
    EXPECT_NEAR(garch_forecast(known, k), sum, 1e-15);
    variance = 2e-5 + 0.95 * variance;
  }
  EXPECT_NEAR(garch_forecast(known, 0.25), 0.25 * known.next_variance, 1e-18);
}

TEST(Garch, ExpectsWhatWasNotObserved) {
  const Vector x = (Vector(3) << 0.1, 0, 0.2).finished(), mask = (Vector(3) << 1, 0, 1).finished();
  const Vector variances = garch_variances({x, mask}, {0.001, 0.2, 0.7}, 0.02);
  const double second = 0.001 + 0.2 * 0.01 + 0.7 * 0.02, third = 0.001 + 0.9 * second;
  EXPECT_NEAR(variances[1], second, 1e-15);
  EXPECT_NEAR(variances[2], third, 1e-15);
  EXPECT_NEAR(variances[3], 0.001 + 0.2 * 0.04 + 0.7 * third, 1e-15);
}

const Matrix target = (Matrix(3, 3) << 1, 0.6, 0.3, 0.6, 1, 0.5, 0.3, 0.5, 1).finished();

Matrix simulate_dcc(DccParameters parameters, Eigen::Index row_count, Draws& draws) {
  DccFilter filter(target, parameters);
  Matrix rows(row_count, 3);
  const Vector all = Vector::Ones(3);
  for (Eigen::Index t = 0; t < row_count; ++t) {
    const Matrix factor = filter.correlations().llt().matrixL();
    const Vector z = factor * draws.normals(3);
    rows.row(t) = z.transpose();
    filter.add(z, all);
  }
  return rows;
}

TEST(Dcc, RecoversTheParametersOfSimulations) {
  const DccParameters truth{0.05, 0.92};
  constexpr int run_count = 8;
  Vector a(run_count), b(run_count);
  for (int run = 0; run < run_count; ++run) {
    Draws draws(static_cast<std::uint32_t>(100 + run));
    const Matrix rows = simulate_dcc(truth, 3'000, draws);
    const DccFit found = fit_dcc(rows, Matrix::Ones(3'000, 3), target, nullptr, "history.csv");
    a[run] = found.parameters.a;
    b[run] = found.parameters.b;
  }
  // Student's t with 7 degrees of freedom: beyond 5 once in 640. A bias of order 1/T is far below.
  const auto is_near = [&](const Vector& estimates, double value) {
    const double mean = estimates.mean();
    const double spread = std::sqrt((estimates.array() - mean).square().sum() / (run_count - 1));
    EXPECT_NEAR(mean, value, 5 * spread / std::sqrt(run_count));
    EXPECT_LT(spread, 0.3 * value);
  };
  is_near(a, truth.a);
  is_near(b, truth.b);
}

TEST(Dcc, WarmStartsEndWhereOthersDo) {
  Draws draws(7);
  const Matrix rows = simulate_dcc({0.05, 0.92}, 1'500, draws), all = Matrix::Ones(1'500, 3);
  const DccFit cold = fit_dcc(rows, all, target, nullptr, "history.csv");
  const DccFit warm = fit_dcc(rows, all, target, &cold.parameters, "history.csv");
  EXPECT_NEAR(warm.parameters.a, cold.parameters.a, 1e-5);
  EXPECT_NEAR(warm.composite_log_likelihood, cold.composite_log_likelihood, 1e-6);
}

TEST(Dcc, KeepsToTheTargetUntilAPairIsObserved) {
  DccFilter filter(target, {0.1, 0.8});
  for (int t = 0; t < 20; ++t)
    filter.add((Vector(3) << 1.5, -0.5, 0).finished(), (Vector(3) << 1, 1, 0).finished());
  EXPECT_LT(filter.correlations()(0, 1), 0.3);
  // The diagonal of the others has moved, their covariance with the unobserved has not.
  EXPECT_NEAR(filter.correlations()(2, 2), 1, 1e-15);
  DccFilter nothing(target, {0.1, 0.8});
  for (int t = 0; t < 20; ++t) nothing.add(Vector::Zero(3), Vector::Zero(3));
  EXPECT_LE((nothing.correlations() - target).cwiseAbs().maxCoeff(), 1e-14);
}

TEST(Dcc, ForecastIsTheMeanOverTheHorizon) {
  const Matrix next = 0.5 * target + 0.5 * Matrix::Identity(3, 3);
  Matrix mean = Matrix::Zero(3, 3);
  for (int k = 0; k < 4; ++k) mean += (target + std::pow(0.9, k) * (next - target)) / 4;
  EXPECT_LE((dcc_forecast(next, target, {0.1, 0.8}, 4) - mean).cwiseAbs().maxCoeff(), 1e-14);
  EXPECT_EQ(dcc_forecast(next, target, {0.1, 0.8}, 0.5), next);
}

}  // namespace
}  // namespace shortfall::calibration
