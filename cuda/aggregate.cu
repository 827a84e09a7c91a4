// Account sums and the filter of their losses: the kernel that matters.
//
// Per position and path: one fused multiply-add, and 4 bytes of an instrument's value from shared
// memory; per position and warp 8 bytes of list, read as 16 for two. With L paths per thread a
// position costs a warp 5 + 3 L instructions (multiply-add; select and addition where a block ends)
// and 1/2 + L wavefronts of the memory pipe (128 bytes each) for 32 L position-paths. At L = 2 both
// take about the same time, and one of them is the bound. Between slabs 4 to 12 bytes per group and
// path go to the carry, which is memory, and come back.
#include <algorithm>
#include <cfloat>

#include "checked.hpp"
#include "kernels.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall::cuda {
namespace {

constexpr std::uint32_t all_lanes = 0xffffffffu;

/// The order of additions is the contract's (core/plan_arrays.hpp): a chain of fma within a block,
/// blocks added to their superblock, superblocks by TwoSum. Adding zero changes nothing; the first
/// superblock added to zero loses nothing.
template <int paths>
struct Sums {
  float block[paths], superblock[paths], sum[paths], lost[paths];
};

template <int paths>
__device__ __forceinline__ void clear(Sums<paths>& sums) {
#pragma unroll
  for (int v = 0; v < paths; ++v)
    sums.block[v] = sums.superblock[v] = sums.sum[v] = sums.lost[v] = 0.0f;
}

template <int paths>
__device__ __forceinline__ void end_superblock(Sums<paths>& sums) {
#pragma unroll
  for (int v = 0; v < paths; ++v) {
    const float part = sums.superblock[v];
    const float total = sums.sum[v] + part;
    const float added = total - sums.sum[v];
    sums.lost[v] = sums.lost[v] + ((sums.sum[v] - (total - added)) + (part - added));
    sums.sum[v] = total;
    sums.superblock[v] = 0.0f;
  }
}

/// Selected, not branched to: lists have no pattern, and a branch costs more than the additions.
template <int paths>
__device__ __forceinline__ void end_block_if(Sums<paths>& sums, bool is_last) {
#pragma unroll
  for (int v = 0; v < paths; ++v) {
    sums.superblock[v] = is_last ? sums.superblock[v] + sums.block[v] : sums.superblock[v];
    sums.block[v] = is_last ? 0.0f : sums.block[v];
  }
}

template <int paths>
struct Values {
  float of[paths];
};

/// Consecutive paths, aligned to their size.
template <int paths>
__device__ __forceinline__ Values<paths> load(const float* from) {
  if constexpr (paths == 4) {
    const float4 four = *reinterpret_cast<const float4*>(from);
    return {{four.x, four.y, four.z, four.w}};
  } else if constexpr (paths == 2) {
    const float2 two = *reinterpret_cast<const float2*>(from);
    return {{two.x, two.y}};
  } else {
    return {{*from}};
  }
}

template <int paths>
__device__ __forceinline__ void store(float* to, const float (&values)[paths]) {
  if constexpr (paths == 4)
    *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
  else if constexpr (paths == 2)
    *reinterpret_cast<float2*>(to) = make_float2(values[0], values[1]);
  else
    *to = values[0];
}

/// Where a warp finds the values of its paths: a slab in shared memory, whose rows a holding names
/// by their offset.
template <int paths>
struct SlabValues {
  static constexpr std::uint32_t batch =
      paths == 4 ? 3 : 4;  ///< pairs whose loads are under way together, as registers allow
  const char* begin;
  std::uint32_t lane_bytes;  ///< within a row
  __device__ __forceinline__ Values<paths> of(const ListedHolding& holding) const {
    const std::uint32_t offset = (holding.place & ListedHolding::offset_mask) | lane_bytes;
    return load<paths>(reinterpret_cast<const float*>(begin + offset));
  }
};

/// Or the tile itself, through the caches; offsets count rows of 128.
template <int paths>
struct TileValues {
  static constexpr std::uint32_t batch = 2;  // addresses of four would not fit in the registers
  const float* begin;                        ///< the lane's first path in the slab's first row
  std::size_t stride;
  __device__ __forceinline__ Values<paths> of(const ListedHolding& holding) const {
    return load<paths>(begin + (holding.place & ListedHolding::offset_mask) / 128 * stride);
  }
};

template <int paths, class Source>
__device__ __forceinline__ void add_holding(Sums<paths>& sums, const ListedHolding& holding,
                                            const Source& values) {
  const Values<paths> x = values.of(holding);
#pragma unroll
  for (int v = 0; v < paths; ++v) sums.block[v] = core::fma(holding.weight, x.of[v], sums.block[v]);
  end_block_if(sums, static_cast<std::int32_t>(holding.place) < 0);
}

__device__ __forceinline__ bool is_finite(float loss) { return core::abs(loss) <= FLT_MAX; }

/// One candidate per lane that has one; lanes of a warp, which share the group, come together.
__device__ __forceinline__ void offer(const TailBuffers& tails, std::uint32_t group,
                                      bool is_candidate, unsigned long long key) {
  const std::uint32_t takers = __ballot_sync(all_lanes, is_candidate);
  if (takers == 0) return;
  const std::uint32_t lane = threadIdx.x % 32;
  const int leader = __ffs(static_cast<int>(takers)) - 1;
  unsigned long long place = 0;
  if (static_cast<int>(lane) == leader)
    place = atomicAdd(tails.count + group, static_cast<unsigned long long>(__popc(takers)));
  place = __shfl_sync(all_lanes, place, leader) +
          static_cast<unsigned long long>(__popc(takers & ((1u << lane) - 1u)));
  if (!is_candidate) return;
  if (place < tails.capacity)
    tails.keys[group * tails.capacity + place] = key;
  else
    atomicMax(tails.dropped + group, key + 1);  // keys are far below 2^64 - 1
}

/// The losses of a warp's paths, which begin at column `column` of the tile.
template <int paths>
__device__ __forceinline__ void filter(const TailBuffers& tails, const TilePaths& tile,
                                       float* losses, std::uint32_t group, std::uint32_t column,
                                       const Sums<paths>& sums) {
  const unsigned long long floor = tails.floor[group];
  const float least = core::tail_loss(floor);
  float loss[paths];
#pragma unroll
  for (int v = 0; v < paths; ++v) loss[v] = 0.0f - (sums.sum[v] + sums.lost[v]);  // never -0
  if (losses) store(losses + std::size_t{group} * tile.stride + column, loss);
  // A floor of 0 has a NaN for a loss: nothing is less.
  bool is_plain = true;
#pragma unroll
  for (int v = 0; v < paths; ++v) is_plain = is_plain && loss[v] < least && loss[v] >= -FLT_MAX;
  if (__all_sync(all_lanes, is_plain)) return;
#pragma unroll
  for (int v = 0; v < paths; ++v) {
    const std::uint32_t p = column + static_cast<std::uint32_t>(v);
    const std::uint64_t path = tile.first_path + p;
    const bool is_valid = p < tile.path_count;
    bool is_candidate = is_valid && !(loss[v] < least);
    if (is_valid && !is_finite(loss[v])) {
      atomicMin(tails.bad_path, static_cast<unsigned long long>(path));
      is_candidate = false;
    }
    const unsigned long long key = core::tail_key(loss[v], static_cast<std::uint32_t>(path));
    offer(tails, group, is_candidate && key >= floor, key);
  }
}

/// A row of a slab per instrument, the paths of one column of the tile.
template <int paths>
__device__ __forceinline__ void load_slab(const AggregateArguments& arguments, const Slab& slab,
                                          std::uint32_t column, float* shared) {
  constexpr std::uint32_t width = 32 * paths, quads = width / 4;
  const std::uint32_t count = slab.instrument_count * quads;
  for (std::uint32_t i = threadIdx.x; i < count; i += blockDim.x) {
    const std::uint32_t row = i / quads, at = i % quads * 4;
    const std::size_t from =
        std::size_t{slab.first_instrument + row} * arguments.paths.stride + column + at;
    *reinterpret_cast<float4*>(shared + row * width + at) =
        *reinterpret_cast<const float4*>(arguments.values + from);
  }
}

/// Where a group's sums wait between slabs.
template <int paths>
__device__ __forceinline__ float* carry_of(const AggregateArguments& arguments, std::uint32_t g) {
  constexpr std::size_t width = 32 * paths;
  const std::size_t block = blockIdx.y * gridDim.x + blockIdx.x;
  return arguments.carry + (block * arguments.group_count + g) * 3 * width + threadIdx.x % 32;
}

/// A warp's row of the carry has the lanes' first paths, then their second ones: a vector of four
/// would tie the sums to registers that values need.
template <int paths>
__device__ __forceinline__ void take_up(Sums<paths>& sums, const float* carry, std::uint32_t rows) {
  constexpr std::size_t width = 32 * paths;
  const auto row = [&](std::size_t r, float(&to)[paths]) {
#pragma unroll
    for (int v = 0; v < paths; ++v) to[v] = carry[r * width + 32 * v];
  };
  if (rows > 0) row(0, sums.superblock);
  if (rows > 1) row(1, sums.sum);
  if (rows > 2) row(2, sums.lost);
}

template <int paths>
__device__ __forceinline__ void put_down(const Sums<paths>& sums, float* carry,
                                         std::uint32_t rows) {
  constexpr std::size_t width = 32 * paths;
  const auto row = [&](std::size_t r, const float(&from)[paths]) {
#pragma unroll
    for (int v = 0; v < paths; ++v) carry[r * width + 32 * v] = from[v];
  };
  row(0, sums.superblock);
  if (rows > 1) row(1, sums.sum);
  if (rows > 2) row(2, sums.lost);
}

/// One warp, one group, the paths of one column, the holdings of one slab.
template <int paths, class Source>
__device__ __forceinline__ void aggregate_group(const AggregateArguments& arguments,
                                                const Slab& slab, std::uint32_t rows_after,
                                                std::uint32_t g, std::uint32_t column,
                                                const Source& values) {
  Sums<paths> sums;
  clear(sums);
  take_up(sums, carry_of<paths>(arguments, g), carried_rows(slab));
  for (std::uint32_t part = slab.part_begin; part < slab.part_end; ++part) {
    const std::uint32_t* const begin =
        arguments.begin + std::size_t{part} * (arguments.group_count + 1) + g;
    const HoldingPair* pair = arguments.pairs + begin[0];
    std::uint32_t left = begin[1] - begin[0];
    constexpr std::uint32_t batch = Source::batch;
#pragma unroll 1
    for (; left >= batch; left -= batch, pair += batch) {
      HoldingPair now[batch];
#pragma unroll
      for (std::uint32_t i = 0; i < batch; ++i) now[i] = pair[i];
#pragma unroll
      for (std::uint32_t i = 0; i < batch; ++i) {
        add_holding(sums, now[i].first, values);
        add_holding(sums, now[i].second, values);
      }
    }
#pragma unroll 1
    for (; left > 0; --left, ++pair) {
      const HoldingPair now = *pair;
      add_holding(sums, now.first, values);
      add_holding(sums, now.second, values);
    }
    if (part + 1 < slab.part_end || slab.ends_superblock) end_superblock(sums);
  }
  if (rows_after == 0)
    filter(arguments.tails, arguments.paths, arguments.losses, arguments.groups[g], column, sums);
  else
    put_down(sums, carry_of<paths>(arguments, g), rows_after);
}

/// A block of threads takes a column of the tile, brings a slab of it to shared memory, and its
/// warps take their groups, the longest lists first; then the next slab. `is_shared` false reads
/// the tile itself through the caches, for comparison.
template <int paths, bool is_shared>
__global__ void __launch_bounds__(1024, 1) aggregate(AggregateArguments arguments) {
  extern __shared__ float4 slab_memory[];
  constexpr std::uint32_t width = 32 * paths;
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t warps = blockDim.x / 32 * gridDim.y;
  const std::uint32_t warp = blockDim.x / 32 * blockIdx.y + threadIdx.x / 32;
  const std::uint32_t columns = padded_count(arguments.paths) / width;
  for (std::uint32_t c = blockIdx.x; c < columns; c += gridDim.x) {
    const std::uint32_t column = c * width + lane * paths;
    for (std::uint32_t s = 0; s < arguments.slab_count; ++s) {
      const Slab slab = arguments.slabs[s];
      const std::uint32_t rows_after =
          s + 1 < arguments.slab_count ? carried_rows(arguments.slabs[s + 1]) : 0;
      if constexpr (is_shared) {
        __syncthreads();  // everyone is done with the slab before
        load_slab<paths>(arguments, slab, c * width, reinterpret_cast<float*>(slab_memory));
        __syncthreads();
        const SlabValues<paths> values{reinterpret_cast<const char*>(slab_memory),
                                       lane * paths * static_cast<std::uint32_t>(sizeof(float))};
        for (std::uint32_t g = warp; g < arguments.group_count; g += warps)
          aggregate_group<paths>(arguments, slab, rows_after, g, column, values);
      } else {
        const std::size_t stride = arguments.paths.stride;
        const TileValues<paths> values{arguments.values + slab.first_instrument * stride + column,
                                       stride};
        for (std::uint32_t g = warp; g < arguments.group_count; g += warps)
          aggregate_group<paths>(arguments, slab, rows_after, g, column, values);
      }
    }
  }
}

constexpr std::uint32_t dense_threads = 256;
constexpr int dense_paths = 2;

/// Groups that hold nearly everything: a warp sums a bundle of eight over 64 paths, so that a value
/// is read once for eight multiply-adds. Per bundle and instrument 16 multiply-adds per lane, 8
/// bytes of values and, for all lanes, 32 of weights: bound by the multiply-add pipe where a
/// block's warps find the column's values in the first-level cache.
__global__ void __launch_bounds__(dense_threads) aggregate_dense(DenseArguments arguments) {
  constexpr int groups = static_cast<int>(dense_group_count);
  const std::uint32_t lane = threadIdx.x % 32;
  const std::uint32_t b = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (b >= arguments.bundle_count) return;
  const std::uint32_t column = (blockIdx.y * 32 + lane) * dense_paths;
  const DenseLists::Bundle bundle = arguments.bundles[b];
  Sums<dense_paths> sums[groups];
#pragma unroll
  for (int g = 0; g < groups; ++g) clear(sums[g]);
  for (std::uint64_t i = bundle.begin; i < bundle.end; ++i) {
    const std::uint32_t tagged = arguments.instruments[i];
    const std::size_t row = tagged & core::Holding::index_mask;
    const Values<dense_paths> x =
        load<dense_paths>(arguments.values + row * arguments.paths.stride + column);
    const float4* const four =
        reinterpret_cast<const float4*>(arguments.weights + i * dense_group_count);
    const float4 low = four[0], high = four[1];
    const float weight[groups] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int g = 0; g < groups; ++g) {
#pragma unroll
      for (int v = 0; v < dense_paths; ++v)
        sums[g].block[v] = core::fma(weight[g], x.of[v], sums[g].block[v]);
    }
    if (!(tagged & core::Holding::last_of_block)) continue;
#pragma unroll
    for (int g = 0; g < groups; ++g) end_block_if(sums[g], true);
    if (!(tagged & core::Holding::last_of_superblock)) continue;
#pragma unroll
    for (int g = 0; g < groups; ++g) end_superblock(sums[g]);
  }
#pragma unroll
  for (int g = 0; g < groups; ++g)
    if (bundle.groups[g] != core::none)
      filter(arguments.tails, arguments.paths, arguments.losses, bundle.groups[g], column, sums[g]);
}

