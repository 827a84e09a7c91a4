// The factor model: factorisations against Eigen, refusals, the exact product, the tail floor.
#include "shortfall/factor_model.hpp"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/quadrature/gauss_kronrod.hpp>
#include <cmath>
#include <numeric>
#include <random>

#include "host/model/symmetric_factor.hpp"
#include "shortfall/core/mixing.hpp"
#include "shortfall/core/normal.hpp"

namespace shortfall {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Covariance make_covariance(const Matrix& matrix) {
  Covariance covariance;
  covariance.file = "covariance.csv";
  for (Eigen::Index i = 0; i < matrix.rows(); ++i) {
    covariance.factors.push_back(
        {"C" + std::to_string(i) + ".spot", static_cast<std::uint32_t>(i), FactorKind::spot, 0});
    for (Eigen::Index j = 0; j < matrix.cols(); ++j) {
      covariance.matrix.push_back(matrix(std::max(i, j), std::min(i, j)));  // exactly symmetric
    }
  }
  return covariance;
}

/// Of n factors with daily deviations from 0.1 % to 10 % that `rank` normals drive.
Matrix random_covariance(Eigen::Index n, Eigen::Index rank, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> size(std::log(0.001), std::log(0.1));
  Matrix driver(n, rank);
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j < rank; ++j) driver(i, j) = normal(random);
    driver.row(i) *= std::exp(size(random)) / driver.row(i).norm();
  }
  return driver * driver.transpose();
}

std::vector<double> to_vector(const Matrix& matrix) {
  return {matrix.data(), matrix.data() + matrix.size()};
}

Matrix to_matrix(const std::vector<double>& values) {
  const auto n = static_cast<Eigen::Index>(std::sqrt(static_cast<double>(values.size())));
  return Eigen::Map<const Matrix>(values.data(), n, n);
}

RunConfig gaussian() {
  RunConfig config;
  config.file = "run.toml";
  return config;
}

RunConfig student_t(double degrees_of_freedom) {
  RunConfig config = gaussian();
  config.model.distribution = Distribution::student_t;
  config.model.degrees_of_freedom = degrees_of_freedom;
  return config;
}

FactorModel build(const Matrix& covariance, const RunConfig& config = gaussian()) {
  Problems problems;
  FactorModel model = build_factor_model(make_covariance(covariance), config, problems);
  EXPECT_TRUE(problems.empty());
  problems.throw_if_any();
  return model;
}

/// The only problem of a refused model.
Problem refusal(const Covariance& covariance, const RunConfig& config = gaussian()) {
  Problems problems;
  build_factor_model(covariance, config, problems);
  EXPECT_EQ(problems.count(), 1u);
  try {
    problems.throw_if_any();
  } catch (const InputError& error) {
    return error.problems().front();
  }
  return {};
}

/// Expects L L^T = covariance and rows of integer multiples of their unit. Rounding moves an entry
/// of row i by at most 2^-24 of a power of two that is at most twice the row's norm, the row by
/// sqrt(n) times as much: |L L^T - S|_ij <= 2^-23 sqrt(n) s_i s_j, to first order, with `tolerance`
/// on top.
void expect_factor_of(const Matrix& covariance, const FactorModel& model, double tolerance = 0.0) {
  const Eigen::Index n = covariance.rows();
  const Matrix loading = to_matrix(model.loading);
  const Matrix product = loading * loading.transpose();
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j < n; ++j) {
      const double scale = std::sqrt(covariance(i, i) * covariance(j, j));
      const double bound = 0x1p-23 * std::sqrt(static_cast<double>(n)) * scale * 1.001;
      ASSERT_NEAR(product(i, j), covariance(i, j), bound + tolerance) << i << ' ' << j;
      const double units = loading(i, j) / model.unit[i];
      ASSERT_EQ(units, std::nearbyint(units));
      ASSERT_LE(std::abs(units), 0x1p24);
      if (j >= model.column_count[i]) {
        ASSERT_EQ(loading(i, j), 0.0);
      }
    }
    int exponent = 0;
    ASSERT_EQ(std::frexp(model.unit[i], &exponent), 0.5);
    if (covariance(i, i) == 0.0) continue;
    const double norm = std::sqrt(covariance(i, i));  // the least power of two above it
    ASSERT_LT(norm * (1.0 - 1e-12) - std::sqrt(tolerance), model.unit[i] * 0x1p24);
    ASSERT_GT(norm * (1.0 + 1e-12) + std::sqrt(tolerance), model.unit[i] * 0x1p23);
  }
}

