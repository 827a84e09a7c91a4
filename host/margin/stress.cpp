#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "components.hpp"
#include "model/canonical_math.hpp"
#include "shortfall/core/plan_arrays.hpp"
#include "shortfall/trace.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

/// An instant move of one underlying. Its loss counts with the weight.
struct GridMove {
  double price_return;  ///< simple
  enum class Volatility { flat, up, down } volatility;
  double weight;
};

/// Near moves in quarters of the range with every move of volatility, and far ones.
std::vector<GridMove> grid_moves(const StressConfig& stress) {
  using enum GridMove::Volatility;
  std::vector<GridMove> moves;
  for (const int quarters : {0, -1, 1, -2, 2, -3, 3, -4, 4})
    for (const auto volatility : {flat, up, down})
      if (quarters != 0 || volatility != flat)
        moves.push_back({stress.range * quarters / 4, volatility, 1});
  if (!stress.has_far_moves) return moves;
  // A far move nearer than a wide range counts once, not more.
  for (const double move : {-0.66, -0.50, -0.33, 0.50, 1.0, 2.0, 3.0, 4.0, 5.0})
    moves.push_back({move, flat, std::min(1.0, stress.range / (move < 0 ? -move : move))});
  return moves;
}

std::string describe(const GridMove& move) {
  std::string text;
  if (move.price_return != 0) text += fmt::format(" {:+.6g}%", 100 * move.price_return);
  if (move.volatility == GridMove::Volatility::up) text += " vol up";
  if (move.volatility == GridMove::Volatility::down) text += " vol down";
  return text;
}

/// A plan for given moves, revalued at once: of the model only the number of factors matters.
Plan plan_of_moves(RunConfig config, const RunInputs& inputs) {
  config.risk.revalue_at = RevalueAt::now;
  FactorModel model;
  model.factor_count = static_cast<std::uint32_t>(inputs.covariance.factors.size());
  return build_plan(config, inputs, std::move(model));
}

struct WorstPath {
  double loss_usd = 0;
  std::size_t path = 0;
};

/// The largest weighted loss of a margin group above 0, and the first path of those that equal it
/// within rounding: to a position linear in the price all moves of a direction that are weighted by
/// its inverse are the same. Or the first loss that is not finite.
template <class Weight>
WorstPath worst_path(const MarginGroup& group, const float* losses, std::size_t path_count,
                     Weight weight) {
  const double unit_usd = canonical::power_of_two(group.scale_exponent);
  const auto loss_usd = [&](std::size_t p) { return weight(p) * (losses[p] * unit_usd); };
  WorstPath worst;
  for (std::size_t p = 0; p < path_count; ++p) {
    const double loss = loss_usd(p);
    if (!(loss - loss == 0)) return {loss, p};
    if (loss > worst.loss_usd) worst.loss_usd = loss;
  }
  if (worst.loss_usd == 0) return worst;
  while (loss_usd(worst.path) < worst.loss_usd * (1 - 1e-6)) ++worst.path;
  return worst;
}

/// A loss that a margin can be made of.
void require_finite(double loss, const Account& account, const std::string& scenario) {
  if (loss - loss == 0) return;
  throw OperatingError(fmt::format(
      "stress: the loss of account {} in scenario {} is not finite; its moves are too large",
      in_quotes(account.name), in_quotes(scenario)));
}

/// Scenarios of the file, a row of paths at a time.
void charge_scenarios(const RunConfig& config, const RunInputs& inputs, StressLosses& worst) {
  const Plan plan = plan_of_moves(config, inputs);
  const std::vector<StressScenario>& scenarios = inputs.scenarios;
  for (std::size_t first = 0; first < scenarios.size(); first += core::row_path_count) {
    const std::size_t count = std::min<std::size_t>(core::row_path_count, scenarios.size() - first);
    std::vector<double> moves(plan.model.factor_count * count);
    for (std::size_t s = 0; s < count; ++s)
      for (const auto& [factor, move] : scenarios[first + s].shocks)
        moves[factor * count + s] = move;
    const std::vector<float> losses = losses_of_moves(
        plan, moves, static_cast<std::uint32_t>(count), config.compute.instruction_set);
    for (std::size_t g = 0; g < plan.groups.size(); ++g) {
      const std::uint32_t account = plan.groups[g].account;
      const WorstPath own = worst_path(plan.groups[g], losses.data() + g * count, count,
                                       [&](std::size_t s) { return scenarios[first + s].weight; });
      const StressScenario& scenario = scenarios[first + own.path];
      require_finite(own.loss_usd, inputs.book.accounts[account], scenario.name);
      if (!(own.loss_usd > worst.loss_usd[account])) continue;
      worst.loss_usd[account] = own.loss_usd;
      worst.scenario[account] = scenario.name;
    }
  }
}

// The grid. Every underlying makes the same move on a path, and accounts are in cross mode: a
// margin group is what an account holds of one underlying, so its losses are those of that
// underlying moving alone. All underlyings together cost one row of paths.

