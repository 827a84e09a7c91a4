#include "garch.hpp"

#include <algorithm>
#include <cmath>

#include "maximise.hpp"

namespace shortfall::calibration {
namespace {

constexpr double persistence_max = 0.9999;
constexpr double log_omega_min = -16, log_omega_max = 2;  // of changes of unit variance
constexpr double alpha_min = 1e-6;                        // below, beta means nothing

/// ln omega, -ln(1 - alpha - beta), alpha / (alpha + beta): likelihoods are bent where alpha + beta
/// nears 1, and less so in these.
GarchParameters parameters_of(const std::vector<double>& x) {
  const double persistence = std::min(-std::expm1(-x[1]), persistence_max);
  return {std::exp(x[0]), persistence * x[2], persistence * (1 - x[2])};
}

std::vector<double> coordinates_of(double omega, double persistence, double share) {
  return {std::log(omega), -std::log1p(-persistence), share};
}

/// Gaussian log-likelihood but for constants: of the rows that were observed.
double log_likelihood(const GarchSeries& series, const GarchParameters& p, double first_variance) {
  double variance = first_variance, sum = 0;
  for (Eigen::Index t = 0; t < series.values.size(); ++t) {
    const double square = series.values[t] * series.values[t];
    const bool is_observed = series.mask[t] != 0;
    if (is_observed) sum += std::log(variance) + square / variance;
    variance = p.omega + p.alpha * (is_observed ? square : variance) + p.beta * variance;
  }
  return -0.5 * sum;
}

}  // namespace

Vector garch_variances(const GarchSeries& series, const GarchParameters& p, double first_variance) {
  const Eigen::Index row_count = series.values.size();
  Vector variances(row_count + 1);
  variances[0] = first_variance;
  for (Eigen::Index t = 0; t < row_count; ++t) {
    const double square = series.mask[t] != 0 ? series.values[t] * series.values[t] : variances[t];
    variances[t + 1] = p.omega + p.alpha * square + p.beta * variances[t];
  }
  return variances;
}

GarchFit fit_garch(const GarchSeries& series, const GarchParameters* start,
                   const std::string& source, const std::string& factor) {
  const double count = series.mask.sum();
  const double variance = series.values.squaredNorm() / count;
  const Vector scaled = series.values / std::sqrt(variance);
  const GarchSeries unit{scaled, series.mask};

  std::vector<std::vector<double>> starts;
  if (start) {
    const double persistence = std::clamp(start->alpha + start->beta, 1e-3, persistence_max);
    starts.push_back(coordinates_of(std::max(start->omega / variance, 1e-7), persistence,
                                    start->alpha / persistence));
  }
  for (const double persistence : {0.8, 0.95, 0.99, 0.999})
    for (const double share : {0.05, 0.15, 0.5})
      starts.push_back(coordinates_of(1 - persistence, persistence, share));
  const Box box{{log_omega_min, 0, 0}, {log_omega_max, -std::log1p(-persistence_max), 1}};
  const std::vector<double> x = maximise(
      [&](const std::vector<double>& at) { return log_likelihood(unit, parameters_of(at), 1); },
      box, starts, start ? 1 : 3, source, "factor " + factor + ": GARCH(1,1)");

  GarchFit fit;
  fit.parameters = parameters_of(x);
  fit.is_constant = fit.parameters.alpha < alpha_min;
  if (fit.is_constant) fit.parameters = {1, 0, 0};
  fit.is_integrated =
      !fit.is_constant && fit.parameters.alpha + fit.parameters.beta > persistence_max - 1e-5;
  constexpr double log_two_pi = 1.8378770664093453;
  fit.log_likelihood =
      log_likelihood(unit, fit.parameters, 1) - 0.5 * count * (log_two_pi + std::log(variance));
  fit.parameters.omega *= variance;
  fit.long_run_variance = fit.parameters.omega / (1 - fit.parameters.alpha - fit.parameters.beta);
  const Vector variances = garch_variances(series, fit.parameters, variance);
  fit.next_variance = variances[variances.size() - 1];
  return fit;
}

double garch_forecast(const GarchFit& fit, double interval_count) {
  if (interval_count <= 1) return interval_count * fit.next_variance;
  const double p = fit.parameters.alpha + fit.parameters.beta;
  return interval_count * fit.long_run_variance +
         (fit.next_variance - fit.long_run_variance) * (1 - std::pow(p, interval_count)) / (1 - p);
}

}  // namespace shortfall::calibration
