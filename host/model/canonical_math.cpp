#include "canonical_math.hpp"

#include <limits>

#include "shortfall/core/portable.hpp"
#include "shortfall/error.hpp"

namespace shortfall::canonical {
namespace {

using core::bit_cast;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double epsilon = 0x1p-54;  // of the last term of a series, relative to its sum

// ln 2 in two parts, the first with 21 trailing zero bits: exact times any exponent (fdlibm).
constexpr double ln2_high = 0x1.62e42feep-1;
constexpr double ln2_low = 0x1.a39ef35793c76p-33;
constexpr double inverse_ln2 = 0x1.71547652b82fep+0;
constexpr double inverse_sqrt_two_pi = 0.39894228040143267794;
constexpr double half_log_two_pi = 0.91893853320467274178;
constexpr double two_pi = 6.28318530717958647693;
constexpr double euler_gamma = 0.57721566490153286061;
constexpr double zeta_2 = 1.64493406684822643647;
constexpr double zeta_3 = 1.20205690315959428540;
constexpr double zeta_4 = 1.08232323371113819152;

constexpr double stirling_shape_min = 10.0;

double sqrt(double x) { return __builtin_sqrt(x); }
double abs(double x) { return x < 0.0 ? -x : x; }

/// ln Gamma(x) - ((x - 1/2) ln x - x + ln(2 pi)/2) for x >= 10, by Stirling's series: B_2k /
/// (2k (2k - 1) x^(2k - 1)). The first term left out is below 2e-17.
double stirling_correction(double x) {
  const double r = 1.0 / x;
  const double r2 = r * r;
  double sum = -3617.0 / 122400.0;
  sum = sum * r2 + 1.0 / 156.0;
  sum = sum * r2 - 691.0 / 360360.0;
  sum = sum * r2 + 1.0 / 1188.0;
  sum = sum * r2 - 1.0 / 1680.0;
  sum = sum * r2 + 1.0 / 1260.0;
  sum = sum * r2 - 1.0 / 360.0;
  sum = sum * r2 + 1.0 / 12.0;
  return sum * r;
}

/// a ln(a/x) + x - a, without cancellation near x = a (Loader 2000, "Fast and accurate computation
/// of binomial probabilities").
double deviance(double a, double x) {
  const double difference = a - x;
  if (abs(difference) >= 0.1 * (a + x)) return a * log(a / x) + x - a;
  const double v = difference / (a + x);
  const double v2 = v * v;
  double sum = difference * v;
  double power = 2.0 * a * v;
  for (double odd = 3.0;; odd += 2.0) {
    power *= v2;
    const double next = sum + power / odd;
    if (!(next < sum || next > sum)) return sum;  // ends with a NaN too
    sum = next;
  }
}

/// sum of x^n / ((a + 1) ... (a + n)), n >= 0: P(a, x) is this times x^a e^-x / Gamma(a + 1)
/// (Abramowitz and Stegun 6.5.29). Positive terms.
double lower_series(double a, double x) {
  double sum = 1.0, term = 1.0;
  for (double n = a + 1.0; term > epsilon * sum; n += 1.0) {
    term *= x / n;
    sum += term;
  }
  return sum;
}

/// 1/(x + 1 - a - 1(1 - a)/(x + 3 - a - ...)): Q(a, x) is this times x^a e^-x / Gamma(a)
/// (Abramowitz and Stegun 6.5.31, contracted), for x >= a + 1, by Lentz's method.
double upper_fraction(double a, double x) {
  double b = x + 1.0 - a;
  double c = infinity, d = 1.0 / b, value = d;
  for (double n = 1.0;; n += 1.0) {
    const double numerator = -n * (n - a);
    b += 2.0;
    d = 1.0 / (numerator * d + b);
    c = b + numerator / c;
    const double factor = c * d;
    value *= factor;
    if (!(abs(factor - 1.0) > 0x1p-50)) return value;
  }
}

}  // namespace

double rint(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

double power_of_two(std::int64_t exponent) {
  return bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

double log(double x) {
  if (!(x > 0.0)) return x == 0.0 ? -infinity : not_a_number;
  if (x == infinity) return x;
  std::int64_t exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    exponent = -54;
  }
  // x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)).
  const std::uint64_t bits =
      bit_cast<std::uint64_t>(x) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  exponent += static_cast<std::int64_t>(bits >> 52) - 1023;
  const double mantissa = bit_cast<double>((bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
  const double f = mantissa - 1.0;
  const double k = static_cast<double>(exponent);

  // ln(1 + f) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + 2 s^2/3 + 2 s^4/5 + ...)), s^2 < 0.0295.
  const double s = f / (2.0 + f);
  const double z = s * s;
  double r = 2.0 / 23.0;
  r = r * z + 2.0 / 21.0;
  r = r * z + 2.0 / 19.0;
  r = r * z + 2.0 / 17.0;
  r = r * z + 2.0 / 15.0;
  r = r * z + 2.0 / 13.0;
  r = r * z + 2.0 / 11.0;
  r = r * z + 2.0 / 9.0;
  r = r * z + 2.0 / 7.0;
  r = r * z + 2.0 / 5.0;
  r = r * z + 2.0 / 3.0;
  r *= z;
  const double half_square = 0.5 * f * f;
  return k * ln2_high - ((half_square - (s * (half_square + r) + k * ln2_low)) - f);
}

double exp(double x) {
  if (x != x) return x;
  if (x > 709.79) return infinity;
  if (x < -745.14) return 0.0;
  const double k = rint(x * inverse_ln2);
  const double high = x - k * ln2_high;
  const double low = k * ln2_low;
  const double r = high - low;  // |r| < 0.347
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  const double y = 1.0 + (high - (low - r * r * p));
  // Twice, since 2^k alone may lie outside the range of a double.
  const std::int64_t exponent = static_cast<std::int64_t>(k);
  const std::int64_t half = exponent / 2;
  return y * power_of_two(half) * power_of_two(exponent - half);
}

double log_gamma(double x) {
  double product = 1.0;
  for (; x < stirling_shape_min; x += 1.0) product *= x;
  const double stirling = (x - 0.5) * log(x) - x + half_log_two_pi + stirling_correction(x);
  return stirling - log(product);
}

double normal_pdf(double x) {
  // x = high + low with high^2 exact, so that the rounding of x^2 is not magnified (Cody 1969).
  const double size = abs(x);
  if (size > 39.0) return 0.0;
  const double high = rint(size * 16.0) * 0.0625;
  const double rest = (size - high) * (size + high);
  return inverse_sqrt_two_pi * exp(-0.5 * high * high) * exp(-0.5 * rest);
}

double normal_cdf(double x) {
  const double size = abs(x);
  if (size <= 2.5) {
    // x + x^3/3 + x^5/(3 5) + ...
    double sum = x, term = x;
    for (double n = 3.0; abs(term) > epsilon * abs(sum); n += 2.0) {
      term *= x * x / n;
      sum += term;
    }
    return 0.5 + normal_pdf(x) * sum;
  }
  if (size > 39.0) return x < 0.0 ? 0.0 : 1.0;
  // Mills' ratio 1/(x + 1/(x + 2/(x + ...))): 60 terms reach 2^-53 at 2.5.
  double fraction = size;
  for (double n = 60.0; n > 0.0; n -= 1.0) fraction = size + n / fraction;
  const double tail = normal_pdf(x) / fraction;
  return x < 0.0 ? tail : 1.0 - tail;
}

double otm_value(double f, double k, double log_moneyness, double v) {
  const double distance = abs(log_moneyness) / v;
  const double lesser = f < k ? f : k, greater = f < k ? k : f;
  const double value =
      lesser * normal_cdf(v / 2 - distance) - greater * normal_cdf(-v / 2 - distance);
  return value > 0 ? value : 0;
}

ChiSquare::ChiSquare(double degrees_of_freedom) : shape_(0.5 * degrees_of_freedom) {
  SHORTFALL_ASSERT(degrees_of_freedom > 0.0 && degrees_of_freedom <= 1e6);
  log_scale_ = shape_ < stirling_shape_min ? log_gamma(shape_ + 1.0) : stirling_correction(shape_);
}

/// x^a e^-x / Gamma(a + 1). For large a through the deviance, whose error does not grow with a.
double ChiSquare::power_term(double x) const {
  if (shape_ < stirling_shape_min) return exp(shape_ * log(x) - x - log_scale_);
  return exp(-log_scale_ - deviance(shape_, x)) / sqrt(two_pi * shape_);
}

/// Q(a, x) = 1 - x^a/Gamma(a + 1) (1 - a x/((a + 1) 1!) - ...) for a < 1/1000 and x < 1, where
/// 1 - P would cancel (Gautschi 1979, "A computational procedure for incomplete gamma functions").
double ChiSquare::small_shape_upper(double x) const {
  const double a = shape_;
  // ln Gamma(1 + a) = -gamma a + zeta(2) a^2/2 - zeta(3) a^3/3 + zeta(4) a^4/4 (6.1.33).
  const double log_gamma_1p =
      a * (-euler_gamma + a * (zeta_2 / 2.0 + a * (-zeta_3 / 3.0 + a * (zeta_4 / 4.0))));
  const double t = a * log(x) - log_gamma_1p;  // |t| < 1/30 for x > 1e-14
  if (abs(t) > 0.03125) return 1.0 - exp(t);
  double exp_minus_1 = t, term = t;
  for (double n = 2.0; n < 11.0; n += 1.0) {
    term *= t / n;
    exp_minus_1 += term;
  }
  double sum = 0.0, power = 1.0;
  for (double n = 1.0; n < 20.0; n += 1.0) {
    power *= -x / n;
    sum += power / (a + n);
  }
  return -exp_minus_1 - (1.0 + exp_minus_1) * a * sum;
}

double ChiSquare::log_density(double w) const { return shape_ * power_term(0.5 * w); }

ChiSquare::Probabilities ChiSquare::at(double w) const {
  if (!(w > 0.0)) return {};
  const double x = 0.5 * w;
  const double scale = power_term(x);
  Probabilities result;
  if (x < shape_ + 1.0) {
    result.lower = scale * lower_series(shape_, x);
    result.upper = shape_ < 1e-3 && x < 1.0 ? small_shape_upper(x) : 1.0 - result.lower;
  } else {
    result.upper = scale * shape_ * upper_fraction(shape_, x);
    result.lower = 1.0 - result.upper;
  }
  return result;
}

double ChiSquare::quantile(Side side, double probability) const {
  // The median (Wilson and Hilferty 1931).
  const double nu = degrees_of_freedom();
  const double cube_root = 1.0 - 2.0 / (9.0 * nu);
  return quantile(side, probability, nu * cube_root * cube_root * cube_root);
}

double ChiSquare::quantile(Side side, double probability, double start) const {
  SHORTFALL_ASSERT(shape_ >= 1.0 && probability >= 0x1p-40 && probability <= 0.5 && start > 0.0);
  // Below, ln P is concave in ln w and nearly linear far out; above, ln Q is in w. Convergence is
  // quadratic: after a step below 1e-8 the error is rounding.
  double w = start;
  for (int iteration = 0; iteration < 100; ++iteration) {
    const Probabilities now = at(w);
    const double density = log_density(w);
    double step;
    if (side == Side::lower) {
      step = log(probability / now.lower) * now.lower / density;
      w *= exp(step);
    } else {
      step = log(now.upper / probability) * now.upper / density;
      w += w * step;
    }
    if (abs(step) < 1e-8) return w;
  }
  assertion_failed("the quantile converges", __FILE__, __LINE__);
}

}  // namespace shortfall::canonical
