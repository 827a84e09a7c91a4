// Keeps and selects the worst paths of each group: a block of threads per group.
//
// Per candidate held: up to 8 passes over 8 bytes to find the least key to keep (most significant
// digit first, so a pass ends early where the digit is decided), one to move what is kept. Bound by
// memory; nothing of it happens for a group with room to spare.
#include <thrust/count.h>
#include <thrust/execution_policy.h>
#include <thrust/system_error.h>

#include <algorithm>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>

#include "checked.hpp"
#include "kernels.hpp"

namespace shortfall::cuda {
namespace {

using Key = unsigned long long;

constexpr int select_threads = 256;
constexpr int digit_bits = 8, digit_count = 1 << digit_bits;
static_assert(digit_count == select_threads, "a thread per digit");

using Scan = cub::BlockScan<std::uint32_t, select_threads>;

/// Shared by the threads of a block.
struct Scratch {
  Scan::TempStorage scan;
  std::uint32_t histogram[digit_count];  // 64-bit counts would be added in a loop
  Key prefix;
  std::uint32_t rank;
};

/// The rank-th greatest (1: the greatest) of `count` distinct keys, rank <= count. Digit by digit:
/// count the keys that begin like the answer by their next digit, and see where the rank falls.
__device__ Key select_greatest(const Key* keys, Key count, std::uint32_t rank, Scratch& scratch) {
  const int digit = threadIdx.x;
  Key prefix = 0;
  for (int shift = 64 - digit_bits; shift >= 0; shift -= digit_bits) {
    scratch.histogram[digit] = 0;
    __syncthreads();
    for (Key i = threadIdx.x; i < count; i += select_threads) {
      const Key key = keys[i];
      const bool is_like = shift + digit_bits == 64 || (key >> (shift + digit_bits)) == prefix;
      if (is_like) atomicAdd(&scratch.histogram[(key >> shift) % digit_count], 1u);
    }
    __syncthreads();
    // From the greatest digit down: how many keys have a greater one.
    const std::uint32_t own = scratch.histogram[digit_count - 1 - digit];
    std::uint32_t greater = 0;
    Scan(scratch.scan).ExclusiveSum(own, greater);
    if (greater < rank && rank <= greater + own) {
      scratch.prefix = prefix << digit_bits | static_cast<Key>(digit_count - 1 - digit);
      scratch.rank = rank - greater;
    }
    __syncthreads();
    prefix = scratch.prefix;
    rank = scratch.rank;
    __syncthreads();
  }
  return prefix;
}

/// Moves keys that are not below `floor` to the front and returns how many there are.
__device__ Key keep_from(Key* keys, Key count, Key floor, Scratch& scratch) {
  Key kept = 0;
  for (Key first = 0; first < count; first += select_threads) {
    const Key i = first + threadIdx.x;
    const Key key = i < count ? keys[i] : 0;
    const std::uint32_t is_kept = i < count && key >= floor ? 1u : 0u;
    std::uint32_t place = 0, total = 0;
    Scan(scratch.scan).ExclusiveSum(is_kept, place, total);  // a barrier: all have read
    if (is_kept) keys[kept + place] = key;
    kept += total;
    __syncthreads();
  }
  return kept;
}

__device__ __forceinline__ std::uint32_t group_of(const std::uint32_t* groups) {
  return groups ? groups[blockIdx.x] : blockIdx.x;
}

__device__ __forceinline__ Key held(const TailBuffers& tails, std::uint32_t group) {
  return min(tails.count[group], static_cast<Key>(tails.capacity));
}

__global__ void __launch_bounds__(select_threads)
    compact(TailBuffers tails, const std::uint32_t* groups, std::uint32_t rank, bool is_always) {
  __shared__ Scratch scratch;
  const std::uint32_t group = group_of(groups);
  Key* const keys = tails.keys + std::size_t{group} * tails.capacity;
  const Key count = held(tails, group), keep = tails.keep_count;
  Key floor = 0;
  bool is_exact = true;
  if (rank > 0 && rank < keep && count >= rank) {
    // All ties with the rank-th loss stay: an option that expires worthless gives most paths one.
    floor = select_greatest(keys, count, rank, scratch) & ~Key{0xffffffff};
    is_exact = false;
  } else if (count > keep && (is_always || count > keep + (tails.capacity - keep) / 2)) {
    floor = select_greatest(keys, count, static_cast<std::uint32_t>(keep), scratch);
  }
  const bool is_raised = floor > tails.floor[group];
  __syncthreads();  // all have read what thread 0 writes
  if (!is_raised) {
    if (threadIdx.x == 0) tails.count[group] = count;
    return;
  }
  const Key kept = keep_from(keys, count, floor, scratch);
  if (threadIdx.x != 0) return;
  tails.count[group] = kept;
  tails.floor[group] = floor;
  if (!is_exact) tails.dropped[group] = max(tails.dropped[group], floor);
}

__global__ void __launch_bounds__(select_threads)
    select(TailBuffers tails, const std::uint32_t* groups, std::uint32_t* is_missing) {
  using Reduce = cub::BlockReduce<Key, select_threads>;
  __shared__ Scratch scratch;
  __shared__ Reduce::TempStorage reduce_memory;
  __shared__ Key place;
  const std::uint32_t group = group_of(groups);
  Key* const keys = tails.keys + std::size_t{group} * tails.capacity;
  const Key count = held(tails, group), keep = tails.keep_count;
  Key floor = 0;
  if (count >= keep) {
    floor = select_greatest(keys, count, static_cast<std::uint32_t>(keep), scratch);
    keep_from(keys, count, floor, scratch);
    Key own = 0;
    for (Key i = threadIdx.x; i < keep; i += select_threads)
      if (keys[i] == floor) own = i;
    const Key found = Reduce(reduce_memory).Reduce(own, [](Key a, Key b) { return a > b ? a : b; });
    if (threadIdx.x == 0) place = found;
    __syncthreads();
    if (threadIdx.x == 0) {
      keys[place] = keys[keep - 1];
      keys[keep - 1] = floor;
    }
  }
  if (threadIdx.x != 0) return;
  is_missing[blockIdx.x] = count < keep || floor < tails.dropped[group] ? 1u : 0u;
  tails.count[group] = count < keep ? count : keep;
}

/// What is kept so far bounds what is needed: with `keep_count` keys none below their least can be.
__global__ void restart(TailBuffers tails, const std::uint32_t* groups, std::uint32_t group_count) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= group_count) return;
  const std::uint32_t group = groups[i];
  const Key keep = tails.keep_count;
  tails.floor[group] =
      tails.count[group] < keep ? 0 : tails.keys[std::size_t{group} * tails.capacity + keep - 1];
  tails.count[group] = 0;
  tails.dropped[group] = 0;
}

