// Loops of the benchmarks that, like those of the CPU backend, are compiled once per instruction
// set from one source (loops.cpp), with the backend's own vectors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortfall::bench {

struct Loops {
  const char* name;
  std::uint32_t float_lanes, double_lanes;
  /// `steps` times fma_chains independent multiply-adds of a vector; returns the sum.
  float (*fma_float)(std::uint64_t steps);
  double (*fma_double)(std::uint64_t steps);
  /// Reads `count` floats, a multiple of 128, in order; returns their sum.
  float (*read)(const float* from, std::size_t count);
  /// Writes `count` floats, a multiple of 128, in order.
  void (*write)(float* to, std::size_t count, float value);
  /// Philox words of 64 paths: 4 * block_count rows of 64.
  void (*philox_words)(std::uint64_t seed, std::uint64_t first_path, std::uint32_t block_count,
                       std::uint32_t* words);
};

inline constexpr int fma_chains = 12;

/// Null where this build has none.
const Loops* loops_generic();
const Loops* loops_avx2();
const Loops* loops_avx512();

}  // namespace shortfall::bench
