#include "shortfall/plan.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "model/sobol.hpp"
#include "output/sha256.hpp"
#include "plan_cells.hpp"
#include "plan_groups.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

using core::none;

/// The margin groups of one account; `held` is in the order of the listing, in which underlyings
/// are contiguous.
void add_account(Plan& plan, std::uint32_t account, const std::vector<HeldPosition>& held) {
  Plan::AccountSummary& summary = plan.accounts[account];
  summary.position_count = static_cast<std::uint32_t>(held.size());
  summary.group_begin = static_cast<std::uint32_t>(plan.groups.size());
  for (std::span<const HeldPosition> rest = held; !rest.empty();) {
    const std::span<const HeldPosition> group = first_group(summary.mode, rest);
    add_group(plan, account, group);
    summary.gross_notional_usd += plan.groups.back().gross_notional_usd;
    rest = rest.subspan(group.size());
  }
  summary.group_end = static_cast<std::uint32_t>(plan.groups.size());
}

/// Every account's groups, from positions sorted by account.
void add_groups(Plan& plan, const Book& book, const std::vector<std::uint32_t>& rank_of,
                const std::vector<std::uint32_t>& priced_of) {
  plan.accounts.resize(book.accounts.size());
  for (std::size_t a = 0; a < plan.accounts.size(); ++a)
    plan.accounts[a].mode = book.accounts[a].mode;
  plan.group_begin.push_back(0);
  std::vector<HeldPosition> held;
  for (auto p = book.positions.begin(); p != book.positions.end();) {
    const std::uint32_t account = p->account;
    held.clear();
    for (; p != book.positions.end() && p->account == account; ++p) {
      if (p->quantity.is_zero()) continue;
      const Instrument& instrument = book.instruments[p->instrument];
      held.push_back({rank_of[p->instrument], instrument.underlying, priced_of[p->instrument],
                      weight_usd(book, instrument, p->quantity.contracts())});
    }
    std::sort(held.begin(), held.end(),
              [](const HeldPosition& a, const HeldPosition& b) { return a.rank < b.rank; });
    add_account(plan, account, held);
  }
}

std::string hash_of(const Plan& plan) {
  Sha256 hash;
  hash.add("shortfall plan 1");
  const auto number = [&](auto value) { hash.add(&value, sizeof value); };
  const auto array = [&](const auto& values) {
    number(static_cast<std::uint64_t>(values.size()));
    hash.add(values.data(), values.size() * sizeof values[0]);
  };
  number(plan.seed);
  number(plan.path_count);
  number(plan.confidence_level);
  if (plan.is_sobol()) {
    array(plan.sobol_directions);
    array(plan.sobol_keys);
    number(plan.scrambling_count);
  }
  number(static_cast<std::uint64_t>(plan.model.factor_count));
  array(plan.model.loading);
  array(plan.model.column_count);
  if (!plan.model.offset.empty()) array(plan.model.offset);
  if (!plan.model.history.empty()) {
    array(plan.model.history);
    array(plan.model.weights);
  }
  number(static_cast<std::uint64_t>(plan.model.is_student_t));
  number(plan.model.floor_w);
  number(plan.model.kappa);
  array(plan.model.mixing_table);
  array(plan.state_rows);
  array(plan.strike_cells);
  array(plan.settled_cells);
  array(plan.linear_cells);
  array(plan.listing_places);
  array(plan.holdings);
  array(plan.group_begin);
  for (const MarginGroup& group : plan.groups) {
    number(group.account);
    number(group.scale_exponent);
  }
  for (const Plan::AccountSummary& account : plan.accounts) {
    number(account.mode);
    number(account.position_count);
    number(account.gross_notional_usd);
    number(account.group_end);
  }
  return hash.finish_hex();
}

void require_tail(const RunConfig& config, const TailSize& tail, Problems& problems) {
  if (tail.k >= 1) return;
  const auto needed = static_cast<std::uint64_t>(1.0 / (1.0 - config.risk.confidence_level)) + 1;
  problems.add(config.file.string(), 0,
               fmt::format("{} paths at confidence {} leave no tail: use at least {} paths",
                           config.risk.path_count, config.risk.confidence_level, needed));
}

}  // namespace

TailSize tail_size(std::uint64_t path_count, double confidence_level) {
  TailSize tail;
  tail.k = (1.0 - confidence_level) * static_cast<double>(path_count);
  const double nearest = static_cast<double>(static_cast<std::uint64_t>(tail.k + 0.5));
  const double distance = tail.k < nearest ? nearest - tail.k : tail.k - nearest;
  if (distance <= 1e-9 * (tail.k > 1 ? tail.k : 1)) tail.k = nearest;
  tail.whole = static_cast<std::uint64_t>(tail.k);
  tail.count = std::min(tail.whole + 1, path_count);
  return tail;
}

