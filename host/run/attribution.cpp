#include "attribution.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <utility>

#include "cpu/cpu_backend.hpp"
#include "margin_run.hpp"
#include "model/canonical_math.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

/// Path numbers, and the place of each in their ascending list.
class PathSet {
 public:
  explicit PathSet(std::uint64_t path_count)
      : words_((path_count + 63) / 64), count_before_(words_.size()) {}

  void insert(std::uint32_t path) { words_[path / 64] |= std::uint64_t{1} << path % 64; }

  /// Ends insertion.
  std::vector<std::uint32_t> list() {
    std::size_t count = 0;
    for (std::size_t w = 0; w < words_.size(); ++w) {
      count_before_[w] = static_cast<std::uint32_t>(count);
      count += static_cast<std::size_t>(std::popcount(words_[w]));
    }
    std::vector<std::uint32_t> paths;
    paths.reserve(count);
    for (std::size_t w = 0; w < words_.size(); ++w)
      for (std::uint64_t rest = words_[w]; rest != 0; rest &= rest - 1)
        paths.push_back(static_cast<std::uint32_t>(w * 64) +
                        static_cast<std::uint32_t>(std::countr_zero(rest)));
    return paths;
  }

  std::uint32_t place(std::uint32_t path) const {
    const std::uint64_t below = words_[path / 64] & ((std::uint64_t{1} << path % 64) - 1);
    return count_before_[path / 64] + static_cast<std::uint32_t>(std::popcount(below));
  }

 private:
  std::vector<std::uint64_t> words_;
  std::vector<std::uint32_t> count_before_;
};

/// Calls work(i) for every i below `count`, on threads, which take small batches in turn: large
/// accounts stand side by side.
template <class Work>
void parallel_for(std::size_t count, std::uint32_t thread_count, Work work) {
  const std::size_t batch = 1 + count / (std::size_t{64} * thread_count);
  std::atomic<std::size_t> next{0};
  on_threads(thread_count, [&](std::uint32_t) {
    for (std::size_t first; (first = next.fetch_add(batch)) < count;)
      for (std::size_t i = first; i < std::min(first + batch, count); ++i) work(i);
  });
}

/// Sums of instrument values over the tails of some groups of a plan, a pair per holding: the
/// paths that count in full, ascending, and the boundary path. What is added and in what order
/// does not depend on how many paths come at a time.
class TailValues {
 public:
  TailValues(const SimulatedPlan& simulated, std::vector<std::uint32_t> groups,
             std::uint32_t thread_count)
      : plan_(simulated.plan),
        thread_count_(thread_count),
        groups_(std::move(groups)),
        cursors_(groups_.size()),
        boundaries_(groups_.size()),
        sums_(plan_.holdings.size()),
        at_boundary_(plan_.holdings.size()) {
    find_paths(simulated.tails);
  }

  /// Distinct and ascending.
  const std::vector<std::uint32_t>& paths() const { return paths_; }

  /// What the paths from `first` on did, in order.
  void add(std::size_t first, const PathValues& values) {
    parallel_for(groups_.size(), thread_count_, [&](std::size_t i) { add_to(i, first, values); });
  }

  /// Of a holding of the i-th group.
  double component_usd(std::size_t i, std::uint64_t holding, std::int32_t scale_exponent) const {
    const double mean =
        (sums_[holding] + cuts_[i].boundary_weight * at_boundary_[holding]) / plan_.tail.k;
    return -static_cast<double>(plan_.holdings[holding].weight) * mean *
           canonical::power_of_two(scale_exponent);
  }

 private:
  void find_paths(const Tails& tails) {
    PathSet set(plan_.path_count);
    std::size_t place_count = 0;
    for (const std::uint32_t group : groups_) {
      const std::uint64_t* const keys = tails.group(group);
      cuts_.push_back(tail_cut(plan_, keys));
      first_places_.push_back(place_count);
      place_count += cuts_.back().whole;
      for (std::uint64_t j = 0; j <= cuts_.back().whole; ++j) set.insert(core::tail_path(keys[j]));
    }
    places_.resize(place_count);
    paths_ = set.list();
    parallel_for(groups_.size(), thread_count_, [&](std::size_t i) {
      const std::uint64_t* const keys = tails.group(groups_[i]);
      const std::uint64_t whole = cuts_[i].whole;
      std::uint32_t* const places = places_.data() + first_places_[i];
      for (std::uint64_t j = 0; j < whole; ++j) places[j] = set.place(core::tail_path(keys[j]));
      std::sort(places, places + whole);
      boundaries_[i] = set.place(core::tail_path(keys[whole]));
    });
  }

