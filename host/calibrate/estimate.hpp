// The methods: each turns changes into a covariance for the horizon and into whitened rows.
#pragma once

#include <functional>
#include <vector>

#include "moments.hpp"
#include "tail_fit.hpp"

namespace shortfall::calibration {

/// What the methods start from.
struct EstimationProblem {
  const FactorChanges& changes;
  RowRange window;
  const CalibrationSettings& settings;

  double interval_count() const { return settings.horizon_days / changes.interval_days; }
  double decay() const;  ///< per interval
  Eigen::Index factor_count() const { return static_cast<Eigen::Index>(changes.factors.size()); }
};

/// Least changes of a series and of a pair: the setting, or the method's own.
std::size_t observations_min(const CalibrationSettings& settings);

/// A covariance per interval, mixed with the long-run one.
using Mix = std::function<Matrix(const Matrix&)>;

/// What a method says before its share of a mixture is taken.
struct Estimate {
  Matrix covariance;              ///< over the horizon, positive semi-definite
  std::vector<WhitenedRow> rows;  ///< of the window, against the mixture; empty where not asked for
};

/// Each adds its parameters, repairs and warnings to `result`.
Estimate estimate_constant(const EstimationProblem& problem, const Mix& mix, Calibration& result);
Estimate estimate_ewma(const EstimationProblem& problem, const Mix& mix, Calibration& result);
Estimate estimate_garch(const EstimationProblem& problem, const Mix& mix, Calibration& result);

/// Repairs correlations where they need it and keeps the largest repair in `result`.
void repair_into(Matrix& correlations, Calibration& result);

/// Rows of exponentially weighted estimates count once three quarters of the weights are there:
/// `mask` without the factors of which that is not so, and nothing before row 2 F.
Vector warmed_up(const Eigen::Ref<const Vector>& mask, const RunningEwma& ewma, double decay,
                 Eigen::Index row);

}  // namespace shortfall::calibration