TEST(SymmetricFactor, CholeskyAgreesWithEigen) {
  for (const int n : {1, 2, 5, 64, 200}) {
    const Matrix a = random_covariance(n, n + 20, 1);
    const Matrix ours = to_matrix(*cholesky(to_vector(a), n, Pivoting::none));
    const Matrix eigens = a.llt().matrixL();
    // Backward error n 2^-53 |A| times the condition, some 1e3 after scaling by the diagonal.
    for (Eigen::Index i = 0; i < n; ++i) {
      const double scale = std::sqrt(a(i, i));
      ASSERT_LT((ours.row(i) - eigens.row(i)).cwiseAbs().maxCoeff(), 1e-11 * scale) << n;
    }
  }
}

TEST(SymmetricFactor, PivotedCholeskyFindsTheRank) {
  for (const int rank : {1, 3, 40, 64}) {
    const Matrix a = random_covariance(64, rank, 2);
    const auto natural = cholesky(to_vector(a), 64, Pivoting::none);
    EXPECT_EQ(natural.has_value(), rank == 64);
    const Matrix l = to_matrix(*cholesky(to_vector(a), 64, Pivoting::diagonal));
    EXPECT_EQ((l.colwise().norm().array() > 0.0).count(), rank);
    const Matrix error = l * l.transpose() - a;
    for (Eigen::Index i = 0; i < 64; ++i) {
      // What is left where elimination stops, 2^-38 of the diagonal.
      ASSERT_LT(std::abs(error(i, i)), 0x1p-38 * a(i, i)) << rank;
    }
  }
}

TEST(SymmetricFactor, JacobiAgreesWithEigen) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  for (const int n : {1, 2, 3, 10, 100}) {
    Matrix a(n, n);
    for (Eigen::Index i = 0; i < n; ++i) {
      for (Eigen::Index j = 0; j <= i; ++j) a(i, j) = a(j, i) = normal(random);  // indefinite
    }
    const EigenDecomposition ours = decompose(to_vector(a), n);
    const Eigen::SelfAdjointEigenSolver<Matrix> eigens(a);
    const double tolerance = 1e-14 * n * a.norm();  // both have errors of order n 2^-53 |A|
    for (int k = 0; k < n; ++k) {
      ASSERT_NEAR(ours.values[k], eigens.eigenvalues()[n - 1 - k], tolerance);
      const Eigen::Map<const Eigen::VectorXd> vector(&ours.vectors[k * n], n);
      ASSERT_LT((a * vector - ours.values[k] * vector).norm(), tolerance);
      ASSERT_NEAR(vector.norm(), 1.0, 1e-13 * n);
      ASSERT_EQ(vector.cwiseAbs().maxCoeff(), vector.maxCoeff());  // the sign rule
    }
  }
}

TEST(SymmetricFactor, JacobiWithstandsExtremeSizes) {
  for (const double size : {0.0, 1e-300, 1e300}) {
    const EigenDecomposition eigen = decompose({size, 2 * size, 2 * size, size}, 2);
    EXPECT_NEAR(eigen.values[0], 3 * size, 1e-15 * size);
    EXPECT_NEAR(eigen.values[1], -size, 1e-15 * size);
  }
}

TEST(FactorModel, FactorsPositiveDefinite) {
  for (const int n : {1, 7, 64, 150}) {
    const Matrix covariance = random_covariance(n, n + 20, 4);
    const FactorModel model = build(covariance);
    EXPECT_FALSE(model.is_singular);
    EXPECT_FALSE(model.is_repaired);
    EXPECT_FALSE(model.is_student_t);
    EXPECT_TRUE(model.warnings.empty());
    for (int i = 0; i < n; ++i) EXPECT_LE(model.column_count[i], static_cast<unsigned>(i + 1));
    expect_factor_of(covariance, model);
  }
}

TEST(FactorModel, ScalesToTheHorizon) {
  const Matrix covariance = random_covariance(5, 10, 5);
  RunConfig config = gaussian();
  config.risk.horizon_days = 5.0;
  config.model.covariance_horizon_days = 2.0;
  expect_factor_of(covariance * 2.5, build(covariance, config));
}

TEST(FactorModel, SingularIsLegal) {
  const Matrix base = random_covariance(3, 10, 6);
  Matrix duplicate(4, 4), correlated(2, 2), anticorrelated(2, 2);
  duplicate << base, base.col(1), base.row(1), base(1, 1);
  correlated << 4e-4, 6e-4, 6e-4, 9e-4;
  anticorrelated << 4e-4, -6e-4, -6e-4, 9e-4;
  for (const Matrix& covariance : {duplicate, correlated, anticorrelated,
                                   random_covariance(20, 1, 7), random_covariance(50, 13, 8)}) {
    const FactorModel model = build(covariance);
    EXPECT_TRUE(model.is_singular);
    EXPECT_FALSE(model.is_repaired);
    EXPECT_TRUE(model.warnings.empty());
    expect_factor_of(covariance, model);
  }
}