/// Factors: the spot of each underlying, then 1 or 0 for volatility up and down.
RunInputs grid_inputs(const RunInputs& inputs) {
  RunInputs grid;
  grid.book = inputs.book;
  for (Account& account : grid.book.accounts) account.mode = MarginMode::cross;
  for (std::uint32_t u = 0; u < inputs.book.underlyings.size(); ++u)
    grid.covariance.factors.push_back(
        {inputs.book.underlyings[u].name + ".spot", u, FactorKind::spot, 0});
  return grid;
}

/// ln of what an option's volatility is multiplied by. A 30-day volatility moves by `relative`,
/// others by that times (30 / days)^power; an expiry within a day moves like one of a day. Down to
/// a thousandth: then the least volatility, 0.01, holds for every mark.
double log_volatility_move(double relative, double power, double days) {
  const double tenor = canonical::exp(power * canonical::log(30.0 / std::max(days, 1.0)));
  return canonical::log(std::max(1 + relative * tenor, 1e-3));
}

/// Gives each option the volatility row of its expiry; without factors of volatility it had none.
void add_volatility_moves(Plan& plan, const RunConfig& config, const Book& book) {
  const StressConfig& stress = *config.margin.stress;
  const std::uint32_t up = plan.model.factor_count, down = up + 1;
  plan.model.factor_count += 2;
  std::map<std::int64_t, std::uint32_t> rows;
  for (core::StrikeCell& cell : plan.strike_cells) {
    const std::uint32_t priced = cell.call == core::none ? cell.put : cell.call;
    const std::int64_t expiry = book.instruments[plan.instruments[priced]].expiry;
    const auto [row, is_new] =
        rows.try_emplace(expiry, static_cast<std::uint32_t>(plan.state_rows.size()));
    if (is_new) {
      const double days = static_cast<double>(expiry - config.as_of) / 86400.0;
      plan.state_rows.push_back({log_volatility_move(stress.vol_up, stress.vol_power, days),
                                 log_volatility_move(-stress.vol_down, stress.vol_power, days), up,
                                 down, core::StateKind::exp, 0});
    }
    cell.volatility_row = row->second;
  }
}

std::vector<double> factor_moves(const std::vector<GridMove>& moves, std::size_t underlying_count) {
  std::vector<double> factors;
  for (std::size_t u = 0; u < underlying_count; ++u)
    for (const GridMove& move : moves) factors.push_back(canonical::log(1 + move.price_return));
  for (const auto volatility : {GridMove::Volatility::up, GridMove::Volatility::down})
    for (const GridMove& move : moves) factors.push_back(move.volatility == volatility ? 1 : 0);
  return factors;
}

/// The worst losses of an account's underlyings, in their order, without offset.
void charge_grid(const RunConfig& config, const RunInputs& inputs, StressLosses& worst) {
  const RunInputs grid = grid_inputs(inputs);
  Plan plan = plan_of_moves(config, grid);
  add_volatility_moves(plan, config, grid.book);
  const std::vector<GridMove> moves = grid_moves(*config.margin.stress);
  const std::size_t count = moves.size();
  const std::vector<float> losses =
      losses_of_moves(plan, factor_moves(moves, grid.book.underlyings.size()),
                      static_cast<std::uint32_t>(count), config.compute.instruction_set);
  for (std::size_t account = 0; account < plan.accounts.size(); ++account) {
    double sum = 0;
    std::string name;
    const Plan::AccountSummary& groups = plan.accounts[account];
    for (std::uint32_t g = groups.group_begin; g < groups.group_end; ++g) {
      const WorstPath own = worst_path(plan.groups[g], losses.data() + g * count, count,
                                       [&](std::size_t p) { return moves[p].weight; });
      if (own.loss_usd == 0) continue;
      const std::uint32_t priced =
          plan.holdings[plan.group_begin[g]].instrument & core::Holding::index_mask;
      const std::uint32_t underlying = grid.book.instruments[plan.instruments[priced]].underlying;
      name += (name.empty() ? "grid: " : "; ") + grid.book.underlyings[underlying].name +
              describe(moves[own.path]);
      require_finite(own.loss_usd, grid.book.accounts[account], name);
      sum += own.loss_usd;
    }
    if (!(sum > worst.loss_usd[account])) continue;
    worst.loss_usd[account] = sum;
    worst.scenario[account] = std::move(name);
  }
}

}  // namespace

StressLosses stress_losses(const ComponentContext& context) {
  const RunInputs& inputs = context.inputs;
  SHORTFALL_ASSERT(context.config.margin.stress.has_value());
  const std::size_t count = inputs.book.accounts.size();
  StressLosses worst{std::vector<double>(count), std::vector<std::string>(count)};
  if (!inputs.scenarios.empty()) charge_scenarios(context.config, inputs, worst);
  if (context.config.margin.stress->has_grid) charge_grid(context.config, inputs, worst);
  return worst;
}

}  // namespace shortfall
