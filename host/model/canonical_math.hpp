// The elementary functions that the plan is made of, with the same bits on every machine: only
// + - * / sqrt and integer operations in a written order. libm will not do: glibc picks FMA
// variants by processor. Accuracies were measured against Boost.Math and are held by the tests.
#pragma once

#include <cstdint>

namespace shortfall::canonical {

/// To the nearest integer, ties to even; |x| <= 2^51.
double rint(double x);

/// 2^exponent, -1022 <= exponent <= 1023.
double power_of_two(std::int64_t exponent);

/// Natural logarithm, error < 1 ulp. log(+-0) = -inf, log(x < 0) = NaN, log(inf) = inf; NaN stays.
/// fdlibm's reduction (e_log.c, Sun 1993) with the plain Taylor series of atanh.
double log(double x);

/// e^x, error < 1 ulp. Above 709.78 infinite, below -745.13 zero, rounded twice where denormal;
/// NaN stays. Reduction by a two-part ln 2 (Cody and Waite 1980), Taylor series to degree 13.
double exp(double x);

/// ln Gamma(x), x > 0: absolute error < 1e-14 max(1, ln Gamma). Recurrence up to x >= 10, then
/// Stirling's series (Abramowitz and Stegun 6.1.40).
double log_gamma(double x);

/// Density of the standard normal, relative error < 1e-15 wherever it is a normal number.
double normal_pdf(double x);

/// P(Z <= x): relative error < 1e-13 wherever it is a normal number, absolute < 1e-15.
/// Marsaglia's series within +-2.5 (2004, "Evaluating the normal distribution"), else Laplace's
/// continued fraction (Abramowitz and Stegun 26.2.14). NaN stays.
double normal_cdf(double x);

/// Undiscounted value of the out-of-the-money option on forward f at strike k, total volatility
/// v > 0, log_moneyness = ln(f / k) (Black 1976); never negative.
double otm_value(double f, double k, double log_moneyness, double v);

/// Sides of a distribution: the probability below a value, or above it.
enum class Side : std::uint8_t { lower, upper };

/// The chi-square distribution with nu degrees of freedom, 0 < nu <= 1e6, by the incomplete gamma
/// function with shape a = nu/2 at x = w/2.
class ChiSquare {
 public:
  struct Probabilities {
    double lower = 0;  ///< P(a, x), the probability of W <= w
    double upper = 1;  ///< Q(a, x), the probability of W > w
  };

  explicit ChiSquare(double degrees_of_freedom);

  /// Relative error < 1e-12 of the smaller of the two; where nu <= 2, of `upper` always, growing to
  /// 2e-11 at nu = 0.002. w must be finite; w <= 0 has everything above it.
  Probabilities at(double w) const;

  /// Density of ln W, which is w times the density of W: relative error < 1e-12. w > 0, finite.
  double log_density(double w) const;

  /// The w with this probability on this side, relative error < 1e-13 for nu >= 2 and
  /// 2^-40 <= probability <= 1/2. Newton's iteration on the logarithm of the probability, which is
  /// concave: from the median, or from a `start` between the median and near the quantile, it
  /// overshoots at most once and then converges from outside.
  double quantile(Side side, double probability) const;
  double quantile(Side side, double probability, double start) const;

  double degrees_of_freedom() const { return 2.0 * shape_; }

 private:
  double power_term(double x) const;
  double small_shape_upper(double x) const;

  double shape_;
  double log_scale_;  ///< ln Gamma(a + 1), or from a = 10 Stirling's correction of it
};

}  // namespace shortfall::canonical
