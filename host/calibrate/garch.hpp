// GARCH(1,1) of one series: Bollerslev (1986), Gaussian quasi maximum likelihood.
#pragma once

#include <string>

#include "moments.hpp"

namespace shortfall::calibration {

/// A series about its mean, from its first observation on, with zeros where it was not observed.
struct GarchSeries {
  Eigen::Ref<const Vector> values, mask;
};

/// sigma^2(t) of each row from those before, and of the row after the last: T + 1 variances. The
/// first is the sample variance; where a row was not observed, its square is its expectation.
Vector garch_variances(const GarchSeries& series, const GarchParameters& parameters,
                       double first_variance);

/// Fits by maximum likelihood over omega (e^-16 to e^2 of the sample variance), alpha + beta (0 to
/// 0.9999) and alpha's share of it. Throws InputError naming `source` and `factor`.
GarchFit fit_garch(const GarchSeries& series, const GarchParameters* start,
                   const std::string& source, const std::string& factor);

/// Expected sum of the variances of the next `interval_count` intervals, which need not be whole:
/// n V + (sigma^2(T+1) - V) (1 - p^n) / (1 - p), p = alpha + beta; below one n sigma^2(T+1).
double garch_forecast(const GarchFit& fit, double interval_count);

}  // namespace shortfall::calibration
