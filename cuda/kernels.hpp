// The kernels, as the host launches them. A tile is `stride` paths wide, a multiple of 128; every
// array of a tile has rows of `stride`, one per factor, state, instrument or group.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "lists.hpp"
#include "shortfall/core/plan_arrays.hpp"
#include "shortfall/core/portable.hpp"

namespace shortfall::cuda {

inline constexpr std::uint32_t stride_unit = 128;

/// The paths of a tile: [first_path, first_path + path_count), computed up to a multiple of 128.
struct TilePaths {
  std::uint64_t first_path;
  std::uint32_t path_count;
  std::uint32_t stride;
};

SHORTFALL_CORE std::uint32_t padded_count(const TilePaths& paths) {
  return (paths.path_count + stride_unit - 1) / stride_unit * stride_unit;
}

/// normals: factor_count rows. mixing: one row, 1 under a Gaussian. `listed`: paths in place of
/// consecutive ones, as many as the padded tile has; or null.
void launch_draw(const core::PlanArrays& plan, const TilePaths& paths, const std::uint32_t* listed,
                 double* normals, double* mixing, cudaStream_t stream);
/// The moves of a history, 0 beyond its last path, with normals of 0 and mixing of 1.
void launch_history(const core::PlanArrays& plan, const TilePaths& paths,
                    const std::uint32_t* listed, double* normals, double* mixing, double* factors,
                    cudaStream_t stream);
/// factors = factors * mixing + offset.
void launch_mix(const core::PlanArrays& plan, const TilePaths& paths, const double* mixing,
                double* factors, cudaStream_t stream);
void launch_market_states(const core::PlanArrays& plan, const TilePaths& paths,
                          const double* factors, float* states, cudaStream_t stream);
void launch_revalue(const core::PlanArrays& plan, const TilePaths& paths, const float* states,
                    float* values, cudaStream_t stream);

/// The candidates for each group's tail. Keys are core::tail_key's.
struct TailBuffers {
  unsigned long long* keys;      ///< group-major, `capacity` each
  unsigned long long* count;     ///< taken so far; above `capacity` the rest was dropped
  unsigned long long* floor;     ///< a key below it is not taken
  unsigned long long* dropped;   ///< no key that was dropped and might be needed reaches this
  unsigned long long* bad_path;  ///< one: the lowest path with a loss that is not finite, or ~0
  std::uint64_t capacity, keep_count;
};

struct AggregateArguments {
  const float* values;
  TilePaths paths;
  const Slab* slabs;
  const HoldingPair* pairs;
  const std::uint32_t* begin;
  const std::uint32_t* groups;
  std::uint32_t slab_count, group_count;
  float* carry;  ///< sums between slabs: per block of threads, group and path 3; unused if one slab
  float* losses;  ///< every loss of the tile, a row per group of the plan; null but for a trace
  TailBuffers tails;
};

struct AggregateShape {
  std::uint32_t lane_path_count;  ///< 1, 2 or 4
  std::uint32_t thread_count, block_count;
  std::uint32_t shared_bytes;  ///< of the longest slab; 0: values are read from the tile
};

/// Lets the kernel use as much shared memory as the device has. Once per device and shape.
void prepare_aggregate(const AggregateShape& shape);
void launch_aggregate(const AggregateArguments& arguments, const AggregateShape& shape,
                      cudaStream_t stream);

struct DenseArguments {
  const float* values;
  TilePaths paths;
  const DenseLists::Bundle* bundles;
  const std::uint32_t* instruments;
  const float* weights;
  std::uint32_t bundle_count;
  float* losses;
  TailBuffers tails;
};
void launch_aggregate_dense(const DenseArguments& arguments, cudaStream_t stream);

/// Makes room: drops what cannot be among the `keep_count` worst of all paths. With rank > 0 also
/// what is below the rank-th worst so far, of which `dropped` keeps record. One block per group of
/// `groups` (null: all `group_count`).
void launch_compact(const TailBuffers& tails, const std::uint32_t* groups,
                    std::uint32_t group_count, std::uint64_t rank, bool is_always,
                    cudaStream_t stream);
/// Leaves the `keep_count` worst at the front of each group's keys, the least of them last, and
/// writes 1 to is_missing[i] where not all of them are there.
void launch_select(const TailBuffers& tails, const std::uint32_t* groups, std::uint32_t group_count,
                   std::uint32_t* is_missing, cudaStream_t stream);
/// Empties groups for another pass over the paths; what is kept bounds what is needed.
void launch_restart(const TailBuffers& tails, const std::uint32_t* groups,
                    std::uint32_t group_count, cudaStream_t stream);
/// How many of the flags are set (Thrust); `scratch` is at least count_scratch_bytes.
inline constexpr std::size_t count_scratch_bytes = std::size_t{1} << 20;
std::uint64_t count_missing(const std::uint32_t* is_missing, std::uint32_t group_count,
                            void* scratch, cudaStream_t stream);

}  // namespace shortfall::cuda
