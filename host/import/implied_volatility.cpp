#include "implied_volatility.hpp"

#include <algorithm>
#include <boost/math/tools/toms748_solve.hpp>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace shortfall::exchange {
namespace {

constexpr double volatility_min = 0.01, volatility_max = 10;

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

/// What an option is worth at no volatility, over the forward.
double intrinsic_premium(const RelativeOption& option) {
  return std::max(0.0, option.is_call ? 1 - option.strike : option.strike - 1);
}

/// Of the call above the forward, of the put below it.
double otm_premium(double strike, double total_volatility) {
  const double d1 = -std::log(strike) / total_volatility + 0.5 * total_volatility;
  const double d2 = d1 - total_volatility;
  const double value = strike >= 1 ? normal_cdf(d1) - strike * normal_cdf(d2)
                                   : strike * normal_cdf(-d2) - normal_cdf(-d1);
  return std::max(0.0, value);
}

}  // namespace

double black_premium(const RelativeOption& option, double volatility) {
  return intrinsic_premium(option) +
         otm_premium(option.strike, volatility * std::sqrt(option.years));
}

double black_vega(const RelativeOption& option, double volatility) {
  const double root = std::sqrt(option.years);
  const double d1 = -std::log(option.strike) / (volatility * root) + 0.5 * volatility * root;
  return root * std::exp(-0.5 * d1 * d1) / std::sqrt(2 * std::numbers::pi);
}

std::optional<double> implied_volatility(const RelativeOption& option, double premium) {
  constexpr double least_premium = 1e-300;  // what has no logarithm is far below any premium
  constexpr int all_bits = 53;
  constexpr std::uintmax_t evaluation_count_max = 500;
  const double target = premium - intrinsic_premium(option);
  if (!(target > 0)) return std::nullopt;
  const double root = std::sqrt(option.years);
  const auto excess = [&](double total_volatility) {
    const double value = otm_premium(option.strike, total_volatility);
    return std::log(std::max(least_premium, value) / target);
  };
  const double low = volatility_min * root, high = volatility_max * root;
  const double excess_low = excess(low), excess_high = excess(high);
  if (!(excess_low <= 0 && excess_high >= 0)) return std::nullopt;
  std::uintmax_t evaluation_count = evaluation_count_max;
  const auto [left, right] = boost::math::tools::toms748_solve(
      excess, low, high, excess_low, excess_high,
      boost::math::tools::eps_tolerance<double>(all_bits), evaluation_count);
  return std::clamp(0.5 * (left + right) / root, volatility_min, volatility_max);
}

}  // namespace shortfall::exchange
