// From tails to margin: pure arithmetic per account.
#pragma once

#include <string>
#include <vector>

#include "shortfall/backend.hpp"
#include "shortfall/book.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// One row of margin.csv, USD.
struct AccountMargin {
  std::string account;
  MarginMode mode = MarginMode::portfolio;
  std::uint32_t position_count = 0;
  double gross_notional_usd = 0;
  double value_at_risk_usd = 0;
  double expected_shortfall_usd = 0;
  double standard_error_usd = 0;  ///< of expected_shortfall
  double margin_usd = 0;
};

/// Margins of every account of the book, in the book's order. Throws LossError where a loss is too
/// large for the fixed-point sums (2^17 times the gross notional).
std::vector<AccountMargin> compute_margins(const Plan& plan, const Book& book, const Tails& tails,
                                           const MarginConfig& config);

}  // namespace shortfall
