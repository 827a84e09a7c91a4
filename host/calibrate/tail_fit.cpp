#include "tail_fit.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <boost/math/special_functions/digamma.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <boost/math/special_functions/trigamma.hpp>
#include <boost/math/tools/minima.hpp>
#include <cmath>

namespace shortfall::calibration {
namespace {

constexpr double degrees_of_freedom_max = 200, degrees_of_freedom_min = 2.001;

std::vector<Eigen::Index> observed_factors(const Eigen::Ref<const Vector>& mask) {
  std::vector<Eigen::Index> factors;
  for (Eigen::Index i = 0; i < mask.size(); ++i)
    if (mask[i] != 0) factors.push_back(i);
  return factors;
}

WhitenedRow whitened(const Eigen::LLT<Matrix>& factored, const Eigen::Ref<const Vector>& values,
                     const std::vector<Eigen::Index>& factors) {
  if (factors.empty() || factored.info() != Eigen::Success) return {};
  const Vector x = values(factors);
  return {factored.matrixL().solve(x).squaredNorm(), static_cast<std::uint32_t>(factors.size())};
}

/// Rows by dimension: everything but the squares depends on it alone.
std::vector<std::size_t> counts_by_dimension(const std::vector<WhitenedRow>& rows) {
  std::vector<std::size_t> counts;
  for (const WhitenedRow& row : rows) {
    if (row.dimension >= counts.size()) counts.resize(row.dimension + 1);
    ++counts[row.dimension];
  }
  if (!counts.empty()) counts[0] = 0;
  return counts;
}

double curvature(const std::vector<WhitenedRow>& rows, double nu) {
  using boost::math::trigamma;
  const double m = nu - 2;
  const std::vector<std::size_t> counts = counts_by_dimension(rows);
  double sum = 0;
  for (std::size_t d = 1; d < counts.size(); ++d) {
    if (counts[d] == 0) continue;
    const double dimension = static_cast<double>(d);
    sum +=
        static_cast<double>(counts[d]) *
        (0.25 * (trigamma(0.5 * (nu + dimension)) - trigamma(0.5 * nu)) + dimension / (2 * m * m));
  }
  for (const auto& [q, dimension] : rows) {
    if (dimension == 0) continue;
    const double mq = m * (m + q);
    sum += q / mq - 0.5 * (nu + dimension) * q * (2 * m + q) / (mq * mq);
  }
  return sum;
}

}  // namespace

WhitenedRow whiten(const Eigen::Ref<const Vector>& values, const Eigen::Ref<const Vector>& mask,
                   const Matrix& covariance) {
  const std::vector<Eigen::Index> factors = observed_factors(mask);
  const Matrix part = covariance(factors, factors);
  return whitened(part.llt(), values, factors);
}

std::vector<WhitenedRow> whiten_all(const ObservedChanges& observed, const Matrix& covariance) {
  std::vector<WhitenedRow> rows;
  rows.reserve(static_cast<std::size_t>(observed.values.rows()));
  std::vector<Eigen::Index> last;
  Eigen::LLT<Matrix> factored;
  for (Eigen::Index t = 0; t < observed.values.rows(); ++t) {
    std::vector<Eigen::Index> factors = observed_factors(observed.mask.row(t).transpose());
    if (t == 0 || factors != last) {
      last = std::move(factors);
      if (!last.empty()) factored.compute(covariance(last, last));
    }
    rows.push_back(whitened(factored, observed.values.row(t).transpose(), last));
  }
  return rows;
}

double t_log_likelihood_gain(const std::vector<WhitenedRow>& rows, double nu) {
  const std::vector<std::size_t> counts = counts_by_dimension(rows);
  double sum = 0;
  for (std::size_t d = 1; d < counts.size(); ++d) {
    if (counts[d] == 0) continue;
    const double half = 0.5 * static_cast<double>(d);
    sum += static_cast<double>(counts[d]) *
           (boost::math::lgamma(0.5 * nu + half) - boost::math::lgamma(0.5 * nu) -
            half * std::log(0.5 * (nu - 2)));
  }
  for (const auto& [q, dimension] : rows)
    if (dimension != 0) sum += 0.5 * q - 0.5 * (nu + dimension) * std::log1p(q / (nu - 2));
  return sum;
}

TailFit fit_tail(const std::vector<WhitenedRow>& rows) {
  // In 1/nu the Gaussian is at a finite distance, and the likelihood has one maximum in practice.
  const auto loss = [&](double inverse) { return -t_log_likelihood_gain(rows, 1 / inverse); };
  const double lower = 1 / degrees_of_freedom_max, upper = 1 / degrees_of_freedom_min;
  const auto [inverse, least] = boost::math::tools::brent_find_minima(loss, lower, upper, 40);
  TailFit fit;
  fit.degrees_of_freedom = 1 / inverse;
  fit.is_gaussian = inverse < lower * (1 + 1e-4);
  fit.log_likelihood_gain = -least;
  fit.observations = static_cast<std::size_t>(std::count_if(
      rows.begin(), rows.end(), [](const WhitenedRow& row) { return row.dimension != 0; }));
  const double second = curvature(rows, fit.degrees_of_freedom);
  fit.standard_error = second < 0 ? 1 / std::sqrt(-second) : 0;
  return fit;
}

}  // namespace shortfall::calibration