TEST(FactorModel, DuplicateFactorsMoveTogether) {
  Matrix covariance = random_covariance(3, 10, 6);
  covariance.row(2) = covariance.row(0).eval();
  covariance.col(2) = covariance.col(0).eval();
  const FactorModel model = build(covariance);
  for (int j = 0; j < 3; ++j) {
    // One of the two is what is left of the other after elimination: equal before rounding to
    // 1e-12.
    EXPECT_NEAR(model.loading[j], model.loading[6 + j], model.unit[0]);
  }
}

TEST(FactorModel, ZeroVarianceIsLegal) {
  Matrix covariance = random_covariance(4, 10, 9);
  covariance.row(1).setZero();
  covariance.col(1).setZero();
  const FactorModel model = build(covariance);
  EXPECT_FALSE(model.is_singular);
  EXPECT_EQ(model.column_count[1], 0u);
  expect_factor_of(covariance, model);
  expect_factor_of(Matrix::Zero(3, 3), build(Matrix::Zero(3, 3)));
}

TEST(FactorModel, RepairsASlightlyNegativeEigenvalue) {
  const Matrix orthogonal =
      Eigen::HouseholderQR<Matrix>(random_covariance(6, 6, 10)).householderQ();
  Eigen::VectorXd values(6);
  values << 1e-2, 5e-3, 1e-3, 2e-4, 1e-4, -0.9e-10;
  const Matrix covariance = orthogonal * values.asDiagonal() * orthogonal.transpose();
  const FactorModel model = build(covariance);
  EXPECT_TRUE(model.is_repaired);
  EXPECT_TRUE(model.is_singular);
  EXPECT_NEAR(model.smallest_eigenvalue, -0.9e-10, 1e-16);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_NE(model.warnings[0].find("smallest eigenvalue -9e-11, largest 0.01"), std::string::npos)
      << model.warnings[0];
  expect_factor_of(covariance, model, 1e-10);  // the clipped part
}

TEST(FactorModel, RefusesAnIndefiniteCovariance) {
  Matrix covariance = Matrix::Identity(4, 4) * 1e-3;
  covariance(1, 3) = covariance(3, 1) = 1.5e-3;  // correlation 1.5
  covariance(1, 1) *= 1.1;
  const Problem problem = refusal(make_covariance(covariance));
  EXPECT_EQ(problem.file, "covariance.csv");
  EXPECT_EQ(problem.line, 5u);  // C3, by a little the heavier
  EXPECT_NE(problem.message.find("eigenvalue -0.000450833 (largest 0.00255083)"), std::string::npos)
      << problem.message;
  EXPECT_NE(problem.message.find("C3.spot and C1.spot weigh most"), std::string::npos)
      << problem.message;

  EXPECT_EQ(refusal(make_covariance(Matrix::Constant(1, 1, -1e-3))).line, 2u);
  covariance = random_covariance(3, 5, 11);
  covariance(2, 2) = 0.0;  // with covariances
  EXPECT_EQ(refusal(make_covariance(covariance)).file, "covariance.csv");
}

TEST(FactorModel, RefusesWhatItCannotKeepExact) {
  Covariance covariance;
  covariance.file = "covariance.csv";
  covariance.factors.resize(6501);
  covariance.matrix.resize(covariance.factors.size() * covariance.factors.size());
  EXPECT_NE(refusal(covariance).message.find("6501 factors"), std::string::npos);
  const Problem problem = refusal(
      make_covariance(Matrix::Identity(2, 2).eval() * 1e7 -
                      Matrix::Identity(2, 2).eval() * Eigen::DiagonalMatrix<double, 2>(1e7, 0.0)));
  EXPECT_EQ(problem.line, 3u);
  EXPECT_NE(problem.message.find("the variance of C1.spot is 1e+07"), std::string::npos);
}

/// sum of loading_j z_j in the order given.
double sum_in(const std::vector<std::size_t>& order, const double* loading,
              const std::vector<double>& normals) {
  double sum = 0.0;
  for (const std::size_t j : order) sum += loading[j] * normals[j];
  return sum;
}

