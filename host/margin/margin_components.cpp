// Adds the components up: per margin group, then per account, then against collateral.
#include <algorithm>
#include <map>
#include <utility>

#include "collateral.hpp"
#include "components.hpp"

namespace shortfall {
namespace {

/// What the groups lose or owe, before anything is added up. Empty where not configured.
struct GroupCharges {
  DependenceCharges dependence;
  std::vector<double> liquidity_usd, procyclicality_usd, funding_usd, short_option_minimum_usd;
  StressLosses stress;
};

/// The risks of the plan's groups in the order of the grouped accounts.
std::vector<GroupRisk> in_order_of(const GroupedInputs& grouped, const Plan& plan,
                                   const std::vector<GroupRisk>& of_plan) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> group_of;  // account, instrument
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g) {
    const std::uint64_t first = plan.group_begin[g];
    for (std::uint64_t h = first; h < plan.group_begin[g + 1]; ++h) {
      const std::uint32_t priced = plan.holdings[h].instrument & core::Holding::index_mask;
      group_of[{plan.groups[g].account, plan.instruments[priced]}] = g;
    }
  }
  std::vector<GroupRisk> risks(grouped.account.size());
  for (const Position& p : grouped.inputs.book.positions)
    risks[p.account] = of_plan[group_of.at({grouped.account[p.account], p.instrument})];
  return risks;
}

GroupCharges charges_of(const ComponentContext& context, const Covariance& covariance) {
  const MarginConfig& margin = context.config.margin;
  GroupCharges charges;
  if (margin.dependence) charges.dependence = dependence_charges(context);
  if (margin.liquidity) {
    RunInputs as_read = context.inputs;
    as_read.covariance = covariance;
    charges.liquidity_usd =
        liquidity_charges({context.config, as_read, context.simulate, context.base});
  }
  if (margin.stress) charges.stress = stress_losses(context);
  if (margin.procyclicality) charges.procyclicality_usd = procyclicality_charges(context);
  if (margin.funding) charges.funding_usd = funding_charges(context);
  if (margin.short_option_minimum_rate)
    charges.short_option_minimum_usd = short_option_minimums(context);
  return charges;
}

double at(const std::vector<double>& values, std::size_t g) {
  return values.empty() ? 0.0 : values[g];
}

double positive(double value) { return value > 0 ? value : 0; }

/// The components of one group whose base risk is given.
MarginComponents components_of(const MarginConfig& margin, const GroupCharges& charges,
                               const GroupRisk& risk, std::size_t g) {
  MarginComponents c;
  c.base = positive(margin.multiplier * (risk.expected_shortfall_usd +
                                         margin.sampling_uplift * risk.standard_error_usd));
  if (margin.dependence) {
    c.dependence = charges.dependence.dependence_usd[g];
    c.concentration = charges.dependence.concentration_usd[g];
  }
  c.liquidity = at(charges.liquidity_usd, g);
  c.stress = positive(at(charges.stress.loss_usd, g) - c.base);
  c.procyclicality = margin.multiplier * at(charges.procyclicality_usd, g);
  c.funding = at(charges.funding_usd, g);
  // As in STANS the larger of the two is charged and the other only reported.
  if (margin.dependence && !margin.dependence->is_sum)
    c.uncharged = std::exchange(c.dependence < c.concentration ? c.dependence : c.concentration, 0);
  c.short_option_minimum = positive(at(charges.short_option_minimum_usd, g) - c.sum());
  return c;
}

void add(MarginComponents& sum, const MarginComponents& c) {
  sum.base += c.base;
  sum.dependence += c.dependence;
  sum.concentration += c.concentration;
  sum.uncharged += c.uncharged;
  sum.liquidity += c.liquidity;
  sum.stress += c.stress;
  sum.procyclicality += c.procyclicality;
  sum.funding += c.funding;
  sum.short_option_minimum += c.short_option_minimum;
}

/// The components of every account, floor included.
std::vector<MarginComponents> components_of_accounts(const RunConfig& config,
                                                     const GroupedInputs& grouped,
                                                     const GroupCharges& charges,
                                                     const std::vector<GroupRisk>& risks,
                                                     std::size_t account_count) {
  std::vector<MarginComponents> all(account_count);
  for (std::size_t g = 0; g < grouped.account.size(); ++g)
    add(all[grouped.account[g]], components_of(config.margin, charges, risks[g], g));
  // An account that holds nothing owes nothing.
  for (const std::uint32_t account : grouped.account)
    if (all[account].floor == 0)
      all[account].floor = positive(config.margin.floor_usd - all[account].sum());
  return all;
}

/// Of each account the scenario of the group with the largest stress component.
void name_scenarios(const GroupedInputs& grouped, const GroupCharges& charges,
                    std::vector<AccountMargin>& margins) {
  std::vector<double> largest(margins.size());
  for (std::size_t g = 0; g < charges.stress.loss_usd.size(); ++g) {
    const std::uint32_t account = grouped.account[g];
    if (charges.stress.loss_usd[g] <= largest[account]) continue;
    largest[account] = charges.stress.loss_usd[g];
    margins[account].worst_scenario = charges.stress.scenario[g];
  }
}

}  // namespace

RunInputs simulated_inputs(const RunConfig& config, RunInputs inputs) {
  if (config.margin.liquidity) {
    const double days = config.risk.horizon_days;
    inputs.covariance = scaled_to_liquidation(inputs.covariance, inputs, days);
    if (inputs.stressed_covariance)
      inputs.stressed_covariance = scaled_to_liquidation(*inputs.stressed_covariance, inputs, days);
  }
  if (config.margin.collateral && config.margin.collateral->is_simulated)
    inputs = with_collateral(std::move(inputs));
  return inputs;
}

std::vector<AccountMargin> charge_components(const RunConfig& config, const RunInputs& inputs,
                                             const BaseRisks& base, const Simulate& simulate,
                                             std::vector<AccountMargin> margins) {
  const GroupedInputs grouped = group_accounts(inputs);
  const std::vector<GroupRisk> risks = in_order_of(grouped, base.plan, base.risks);
  const ComponentContext context{config, grouped.inputs, simulate, risks};
  const GroupCharges charges = charges_of(context, base.covariance);
  const auto initial = components_of_accounts(config, grouped, charges, risks, margins.size());
  auto maintenance = initial;
  if (const auto confidence = config.margin.maintenance_confidence_level)
    maintenance = components_of_accounts(
        config, grouped, charges, simulate_risks(config, grouped.inputs, simulate, *confidence),
        margins.size());
  const double ratio = config.margin.maintenance_ratio.value_or(1.0);
  std::vector<double> equity;
  if (config.margin.collateral) equity = equities(config, inputs);
  for (std::size_t a = 0; a < margins.size(); ++a) {
    AccountMargin& margin = margins[a];
    margin.components = initial[a];
    margin.margin_usd = initial[a].sum();
    // A lower confidence never asks for more than the initial margin.
    margin.maintenance_margin_usd = std::min(ratio * maintenance[a].sum(), margin.margin_usd);
    if (equity.empty()) continue;
    margin.equity_usd = equity[a];
    margin.excess_usd = equity[a] - margin.margin_usd;
    margin.margin_ratio = margin_ratio(equity[a], margin.maintenance_margin_usd);
    margin.status = status_of(equity[a], margin.margin_usd, margin.maintenance_margin_usd);
  }
  if (config.margin.stress) name_scenarios(grouped, charges, margins);
  return margins;
}

}  // namespace shortfall
