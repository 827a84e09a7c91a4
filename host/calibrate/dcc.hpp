// Dynamic conditional correlations, DCC(1,1): Engle (2002), fitted to pairs.
#pragma once

#include <string>

#include "moments.hpp"

namespace shortfall::calibration {

/// Q(t) of each row from those before: starts at the target Qbar. An element whose pair was not
/// observed keeps to its expectation: (1 - a - b) Qbar + (a + b) Q(t).
class DccFilter {
 public:
  DccFilter(const Matrix& target, DccParameters parameters)
      : target_(target), state_(target), parameters_(parameters) {}
  void add(const Eigen::Ref<const Vector>& residuals, const Eigen::Ref<const Vector>& mask);
  /// Q scaled to a unit diagonal.
  Matrix correlations() const;

 private:
  Matrix target_, state_;
  DccParameters parameters_;
};

/// Maximises the sum over all pairs of the bivariate log-likelihood of the correlations (Engle,
/// Shephard and Sheppard 2008), which needs no rows that are complete. residuals: T x F of unit
/// variance, zeros where not observed. Throws InputError naming `source`.
DccFit fit_dcc(const Matrix& residuals, const Matrix& mask, const Matrix& target,
               const DccParameters* start, const std::string& source);

/// Mean of the correlations forecast for the next `interval_count` intervals:
/// R(T+k) = Rbar + (a + b)^(k-1) (R(T+1) - Rbar) (Engle and Sheppard 2001).
Matrix dcc_forecast(const Matrix& next, const Matrix& target, DccParameters parameters,
                    double interval_count);

}  // namespace shortfall::calibration
