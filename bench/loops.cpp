// Compiled once per instruction set with SHORTFALL_ISA naming it.
#include "loops.hpp"

#include "cpu/simd.hpp"
#include "shortfall/core/philox.hpp"

#define SHORTFALL_PASTE_(a, b) a##b
#define SHORTFALL_PASTE(a, b) SHORTFALL_PASTE_(a, b)
#define SHORTFALL_QUOTE_(a) #a
#define SHORTFALL_QUOTE(a) SHORTFALL_QUOTE_(a)

namespace shortfall::bench {
namespace {

float fma_float(std::uint64_t steps) {
  // The fixed point of x = 0.75 x + 0.25 is 1: nothing overflows, nothing is denormal.
  const simd::Floats a = simd::broadcast(0.75f), b = simd::broadcast(0.25f);
  simd::Floats x[fma_chains];
#pragma GCC unroll 16
  for (int i = 0; i < fma_chains; ++i) x[i] = simd::broadcast(static_cast<float>(i));
  for (std::uint64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < fma_chains; ++i) x[i] = simd::fma(x[i], a, b);
  }
  float lanes[simd::float_lanes], sum = 0;
#pragma GCC unroll 16
  for (int i = 0; i < fma_chains; ++i) {
    simd::store(lanes, x[i]);
    sum += lanes[0];
  }
  return sum;
}

double fma_double(std::uint64_t steps) {
  const simd::Doubles a = simd::broadcast(0.75), b = simd::broadcast(0.25);
  simd::Doubles x[fma_chains];
#pragma GCC unroll 16
  for (int i = 0; i < fma_chains; ++i) x[i] = simd::broadcast(static_cast<double>(i));
  for (std::uint64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < fma_chains; ++i) x[i] = simd::multiply_add_exact(x[i], a, b);
  }
  double lanes[simd::double_lanes], sum = 0;
#pragma GCC unroll 16
  for (int i = 0; i < fma_chains; ++i) {
    simd::store(lanes, x[i]);
    sum += lanes[0];
  }
  return sum;
}

float read(const float* from, std::size_t count) {
  constexpr int vectors = 8;
  simd::Floats sum[vectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) sum[v] = simd::broadcast(0.0f);
  for (std::size_t at = 0; at < count; at += vectors * simd::float_lanes) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
      sum[v] = simd::add(sum[v], simd::load(from + at + v * simd::float_lanes));
  }
  float lanes[simd::float_lanes], total = 0;
  for (int v = 0; v < vectors; ++v) {
    simd::store(lanes, sum[v]);
    for (const float lane : lanes) total += lane;
  }
  return total;
}

void write(float* to, std::size_t count, float value) {
  constexpr int vectors = 8;
  const simd::Floats all = simd::broadcast(value);
  for (std::size_t at = 0; at < count; at += vectors * simd::float_lanes) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) simd::store(to + at + v * simd::float_lanes, all);
  }
}

void philox_words(std::uint64_t seed, std::uint64_t first_path, std::uint32_t block_count,
                  std::uint32_t* words) {
  constexpr int row = 64;
  for (std::uint32_t block = 0; block < block_count; ++block) {
    std::uint32_t* out = words + static_cast<std::size_t>(block) * 4 * row;
#pragma GCC ivdep
    for (int p = 0; p < row; ++p) {
      const std::uint64_t path = first_path + static_cast<std::uint64_t>(p);
      const core::PhiloxWords four = core::philox4x32(
          seed, block, 0, static_cast<std::uint32_t>(path), static_cast<std::uint32_t>(path >> 32));
      for (int w = 0; w < 4; ++w) out[p + w * row] = four.word[w];
    }
  }
}

constexpr Loops loops = {SHORTFALL_QUOTE(SHORTFALL_ISA),
                         simd::float_lanes,
                         simd::double_lanes,
                         fma_float,
                         fma_double,
                         read,
                         write,
                         philox_words};

}  // namespace

const Loops* SHORTFALL_PASTE(loops_, SHORTFALL_ISA)() { return &loops; }

}  // namespace shortfall::bench
