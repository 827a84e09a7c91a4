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

/// The first priced instrument beyond the superblock of `first`.
std::uint32_t end_of_superblock(const Plan& plan, std::uint32_t first) {
  if (first == plan.listing_places.size()) return first;  // nothing is priced
  const std::uint32_t superblock = plan.listing_places[first] / core::superblock_instrument_count;
  const auto end = std::upper_bound(plan.listing_places.begin() + first, plan.listing_places.end(),
                                    superblock, [](std::uint32_t wanted, std::uint32_t place) {
                                      return wanted < place / core::superblock_instrument_count;
                                    });
  return static_cast<std::uint32_t>(end - plan.listing_places.begin());
}

/// The group's holdings from `at` up to instrument `end`, whose rows are counted from `first`.
void add_pairs(const Plan& plan, std::uint32_t group, std::uint64_t& at, std::uint32_t first,
               std::uint32_t end, std::uint32_t row_bytes, std::vector<HoldingPair>& pairs) {
  for (bool is_second = false; at < plan.group_begin[group + 1]; ++at, is_second = !is_second) {
    const Holding& holding = plan.holdings[at];
    const std::uint32_t instrument = holding.instrument & Holding::index_mask;
    if (instrument >= end) break;
    const bool is_last = holding.instrument & Holding::last_of_block;
    const std::uint32_t offset = (instrument - first) * row_bytes;
    const ListedHolding listed{offset | (is_last ? ListedHolding::last_of_block : 0u),
                               holding.weight};
    if (is_second)
      pairs.back().second = listed;
    else
      pairs.push_back({listed, {offset, 0.0f}});
  }
}

}  // namespace

std::vector<Slab> cut_slabs(const Plan& plan, std::uint32_t row_capacity) {
  SHORTFALL_ASSERT(row_capacity >= core::block_instrument_count);
  const auto count = static_cast<std::uint32_t>(plan.instruments.size());
  std::vector<Slab> slabs;
  Slab slab{0, 0, 0, 1, 0, 0};
  std::uint32_t end = 0, parts_at_end = 1;  // of the slab so far, whole blocks
  bool is_end_of_superblock = false;
  const auto finish = [&](std::uint32_t part_end) {
    slab.instrument_count = end - slab.first_instrument;
    slab.part_end = part_end;
    slab.ends_superblock = is_end_of_superblock;
    slabs.push_back(slab);
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t ends = plan.sum_ends(i, i + 1 == count ? core::none : i + 1);
    if (!(ends & Holding::last_of_block)) continue;
    if (i + 1 - slab.first_instrument > row_capacity) {
      finish(parts_at_end);
      const std::uint32_t ended =
          slab.sums_before + slab.part_end - slab.part_begin - (slab.ends_superblock ? 0 : 1);
      slab = {end, 0, parts_at_end, parts_at_end + 1, 0, std::min(ended, 2u)};
      parts_at_end = slab.part_end;
    } else if (is_end_of_superblock && end > slab.first_instrument) {
      ++parts_at_end;  // this block begins another superblock
    }
    end = i + 1;
    is_end_of_superblock = ends & Holding::last_of_superblock;
  }
  finish(parts_at_end);
  return slabs;
}

SlabLists make_slab_lists(const Plan& plan, const std::vector<std::uint32_t>& groups,
                          std::vector<Slab> slabs, std::uint32_t row_bytes) {
  SlabLists lists;
  lists.slabs = std::move(slabs);
  lists.groups = groups;
  std::stable_sort(lists.groups.begin(), lists.groups.end(), [&](std::uint32_t a, std::uint32_t b) {
    return holding_count(plan, a) > holding_count(plan, b);
  });
  std::vector<std::uint64_t> at;  // next holding of each group
  for (const std::uint32_t group : lists.groups) at.push_back(plan.group_begin[group]);
  for (const Slab& slab : lists.slabs) {
    const std::uint32_t slab_end = slab.first_instrument + slab.instrument_count;
    std::uint32_t part_first = slab.first_instrument;
    for (std::uint32_t part = slab.part_begin; part < slab.part_end; ++part) {
      const std::uint32_t part_end = std::min(slab_end, end_of_superblock(plan, part_first));
      for (std::size_t g = 0; g < groups.size(); ++g) {
        lists.begin.push_back(static_cast<std::uint32_t>(lists.pairs.size()));
        add_pairs(plan, lists.groups[g], at[g], slab.first_instrument, part_end, row_bytes,
                  lists.pairs);
      }
      lists.begin.push_back(static_cast<std::uint32_t>(lists.pairs.size()));
      part_first = part_end;
    }
  }
  SHORTFALL_ASSERT(lists.pairs.size() < core::none);
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
