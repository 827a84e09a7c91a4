// Collateral and equity: what stands behind an account's margin, and whether it is enough.
#pragma once

#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"
#include "shortfall/error.hpp"
#include "shortfall/margin.hpp"

namespace shortfall {

/// Reports what keeps [margin.collateral] from being applied. The inputs are valid otherwise.
void check_collateral(const RunConfig& config, const RunInputs& inputs, Problems& problems);

/// Appends the accounts that only the collateral names, in its order, in portfolio mode.
void add_collateral_accounts(Book& book);

/// The inputs with coins as positions instead of collateral: in the listed spot instrument of their
/// underlying (of several the first by name), else in one named "<underlying>-collateral", which is
/// listed for each such underlying whether held or not, so that no account's sums depend on what
/// others hold. Quantities are rounded to 10^-12 contracts, halves away from zero. Accounts are
/// added as above.
RunInputs with_collateral(RunInputs inputs);

/// Equity of each account of the book, USD: collateral, options at the marks (Black 1976,
/// undiscounted), spot positions at market. Futures and perpetuals are settled to the mark. A coin
/// held as collateral counts less its haircut, a debt or a simulated coin in full, so that
/// with_collateral changes an equity by its rounding at most. No order of rows changes a bit.
std::vector<double> equities(const RunConfig& config, const RunInputs& inputs);

/// 0 without a maintenance margin, infinite where there is one and no equity.
double margin_ratio(double equity_usd, double maintenance_usd);

/// `liquidate` below the maintenance margin, else `call` below the initial margin, else `ok`.
AccountStatus status_of(double equity_usd, double initial_usd, double maintenance_usd);

const char* to_string(AccountStatus value);

}  // namespace shortfall