TEST(FactorModel, ProductIsExactInAnyOrder) {
  const std::size_t n = 700;
  const FactorModel model = build(random_covariance(n, 900, 12));
  const double largest_normal = std::floor(core::normal_max * 0x1p20) * 0x1p-20;
  std::mt19937 random(13);
  std::vector<std::size_t> forward(n), backward(n), shuffled(n);
  std::iota(forward.begin(), forward.end(), std::size_t{0});
  std::iota(backward.rbegin(), backward.rend(), std::size_t{0});
  shuffled = forward;
  for (int trial = 0; trial < 20; ++trial) {
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    // Half of the trials: the largest normals, all aligned with the last row, as large as sums get.
    std::vector<double> normals(n);
    for (std::size_t j = 0; j < n; ++j) {
      const double drawn = core::normal_from_word(static_cast<std::uint32_t>(random()));
      const double aligned = std::copysign(largest_normal, model.loading[(n - 1) * n + j]);
      normals[j] = trial % 2 ? aligned : drawn;
    }
    const Eigen::Map<const Eigen::VectorXd> z(normals.data(), n);
    const Eigen::VectorXd product = to_matrix(model.loading) * z;
    for (std::size_t i = 0; i < n; ++i) {
      const double* row = &model.loading[i * n];
      std::int64_t exact = 0;  // 700 products below 2^47
      for (std::size_t j = 0; j < n; ++j) {
        exact += static_cast<std::int64_t>(row[j] / model.unit[i]) *
                 static_cast<std::int64_t>(normals[j] * 0x1p20);
      }
      ASSERT_LT(exact < 0 ? -exact : exact, std::int64_t{1} << 53);
      const double expected = static_cast<double>(exact) * model.unit[i] * 0x1p-20;
      ASSERT_EQ(sum_in(forward, row, normals), expected);
      ASSERT_EQ(sum_in(backward, row, normals), expected);
      ASSERT_EQ(sum_in(shuffled, row, normals), expected);
      ASSERT_EQ(product[i], expected);
    }
  }
}

TEST(FactorModel, NoNormalExceedsTheProvenBound) {
  EXPECT_LT(std::abs(core::normal_from_word(0)), core::normal_max);
  EXPECT_LT(std::abs(core::normal_from_word(0xffffffffu)), core::normal_max);
}

/// E[1/max(W, w0)] by quadrature of Boost's density.
double inverse_moment(double nu, double floor_w) {
  const boost::math::chi_squared chi_square(nu);
  using Quadrature = boost::math::quadrature::gauss_kronrod<double, 61>;
  const auto integrand = [&](double y) { return boost::math::pdf(chi_square, std::exp(y)); };
  const double end = std::log(nu + 60.0 * std::sqrt(nu) + 100.0);
  return boost::math::cdf(chi_square, floor_w) / floor_w +
         Quadrature::integrate(integrand, std::log(floor_w), end, 12, 1e-13);
}

TEST(TailFloor, KappaIsTheInverseMoment) {
  for (const double nu : {2.0001, 2.5, 3.0, 5.0, 30.0, 1e4}) {
    const FactorModel model = build(Matrix::Constant(1, 1, 0.05 * 0.05), student_t(nu));
    ASSERT_TRUE(model.is_student_t);
    EXPECT_NEAR(inverse_moment(nu, model.floor_w) / model.kappa, 1.0, 1e-10) << nu;
    const boost::math::chi_squared chi_square(nu);
    EXPECT_NEAR(boost::math::cdf(chi_square, model.floor_w) / model.tail_floor, 1.0, 1e-11) << nu;
  }
}

