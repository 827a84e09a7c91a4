// Degrees of freedom of a multivariate Student t whose covariance is given.
#pragma once

#include <functional>
#include <vector>

#include "moments.hpp"

namespace shortfall::calibration {

/// A row of changes, whitened: q = x' Sigma^-1 x over the d factors observed.
struct WhitenedRow {
  double square = 0;
  std::uint32_t dimension = 0;
};

/// x over the observed factors against `covariance`; dimension 0 where none was observed or the
/// covariance of those is not positive definite.
WhitenedRow whiten(const Eigen::Ref<const Vector>& values, const Eigen::Ref<const Vector>& mask,
                   const Matrix& covariance);
/// The same for all rows, factoring once per pattern of observed factors in a row.
std::vector<WhitenedRow> whiten_all(const ObservedChanges& observed, const Matrix& covariance);

/// Log-likelihood of a t with covariance I (scale (nu - 2) / nu), less what does not depend on nu,
/// less that of the Gaussian.
double t_log_likelihood_gain(const std::vector<WhitenedRow>& rows, double degrees_of_freedom);

/// Maximises it over 1/nu from 1/200 (Gaussian) to 1/2.001. Rows of dimension 0 do not count. The
/// standard error is from the second derivative.
TailFit fit_tail(const std::vector<WhitenedRow>& rows);

}  // namespace shortfall::calibration
