// Factors without a history, from others by a rule.
#pragma once

#include <string>
#include <vector>

#include "shortfall/calibrate.hpp"
#include "shortfall/error.hpp"

namespace shortfall::calibration {

/// factor = beta * like + e, e independent of everything with a daily deviation of its own.
struct FillRule {
  std::string factor, like;
  double beta = 1;
  double residual_daily = 0;  ///< standard deviation of e over a day, in the factor's unit
};

/// A covariance with names.
struct NamedCovariance {
  std::vector<std::string> factors;
  std::vector<double> matrix;  ///< F x F, row-major, over horizon_days
  double horizon_days = 1;
};

/// The factors of `wanted`, in its order: estimated ones as they are, others by their rule.
/// Problems: a factor with neither, and a rule whose `like` was not estimated.
NamedCovariance fill_factors(const NamedCovariance& estimated,
                             const std::vector<std::string>& wanted,
                             const std::vector<FillRule>& rules, const std::string& source,
                             Problems& problems);

}  // namespace shortfall::calibration
