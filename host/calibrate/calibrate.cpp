#include "shortfall/calibrate.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "estimate.hpp"
#include "fmt/format.h"
#include "method_names.hpp"
#include "shortfall/error.hpp"

namespace shortfall {
namespace calibration {
namespace {

constexpr double days_per_year = 365;
constexpr double degrees_of_freedom_least = 2.5;
constexpr std::size_t whitened_rows_least = 50;

[[noreturn]] void refuse(const std::string& source, std::string message) {
  throw InputError({{source, 0, std::move(message)}}, 0);
}

void check_settings(const EstimationProblem& problem) {
  const auto& [changes, window, settings] = problem;
  SHORTFALL_ASSERT(changes.values.size() == changes.factors.size() * changes.times.size());
  SHORTFALL_ASSERT(window.begin <= window.end && window.end <= changes.times.size());
  SHORTFALL_ASSERT(!changes.factors.empty() && changes.interval_days > 0);
  SHORTFALL_ASSERT(settings.horizon_days > 0 && settings.half_life_days > 0);
  SHORTFALL_ASSERT(settings.method_weight >= 0 && settings.method_weight <= 1);
  SHORTFALL_ASSERT(settings.garch_start.empty() ||
                   settings.garch_start.size() == changes.factors.size());
}

/// Series that cannot be estimated: too short, constant, or never seen together.
void check_observations(const EstimationProblem& problem, const ObservedChanges& observed,
                        Calibration& result) {
  const auto& [changes, window, settings] = problem;
  const std::size_t factor_count = changes.factors.size(), least = observations_min(settings);
  const auto counts = common_rows(observed.mask);
  result.observations.assign(counts.data(), counts.data() + counts.size());
  Problems problems;
  for (std::size_t i = 0; i < factor_count; ++i) {
    const auto count = [&](std::size_t j) { return result.observations[i * factor_count + j]; };
    if (count(i) < least) {
      problems.add(
          changes.source, 0,
          fmt::format("factor {} has {} changes in the window, and at least {} are needed; "
                      "take a longer window, leave the factor out, lower min_observations, or "
                      "fill it by a rule of a calibration",
                      changes.factors[i], count(i), least));
      continue;
    }
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (std::size_t t = window.begin; t < window.end; ++t) {
      const double x = changes.values[t * factor_count + i];
      if (!std::isnan(x)) low = std::min(low, x), high = std::max(high, x);
    }
    if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high)))
      problems.add(changes.source, 0,
                   fmt::format("factor {} is constant in the window (every change is {}); leave it "
                               "out or correct its history",
                               changes.factors[i], low));
    for (std::size_t j = 0; j < i; ++j)
      if (count(j) < least && result.observations[j * factor_count + j] >= least)
        problems.add(changes.source, 0,
                     fmt::format("factors {} and {} have {} changes in common, and at least {} are "
                                 "needed; begin the window earlier or leave one out",
                                 changes.factors[j], changes.factors[i], count(j), least));
  }
  problems.throw_if_any();
}

void check_rank(const EstimationProblem& problem, const Calibration& result) {
  const auto& [changes, window, settings] = problem;
  const std::size_t factor_count = changes.factors.size();
  if (settings.method == CalibrationMethod::ledoit_wolf) return;
  const std::size_t count =
      *std::min_element(result.observations.begin(), result.observations.end());
  if (count <= factor_count)
    refuse(changes.source,
           fmt::format("has {} changes for {} factors: no more changes than factors; use a longer "
                       "window, fewer factors or the method ledoit_wolf",
                       count, factor_count));
  const bool is_weighted = settings.method == CalibrationMethod::ewma ||
                           (settings.method == CalibrationMethod::garch &&
                            settings.correlations == CorrelationMethod::ewma);
  const double decay = problem.decay();
  const double effective = (1 + decay) / (1 - decay);
  if (is_weighted && !(effective > static_cast<double>(factor_count)))
    refuse(changes.source,
           fmt::format("a half-life of {} days has the weight of {:.1f} changes for {} factors; "
                       "use a longer half-life or fewer factors",
                       settings.half_life_days, effective, factor_count));
}

bool has_several_kinds(const std::vector<std::string>& factors) {
  const auto kind = [](const std::string& name) {
    const std::size_t dot = name.find('.');
    return dot == std::string::npos ? name : name.substr(dot + 1);
  };
  return std::any_of(factors.begin(), factors.end(),
                     [&](const std::string& name) { return kind(name) != kind(factors.front()); });
}

/// The covariance per interval of all rows up to the window's end.
Matrix long_run_covariance(const EstimationProblem& problem, Calibration& result) {
  Moments moments = sample_moments(observed_changes(problem.changes, {0, problem.window.end}));
  repair_into(moments.correlations, result);
  return moments.covariance();
}

