#include "whatif_account.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "fmt/format.h"
#include "margin/joint_error.hpp"
#include "model/canonical_math.hpp"
#include "plan/plan_cells.hpp"
#include "run/margin_run.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

std::vector<RunConfig> configs_of(const RunConfig& config) {
  require_number_of_paths(config);
  if (config.risk.revalue_at != RevalueAt::worst) return {config};
  std::vector<RunConfig> configs(2, config);
  configs[0].risk.revalue_at = RevalueAt::horizon;
  configs[1].risk.revalue_at = RevalueAt::now;
  return configs;
}

RunInputs simulated_listing(const RunConfig& config, const RunInputs& as_read) {
  RunInputs listing;
  listing.book.underlyings = as_read.book.underlyings;
  listing.book.instruments = as_read.book.instruments;
  listing.covariance = as_read.covariance;
  listing.liquidity = as_read.liquidity;
  return simulated_inputs(config, std::move(listing));
}

/// Of the times of revaluation the worse, the first where they are equal.
const GroupTail& worst_of(const std::vector<GroupTail>& tails) {
  return *std::ranges::max_element(
      tails, {}, [](const GroupTail& tail) { return tail.risk.expected_shortfall_usd; });
}

/// A group's positions with its legs, which replace those of the same instrument; a weight of zero
/// is no position.
std::vector<HeldPosition> merged(std::span<const HeldPosition> positions,
                                 std::span<const HeldPosition> legs) {
  std::vector<HeldPosition> all(positions.begin(), positions.end());
  for (const HeldPosition& leg : legs) {
    const auto at = std::ranges::lower_bound(all, leg.rank, {}, &HeldPosition::rank);
    if (at != all.end() && at->rank == leg.rank)
      *at = leg;
    else
      all.insert(at, leg);
  }
  std::erase_if(all, [](const HeldPosition& p) { return p.weight_usd == 0; });
  return all;
}

void add_instruments(Plan& plan, const HeldMarket& market, std::size_t time,
                     std::span<const HeldPosition> positions) {
  for (const HeldPosition& position : positions) {
    plan.instruments.push_back(market.order[position.rank]);
    plan.listing_places.push_back(position.rank);
  }
  Problems problems;
  add_cells(plan, market.configs[time], market.inputs, problems);
  SHORTFALL_ASSERT(problems.empty());  // resolve saw to the factors
}

}  // namespace

HeldMarket::HeldMarket(const RunConfig& config, const RunInputs& as_read, const Progress& progress)
    : HeldMarket(config, as_read, std::shared_ptr<const HeldPaths>()) {
  paths =
      std::make_shared<HeldPaths>(build_plan(configs.front(), inputs), config.compute, progress);
}

