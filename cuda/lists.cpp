#include "lists.hpp"

#include <algorithm>

namespace shortfall::cuda {
namespace {

using core::Holding;

std::uint64_t holding_count(const Plan& plan, std::uint32_t group) {
  return plan.group_begin[group + 1] - plan.group_begin[group];
}

DenseLists::Bundle add_bundle(const Plan& plan, const std::uint32_t* groups, std::size_t count,
                              DenseLists& lists) {
  DenseLists::Bundle bundle{lists.instruments.size(), 0, {}};
  std::fill_n(bundle.groups, dense_group_count, core::none);
  std::copy_n(groups, count, bundle.groups);
  std::vector<float> weights(plan.instruments.size() * dense_group_count, 0.0f);
  std::vector<bool> is_held(plan.instruments.size(), false);
  for (std::size_t slot = 0; slot < count; ++slot) {
    for (std::uint64_t h = plan.group_begin[groups[slot]]; h < plan.group_begin[groups[slot] + 1];
         ++h) {
      const std::uint32_t i = plan.holdings[h].instrument & Holding::index_mask;
      is_held[i] = true;
      weights[i * dense_group_count + slot] = plan.holdings[h].weight;
    }
  }
  std::uint32_t last = core::none;
  const auto finish = [&](std::uint32_t next) {
    if (last != core::none) lists.instruments.back() |= plan.sum_ends(last, next);
  };
  for (std::uint32_t i = 0; i < is_held.size(); ++i) {
    if (!is_held[i]) continue;
    finish(i);
    lists.instruments.push_back(last = i);
    lists.weights.insert(lists.weights.end(), weights.begin() + i * dense_group_count,
                         weights.begin() + (i + 1) * dense_group_count);
  }
  finish(core::none);
  bundle.end = lists.instruments.size();
  return bundle;
}

}  // namespace

std::vector<Slab> cut_slabs(const Plan& plan, std::uint32_t row_capacity) {
  SHORTFALL_ASSERT(row_capacity >= core::block_instrument_count);
  const auto count = static_cast<std::uint32_t>(plan.instruments.size());
  const auto ends_block = [&](std::uint32_t i) {
    return i + 1 == count || (plan.sum_ends(i, i + 1) & Holding::last_of_block);
  };
  std::vector<Slab> slabs;
  std::uint32_t first = 0, end = 0;  // the slab so far, whole blocks
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!ends_block(i)) continue;
    if (i + 1 - first > row_capacity) {
      slabs.push_back({first, end - first});
      first = end;
    }
    end = i + 1;
  }
  slabs.push_back({first, end - first});
  return slabs;
}

SlabLists make_slab_lists(const Plan& plan, const std::vector<std::uint32_t>& groups,
                          std::vector<Slab> slabs) {
  SlabLists lists;
  lists.slabs = std::move(slabs);
  lists.groups = groups;
  std::stable_sort(lists.groups.begin(), lists.groups.end(), [&](std::uint32_t a, std::uint32_t b) {
    return holding_count(plan, a) > holding_count(plan, b);
  });
  std::vector<std::uint64_t> at;  // next holding of each group
  for (const std::uint32_t group : lists.groups) at.push_back(plan.group_begin[group]);
  for (const Slab& slab : lists.slabs) {
    for (std::size_t g = 0; g < lists.groups.size(); ++g) {
      lists.begin.push_back(lists.pairs.size());
      bool is_second = false;
      for (; at[g] < plan.group_begin[lists.groups[g] + 1]; ++at[g], is_second = !is_second) {
        Holding holding = plan.holdings[at[g]];
        const std::uint32_t i = holding.instrument & Holding::index_mask;
        if (i >= slab.first_instrument + slab.instrument_count) break;
        holding.instrument -= slab.first_instrument;
        if (is_second)
          lists.pairs.back().second = holding;
        else
          lists.pairs.push_back({holding, {i - slab.first_instrument, 0.0f}});
      }
    }
    lists.begin.push_back(lists.pairs.size());
  }
  lists.pairs.push_back({{0, 0.0f}, {0, 0.0f}});
  return lists;
}

DenseLists make_dense_lists(const Plan& plan, std::vector<std::uint32_t>& others) {
  // Below half of the instruments, or half a bundle, reading the lists is cheaper.
  std::vector<std::uint32_t> dense;
  others.clear();
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g)
    (holding_count(plan, g) * 2 >= plan.instruments.size() && holding_count(plan, g) > 16 ? dense
                                                                                          : others)
        .push_back(g);
  DenseLists lists;
  std::size_t done = 0;
  while (dense.size() - done >= dense_group_count / 2) {
    const std::size_t count = std::min<std::size_t>(dense.size() - done, dense_group_count);
    lists.bundles.push_back(add_bundle(plan, dense.data() + done, count, lists));
    done += count;
  }
  others.insert(others.end(), dense.begin() + static_cast<std::ptrdiff_t>(done), dense.end());
  std::sort(others.begin(), others.end());
  return lists;
}

}  // namespace shortfall::cuda