void describe(const Matrix& covariance, double horizon_days, Calibration& result) {
  const Eigen::Index factor_count = covariance.rows();
  const Vector deviations = covariance.diagonal().cwiseSqrt();
  Matrix correlations = covariance.cwiseQuotient(deviations * deviations.transpose());
  correlations.diagonal().setOnes();
  result.covariance.assign(covariance.data(), covariance.data() + covariance.size());
  result.correlations.assign(correlations.data(), correlations.data() + correlations.size());
  for (Eigen::Index i = 0; i < factor_count; ++i)
    result.volatilities.push_back(deviations[i] * std::sqrt(days_per_year / horizon_days));
  const Vector eigenvalues =
      Eigen::SelfAdjointEigenSolver<Matrix>(correlations, Eigen::EigenvaluesOnly).eigenvalues();
  result.eigenvalues.assign(eigenvalues.data(), eigenvalues.data() + factor_count);
  std::reverse(result.eigenvalues.begin(), result.eigenvalues.end());
}

void fit_degrees_of_freedom(const EstimationProblem& problem, const std::vector<WhitenedRow>& rows,
                            Calibration& result) {
  TailFit fit = fit_tail(rows);
  const std::string& source = problem.changes.source;
  if (fit.observations < whitened_rows_least)
    refuse(source,
           fmt::format("only {} rows can be standardised to estimate the degrees of "
                       "freedom, and at least {} are needed; use a longer window or a "
                       "shorter half-life, or give degrees of freedom in place of an estimate",
                       fit.observations, whitened_rows_least));
  if (fit.degrees_of_freedom < degrees_of_freedom_least) {
    if (!problem.settings.bounds_degrees_of_freedom)
      refuse(source,
             fmt::format("the degrees of freedom are estimated as {:.2f}, below {}: the covariance "
                         "hardly exists; use the methods garch or ewma, which take out clusters of "
                         "volatility, look for wrong prices, or give degrees of freedom in place "
                         "of an estimate",
                         fit.degrees_of_freedom, degrees_of_freedom_least));
    fit.degrees_of_freedom = degrees_of_freedom_least;
    result.warnings.push_back(
        fmt::format("degrees of freedom estimated below {0} are taken as {0}: the covariance "
                    "hardly exists",
                    degrees_of_freedom_least));
  }
  if (fit.is_gaussian)
    result.warnings.push_back(
        "degrees of freedom at their bound of 200: the standardised residuals are Gaussian");
  result.tail = fit;
}

Estimate estimate(const EstimationProblem& problem, const Mix& mix, Calibration& result) {
  switch (problem.settings.method) {
    case CalibrationMethod::ewma:
      return estimate_ewma(problem, mix, result);
    case CalibrationMethod::garch:
      return estimate_garch(problem, mix, result);
    default:
      return estimate_constant(problem, mix, result);
  }
}

}  // namespace

std::size_t observations_min(const CalibrationSettings& settings) {
  if (settings.observations_min != 0) return settings.observations_min;
  return settings.method == CalibrationMethod::garch ? 250 : 100;
}

}  // namespace calibration

Calibration calibrate(const FactorChanges& changes, RowRange window,
                      const CalibrationSettings& settings) {
  using namespace calibration;
  const EstimationProblem problem{changes, window, settings};
  check_settings(problem);
  Calibration result;
  check_observations(problem, observed_changes(changes, window), result);
  check_rank(problem, result);
  result.is_standardised = settings.method == CalibrationMethod::ledoit_wolf &&
                           settings.is_standardised.value_or(has_several_kinds(changes.factors));

  const double weight = settings.method_weight;
  const Matrix long_run = weight < 1 ? long_run_covariance(problem, result) : Matrix();
  const Mix mix = [&](const Matrix& covariance) -> Matrix {
    if (weight == 1) return covariance;
    return weight * covariance + (1 - weight) * long_run;
  };
  const Estimate estimated = estimate(problem, mix, result);
  Matrix covariance = estimated.covariance;
  if (weight < 1)
    covariance = weight * covariance + (1 - weight) * problem.interval_count() * long_run;
  covariance = (0.5 * (covariance + covariance.transpose())).eval();
  if (!covariance.allFinite())
    refuse(changes.source,
           "a series does not move where another was observed, so that they have no correlation; "
           "leave one of them out or correct its history");
  describe(covariance, settings.horizon_days, result);
  if (settings.fits_degrees_of_freedom) fit_degrees_of_freedom(problem, estimated.rows, result);
  return result;
}

const char* to_string(CalibrationMethod value) { return name_of(calibration::methods, value); }
const char* to_string(CorrelationMethod value) {
  return name_of(calibration::correlation_methods, value);
}

}  // namespace shortfall