TailCut tail_cut(const Plan& plan, const std::uint64_t* keys) {
  const TailSize& tail = plan.tail;
  if (!plan.is_weighted()) return {tail.whole, tail.k - static_cast<double>(tail.whole)};
  double sum = 0;
  for (std::uint64_t j = 0; j < tail.count; ++j) {
    const double weight = plan.weight(core::tail_path(keys[j]));
    if (sum + weight > tail.k) return {j, tail.k - sum};
    sum += weight;
  }
  SHORTFALL_ASSERT(false);  // weights add up to the number of paths
  return {};
}

Plan build_plan(const RunConfig& config, const RunInputs& inputs) {
  Problems problems;
  require_tail(config, tail_size(config.risk.path_count, config.risk.confidence_level), problems);
  FactorModel model = build_factor_model(inputs.covariance, config, problems);
  problems.throw_if_any();
  return build_plan(config, inputs, std::move(model));
}

Plan build_plan(const RunConfig& config, const RunInputs& inputs, FactorModel model) {
  SHORTFALL_ASSERT(config.risk.revalue_at != RevalueAt::worst);
  const Book& book = inputs.book;
  Plan plan;
  plan.seed = config.risk.seed;
  plan.path_count = config.risk.path_count;
  plan.confidence_level = config.risk.confidence_level;
  plan.tail = tail_size(plan.path_count, plan.confidence_level);

  plan.model = std::move(model);
  if (plan.is_weighted()) plan.tail.count = plan.path_count;
  SHORTFALL_ASSERT(plan.model.history.empty() ||
                   plan.model.history.size() == plan.path_count * plan.model.factor_count);

  Problems problems;
  require_tail(config, plan.tail, problems);
  problems.throw_if_any();
  std::vector<bool> is_held(book.instruments.size());
  for (const Position& p : book.positions)
    if (!p.quantity.is_zero()) is_held[p.instrument] = true;

  const std::vector<std::uint32_t> order = listing_order(book.instruments);
  std::vector<std::uint32_t> rank_of(order.size()), priced_of(order.size(), none);
  for (std::uint32_t rank = 0; rank < order.size(); ++rank) {
    rank_of[order[rank]] = rank;
    if (!is_held[order[rank]]) continue;
    priced_of[order[rank]] = static_cast<std::uint32_t>(plan.instruments.size());
    plan.instruments.push_back(order[rank]);
    plan.listing_places.push_back(rank);
  }
  if (config.risk.sampler == Sampler::sobol && plan.dimension_count() > sobol_dimension_max())
    problems.add(inputs.covariance.file.string(), 0,
                 fmt::format("{} factors{} need more dimensions than the {} that there are Sobol "
                             "direction numbers for; use sampler = \"philox\"",
                             plan.model.factor_count,
                             plan.model.is_student_t ? " and the mixing variable" : "",
                             sobol_dimension_max()));
  problems.throw_if_any();
  if (config.risk.sampler == Sampler::sobol) {
    plan.scrambling_count = config.risk.scrambling_count;
    plan.sobol_directions = sobol_directions(plan.dimension_count());
    plan.sobol_keys = scrambling_keys(plan.seed, plan.scrambling_count, plan.dimension_count());
  }
  add_cells(plan, config, inputs, problems);
  problems.throw_if_any();
  add_groups(plan, book, rank_of, priced_of);
  plan.hash = hash_of(plan);
  return plan;
}

core::PlanArrays Plan::arrays() const {
  core::PlanArrays a{};
  a.seed = seed;
  a.path_count = path_count;
  a.scrambling_count = scrambling_count;
  if (is_sobol()) {
    a.sobol_directions = sobol_directions.data();
    a.sobol_keys = sobol_keys.data();
  }
  a.factor_count = model.factor_count;
  a.is_student_t = model.is_student_t ? 1 : 0;
  a.floor_w = model.floor_w;
  a.kappa = model.kappa;
  a.mixing_table = model.mixing_table.data();
  a.loading = model.loading.data();
  a.offset = model.offset.empty() ? nullptr : model.offset.data();
  a.history = model.history.empty() ? nullptr : model.history.data();
  a.column_count = model.column_count.data();
  a.state_rows = state_rows.data();
  a.state_row_count = static_cast<std::uint32_t>(state_rows.size());
  a.strike_cells = strike_cells.data();
  a.strike_cell_count = static_cast<std::uint32_t>(strike_cells.size());
  a.settled_cells = settled_cells.data();
  a.settled_cell_count = static_cast<std::uint32_t>(settled_cells.size());
  a.linear_cells = linear_cells.data();
  a.linear_cell_count = static_cast<std::uint32_t>(linear_cells.size());
  a.instrument_count = static_cast<std::uint32_t>(instruments.size());
  a.holdings = holdings.data();
  a.group_begin = group_begin.data();
  a.group_count = static_cast<std::uint32_t>(groups.size());
  return a;
}

}  // namespace shortfall
