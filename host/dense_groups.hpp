// Which margin groups are summed together because they hold nearly the same, and how.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu_loops.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

struct DenseGroups {
  struct Bundle {
    std::vector<std::uint32_t> instruments;  ///< as DenseBundle says
    std::vector<float> weights;
    std::vector<std::uint32_t> groups;  ///< at most dense_group_count
    DenseBundle view() const {
      return {instruments.data(), weights.data(), static_cast<std::uint32_t>(instruments.size())};
    }
  };
  std::vector<Bundle> bundles;
  std::vector<std::uint32_t> sparse_groups;  ///< the others, ascending
};

/// Bundles groups that hold at least half of the priced instruments. Which path a group takes
/// changes no bit of its losses.
DenseGroups find_dense_groups(const Plan& plan);

}  // namespace shortfall
