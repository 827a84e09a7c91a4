// Vectors for the aggregation, where registers must be blocked by hand. Everything else in the
// loops is plain code that the compiler vectorises. Operations are IEEE and the same on every
// width.
#pragma once

#include <cstdint>

#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#endif

#include "shortfall/core/portable.hpp"

namespace shortfall::simd {

#define SHORTFALL_SIMD [[gnu::always_inline]] static inline

#if defined(__AVX512F__)

using Floats = __m512;
using Doubles = __m512d;
using Mask = __mmask16;
SHORTFALL_SIMD Floats load(const float* p) { return _mm512_loadu_ps(p); }
SHORTFALL_SIMD void store(float* p, Floats a) { _mm512_storeu_ps(p, a); }
SHORTFALL_SIMD Floats broadcast(float a) { return _mm512_set1_ps(a); }
SHORTFALL_SIMD Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
SHORTFALL_SIMD Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
SHORTFALL_SIMD Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
/// All lanes or none.
SHORTFALL_SIMD Mask all_if(std::uint32_t flag) { return static_cast<Mask>(0u - flag); }
SHORTFALL_SIMD Floats add_if(Mask m, Floats a, Floats b) { return _mm512_mask_add_ps(a, m, a, b); }
SHORTFALL_SIMD Floats keep_if(Mask m, Floats a) { return _mm512_maskz_mov_ps(m, a); }
/// Bit per lane: !(a < b), so a NaN sets it.
SHORTFALL_SIMD std::uint64_t not_less(Floats a, Floats b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ);
}
SHORTFALL_SIMD Doubles load(const double* p) { return _mm512_loadu_pd(p); }
SHORTFALL_SIMD void store(double* p, Doubles a) { _mm512_storeu_pd(p, a); }
SHORTFALL_SIMD Doubles broadcast(double a) { return _mm512_set1_pd(a); }
SHORTFALL_SIMD Doubles add(Doubles a, Doubles b) { return _mm512_add_pd(a, b); }
SHORTFALL_SIMD Doubles multiply(Doubles a, Doubles b) { return _mm512_mul_pd(a, b); }
/// Only for products and sums that are exact: fused or not is the same.
SHORTFALL_SIMD Doubles multiply_add_exact(Doubles a, Doubles b, Doubles c) {
  return _mm512_fmadd_pd(a, b, c);
}

#elif defined(__AVX2__) && defined(__FMA__)

using Floats = __m256;
using Doubles = __m256d;
using Mask = __m256;
SHORTFALL_SIMD Floats load(const float* p) { return _mm256_loadu_ps(p); }
SHORTFALL_SIMD void store(float* p, Floats a) { _mm256_storeu_ps(p, a); }
SHORTFALL_SIMD Floats broadcast(float a) { return _mm256_set1_ps(a); }
SHORTFALL_SIMD Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
SHORTFALL_SIMD Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
SHORTFALL_SIMD Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
SHORTFALL_SIMD Mask all_if(std::uint32_t flag) {
  return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0u - flag)));
}
SHORTFALL_SIMD Floats add_if(Mask m, Floats a, Floats b) {
  return _mm256_blendv_ps(a, _mm256_add_ps(a, b), m);
}
SHORTFALL_SIMD Floats keep_if(Mask m, Floats a) { return _mm256_and_ps(m, a); }
SHORTFALL_SIMD std::uint64_t not_less(Floats a, Floats b) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ)));
}
SHORTFALL_SIMD Doubles load(const double* p) { return _mm256_loadu_pd(p); }
SHORTFALL_SIMD void store(double* p, Doubles a) { _mm256_storeu_pd(p, a); }
SHORTFALL_SIMD Doubles broadcast(double a) { return _mm256_set1_pd(a); }
SHORTFALL_SIMD Doubles add(Doubles a, Doubles b) { return _mm256_add_pd(a, b); }
SHORTFALL_SIMD Doubles multiply(Doubles a, Doubles b) { return _mm256_mul_pd(a, b); }
SHORTFALL_SIMD Doubles multiply_add_exact(Doubles a, Doubles b, Doubles c) {
  return _mm256_fmadd_pd(a, b, c);
}

#else

// Four plain lanes: the baseline of x86-64, and any other processor.
struct Floats {
  float lane[4];
};
struct Doubles {
  double lane[2];
};
using Mask = std::uint32_t;
SHORTFALL_SIMD Floats load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
SHORTFALL_SIMD void store(float* p, Floats a) {
  for (int i = 0; i < 4; ++i) p[i] = a.lane[i];
}
SHORTFALL_SIMD Floats broadcast(float a) { return {{a, a, a, a}}; }
SHORTFALL_SIMD Floats fma(Floats a, Floats b, Floats c) {
  Floats r;
  for (int i = 0; i < 4; ++i) r.lane[i] = core::fma(a.lane[i], b.lane[i], c.lane[i]);
  return r;
}
SHORTFALL_SIMD Floats add(Floats a, Floats b) {
  Floats r;
  for (int i = 0; i < 4; ++i) r.lane[i] = a.lane[i] + b.lane[i];
  return r;
}
SHORTFALL_SIMD Floats subtract(Floats a, Floats b) {
  Floats r;
  for (int i = 0; i < 4; ++i) r.lane[i] = a.lane[i] - b.lane[i];
  return r;
}
SHORTFALL_SIMD Mask all_if(std::uint32_t flag) { return flag; }
SHORTFALL_SIMD Floats add_if(Mask m, Floats a, Floats b) { return m ? add(a, b) : a; }
SHORTFALL_SIMD Floats keep_if(Mask m, Floats a) { return m ? a : broadcast(0.0f); }
SHORTFALL_SIMD std::uint64_t not_less(Floats a, Floats b) {
  std::uint64_t mask = 0;
  for (int i = 0; i < 4; ++i) mask |= static_cast<std::uint64_t>(!(a.lane[i] < b.lane[i])) << i;
  return mask;
}
SHORTFALL_SIMD Doubles load(const double* p) { return {{p[0], p[1]}}; }
SHORTFALL_SIMD void store(double* p, Doubles a) {
  p[0] = a.lane[0];
  p[1] = a.lane[1];
}
SHORTFALL_SIMD Doubles broadcast(double a) { return {{a, a}}; }
SHORTFALL_SIMD Doubles add(Doubles a, Doubles b) {
  return {{a.lane[0] + b.lane[0], a.lane[1] + b.lane[1]}};
}
SHORTFALL_SIMD Doubles multiply(Doubles a, Doubles b) {
  return {{a.lane[0] * b.lane[0], a.lane[1] * b.lane[1]}};
}
SHORTFALL_SIMD Doubles multiply_add_exact(Doubles a, Doubles b, Doubles c) {
  return {{a.lane[0] * b.lane[0] + c.lane[0], a.lane[1] * b.lane[1] + c.lane[1]}};
}

#endif

inline constexpr int float_lanes = sizeof(Floats) / sizeof(float);
inline constexpr int double_lanes = sizeof(Doubles) / sizeof(double);

}  // namespace shortfall::simd
