#include "dcc.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "maximise.hpp"

namespace shortfall::calibration {
namespace {

constexpr double persistence_max = 0.9999;
constexpr double share_max = 0.5;  // of a in a + b

DccParameters parameters_of(const std::vector<double>& x) {
  return {x[0] * x[1], x[0] * (1 - x[1])};
}

/// The log-likelihood of a row's pairs, residuals' own part left out:
/// -1/2 [ln(1 - r^2) + (x^2 + y^2 - 2 r x y) / (1 - r^2)].
double pairs_log_likelihood(const Matrix& q, const Vector& scale, const double* x,
                            const double* mask) {
  double sum = 0, product = 1;
  for (Eigen::Index i = 1; i < q.rows(); ++i) {
    if (mask[i] == 0) continue;
    for (Eigen::Index j = 0; j < i; ++j) {
      if (mask[j] == 0) continue;
      const double r = q(j, i) * scale[i] * scale[j];
      const double rest = std::max(1 - r * r, 1e-9);
      sum += (x[i] * x[i] + x[j] * x[j] - 2 * r * x[i] * x[j]) / rest;
      // One logarithm for many pairs.
      product *= rest;
      if (product < 1e-200) sum += std::log(std::exchange(product, 1.0));
    }
  }
  return -0.5 * (sum + std::log(product));
}

}  // namespace

void DccFilter::add(const Eigen::Ref<const Vector>& residuals,
                    const Eigen::Ref<const Vector>& mask) {
  const auto [a, b] = parameters_;
  const Matrix unobserved = (1 - (mask * mask.transpose()).array()).matrix();
  state_ = (1 - a - b) * target_ + a * (residuals * residuals.transpose()) + b * state_ +
           a * unobserved.cwiseProduct(state_);
}

Matrix DccFilter::correlations() const {
  const Vector scale = state_.diagonal().cwiseSqrt().cwiseInverse();
  Matrix r = scale.asDiagonal() * state_ * scale.asDiagonal();
  r.diagonal().setOnes();
  return r;
}

DccFit fit_dcc(const Matrix& residuals, const Matrix& mask, const Matrix& target,
               const DccParameters* start, const std::string& source) {
  // Rows side by side in memory.
  const Matrix x = residuals.transpose(), m = mask.transpose();
  const Eigen::Index factor_count = x.rows();
  const auto log_likelihood = [&](const std::vector<double>& at) {
    const auto [a, b] = parameters_of(at);
    const Matrix constant = (1 - a - b) * target;
    Matrix q = target;
    Vector scale(factor_count);
    double sum = 0;
    for (Eigen::Index t = 0; t < x.cols(); ++t) {
      for (Eigen::Index i = 0; i < factor_count; ++i) scale[i] = 1 / std::sqrt(q(i, i));
      const double *xt = x.col(t).data(), *mt = m.col(t).data();
      sum += pairs_log_likelihood(q, scale, xt, mt);
      for (Eigen::Index i = 0; i < factor_count; ++i)
        for (Eigen::Index j = 0; j <= i; ++j) {
          const double product = mt[i] * mt[j] != 0 ? xt[i] * xt[j] : q(j, i);
          q(j, i) = constant(j, i) + a * product + b * q(j, i);
        }
    }
    return sum;
  };

  std::vector<std::vector<double>> starts;
  if (start) {
    const double c = start->a + start->b;
    starts.push_back({c, c > 0 ? start->a / c : 0});
  }
  for (const double persistence : {0.9, 0.98})
    for (const double share : {0.02, 0.08}) starts.push_back({persistence, share});
  const std::vector<double> best =
      maximise(log_likelihood, {{0, 0}, {persistence_max, share_max}}, starts, start ? 1 : 3,
               source, "dynamic conditional correlations");
  return {parameters_of(best), log_likelihood(best)};
}

Matrix dcc_forecast(const Matrix& next, const Matrix& target, DccParameters parameters,
                    double interval_count) {
  const double c = parameters.a + parameters.b;
  // Below one interval the correlations of the next one are in force all along.
  const double share =
      interval_count <= 1 ? 1 : (1 - std::pow(c, interval_count)) / ((1 - c) * interval_count);
  Matrix r = target + share * (next - target);
  r.diagonal().setOnes();
  return r;
}

}  // namespace shortfall::calibration
