#include "shortfall/margin.hpp"

#include "components.hpp"
#include "joint_error.hpp"
#include "model/confidence_interval.hpp"

namespace shortfall {

std::vector<AccountMargin> compute_margins(const Plan& plan, const Book& book, const Tails& tails,
                                           const MarginConfig& config) {
  const std::vector<GroupRisk> risks = group_risks(plan, tails);
  const std::vector<double> errors_usd = account_errors_usd(
      plan, risks, [&](std::uint32_t g) { return std::span(tails.group(g), tails.count); });
  return account_margins(plan, book, risks, errors_usd, config);
}

std::vector<AccountMargin> account_margins(const Plan& plan, const Book& book,
                                           const std::vector<GroupRisk>& risks,
                                           const std::vector<double>& errors_usd,
                                           const MarginConfig& config) {
  std::vector<AccountMargin> margins;
  margins.reserve(plan.accounts.size());
  for (std::size_t a = 0; a < plan.accounts.size(); ++a) {
    const Plan::AccountSummary& summary = plan.accounts[a];
    AccountMargin margin;
    margin.account = book.accounts[a].name;
    margin.mode = summary.mode;
    margin.position_count = summary.position_count;
    margin.gross_notional_usd = summary.gross_notional_usd;
    margin.standard_error_usd = errors_usd[a];
    for (std::uint32_t g = summary.group_begin; g < summary.group_end; ++g) {
      const GroupRisk& risk = risks[g];
      margin.value_at_risk_usd += risk.value_at_risk_usd;
      margin.expected_shortfall_usd += risk.expected_shortfall_usd;
      const double charge = config.multiplier * risk.expected_shortfall_usd;
      margin.margin_usd += charge > 0 ? charge : 0;
    }
    const double half = interval_quantile(plan.scrambling_count) * margin.standard_error_usd;
    margin.confidence_low_usd = margin.expected_shortfall_usd - half;
    margin.confidence_high_usd = margin.expected_shortfall_usd + half;
    margin.components.base = margin.margin_usd;
    margin.maintenance_margin_usd = margin.margin_usd;
    margins.push_back(std::move(margin));
  }
  return margins;
}

}  // namespace shortfall
