#include "dense_groups.hpp"

#include <algorithm>

namespace shortfall {
namespace {

DenseGroups::Bundle make_bundle(const Plan& plan, const std::uint32_t* groups, std::size_t count) {
  DenseGroups::Bundle bundle;
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

}  // namespace

DenseGroups find_dense_groups(const Plan& plan) {
  // A bundle reads each row of values once for all its groups; below four groups, or below half of
  // the instruments, reading the lists is cheaper.
  constexpr std::size_t worthwhile = 4;
  DenseGroups dense;
  std::vector<std::uint32_t> candidates;
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g) {
    const std::uint64_t count = plan.group_begin[g + 1] - plan.group_begin[g];
    const bool is_dense = count * 2 >= plan.instruments.size() && count > 16;
    (is_dense ? candidates : dense.sparse_groups).push_back(g);
  }
  std::size_t done = 0;
  while (candidates.size() - done >= worthwhile) {
    const std::size_t count = std::min<std::size_t>(candidates.size() - done, dense_group_count);
    dense.bundles.push_back(make_bundle(plan, candidates.data() + done, count));
    done += count;
  }
  dense.sparse_groups.insert(dense.sparse_groups.end(),
                             candidates.begin() + static_cast<std::ptrdiff_t>(done),
                             candidates.end());
  std::sort(dense.sparse_groups.begin(), dense.sparse_groups.end());
  return dense;
}

}  // namespace shortfall
