// How holdings are laid out for the aggregation kernels. Plain C++: built on the host from the
// plan, uploaded once.
#pragma once

#include <cstdint>
#include <vector>

#include "shortfall/core/portable.hpp"
#include "shortfall/plan.hpp"

namespace shortfall::cuda {

/// A holding as the aggregation reads it: where the row of its instrument begins in the slab, in
/// bytes, a multiple of 128; and in the sign bit whether it is the group's last of a block.
struct ListedHolding {
  static constexpr std::uint32_t last_of_block = 0x80000000u;
  static constexpr std::uint32_t offset_mask = 0x7fffff80u;
  std::uint32_t place;
  float weight;
};

/// Two holdings, read as one 16-byte load. An odd list ends with a holding of weight zero and no
/// tag.
struct alignas(16) HoldingPair {
  ListedHolding first, second;
};
static_assert(sizeof(HoldingPair) == 16);

/// Consecutive priced instruments, whole blocks of them, whose values share a block's memory. Where
/// a superblock ends inside, the slab's lists are in parts.
struct Slab {
  std::uint32_t first_instrument, instrument_count;
  std::uint32_t part_begin, part_end;
  std::uint32_t ends_superblock;  ///< the last part does; the others always do
  std::uint32_t sums_before;      ///< superblocks that ended before, at most 2
};

/// Lists of the groups that are summed one by one.
struct SlabLists {
  std::vector<Slab> slabs;
  std::vector<std::uint32_t> groups;  ///< most holdings first, so that the last to finish are short
  std::vector<HoldingPair> pairs;
  std::vector<std::uint32_t> begin;  ///< part-major, groups.size() + 1 per part

  std::uint32_t part_count() const { return slabs.back().part_end; }
};

/// What a group carries into a slab, rows of a float per path: the superblock so far; from the
/// first that ended on, the sum; from the second on, what its additions lost.
SHORTFALL_CORE std::uint32_t carried_rows(const Slab& slab) {
  return slab.part_begin == 0 ? 0 : 1 + slab.sums_before;
}

/// Cuts the priced instruments where blocks end, at most `row_capacity` (>= 32) to a slab.
std::vector<Slab> cut_slabs(const Plan& plan, std::uint32_t row_capacity);

/// Rows of values are `row_bytes` apart.
SlabLists make_slab_lists(const Plan& plan, const std::vector<std::uint32_t>& groups,
                          std::vector<Slab> slabs, std::uint32_t row_bytes);

/// Groups that hold nearly everything, this many to a bundle, summed from one read of each value.
inline constexpr std::uint32_t dense_group_count = 8;

struct DenseLists {
  struct Bundle {
    std::uint64_t begin, end;                 ///< of its instruments
    std::uint32_t groups[dense_group_count];  ///< or none
  };
  std::vector<Bundle> bundles;
  std::vector<std::uint32_t> instruments;  ///< tagged as core::Holding
  std::vector<float> weights;              ///< per instrument dense_group_count, 0 where not held
};

/// Takes the groups that are summed in bundles; `others` receives the rest, ascending.
DenseLists make_dense_lists(const Plan& plan, std::vector<std::uint32_t>& others);

}  // namespace shortfall::cuda
