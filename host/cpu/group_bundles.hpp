// Which margin groups are summed together, and how. Which way a group takes changes no bit of its
// losses.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu_loops.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

struct GroupBundles {
  struct Dense {
    std::vector<std::uint32_t> groups;       ///< at most dense_group_count
    std::vector<std::uint32_t> instruments;  ///< as DenseBundle says
    std::vector<float> weights;
    DenseBundle view() const {
      return {instruments.data(), weights.data(), static_cast<std::uint32_t>(instruments.size())};
    }
  };
  struct Shared {
    std::vector<std::uint32_t> groups;  ///< at most shared_group_count
    std::vector<SharedBundle::Run> runs;
    std::vector<std::uint32_t> slots;
    std::vector<core::Holding> holdings;
    SharedBundle view() const {
      return {runs.data(), slots.data(), holdings.data(), static_cast<std::uint32_t>(runs.size()),
              static_cast<std::uint32_t>(groups.size())};
    }
  };
  std::vector<Dense> dense;           ///< groups that hold at least half of the priced instruments
  std::vector<Shared> shared;         ///< groups that hold several instruments of a block
  std::vector<std::uint32_t> single;  ///< the others, ascending
};

GroupBundles bundle_groups(const Plan& plan);

}  // namespace shortfall
