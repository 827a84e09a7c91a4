// Whether a run is precise enough: paths = "auto".
#pragma once

#include <string>
#include <vector>

#include "shortfall/config.hpp"
#include "shortfall/margin.hpp"

namespace shortfall {

/// An account is precise where the standard error of its expected shortfall is at most
///   max(target_relative_error |ES|, 1e-5 gross notional):
/// the second for books so well hedged that their shortfall is itself a rounding.
struct Precision {
  std::vector<std::string> imprecise_accounts;  ///< of those that are to be precise
  bool is_reached = false;
};

/// What was asked for: every account precise; or the accounts that are named; or accounts that make
/// up a share of the total margin.
Precision precision_of(const RiskConfig& risk, const std::vector<AccountMargin>& margins);

/// Throws InputError where an account that is to be precise is none of the book's.
void require_accounts(const RunConfig& config, const Book& book);

}  // namespace shortfall
