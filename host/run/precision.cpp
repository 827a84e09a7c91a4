#include "precision.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "shortfall/error.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

bool is_precise(const RiskConfig& risk, const AccountMargin& margin) {
  constexpr double negligible_share = 1e-5;
  const double shortfall_usd = margin.expected_shortfall_usd < 0 ? -margin.expected_shortfall_usd
                                                                 : margin.expected_shortfall_usd;
  return margin.standard_error_usd <= std::max(risk.target_relative_error * shortfall_usd,
                                               negligible_share * margin.gross_notional_usd);
}

}  // namespace

Precision precision_of(const RiskConfig& risk, const std::vector<AccountMargin>& margins) {
  Precision precision;
  double total_usd = 0, precise_usd = 0;
  for (const AccountMargin& margin : margins) {
    total_usd += margin.margin_usd;
    const auto& named = risk.precise_accounts;
    if (!named.empty() && std::ranges::find(named, margin.account) == named.end()) continue;
    if (is_precise(risk, margin))
      precise_usd += margin.margin_usd;
    else
      precision.imprecise_accounts.push_back(margin.account);
  }
  precision.is_reached = precision.imprecise_accounts.empty() ||
                         (risk.precise_accounts.empty() && risk.precise_margin_share < 1 &&
                          precise_usd >= risk.precise_margin_share * total_usd);
  return precision;
}

void require_accounts(const RunConfig& config, const Book& book) {
  Problems problems;
  for (const std::string& name : config.risk.precise_accounts)
    if (std::ranges::find(book.accounts, name, &Account::name) == book.accounts.end())
      problems.add(config.file.string(), 0,
                   fmt::format("[risk] precise_accounts names {}, which holds nothing in {}",
                               in_quotes(name), config.inputs.positions.string()));
  problems.throw_if_any();
}

}  // namespace shortfall