HeldMarket::HeldMarket(const RunConfig& config, const RunInputs& as_read,
                       std::shared_ptr<const HeldPaths> drawn)
    : configs(configs_of(config)),
      inputs(simulated_listing(config, as_read)),
      order(listing_order(inputs.book.instruments)),
      ranks(order.size()),
      paths(std::move(drawn)) {
  for (std::uint32_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = rank;
}

Plan HeldMarket::empty_plan() const {
  const RiskConfig& risk = configs.front().risk;
  Plan plan;
  plan.path_count = risk.path_count;
  plan.scrambling_count = scrambling_count_of(risk);
  plan.confidence_level = risk.confidence_level;
  plan.tail = tail_size(risk.path_count, risk.confidence_level);
  plan.model.factor_count = static_cast<std::uint32_t>(inputs.covariance.factors.size());
  plan.model.weights = inputs.covariance.weights;
  if (plan.is_weighted()) plan.tail.count = plan.path_count;
  plan.group_begin.push_back(0);
  return plan;
}

HeldAccount::HeldAccount(std::shared_ptr<const HeldMarket> market, Account account,
                         std::vector<Position> positions)
    : market_(std::move(market)), account_(std::move(account)), positions_(std::move(positions)) {
  std::vector<HeldPosition> all;
  for (const Position& position : positions_)
    if (!position.quantity.is_zero()) all.push_back(held(position.instrument, position.quantity));
  std::ranges::sort(all, {}, &HeldPosition::rank);
  for (Positions rest = all; !rest.empty();) {
    const Positions group = first_group(account_.mode, rest);
    groups_.push_back({{group.begin(), group.end()}, {}, {}});
    rest = rest.subspan(group.size());
  }
}

HeldPosition HeldAccount::held(std::uint32_t instrument, Quantity quantity) const {
  const Book& book = market_->inputs.book;
  const Instrument& i = book.instruments[instrument];
  return {market_->ranks[instrument], i.underlying, 0, weight_usd(book, i, quantity.contracts())};
}

/// What is held after the trades of the instruments that are traded, in the order of the listing.
std::vector<HeldPosition> HeldAccount::after(const std::vector<TradeLeg>& legs) const {
  std::vector<HeldPosition> all;
  for (const TradeLeg& leg : legs) {
    Quantity::Units units = leg.units;
    const auto at = std::ranges::lower_bound(positions_, leg.instrument, {}, &Position::instrument);
    if (at != positions_.end() && at->instrument == leg.instrument) units += at->quantity.units();
    all.push_back(held(leg.instrument, Quantity::from_units(units)));
  }
  std::ranges::sort(all, {}, &HeldPosition::rank);
  return all;
}

HeldAccount::Group* HeldAccount::group_of(const HeldPosition& position) {
  const auto is_of = [&](const Group& group) {
    const HeldPosition& first = group.positions.front();
    switch (account_.mode) {
      case MarginMode::portfolio:
        break;
      case MarginMode::cross:
        return first.underlying == position.underlying;
      case MarginMode::isolated:
        return first.rank == position.rank;
    }
    return true;
  };
  const auto at = std::ranges::find_if(groups_, is_of);
  return at == groups_.end() ? nullptr : &*at;
}

Plan HeldAccount::plan_of(std::size_t time, Positions positions) const {
  Plan plan = market_->empty_plan();
  add_instruments(plan, *market_, time, positions);
  std::vector<HeldPosition> priced(positions.begin(), positions.end());
  for (std::uint32_t p = 0; p < priced.size(); ++p) priced[p].instrument = p;
  add_group(plan, 0, priced);
  return plan;
}

/// Loss after = loss before 2^(e_before - e_after) - sum over legs of (change of weight) value, as
/// a group that holds the legs and minus the loss before.
Plan HeldAccount::plan_of_change(std::size_t time, Positions before, Positions after,
                                 Positions legs) const {
  Plan plan = market_->empty_plan();
  add_instruments(plan, *market_, time, legs);
  const GroupScale old_scale = group_scale(before), scale = group_scale(after);
  const double growth = canonical::power_of_two(old_scale.exponent - scale.exponent);
  for (std::uint32_t p = 0; p < legs.size(); ++p) {
    const auto at = std::ranges::lower_bound(before, legs[p].rank, {}, &HeldPosition::rank);
    const bool is_held = at != before.end() && at->rank == legs[p].rank;
    const float old = static_cast<float>((is_held ? at->weight_usd : 0) * old_scale.weight_scale);
    const float weight = static_cast<float>(legs[p].weight_usd * scale.weight_scale);
    const double change = static_cast<double>(weight) - static_cast<double>(old) * growth;
    plan.holdings.push_back({p, static_cast<float>(change)});
  }
  constexpr std::uint32_t last = core::Holding::last_of_block | core::Holding::last_of_superblock;
  plan.holdings.push_back(
      {static_cast<std::uint32_t>(legs.size()) | last, -static_cast<float>(growth)});
  plan.groups.push_back({0, scale.exponent, scale.gross_notional_usd});
  plan.group_begin.push_back(plan.holdings.size());
  return plan;
}

GroupTail HeldAccount::tail_of(const Plan& plan, const float* before, float* losses) const {
  Tails tails = market_->paths->tails(plan, before, {&losses, 1});
  const GroupRisk risk = group_risks(plan, tails).front();
  tails.keys.resize(tail_cut(plan, tails.group(0)).whole + 1);
  return {risk, canonical::power_of_two(plan.groups.front().scale_exponent), std::move(tails.keys)};
}

void HeldAccount::evaluate(Group& group, bool keeps_losses) const {
  if (!group.tails.empty() && !(keeps_losses && group.losses.empty())) return;
  std::vector<GroupTail> tails;
  std::vector<std::vector<float>> losses;
  for (std::size_t time = 0; time < market_->configs.size(); ++time) {
    float* kept = nullptr;
    if (keeps_losses) kept = losses.emplace_back(market_->paths->float_count()).data();
    tails.push_back(tail_of(plan_of(time, group.positions), nullptr, kept));
  }
  group.tails = std::move(tails);
  group.losses = std::move(losses);
}

/// Groups of several accounts that are evaluated together.
struct HeldAccount::Evaluation {
  std::vector<Group*> groups;
  std::vector<bool> keeps_losses;
  std::vector<HeldPosition> instruments;  // each once, in the order of the listing

  explicit Evaluation(std::span<const std::unique_ptr<HeldAccount>> accounts) {
    std::map<std::uint32_t, HeldPosition> listed;
    for (const std::unique_ptr<HeldAccount>& account : accounts)
      for (Group& group : account->groups_) {
        groups.push_back(&group);
        // A trade in a group of one instrument leaves nothing of what was.
        keeps_losses.push_back(account->account_.mode != MarginMode::isolated);
        for (const HeldPosition& position : group.positions) listed[position.rank] = position;
      }
    for (const auto& [rank, position] : listed) instruments.push_back(position);
  }

  Plan plan(const HeldMarket& market, std::size_t time) const {
    Plan plan = market.empty_plan();
    add_instruments(plan, market, time, instruments);
    std::vector<std::uint32_t> priced_of_rank(market.order.size());
    for (std::uint32_t i = 0; i < instruments.size(); ++i) priced_of_rank[instruments[i].rank] = i;
    for (const Group* group : groups) {
      std::vector<HeldPosition> priced = group->positions;
      for (HeldPosition& position : priced) position.instrument = priced_of_rank[position.rank];
      add_group(plan, 0, priced);
    }
    return plan;
  }
};

void HeldAccount::evaluate(std::span<const std::unique_ptr<HeldAccount>> accounts,
                           const Progress& progress) {
  const Evaluation evaluation(accounts);
  if (evaluation.groups.empty()) return;
  const HeldMarket& market = *accounts.front()->market_;
  std::vector<Group> evaluated(evaluation.groups.size());
  for (std::size_t time = 0; time < market.configs.size(); ++time) {
    std::vector<float*> losses(evaluated.size());
    for (std::size_t g = 0; g < evaluated.size(); ++g)
      if (evaluation.keeps_losses[g])
        losses[g] = evaluated[g].losses.emplace_back(market.paths->float_count()).data();
    const Plan plan = evaluation.plan(market, time);
    const Tails tails = market.paths->tails(plan, nullptr, losses, progress);
    const std::vector<GroupRisk> risks = group_risks(plan, tails);
    for (std::size_t g = 0; g < evaluated.size(); ++g)
      evaluated[g].tails.push_back(
          {risks[g],
           canonical::power_of_two(plan.groups[g].scale_exponent),
           {tails.group(g), tails.group(g) + tail_cut(plan, tails.group(g)).whole + 1}});
  }
  for (std::size_t g = 0; g < evaluated.size(); ++g) {
    evaluation.groups[g]->tails = std::move(evaluated[g].tails);
    evaluation.groups[g]->losses = std::move(evaluated[g].losses);
  }
}

/// The tails of a group, null where there is none yet, with its trades; empty where nothing is left
/// in it.
std::vector<GroupTail> HeldAccount::tails_with(Group* group, Positions legs) const {
  const Positions before = group ? Positions(group->positions) : Positions();
  const std::vector<HeldPosition> after = merged(before, legs);
  std::vector<GroupTail> tails;
  if (after.empty()) return tails;
  // A loss before has a rounding error of 2^-24 or so of the gross before: where much is closed,
  // what is left is revalued.
  constexpr int shrinkage_max = 10;
  const bool is_change =
      group && legs.size() < after.size() &&
      group_scale(before).exponent - group_scale(after).exponent <= shrinkage_max;
  if (is_change) evaluate(*group, true);
  for (std::size_t time = 0; time < market_->configs.size(); ++time) {
    if (is_change)
      tails.push_back(
          tail_of(plan_of_change(time, before, after, legs), group->losses[time].data(), nullptr));
    else
      tails.push_back(tail_of(plan_of(time, after), nullptr, nullptr));
  }
  return tails;
}

double HeldAccount::base_usd(const GroupRisk& risk) const {
  const MarginConfig& margin = market_->configs.front().margin;
  const double charge = margin.multiplier * (risk.expected_shortfall_usd +
                                             margin.sampling_uplift * risk.standard_error_usd);
  return charge > 0 ? charge : 0;
}

BaseWhatIf HeldAccount::answer(const std::vector<TradeLeg>& legs) try {
  BaseWhatIf answer;
  JointError difference;
  const auto add_after = [&](const GroupTail& tail) {
    answer.after_usd += base_usd(tail.risk);
    answer.after_shortfall_usd += tail.risk.expected_shortfall_usd;
    answer.after_value_at_risk_usd += tail.risk.value_at_risk_usd;
    answer.after_error_usd += tail.risk.standard_error_usd;
  };
  std::vector<const Group*> changed;
  const std::vector<HeldPosition> traded = after(legs);
  for (Positions rest = traded; !rest.empty();) {
    const Positions of_group = first_group(account_.mode, rest);
    rest = rest.subspan(of_group.size());
    Group* const group = group_of(of_group.front());
    const std::vector<GroupTail> tails = tails_with(group, of_group);
    if (!tails.empty()) {
      add_after(worst_of(tails));
      difference.add(worst_of(tails).keys, worst_of(tails).unit_usd);
    }
    if (!group) continue;
    changed.push_back(group);
    evaluate(*group, false);
    difference.add(worst_of(group->tails).keys, -worst_of(group->tails).unit_usd);
  }
  for (Group& group : groups_) {
    evaluate(group, account_.mode == MarginMode::portfolio);  // the next trade is in it
    const GroupTail& tail = worst_of(group.tails);
    answer.before_usd += base_usd(tail.risk);
    answer.before_shortfall_usd += tail.risk.expected_shortfall_usd;
    answer.before_value_at_risk_usd += tail.risk.value_at_risk_usd;
    answer.before_error_usd += tail.risk.standard_error_usd;
    if (std::ranges::find(changed, &group) == changed.end()) add_after(tail);
  }
  const RiskConfig& risk = market_->configs.front().risk;
  answer.standard_error_usd =
      difference.standard_error(tail_size(risk.path_count, risk.confidence_level), risk.path_count,
                                scrambling_count_of(risk), market_->inputs.covariance.weights);
  return answer;
} catch (const LossError& error) {
  throw OperatingError(fmt::format(
      "account {}: the loss on path {} is not a usable number: the covariance over the horizon "
      "moves prices beyond what can be represented; check its units and horizon_days",
      in_quotes(account_.name), error.path));
}

std::uint64_t HeldAccount::bytes() const {
  std::uint64_t bytes = positions_.capacity() * sizeof(Position);
  for (const Group& group : groups_) {
    bytes += group.positions.capacity() * sizeof(HeldPosition);
    for (const GroupTail& tail : group.tails) bytes += tail.keys.capacity() * sizeof(std::uint64_t);
    for (const std::vector<float>& losses : group.losses)
      bytes += losses.capacity() * sizeof(float);
  }
  return bytes;
}

std::uint64_t HeldAccount::bytes_evaluated() const {
  const std::uint64_t losses =
      account_.mode == MarginMode::isolated ? 0 : market_->paths->float_count() * sizeof(float);
  const std::uint64_t keys = market_->empty_plan().tail.count * sizeof(std::uint64_t);
  std::uint64_t bytes = positions_.capacity() * sizeof(Position);
  for (const Group& group : groups_)
    bytes += group.positions.capacity() * sizeof(HeldPosition) +
             (losses + keys) * market_->configs.size();
  return bytes;
}

}  // namespace shortfall
