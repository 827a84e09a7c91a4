// From tails to margin: pure arithmetic per account.
#pragma once

#include <string>
#include <vector>

#include "shortfall/backend.hpp"
#include "shortfall/book.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// What the margin is made of, USD, each >= 0; their sum is the margin. A component that is not
/// configured is 0.
struct MarginComponents {
  double base = 0;  ///< max(0, multiplier (ES + sampling_uplift standard errors))
  double dependence = 0, concentration = 0;
  double uncharged =
      0;  ///< the lesser of the two where only the larger is charged: no part of the sum
  double liquidity = 0;
  double stress = 0;
  double procyclicality = 0;
  double funding = 0;
  double short_option_minimum = 0;
  double floor = 0;

  double sum() const {
    return base + dependence + concentration + liquidity + stress + procyclicality + funding +
           short_option_minimum + floor;
  }
};

enum class AccountStatus : std::uint8_t { ok, call, liquidate };

/// One row of margin.csv, USD.
struct AccountMargin {
  std::string account;
  MarginMode mode = MarginMode::portfolio;
  std::uint32_t position_count = 0;
  double gross_notional_usd = 0;
  double value_at_risk_usd = 0;
  double expected_shortfall_usd = 0;
  double standard_error_usd = 0;  ///< of expected_shortfall
  /// 95 % confidence interval of expected_shortfall from that error.
  double confidence_low_usd = 0, confidence_high_usd = 0;
  double margin_usd = 0;  ///< initial margin
  MarginComponents components;
  std::string worst_scenario;  ///< of `stress`; with several margin groups that of the largest loss
  double maintenance_margin_usd = 0;
  double equity_usd = 0;
  double excess_usd = 0;    ///< equity - initial margin
  double margin_ratio = 0;  ///< maintenance margin / equity; infinite where equity <= 0 < margin
  AccountStatus status = AccountStatus::ok;
};

/// Margins of every account of the book, in the book's order. Throws LossError where a loss is too
/// large for the fixed-point sums (2^17 times the gross notional).
std::vector<AccountMargin> compute_margins(const Plan& plan, const Book& book, const Tails& tails,
                                           const MarginConfig& config);

}  // namespace shortfall