TEST(TailFloor, MixedMovesKeepTheCovariance) {
  // E[1/(kappa W~)] over every 2^-16 of the words, by the midpoint rule: within its error, which
  // the cells that hold the tails below 2^-17 dominate.
  const FactorModel model = build(Matrix::Constant(1, 1, 0.05 * 0.05), student_t(5.0));
  double sum = 0.0;
  for (std::uint32_t i = 0; i < 65'536; ++i) {
    const double factor = core::mixing_factor(model.mixing_table.data(), model.floor_w, model.kappa,
                                              (i << 16) + 32'768);
    sum += factor * factor;
  }
  EXPECT_NEAR(sum / 65'536, 1.0, 1e-4);
}

TEST(TailFloor, AutomaticIsTheSmallestThatKeepsTheBound) {
  const auto bound = [](const FactorModel& model) { return model.kappa * model.floor_w; };
  // Calm: the least value.
  EXPECT_EQ(build(Matrix::Constant(1, 1, 1e-6), student_t(3.0)).tail_floor, 1e-5);
  // Nu 3 and a deviation of 6 %: the bound decides, and holds with equality.
  RunConfig config = student_t(3.0);
  const FactorModel model = build(Matrix::Constant(1, 1, 0.06 * 0.06), config);
  EXPECT_GT(model.tail_floor, 1e-5);
  EXPECT_GE(bound(model), 0.06 * 0.06);
  EXPECT_NEAR(bound(model) / (0.06 * 0.06), 1.0, 1e-12);
  EXPECT_TRUE(model.warnings.empty());
  // Only spot factors count, the largest of them, over the horizon.
  Covariance covariance = make_covariance(Eigen::Vector3d(1e-4, 9e-4, 1e-1).asDiagonal());
  covariance.factors[2].kind = FactorKind::vol;
  config.risk.horizon_days = 4.0;
  Problems problems;
  EXPECT_NEAR(build_factor_model(covariance, config, problems).tail_floor / model.tail_floor, 1.0,
              1e-9);
  EXPECT_TRUE(problems.empty());
}

TEST(TailFloor, WarnsWhenAutomaticReachesTheReportedTail) {
  const FactorModel model = build(Matrix::Constant(1, 1, 0.15 * 0.15), student_t(3.0));
  EXPECT_GT(model.tail_floor, 5e-4);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_NE(model.warnings[0].find("exceeds (1 - confidence)/20 = 0.0005"), std::string::npos)
      << model.warnings[0];
}

struct TailFloorRefusal {
  double degrees_of_freedom, deviation;
  std::optional<double> tail_floor;
  const char* message;
};

TEST(TailFloor, Refusals) {
  const TailFloorRefusal refusals[] = {
      {3.0, 0.06, 1e-6, "tail_floor 1e-06 is too low"},
      {3.0, 0.06, 1e-6, "use \"auto\" or a value from 6.032e-05 to 0.0005"},
      {1e6, 0.06, 1e-300, "tail_floor 1e-300 is below the resolution of the draws, 2^-33; use"},
      {3.0, 0.06, 6e-4, "tail_floor 0.0006 reaches into the reported tail"},
      {3.0, 0.06, 6e-4, "(1 - confidence)/20 = 0.0005"},
      {3.0, 0.15, 6e-4, "; use \"auto\""},
      {5.0, 0.95, std::nullopt, "no tail_floor up to 0.5 bounds a spot"},
      {2.0, 0.05, std::nullopt, "degrees_of_freedom 2 is outside (2, 1000000]"},
      {2e6, 0.05, std::nullopt, "use distribution = \"gaussian\""},
  };
  for (const TailFloorRefusal& row : refusals) {
    RunConfig config = student_t(row.degrees_of_freedom);
    config.model.tail_floor = row.tail_floor;
    const double variance = row.deviation * row.deviation;
    const Problem problem = refusal(make_covariance(Matrix::Constant(1, 1, variance)), config);
    EXPECT_EQ(problem.file, "run.toml");
    EXPECT_NE(problem.message.find(row.message), std::string::npos) << problem.message;
  }
}

TEST(TailFloor, AcceptsTheValueThatARefusalNames) {
  RunConfig config = student_t(3.0);
  const Matrix covariance = Matrix::Constant(1, 1, 0.06 * 0.06);
  config.model.tail_floor = 1e-6;
  const std::string message = refusal(make_covariance(covariance), config).message;
  config.model.tail_floor = std::stod(message.substr(message.find("from ") + 5));
  EXPECT_EQ(build(covariance, config).tail_floor, *config.model.tail_floor);
  config.model.tail_floor = std::stod(message.substr(message.find(" to ") + 4));
  EXPECT_EQ(build(covariance, config).tail_floor, *config.model.tail_floor);
}

// As CanonicalMath.FrozenBits: definite, singular and repaired.
TEST(FactorModel, FrozenBits) {
  const int n = 24;
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (const int rank : {40, 7, 0}) {
    // Integers, so that the input has the same bits everywhere.
    Matrix driver(n, std::max(rank, n));
    std::uint32_t state = 1;
    for (double& entry : driver.reshaped()) {
      state = state * 1664525u + 1013904223u;
      entry = static_cast<double>(state >> 24) - 127.0;
    }
    driver.rightCols(driver.cols() - (rank ? rank : n - 1)).setZero();
    Matrix covariance = driver.lazyProduct(driver.transpose()) * 0x1p-30;
    if (rank == 0) covariance.diagonal().array() -= 0x1p-40;
    const FactorModel model = build(covariance);
    EXPECT_EQ(model.is_repaired, rank == 0);
    EXPECT_EQ(model.is_singular, rank != 40);
    for (const double entry : model.loading) {
      hash = (hash ^ core::bit_cast<std::uint64_t>(entry)) * 0x100000001b3ull;
    }
  }
  EXPECT_EQ(hash, 10696671166702242341ull);
}

}  // namespace
}  // namespace shortfall
