// A covariance and a Student-t degree of freedom from histories. Estimated once from data, in
// ordinary floating point: the numbers may differ in their last digits between machines, and what a
// run reads is the file that was written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shortfall {

/// Changes of factors over equal intervals, in the units of covariance.csv (log-returns of indices,
/// log-changes of volatilities at a fixed strike, differences of skew and basis, ...).
struct FactorChanges {
  std::string source;                ///< named in messages: the file
  std::vector<std::string> factors;  ///< F
  std::vector<std::int64_t> times;   ///< T, ends of the intervals, seconds since the epoch
  std::vector<double> values;        ///< T x F, row-major; NaN: not observed
  double interval_days = 1;
};

/// Rows [begin, end) of a history.
struct RowRange {
  std::size_t begin = 0, end = 0;
};

enum class CalibrationMethod : std::uint8_t { sample, ewma, ledoit_wolf, garch };
enum class CorrelationMethod : std::uint8_t { ewma, dcc };

/// sigma^2(t+1) = omega + alpha e(t)^2 + beta sigma^2(t), per interval (Bollerslev 1986).
struct GarchParameters {
  double omega = 0, alpha = 0, beta = 0;
};
/// Q(t+1) = (1 - a - b) Qbar + a z(t) z(t)' + b Q(t) (Engle 2002).
struct DccParameters {
  double a = 0, b = 0;
};

struct CalibrationSettings {
  CalibrationMethod method = CalibrationMethod::sample;
  CorrelationMethod correlations = CorrelationMethod::dcc;  ///< garch only
  double horizon_days = 1;                                  ///< of the covariance
  double half_life_days = 30;  ///< ewma, and garch with correlations by ewma
  /// ledoit_wolf: shrink changes divided by their standard deviations, so that variances stay.
  /// Empty: where factors are of several kinds.
  std::optional<bool> is_standardised;
  /// Of the method; the rest is the sample covariance of all rows up to the window's end. [0, 1]
  double method_weight = 1;
  /// Least changes of a series and of a pair of series. 0: 100, and 250 for garch.
  std::size_t observations_min = 0;
  bool fits_degrees_of_freedom = true;
  /// Below 2.5 degrees of freedom: take 2.5, with a warning, where one date among many must not
  /// refuse the others.
  bool bounds_degrees_of_freedom = false;
  /// Where the optimisers start as well: parameters of an earlier date, one per factor; or empty.
  /// They then climb once, from the best start, not three times.
  std::vector<GarchParameters> garch_start;
  std::optional<DccParameters> dcc_start;
};

/// Degrees of freedom of a multivariate t with the method's covariance, by maximum likelihood.
struct TailFit {
  double degrees_of_freedom = 0;  ///< at most 200, which is to be read as Gaussian
  double standard_error = 0;      ///< from the curvature of the likelihood, covariance fixed
  bool is_gaussian = false;
  double log_likelihood_gain = 0;  ///< over the Gaussian of the same covariance
  std::size_t observations = 0;    ///< rows that were standardised
};

struct GarchFit {
  GarchParameters parameters;
  double mean = 0;               ///< subtracted first, per interval
  double log_likelihood = 0;     ///< Gaussian, of the changes
  double long_run_variance = 0;  ///< omega / (1 - alpha - beta)
  double next_variance = 0;      ///< of the interval after the last
  bool is_integrated = false;    ///< alpha + beta at its bound: shocks do not decay
  bool is_constant = false;      ///< alpha at 0: the sample variance is used
};

struct DccFit {
  DccParameters parameters;
  double composite_log_likelihood = 0;  ///< summed over pairs, correlation part
};

/// A matrix of correlations that was not positive semi-definite, and the nearest that is (Higham
/// 2002).
struct CorrelationRepair {
  double smallest_eigenvalue = 0;  ///< before
  double largest_change = 0;       ///< of a correlation
  double frobenius_distance = 0;
};

struct Calibration {
  std::vector<double> covariance;         ///< F x F, row-major, over horizon_days
  std::vector<double> correlations;       ///< F x F
  std::vector<double> volatilities;       ///< F, annual (365 days), in the factors' units
  std::vector<std::size_t> observations;  ///< F x F, of each pair; of each series on the diagonal
  std::vector<double> eigenvalues;        ///< F, of the correlations, descending
  std::optional<CorrelationRepair> repair;
  std::optional<TailFit> tail;
  std::optional<double> shrinkage;  ///< ledoit_wolf: intensity, in [0, 1]
  bool is_standardised = false;
  std::vector<GarchFit> garch;  ///< F
  std::optional<DccFit> dcc;
  std::vector<std::string> warnings;
};

/// Estimates the covariance of the factors from the rows of `window` (and a long-run part from the
/// rows before), as docs/methodology.md, "Calibration", has it. Throws InputError, which names the
/// factor, where a series is constant or too short, pairs overlap too little, there are no more
/// changes than factors (but for ledoit_wolf), an optimiser does not converge, or the degrees of
/// freedom are below 2.5 (and not bounded).
Calibration calibrate(const FactorChanges& changes, RowRange window,
                      const CalibrationSettings& settings);

const char* to_string(CalibrationMethod value);
const char* to_string(CorrelationMethod value);

}  // namespace shortfall
