#include "group_bundles.hpp"

#include <algorithm>
#include <compare>

namespace shortfall {
namespace {

GroupBundles::Dense make_dense(const Plan& plan, const std::uint32_t* groups, std::size_t count) {
  GroupBundles::Dense bundle;
  bundle.groups.assign(groups, groups + count);
  std::vector<std::uint32_t> place(plan.instruments.size(), core::none);
  const auto holdings_of = [&](std::uint32_t group, auto&& use) {
    for (std::uint64_t h = plan.group_begin[group]; h < plan.group_begin[group + 1]; ++h)
      use(plan.holdings[h].instrument & core::Holding::index_mask, plan.holdings[h].weight);
  };
  for (const std::uint32_t group : bundle.groups)
    holdings_of(group, [&](std::uint32_t instrument, float) { place[instrument] = 0; });
  for (std::uint32_t i = 0; i < place.size(); ++i) {
    if (place[i] == core::none) continue;
    place[i] = static_cast<std::uint32_t>(bundle.instruments.size());
    bundle.instruments.push_back(i);
  }
  for (std::size_t i = 0; i < bundle.instruments.size(); ++i) {
    const std::uint32_t next =
        i + 1 == bundle.instruments.size() ? core::none : bundle.instruments[i + 1];
    bundle.instruments[i] |= plan.sum_ends(bundle.instruments[i], next);
  }
  bundle.weights.assign(bundle.instruments.size() * dense_group_count, 0.0f);
  for (std::size_t g = 0; g < count; ++g)
    holdings_of(groups[g], [&](std::uint32_t instrument, float weight) {
      bundle.weights[place[instrument] * dense_group_count + g] = weight;
    });
  return bundle;
}

GroupBundles::Shared make_shared(const Plan& plan, const std::uint32_t* groups, std::size_t count) {
  struct Sum {
    std::uint32_t block, holding_count, slot;
    std::uint64_t first;
    auto operator<=>(const Sum&) const = default;
  };
  const auto block_of = [&](std::uint64_t h) {
    return plan.listing_places[plan.holdings[h].instrument & core::Holding::index_mask] /
           core::block_instrument_count;
  };
  GroupBundles::Shared bundle;
  bundle.groups.assign(groups, groups + count);
  std::vector<Sum> sums;
  for (std::uint32_t slot = 0; slot < count; ++slot) {
    std::uint64_t first = plan.group_begin[groups[slot]];
    for (std::uint64_t h = first; h < plan.group_begin[groups[slot] + 1]; ++h) {
      if (!(plan.holdings[h].instrument & core::Holding::last_of_block)) continue;
      sums.push_back({block_of(h), static_cast<std::uint32_t>(h + 1 - first), slot, first});
      first = h + 1;
    }
  }
  std::sort(sums.begin(), sums.end());
  constexpr std::uint32_t blocks = core::superblock_instrument_count / core::block_instrument_count;
  for (std::size_t s = 0; s < sums.size(); ++s) {
    const Sum& sum = sums[s];
    if (s == 0 || sum.block != sums[s - 1].block || sum.holding_count != sums[s - 1].holding_count)
      bundle.runs.push_back({0, sum.holding_count, 0});
    SharedBundle::Run& run = bundle.runs.back();
    ++run.sum_count;
    run.is_last_of_superblock =
        s + 1 == sums.size() || sums[s + 1].block / blocks != sum.block / blocks;
    bundle.slots.push_back(sum.slot);
    for (std::uint64_t h = sum.first; h < sum.first + sum.holding_count; ++h)
      bundle.holdings.push_back(
          {plan.holdings[h].instrument & core::Holding::index_mask, plan.holdings[h].weight});
  }
  return bundle;
}

/// Whether a group's sums of blocks are long enough, on average, to pay for their detour through
/// memory.
bool has_long_sums(const Plan& plan, std::uint32_t group) {
  constexpr std::uint64_t worthwhile = 3;
  std::uint64_t sums = 0;
  for (std::uint64_t h = plan.group_begin[group]; h < plan.group_begin[group + 1]; ++h)
    if (plan.holdings[h].instrument & core::Holding::last_of_block) ++sums;
  return plan.group_begin[group + 1] - plan.group_begin[group] >= worthwhile * sums;
}

}  // namespace

GroupBundles bundle_groups(const Plan& plan) {
  // A dense bundle reads each row of values once for all its groups; below four groups, or below
  // half of the instruments, reading the lists is cheaper.
  constexpr std::size_t worthwhile = 4;
  std::vector<std::uint32_t> dense, others;
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g) {
    const std::uint64_t count = plan.group_begin[g + 1] - plan.group_begin[g];
    const bool is_dense = count * 2 >= plan.instruments.size() && count > 16;
    (is_dense ? dense : others).push_back(g);
  }
  GroupBundles bundles;
  std::size_t done = 0;
  while (dense.size() - done >= worthwhile) {
    const std::size_t count = std::min<std::size_t>(dense.size() - done, dense_group_count);
    bundles.dense.push_back(make_dense(plan, dense.data() + done, count));
    done += count;
  }
  others.insert(others.end(), dense.begin() + static_cast<std::ptrdiff_t>(done), dense.end());
  std::sort(others.begin(), others.end());

  std::vector<std::uint32_t> sharing;
  for (const std::uint32_t g : others)
    (has_long_sums(plan, g) ? sharing : bundles.single).push_back(g);
  for (std::size_t at = 0; at < sharing.size(); at += shared_group_count)
    bundles.shared.push_back(make_shared(
        plan, sharing.data() + at, std::min<std::size_t>(sharing.size() - at, shared_group_count)));
  return bundles;
}

}  // namespace shortfall
