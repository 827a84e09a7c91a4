#include "estimate.hpp"

#include <algorithm>
#include <cmath>

#include "dcc.hpp"
#include "fmt/format.h"
#include "garch.hpp"

namespace shortfall::calibration {
namespace {

/// Fits of all series, the residuals over their deviations, and the deviations: T x F.
struct GarchSystem {
  Matrix residuals, deviations;
};

GarchSystem fit_series(const EstimationProblem& problem, const ObservedChanges& centred,
                       const Vector& means, Calibration& result) {
  const auto& [values, mask] = centred;
  GarchSystem system{Matrix::Zero(values.rows(), values.cols()),
                     Matrix::Zero(values.rows(), values.cols())};
  for (Eigen::Index i = 0; i < values.cols(); ++i) {
    const auto factor = static_cast<std::size_t>(i);
    Eigen::Index first = 0;
    while (mask(first, i) == 0) ++first;
    const Eigen::Index count = values.rows() - first;
    const GarchSeries series{values.col(i).tail(count), mask.col(i).tail(count)};
    const std::vector<GarchParameters>& starts = problem.settings.garch_start;
    GarchFit fit = fit_garch(series, starts.empty() ? nullptr : &starts[factor],
                             problem.changes.source, problem.changes.factors[factor]);
    fit.mean = means[i];
    const Vector variances =
        garch_variances(series, fit.parameters, series.values.squaredNorm() / series.mask.sum());
    system.deviations.col(i).tail(count) = variances.head(count).cwiseSqrt();
    system.residuals.col(i).tail(count) =
        series.values.cwiseQuotient(system.deviations.col(i).tail(count));
    const std::string& name = problem.changes.factors[factor];
    if (fit.is_integrated)
      result.warnings.push_back(fmt::format(
          "{}: alpha + beta is at its bound 0.9999: its variance has no long-run level in this "
          "window, and forecasts beyond a few days are not to be relied on",
          name));
    if (fit.parameters.alpha > 0.5)
      result.warnings.push_back(
          fmt::format("{}: alpha is above 0.5: a few extreme changes decide this fit; ewma, or a "
                      "window without them, does not depend on them so much",
                      name));
    if (fit.is_constant)
      result.warnings.push_back(
          fmt::format("{}: alpha is 0: no clustering of volatility was found, and the sample "
                      "variance is used",
                      name));
    result.garch.push_back(fit);
  }
  return system;
}

Matrix scaled(const Matrix& correlations, const Vector& deviations) {
  return deviations.asDiagonal() * correlations * deviations.asDiagonal();
}

Matrix correlations_by_dcc(const EstimationProblem& problem, const GarchSystem& system,
                           const Matrix& mask, const Mix& mix, std::vector<WhitenedRow>& rows,
                           Calibration& result) {
  // Every residual weighs the same.
  Matrix target = ewma_moments({system.residuals, mask}, 1).correlations;
  repair_into(target, result);
  DccParameters parameters;
  if (mask.cols() > 1) {
    const auto& start = problem.settings.dcc_start;
    result.dcc =
        fit_dcc(system.residuals, mask, target, start ? &*start : nullptr, problem.changes.source);
    parameters = result.dcc->parameters;
  }
  DccFilter filter(target, parameters);
  const bool is_whitened = problem.settings.fits_degrees_of_freedom;
  for (Eigen::Index t = 0; t < mask.rows(); ++t) {
    const Vector z = system.residuals.row(t), m = mask.row(t), d = system.deviations.row(t);
    if (is_whitened)
      rows.push_back(whiten(z.cwiseProduct(d), m, mix(scaled(filter.correlations(), d))));
    filter.add(z, m);
  }
  return dcc_forecast(filter.correlations(), target, parameters, problem.interval_count());
}

Matrix correlations_by_ewma(const EstimationProblem& problem, const GarchSystem& system,
                            const Matrix& mask, const Mix& mix, std::vector<WhitenedRow>& rows) {
  const double decay = problem.decay();
  RunningEwma ewma(mask.cols(), decay);
  for (Eigen::Index t = 0; t < mask.rows(); ++t) {
    const Vector z = system.residuals.row(t), m = mask.row(t), d = system.deviations.row(t);
    const Vector warm = warmed_up(m, ewma, decay, t);
    if (problem.settings.fits_degrees_of_freedom && warm.any())
      rows.push_back(whiten(z.cwiseProduct(d), warm, mix(scaled(ewma.moments().correlations, d))));
    ewma.add(z, m);
  }
  return ewma.moments().correlations;
}

}  // namespace

double EstimationProblem::decay() const {
  return std::exp2(-changes.interval_days / settings.half_life_days);
}

void repair_into(Matrix& correlations, Calibration& result) {
  const std::optional<CorrelationRepair> repair = repair_correlations(correlations);
  if (repair && (!result.repair || repair->largest_change > result.repair->largest_change))
    result.repair = repair;
}

Vector warmed_up(const Eigen::Ref<const Vector>& mask, const RunningEwma& ewma, double decay,
                 Eigen::Index row) {
  if (row < 2 * mask.size()) return Vector::Zero(mask.size());
  const double least = 0.75 / (1 - decay);
  return (ewma.weights().diagonal().array() >= least).select(mask, 0.0);
}

Estimate estimate_constant(const EstimationProblem& problem, const Mix& mix, Calibration& result) {
  const ObservedChanges observed = observed_changes(problem.changes, problem.window);
  Moments moments;
  if (problem.settings.method == CalibrationMethod::ledoit_wolf) {
    double shrinkage = 0;
    moments = ledoit_wolf_moments(observed, result.is_standardised, shrinkage);
    result.shrinkage = shrinkage;
  } else {
    moments = sample_moments(observed);
  }
  repair_into(moments.correlations, result);
  const Matrix covariance = moments.covariance();
  Estimate estimate{covariance * problem.interval_count(), {}};
  if (problem.settings.fits_degrees_of_freedom) {
    Vector means;
    estimate.rows = whiten_all(without_means(observed, means), mix(covariance));
  }
  return estimate;
}

Estimate estimate_ewma(const EstimationProblem& problem, const Mix& mix, Calibration& result) {
  const ObservedChanges observed = observed_changes(problem.changes, problem.window);
  const double decay = problem.decay();
  Moments moments = ewma_moments(observed, decay);
  repair_into(moments.correlations, result);
  Estimate estimate{moments.covariance() * problem.interval_count(), {}};
  if (!problem.settings.fits_degrees_of_freedom) return estimate;
  RunningEwma ewma(problem.factor_count(), decay);
  for (Eigen::Index t = 0; t < observed.values.rows(); ++t) {
    const Vector x = observed.values.row(t), m = observed.mask.row(t);
    const Vector warm = warmed_up(m, ewma, decay, t);
    if (warm.any()) estimate.rows.push_back(whiten(x, warm, mix(ewma.moments().covariance())));
    ewma.add(x, m);
  }
  return estimate;
}

Estimate estimate_garch(const EstimationProblem& problem, const Mix& mix, Calibration& result) {
  Vector means;
  const ObservedChanges centred =
      without_means(observed_changes(problem.changes, problem.window), means);
  const GarchSystem system = fit_series(problem, centred, means, result);
  Estimate estimate;
  Matrix correlations =
      problem.settings.correlations == CorrelationMethod::dcc
          ? correlations_by_dcc(problem, system, centred.mask, mix, estimate.rows, result)
          : correlations_by_ewma(problem, system, centred.mask, mix, estimate.rows);
  repair_into(correlations, result);
  Vector deviations(problem.factor_count());
  for (Eigen::Index i = 0; i < deviations.size(); ++i)
    deviations[i] = std::sqrt(
        garch_forecast(result.garch[static_cast<std::size_t>(i)], problem.interval_count()));
  estimate.covariance = scaled(correlations, deviations);
  return estimate;
}

}  // namespace shortfall::calibration
