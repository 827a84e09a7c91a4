// Exponentials of the market state.
#pragma once

#include "shortfall/core/portable.hpp"

namespace shortfall::core {

/// e^y split as 2^n (1 + q): n in [-126, 127], |r| <= ln2 / 2. The reduction is in double so that
/// the relative error does not grow with |y|; q = r + r^2 P(r), P minimax of degree 4 (3.2e-9).
struct SplitExponential {
  float scale;  ///< 2^n
  float q;      ///< e^r - 1
};

SHORTFALL_CORE SplitExponential split_exponential(double y) {
  constexpr double shifter = 6755399441055744.0;  // 1.5 * 2^52: its low bits hold the integer
  const double bounded = clamp(y, -87.0, 88.0);
  const double shifted = bounded * 1.4426950408889634 + shifter;
  const float r = static_cast<float>(bounded - (shifted - shifter) * 0.6931471805599453);
  float p = 0.00139422214f;
  p = fma(p, r, 0.00836867839f);
  p = fma(p, r, 0.0416663848f);
  p = fma(p, r, 0.166665211f);
  p = fma(p, r, 0.5f);
  const std::uint32_t n = static_cast<std::uint32_t>(bit_cast<std::uint64_t>(shifted));
  return {bit_cast<float>((n + 127u) << 23), fma(r * r, p, r)};
}

/// e^y. Relative error <= 2e-7 for y in [-87, 88]; below 0, above +inf; NaN stays NaN.
SHORTFALL_CORE float exp_state(double y) {
  const SplitExponential e = split_exponential(y);
  const float value = fma(e.scale, e.q, e.scale);
  const float not_below = y < -87.0 ? 0.0f : value;
  return y > 88.0 ? bit_cast<float>(0x7f800000u) : not_below;
}

/// e^y - 1. Error <= 2e-7 max(|y|, e^y); below -87 it is -1, above 88 +inf; NaN stays NaN.
SHORTFALL_CORE float expm1_state(double y) {
  const SplitExponential e = split_exponential(y);
  const float value = fma(e.scale, e.q, e.scale - 1.0f);
  const float not_below = y < -87.0 ? -1.0f : value;
  return y > 88.0 ? bit_cast<float>(0x7f800000u) : not_below;
}

/// 2^t for t in [-125, 0]: 2^n 2^r, |r| <= 1/2, 2^r minimax of degree 5 (9.4e-8). Relative error
/// <= 2.5e-7.
SHORTFALL_CORE float exp2_nonpositive(float t) {
  constexpr float shifter = 12582912.0f;  // 1.5 * 2^23: its low bits hold the rounded integer
  const float shifted = t + shifter;
  const float r = t - (shifted - shifter);
  float p = 0.00132694189f;
  p = fma(p, r, 0.00967129506f);
  p = fma(p, r, 0.0555071123f);
  p = fma(p, r, 0.240222469f);
  p = fma(p, r, 0.693147004f);
  p = fma(p, r, 1.0f);
  return bit_cast<float>(bit_cast<std::uint32_t>(p) + (bit_cast<std::uint32_t>(shifted) << 23));
}

}  // namespace shortfall::core