/// Gives Thrust a part of the arena: no allocation after the start.
class ScratchMemory {
 public:
  using value_type = char;
  explicit ScratchMemory(void* begin)
      : next_(static_cast<char*>(begin)), end_(next_ + count_scratch_bytes) {}
  char* allocate(std::ptrdiff_t size) {
    constexpr std::ptrdiff_t alignment = 256;
    char* const taken = next_;
    next_ += (size + alignment - 1) / alignment * alignment;
    SHORTFALL_ASSERT(next_ <= end_);
    return taken;
  }
  void deallocate(char*, std::size_t) {}

 private:
  char *next_, *end_;
};

}  // namespace

void launch_compact(const TailBuffers& tails, const std::uint32_t* groups,
                    std::uint32_t group_count, std::uint64_t rank, bool is_always,
                    cudaStream_t stream) {
  if (group_count == 0) return;
  compact<<<group_count, select_threads, 0, stream>>>(
      tails, groups, static_cast<std::uint32_t>(std::min<std::uint64_t>(rank, 0xffffffffu)),
      is_always);
  check_launch("compact");
}

void launch_select(const TailBuffers& tails, const std::uint32_t* groups, std::uint32_t group_count,
                   std::uint32_t* is_missing, cudaStream_t stream) {
  if (group_count == 0) return;
  select<<<group_count, select_threads, 0, stream>>>(tails, groups, is_missing);
  check_launch("select");
}

void launch_restart(const TailBuffers& tails, const std::uint32_t* groups,
                    std::uint32_t group_count, cudaStream_t stream) {
  if (group_count == 0) return;
  restart<<<(group_count + 255) / 256, 256, 0, stream>>>(tails, groups, group_count);
  check_launch("restart");
}

std::uint64_t count_missing(const std::uint32_t* is_missing, std::uint32_t group_count,
                            void* scratch, cudaStream_t stream) {
  if (group_count == 0) return 0;
  ScratchMemory memory(scratch);
  try {
    return static_cast<std::uint64_t>(thrust::count(thrust::cuda::par(memory).on(stream),
                                                    is_missing, is_missing + group_count, 1u));
  } catch (const thrust::system_error& error) {
    throw_call_error("thrust::count", "missing tails", error.what());
  }
}

}  // namespace shortfall::cuda