using Kernel = void (*)(AggregateArguments);

Kernel kernel_of(const AggregateShape& shape) {
  const bool is_shared = shape.shared_bytes > 0;
  switch (shape.lane_path_count) {
    case 1:
      return is_shared ? aggregate<1, true> : aggregate<1, false>;
    case 2:
      return is_shared ? aggregate<2, true> : aggregate<2, false>;
    default:
      return is_shared ? aggregate<4, true> : aggregate<4, false>;
  }
}

}  // namespace

void prepare_aggregate(const AggregateShape& shape) {
  call(CallKind::launch, "cudaFuncSetAttribute", "shared memory of the aggregation", [&] {
    return cudaFuncSetAttribute(kernel_of(shape), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                static_cast<int>(shape.shared_bytes));
  });
}

void launch_aggregate(const AggregateArguments& arguments, const AggregateShape& shape,
                      cudaStream_t stream) {
  if (arguments.group_count == 0) return;
  const std::uint32_t columns = padded_count(arguments.paths) / (32 * shape.lane_path_count);
  const std::uint32_t blocks = columns < shape.block_count ? columns : shape.block_count;
  // A short tile has few columns: several blocks then share the groups of each.
  const dim3 grid(blocks, shape.block_count / blocks);
  kernel_of(shape)<<<grid, shape.thread_count, shape.shared_bytes, stream>>>(arguments);
  check_launch("aggregate");
}

void launch_aggregate_dense(const DenseArguments& arguments, cudaStream_t stream) {
  if (arguments.bundle_count == 0) return;
  // No warp idles where bundles are few.
  const std::uint32_t warps = std::min(arguments.bundle_count, dense_threads / 32);
  const dim3 blocks((arguments.bundle_count + warps - 1) / warps,
                    padded_count(arguments.paths) / (32 * dense_paths));
  aggregate_dense<<<blocks, 32 * warps, 0, stream>>>(arguments);
  check_launch("aggregate_dense");
}

}  // namespace shortfall::cuda
