#include "moments.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

namespace shortfall::calibration {
namespace {

/// cross / sqrt(own own') where each pair has its own variances; 1 on the diagonal.
Matrix correlations_of(const Matrix& cross, const Matrix& own) {
  Matrix r = cross.array() / (own.array() * own.transpose().array()).sqrt();
  r = (0.5 * (r + r.transpose())).eval();
  // Comparisons keep a NaN (a series that is constant where the other was observed) for the caller.
  r = (r.array() > 1).select(1.0, r).eval();
  r = (r.array() < -1).select(-1.0, r).eval();
  r.diagonal().setOnes();
  return r;
}

Matrix with_unit_diagonal(const Matrix& a) {
  const Vector scale = a.diagonal().cwiseSqrt().cwiseInverse();
  Matrix r = scale.asDiagonal() * a * scale.asDiagonal();
  r = (0.5 * (r + r.transpose())).eval();
  r.diagonal().setOnes();
  return r;
}

Matrix with_eigenvalues_from(const Matrix& a, double floor) {
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(a);
  const Matrix& v = eigen.eigenvectors();
  return v * eigen.eigenvalues().cwiseMax(floor).asDiagonal() * v.transpose();
}

}  // namespace

ObservedChanges observed_changes(const FactorChanges& changes, RowRange rows) {
  const auto factor_count = static_cast<Eigen::Index>(changes.factors.size());
  const auto row_count = static_cast<Eigen::Index>(rows.end - rows.begin);
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const RowMajor> values(
      changes.values.data() + rows.begin * changes.factors.size(), row_count, factor_count);
  ObservedChanges observed;
  observed.mask = values.array().isNaN().select(Matrix::Zero(row_count, factor_count), 1.0);
  observed.values = values.array().isNaN().select(0.0, values);
  return observed;
}

ObservedChanges without_means(ObservedChanges observed, Vector& means) {
  means =
      (observed.values.colwise().sum().array() / observed.mask.colwise().sum().array()).matrix();
  observed.values -= (observed.mask.array().rowwise() * means.transpose().array()).matrix();
  return observed;
}

Matrix Moments::covariance() const {
  const Vector deviations = variances.cwiseSqrt();
  Matrix c = deviations.asDiagonal() * correlations * deviations.asDiagonal();
  c = (0.5 * (c + c.transpose())).eval();
  c.diagonal() = variances;
  return c;
}

Moments sample_moments(const ObservedChanges& observed) {
  const Matrix &x = observed.values, &m = observed.mask;
  const Matrix counts = m.transpose() * m;
  const Matrix sums = x.transpose() * m;  // of i over the rows common with j
  const Matrix own = x.cwiseAbs2().transpose() * m - sums.cwiseAbs2().cwiseQuotient(counts);
  const Matrix cross =
      x.transpose() * x - sums.cwiseProduct(sums.transpose()).cwiseQuotient(counts);
  return {correlations_of(cross, own),
          (own.diagonal().array() / (counts.diagonal().array() - 1)).matrix()};
}

Moments ewma_moments(const ObservedChanges& observed, double decay) {
  const Eigen::Index row_count = observed.values.rows();
  Vector weights(row_count);
  double weight = 1;
  for (Eigen::Index t = row_count; t-- > 0; weight *= decay) weights[t] = weight;
  const Matrix &x = observed.values, &m = observed.mask;
  const Matrix weighted = weights.asDiagonal() * x;
  const Matrix own = (weights.asDiagonal() * x.cwiseAbs2()).transpose() * m;
  const Vector total = m.transpose() * weights;
  return {correlations_of(weighted.transpose() * x, own), own.diagonal().cwiseQuotient(total)};
}

Moments ledoit_wolf_moments(const ObservedChanges& observed, bool is_standardised,
                            double& shrinkage) {
  Vector means;
  const ObservedChanges centred = without_means(observed, means);
  Matrix x = centred.values;
  const Matrix counts = centred.mask.transpose() * centred.mask;
  const Vector variances =
      x.cwiseAbs2().colwise().sum().transpose().cwiseQuotient(counts.diagonal());
  Moments moments{correlations_of(x.transpose() * x, x.cwiseAbs2().transpose() * centred.mask),
                  is_standardised ? Vector::Ones(x.cols()) : variances};
  if (is_standardised) x = (x * variances.cwiseSqrt().cwiseInverse().asDiagonal()).eval();

  Matrix sample = moments.covariance();
  // beta^2 of the paper, element by element: the sampling variance of s_ij is var(x_i x_j) / n_ij.
  const Matrix second = (x.transpose() * x).cwiseQuotient(counts);
  const Matrix fourth = (x.cwiseAbs2().transpose() * x.cwiseAbs2()).cwiseQuotient(counts);
  const double noise = (fourth - second.cwiseAbs2()).cwiseQuotient(counts).sum();
  const double mean_variance = sample.diagonal().mean();
  Matrix target = Matrix::Identity(x.cols(), x.cols()) * mean_variance;
  const double distance = (sample - target).squaredNorm();
  shrinkage = distance > 0 ? std::clamp(noise / distance, 0.0, 1.0) : 0;

  const Matrix shrunk = (1 - shrinkage) * sample + shrinkage * target;
  return {with_unit_diagonal(shrunk), is_standardised ? variances : Vector(shrunk.diagonal())};
}

RunningEwma::RunningEwma(Eigen::Index factor_count, double decay)
    : decay_(decay),
      products_(Matrix::Zero(factor_count, factor_count)),
      squares_(products_),
      weights_(products_) {}

void RunningEwma::add(const Eigen::Ref<const Vector>& values,
                      const Eigen::Ref<const Vector>& mask) {
  products_ = decay_ * products_ + values * values.transpose();
  squares_ = decay_ * squares_ + values.cwiseAbs2() * mask.transpose();
  weights_ = decay_ * weights_ + mask * mask.transpose();
}

Moments RunningEwma::moments() const {
  return {correlations_of(products_, squares_),
          squares_.diagonal().cwiseQuotient(weights_.diagonal())};
}

Eigen::Matrix<std::size_t, Eigen::Dynamic, Eigen::Dynamic> common_rows(const Matrix& mask) {
  return (mask.transpose() * mask).cast<std::size_t>();
}

std::optional<CorrelationRepair> repair_correlations(Matrix& correlations) {
  constexpr double floor = 1e-8, tolerance = 1e-10;
  constexpr int iterations_max = 1000;
  if (!correlations.allFinite()) return std::nullopt;
  const Matrix before = correlations;
  const double smallest =
      Eigen::SelfAdjointEigenSolver<Matrix>(before, Eigen::EigenvaluesOnly).eigenvalues()[0];
  // Of perfectly correlated factors the smallest eigenvalue is 0 but for rounding.
  if (smallest >= -1e-12 * static_cast<double>(before.rows())) return std::nullopt;
  Matrix correction = Matrix::Zero(before.rows(), before.cols()), next = before;
  for (int i = 0; i < iterations_max; ++i) {
    const Matrix shifted = next - correction;
    const Matrix projected = with_eigenvalues_from(shifted, floor);
    correction = projected - shifted;
    const Matrix last = next;
    next = projected;
    next.diagonal().setOnes();
    if ((next - last).norm() <= tolerance * next.norm()) break;
  }
  // The last projection was the one onto unit diagonals.
  correlations = with_unit_diagonal(with_eigenvalues_from(next, floor));
  return CorrelationRepair{smallest, (correlations - before).cwiseAbs().maxCoeff(),
                           (correlations - before).norm()};
}

}  // namespace shortfall::calibration
