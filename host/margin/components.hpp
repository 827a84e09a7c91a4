// What is charged beyond the expected shortfall, a function per component. Each works on margin
// groups and knows nothing of accounts; margin.cpp adds up.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "shortfall/backend.hpp"
#include "shortfall/book.hpp"
#include "shortfall/config.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// Runs a plan over all of its paths on the backends of the run.
using Simulate = std::function<Tails(const Plan&)>;

/// Statistics of a margin group's loss, USD.
struct GroupRisk {
  double value_at_risk_usd = 0, expected_shortfall_usd = 0, standard_error_usd = 0;
};

/// What the components start from. The accounts of `inputs` are the margin groups, in portfolio
/// mode and in the order of all results below.
struct ComponentContext {
  const RunConfig& config;
  const RunInputs& inputs;
  const Simulate& simulate;
  const std::vector<GroupRisk>& base;  ///< at risk.confidence, without the multiplier
};

/// One account per margin group of the inputs' accounts, in portfolio mode.
struct GroupedInputs {
  RunInputs inputs;
  std::vector<std::uint32_t> account;  ///< of the original book, per group
};
GroupedInputs group_accounts(const RunInputs& inputs);

/// The plan's groups, from their tails.
std::vector<GroupRisk> group_risks(const Plan& plan, const Tails& tails);

/// Expected shortfalls of the accounts of `inputs`, all in portfolio mode, at a confidence; zero
/// where an account holds nothing. `model` replaces the factor model where it is given. Where
/// revalue_at is worst, the larger of now and horizon, each account for itself.
std::vector<GroupRisk> simulate_risks(const RunConfig& config, const RunInputs& inputs,
                                      const Simulate& simulate, double confidence_level,
                                      const FactorModel* model = nullptr);

/// margin.cpp. Accounts from the risks of the plan's groups, and errors from account_errors_usd:
/// multiplier * ES and no other component.
std::vector<AccountMargin> account_margins(const Plan& plan, const Book& book,
                                           const std::vector<GroupRisk>& risks,
                                           const std::vector<double>& errors_usd,
                                           const MarginConfig& config);

/// The run's own simulation.
struct BaseRisks {
  const Plan& plan;
  const std::vector<GroupRisk>& risks;  ///< of the plan's groups
  const Covariance& covariance;         ///< as read, not scaled to a liquidation
};

/// margin_components.cpp. What a run simulates: factors scaled to longer liquidations, and coins
/// held as collateral among the positions where the configuration says so.
RunInputs simulated_inputs(const RunConfig& config, RunInputs inputs);

/// `margins` with everything that [margin] asks for beyond the multiplier.
std::vector<AccountMargin> charge_components(const RunConfig& config, const RunInputs& inputs,
                                             const BaseRisks& base, const Simulate& simulate,
                                             std::vector<AccountMargin> margins);

/// dependence.cpp. weight * max(0, max(ES_H, ES_P, ES_Z) - base ES), and the charge for the two
/// underlyings that matter most; neither is combined with the other yet.
struct DependenceCharges {
  std::vector<double> dependence_usd, concentration_usd;
};
DependenceCharges dependence_charges(const ComponentContext& context);

/// procyclicality.cpp. max(ES, (1 - w) ES + w ES_stressed) - ES, without the multiplier.
std::vector<double> procyclicality_charges(const ComponentContext& context);

/// stress.cpp. The worst weighted loss over the scenarios, >= 0, and its name (empty where no
/// scenario loses).
struct StressLosses {
  std::vector<double> loss_usd;
  std::vector<std::string> scenario;
};
StressLosses stress_losses(const ComponentContext& context);

/// liquidity.cpp
std::vector<double> liquidity_charges(const ComponentContext& context);
/// Factors of an underlying with liquidation_days beyond the horizon, scaled by the square root of
/// the ratio; others as they are.
Covariance scaled_to_liquidation(const Covariance& covariance, const RunInputs& inputs,
                                 double horizon_days);

/// position_charges.cpp. max(0, sum of quantity * USD notional * rate * horizon) over perpetuals.
std::vector<double> funding_charges(const ComponentContext& context);
/// rate * sum over (underlying, call or put) of spot * uncovered short coins.
std::vector<double> short_option_minimums(const ComponentContext& context);

}  // namespace shortfall
