// Black (1976) for the out-of-the-money side, in float, without a table or a branch.
#pragma once

#include "shortfall/core/elementary.hpp"
#include "shortfall/core/portable.hpp"

namespace shortfall::core {

/// Mills ratio (1 - N(x)) / n(x) divided by sqrt(2 pi), as a polynomial in s = 1 / (1 + 0.28 x),
/// x >= 0 (the form of Abramowitz and Stegun 26.2.17 with an own minimax fit of degree 6). The
/// normal CDF that it gives has an absolute error <= 1.2e-8 by the fit, <= 1.2e-7 in float.
SHORTFALL_CORE float scaled_mills_ratio(float s) {
  float p = -0.105808102f;
  p = fma(p, s, 0.389873445f);
  p = fma(p, s, -0.236992568f);
  p = fma(p, s, 0.268909425f);
  p = fma(p, s, 0.0674970672f);
  p = fma(p, s, 0.116520725f);
  return p * s;
}

/// Undiscounted value of the out-of-the-money option (the call where F < K, else the put):
///   min(F, K) N(y1) - max(F, K) N(y2),  y1,2 = -|ln(F/K)| / v +- v / 2,
/// from Black (1976), equation 16, where v = sigma sqrt(T) > 0. Since min n(y1) = max n(y2), one
/// exponential and two Mills ratios M give n(y1) min (M(-y1) - M(-y2)), and the two share a
/// division. `log_moneyness` is ln(F/K), passed apart because it is known without a logarithm.
/// Units are those of F and K. The absolute error is <= 5e-7 F where |ln(F/K)| <= 3 and <= 1.5e-6 F
/// anywhere (most near v = 3.8, K/F = 1300). NaN in the last two arguments gives NaN.
SHORTFALL_CORE float otm_value(float forward, float strike, float log_moneyness,
                               float total_volatility) {
  constexpr float mills_scale = 0.28f;
  const float half = 0.5f * total_volatility;
  const float distance = abs(log_moneyness) / total_volatility;
  const float y1 = half - distance;
  const float minus_y2 = half + distance;
  const float d1 = fma(mills_scale, abs(y1), 1.0f);
  const float d2 = fma(mills_scale, minus_y2, 1.0f);
  const float reciprocal = 1.0f / (d1 * d2);
  const float m1 = scaled_mills_ratio(reciprocal * d2);
  const float m2 = scaled_mills_ratio(reciprocal * d1);
  // Below -13 the density is under 1e-37 and the value with it; the exponent stays in range.
  const float bounded = min(13.0f, abs(y1));
  const float density = exp2_nonpositive(bounded * bounded * -0.721347520f);
  const float lesser = min(forward, strike);
  const float scaled_density = lesser * density;
  // N(y1) is M(-y1) n(y1) below zero and 1 - M(y1) n(y1) above.
  const float signed_m1 = y1 > 0.0f ? -m1 : m1;
  const float whole = y1 > 0.0f ? lesser : 0.0f;
  return fma(scaled_density, signed_m1 - m2, whole);
}

}  // namespace shortfall::core
