// How holdings are laid out for the aggregation kernels. Plain C++: built on the host from the
// plan, uploaded once.
#pragma once

#include <cstdint>
#include <vector>

#include "shortfall/plan.hpp"

namespace shortfall::cuda {

/// Two holdings, read as one 16-byte load. `instrument` has the bits of core::Holding above a row
/// of the slab. The last pair of an odd list has a second holding of weight zero and no tags.
struct alignas(16) HoldingPair {
  core::Holding first, second;
};
static_assert(sizeof(HoldingPair) == 16);

/// Consecutive priced instruments, whole blocks of them, whose values share a block's memory.
struct Slab {
  std::uint32_t first_instrument, instrument_count;
};

/// Lists of the groups that are summed one by one.
struct SlabLists {
  std::vector<Slab> slabs;
  std::vector<std::uint32_t> groups;  ///< most holdings first, so that the last to finish are short
  std::vector<HoldingPair> pairs;     ///< and one more, so that reading ahead stays inside
  std::vector<std::uint64_t> begin;   ///< slab-major, groups.size() + 1 per slab
};

/// Cuts the priced instruments where blocks end, at most `row_capacity` (>= 32) to a slab.
std::vector<Slab> cut_slabs(const Plan& plan, std::uint32_t row_capacity);

SlabLists make_slab_lists(const Plan& plan, const std::vector<std::uint32_t>& groups,
                          std::vector<Slab> slabs);

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