  void add_to(std::size_t i, std::size_t first, const PathValues& values) {
    const std::uint64_t whole = cuts_[i].whole;
    const std::size_t end = first + values.path_count;
    const std::uint32_t* const places = places_.data() + first_places_[i];
    const std::size_t from = cursors_[i];
    std::size_t to = from;
    while (to < whole && places[to] < end) ++to;
    cursors_[i] = to;
    const bool has_boundary = boundaries_[i] >= first && boundaries_[i] < end;
    const std::uint64_t group = groups_[i];
    for (std::uint64_t h = plan_.group_begin[group]; h < plan_.group_begin[group + 1]; ++h) {
      const std::size_t instrument = plan_.holdings[h].instrument & core::Holding::index_mask;
      const float* const row = values.values.data() + instrument * values.path_count;
      double sum = sums_[h];
      for (std::size_t j = from; j < to; ++j)
        sum += plan_.weight(paths_[places[j]]) * static_cast<double>(row[places[j] - first]);
      sums_[h] = sum;
      if (has_boundary) at_boundary_[h] = row[boundaries_[i] - first];
    }
  }

  const Plan& plan_;
  const std::uint32_t thread_count_;
  const std::vector<std::uint32_t> groups_;
  std::vector<TailCut> cuts_;              ///< by place in groups_
  std::vector<std::size_t> cursors_;       ///< likewise: entries that were added
  std::vector<std::uint32_t> boundaries_;  ///< likewise: place of the boundary path in paths_
  std::vector<std::size_t> first_places_;  ///< likewise: in places_
  std::vector<std::uint32_t> places_;      ///< of the others, group by group, ascending
  std::vector<std::uint32_t> paths_;
  std::vector<double> sums_;        ///< by holding
  std::vector<float> at_boundary_;  ///< by holding
};

/// By holding, USD.
std::vector<double> components_usd(const BaseRun& base, const Replay& replay,
                                   std::uint32_t thread_count) {
  std::vector<double> components(base.revaluations.front().plan.holdings.size());
  for (std::uint32_t r = 0; r < base.revaluations.size(); ++r) {
    const Plan& plan = base.revaluations[r].plan;
    std::vector<std::uint32_t> groups;
    for (std::uint32_t g = 0; g < plan.groups.size(); ++g)
      if (base.revaluation_of[g] == r) groups.push_back(g);
    if (groups.empty()) continue;
    TailValues tail(base.revaluations[r], groups, thread_count);
    replay(plan, tail.paths(),
           [&](std::size_t first, const PathValues& values) { tail.add(first, values); });
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const std::uint32_t g = groups[i];
      for (std::uint64_t h = plan.group_begin[g]; h < plan.group_begin[g + 1]; ++h)
        components[h] = tail.component_usd(i, h, plan.groups[g].scale_exponent);
    }
  }
  return components;
}

/// Contracts; positions are sorted by (account, instrument).
double quantity_of(const Book& book, std::uint32_t account, std::uint32_t instrument) {
  const auto at = std::ranges::lower_bound(
      book.positions, std::pair(account, instrument), {},
      [](const Position& p) { return std::pair(p.account, p.instrument); });
  return at->quantity.contracts();
}

}  // namespace

Attribution attribute(const BaseRun& base, const std::vector<AccountMargin>& margins,
                      const Replay& replay, std::uint32_t thread_count) {
  const Plan& plan = base.revaluations.front().plan;
  const Book& book = base.inputs.book;
  const std::vector<double> components = components_usd(base, replay, thread_count);
  Attribution attribution;
  for (const std::uint32_t i : plan.instruments)
    attribution.instruments.push_back(
        {book.instruments[i].name, book.underlyings[book.instruments[i].underlying].name});
  attribution.positions.reserve(plan.holdings.size());
  for (std::uint32_t a = 0; a < plan.accounts.size(); ++a) {
    Attribution::Of of{margins[a].account, attribution.positions.size(), 0, 0};
    double sum = 0;
    // Groups are in the order of the listing, in which underlyings are contiguous.
    for (std::uint64_t h = plan.group_begin[plan.accounts[a].group_begin];
         h < plan.group_begin[plan.accounts[a].group_end]; ++h) {
      const std::uint32_t priced = plan.holdings[h].instrument & core::Holding::index_mask;
      attribution.positions.push_back(
          {priced, quantity_of(book, a, plan.instruments[priced]), components[h]});
      sum += components[h];
    }
    of.end = attribution.positions.size();
    of.rounding_usd = margins[a].expected_shortfall_usd - sum;
    attribution.accounts.push_back(std::move(of));
  }
  return attribution;
}

}  // namespace shortfall
