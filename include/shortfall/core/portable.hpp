// The arithmetic that is the same on every machine: IEEE add, multiply, divide and square root as
// the language gives them, and here the few operations that a compiler or a libm may do in more
// than one way. Callable from host and device; includes nothing but standard headers.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__FAST_MATH__)
#error "the core needs IEEE arithmetic: build without -ffast-math"
#endif

#if defined(__CUDACC__)
#define SHORTFALL_CORE __host__ __device__ __forceinline__
#else
// static and always inlined: an object compiled for one instruction set must not export an
// instantiation that the linker could merge into another's.
#define SHORTFALL_CORE [[gnu::always_inline]] static inline
#endif

namespace shortfall::core {

template <class To, class From>
SHORTFALL_CORE To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

/// a * b + c rounded once (IEEE 754 fusedMultiplyAdd), in hardware where there is one.
/// Otherwise: the product of two floats is exact in double; the sum is rounded to odd, after which
/// rounding to float is the single correct rounding (Boldo and Melquiond 2008, "Emulation of FMA
/// and correctly rounded sums: proved algorithms using rounding to odd", theorem 3: 53 >= 24 + 2
/// bits).
SHORTFALL_CORE float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#elif defined(__FP_FAST_FMAF)
  return __builtin_fmaf(a, b, c);
#else
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  const double sum = product + addend;
  // TwoSum (Knuth): the exact error of the sum; NaN where the sum is not finite.
  const double addend_part = sum - product;
  const double error = (product - (sum - addend_part)) + (addend - addend_part);
  const std::uint64_t bits = bit_cast<std::uint64_t>(sum);
  // Where inexact, an even last bit moves one unit towards the exact value and becomes odd. Written
  // on the bits of doubles so that compilers vectorise it for the baseline of x86-64.
  const std::uint64_t opposite = 0 - ((bits ^ bit_cast<std::uint64_t>(error)) >> 63);
  const double is_inexact = error < 0.0 ? 1.0 : (error > 0.0 ? 1.0 : 0.0);
  const std::uint64_t step = (bit_cast<std::uint64_t>(is_inexact) >> 52) & ~bits & 1;
  return static_cast<float>(bit_cast<double>(bits + ((step ^ opposite) - opposite)));
#endif
}

/// Written selects: NaN in `value` passes through.
template <class T>
SHORTFALL_CORE T clamp(T value, T low, T high) {
  const T raised = value < low ? low : value;
  return raised > high ? high : raised;
}

/// The greater, or `b` when either is NaN.
template <class T>
SHORTFALL_CORE T max(T a, T b) {
  return a > b ? a : b;
}

/// The lesser, or `b` when either is NaN.
template <class T>
SHORTFALL_CORE T min(T a, T b) {
  return a < b ? a : b;
}

SHORTFALL_CORE float abs(float value) {
  return bit_cast<float>(bit_cast<std::uint32_t>(value) & 0x7fffffffu);
}

}  // namespace shortfall::core
