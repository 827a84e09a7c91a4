// An account under several margin schemes, on the same positions and marks.
#pragma once

#include <string>
#include <vector>

#include "shortfall/config.hpp"
#include "shortfall/scheduler.hpp"
#include "shortfall/schemes.hpp"

namespace shortfall {

struct SchemeParameters {
  SpanParameters span;
  PortfolioMarginParameters portfolio_margin;
};

/// USD.
struct AccountComparison {
  std::string account;
  MarginMode mode = MarginMode::portfolio;
  double gross_notional_usd = 0;
  double margin_usd = 0;  ///< what a run charges: in the account's mode, with every component
  /// multiplier * ES in each mode, whatever the account's, and no other component. Isolated is
  /// added up from long and short positions of one contract, and within 1e-6 of the gross notional
  /// of a run's.
  double portfolio_usd = 0, cross_usd = 0, isolated_usd = 0;
  double span_usd = 0;
  double portfolio_margin_usd = 0;  ///< initial, of all underlyings and settlements
};

struct Comparison {
  std::vector<AccountComparison> accounts;  ///< in the order of margin.csv
  std::vector<std::string> warnings;
};

Comparison compare(const RunConfig& config, const SchemeParameters& schemes = {},
                   const Progress& progress = {});

/// The text of compare.csv, a row per account.
std::string format_comparison(const Comparison& comparison);

/// Writes compare.csv to `directory`, which is created. Throws OperatingError, leaving an earlier
/// one untouched.
void write_comparison(const std::filesystem::path& directory, const Comparison& comparison);

}  // namespace shortfall
