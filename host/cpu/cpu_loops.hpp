// The loops of the CPU backend, compiled once per instruction set from one source (cpu_loops.cpp).
// A row is 64 consecutive paths; every array has 64 columns.
#pragma once

#include <cstdint>

#include "shortfall/core/plan_arrays.hpp"

namespace shortfall {

/// Groups that are summed together from one read of the tile: `dense_group_count` groups that hold
/// nearly every instrument of some blocks. Weights are [instrument][group], zero where not held.
inline constexpr std::uint32_t dense_group_count = 6;

struct DenseBundle {
  const std::uint32_t* instruments;  ///< ascending, with the bits of core::Holding
  const float* weights;              ///< instrument_count x dense_group_count
  std::uint32_t instrument_count;
};

/// Groups that hold several instruments of most blocks they touch are summed block by block: a
/// block's rows of values and the sums of `shared_group_count` groups fit in a first-level cache.
inline constexpr std::uint32_t shared_group_count = 64;

/// The sums of the groups' blocks, in order of block and then of how many holdings they have, so
/// that lengths repeat and are predicted.
struct SharedBundle {
  struct Run {
    std::uint32_t sum_count, holding_count;  ///< sums, and holdings of each
    std::uint32_t is_last_of_superblock;
  };
  const Run* runs;
  const std::uint32_t* slots;     ///< per sum: which group of the bundle
  const core::Holding* holdings;  ///< of the sums, one after the other, without tags
  std::uint32_t run_count, group_count;
};

struct CpuLoops {
  const char* name;

  /// Normals of the row that begins at first_path: factor_count rows (padded to a multiple of
  /// four), and the mixing factor of each path (1 under a Gaussian).
  void (*draw)(const core::PlanArrays& plan, std::uint64_t first_path, double* normals,
               double* mixing);
  /// The same for the 64 paths of a list.
  void (*draw_listed)(const core::PlanArrays& plan, const std::uint32_t* paths, double* normals,
                      double* mixing);
  /// factors = mixing * L normals + offset. The product is exact, so its order is free.
  void (*correlate)(const core::PlanArrays& plan, const double* normals, const double* mixing,
                    double* factors);
  /// The rows of the market state. Returns false where an entry is not finite or exceeds 2^80: then
  /// losses may be infinite and the caller looks at each.
  bool (*market_states)(const core::PlanArrays& plan, const double* factors, float* states);
  /// Change of value of every priced instrument.
  void (*revalue)(const core::PlanArrays& plan, const float* states, float* values);
  /// Losses of one group, which holds something, and the mask of paths for which !(loss <
  /// threshold).
  std::uint64_t (*aggregate)(const core::Holding* holdings, std::uint64_t holding_count,
                             const float* values, float threshold, float* losses);
  /// The same for a bundle of dense groups: losses and masks one after the other.
  void (*aggregate_dense)(const DenseBundle& bundle, const float* values, const float* thresholds,
                          float* losses, std::uint64_t* masks);
  /// And of groups that share blocks.
  void (*aggregate_shared)(const SharedBundle& bundle, const float* values, const float* thresholds,
                           float* losses, std::uint64_t* masks);
};

/// Null where this build or target has none.
const CpuLoops* cpu_loops_generic();
const CpuLoops* cpu_loops_avx2();
const CpuLoops* cpu_loops_avx512();

}  // namespace shortfall
