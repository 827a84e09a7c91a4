// Standard normals from uniform words.
#pragma once

#include "shortfall/core/portable.hpp"

namespace shortfall::core {

/// ln(u) for a normal float u in (0, 1]. Absolute error <= 1.2e-7 max(1, |ln u|).
/// u = 2^n (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), ln(1 + f) = f + f^2 P(f), P minimax of
/// degree 6 (3.7e-8).
SHORTFALL_CORE float log_unit(float u) {
  constexpr std::uint32_t sqrt_half_bits = 0x3f3504f3u;
  const std::uint32_t bits = bit_cast<std::uint32_t>(u) - sqrt_half_bits;
  const float n = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
  const float f = bit_cast<float>((bits & 0x007fffffu) + sqrt_half_bits) - 1.0f;
  float p = -0.100353405f;
  p = fma(p, f, 0.163359389f);
  p = fma(p, f, -0.173258826f);
  p = fma(p, f, 0.198882401f);
  p = fma(p, f, -0.24961473f);
  p = fma(p, f, 0.333352625f);
  p = fma(p, f, -0.500005841f);
  return fma(n, 0.693147181f, fma(f * f, p, f));
}

/// The standard normal of a word: inverse normal CDF of u = (word + 1/2) 2^-32, rounded to a
/// multiple of 2^-20; for word >= 2^31 minus the normal of its bitwise complement, so that the
/// normals are symmetric and both tails keep relative precision. Range +-6.34, never clipped. With
/// t = sqrt(-2 ln u), -z = R(t), R rational of degrees 4 and 3 fitted on t in [1.177, 6.80]
/// (4.6e-8). In float the absolute error is <= 1.7e-6 before that rounding (in the tails about
/// 4e-7 |z|) and <= 2.2e-6 after it.
SHORTFALL_CORE float normal_from_word(std::uint32_t word) {
  const std::uint32_t upper = static_cast<std::uint32_t>(static_cast<std::int32_t>(word) >> 31);
  const std::int32_t v = static_cast<std::int32_t>(word ^ upper);
  const float u = (static_cast<float>(v) + 0.5f) * 2.3283064365386963e-10f;
  const float t_squared = -2.0f * log_unit(u);
#if defined(__CUDA_ARCH__)
  const float t = __fsqrt_rn(t_squared);
#else
  const float t = __builtin_sqrtf(t_squared);
#endif
  float numerator = 0.494397581f;
  numerator = fma(numerator, t, 4.10899401f);
  numerator = fma(numerator, t, 3.35695505f);
  numerator = fma(numerator, t, -7.73720217f);
  numerator = fma(numerator, t, -3.20085883f);
  float denominator = 0.4941006f;
  denominator = fma(denominator, t, 4.13070869f);
  denominator = fma(denominator, t, 5.3921113f);
  denominator = fma(denominator, t, 1.0f);
  // Floats in [8, 16) are the multiples of 2^-20; the sum lies there.
  const float size = (numerator / denominator + 8.0f) - 8.0f;
  const std::uint32_t sign = ~upper & 0x80000000u;
  return bit_cast<float>(bit_cast<std::uint32_t>(size) ^ sign);
}

/// No normal is larger: |z| of word 0 is 6.337957...
inline constexpr double normal_max = 6.34;

}  // namespace shortfall::core
