// Where an account's expected shortfall comes from: its positions' shares of it, and its worst
// paths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "shortfall/backend.hpp"
#include "shortfall/config.hpp"
#include "shortfall/margin.hpp"

namespace shortfall {

/// A position's component expected shortfall: the mean of its own loss over the tail paths of its
/// margin group, the boundary path with its weight (Tasche 1999, "Risk contributions and
/// performance measurement", section 4). By Euler's theorem it is quantity * d ES / d quantity;
/// negative where the position hedges.
struct PositionShortfall {
  std::uint32_t instrument = 0;  ///< index into Attribution::instruments
  double quantity = 0;           ///< contracts, not zero
  double expected_shortfall_usd = 0;
};

struct Attribution {
  struct Listed {
    std::string name, underlying;
  };
  struct Of {
    std::string account;
    std::size_t begin = 0, end = 0;  ///< its positions
    /// The account's expected shortfall less the sum of its positions', added in order.
    double rounding_usd = 0;
  };
  std::vector<Listed> instruments;  ///< that are held
  std::vector<Of> accounts;         ///< every account of the run, in its order
  /// Of the accounts in order, each by underlying and then in the canonical order of the listing.
  std::vector<PositionShortfall> positions;
};

/// A path of an account's tail.
struct WorstPath {
  std::uint32_t path = 0;
  double loss_usd = 0;             ///< of the account as one portfolio
  std::vector<double> moves;       ///< of Explanation::factors
  std::vector<double> losses_usd;  ///< of the account's positions, in the order of the attribution
  std::string date = {};           ///< of a history; else empty
};

/// A risk factor of an underlying that the account holds. Moves are over the risk horizon, in the
/// unit of the factor: logarithmic for spots and volatilities.
struct FactorMove {
  std::string name;  ///< "<underlying>.<kind>"
  double standard_deviation = 0;
  double tail_mean = 0;  ///< mean move over the tail of the account as one portfolio
};

/// Why an account's margin is what it is.
struct Explanation {
  RunConfig config;
  std::vector<std::string> warnings;
  AccountMargin margin;     ///< the row of margin.csv
  Attribution attribution;  ///< of this account alone
  std::vector<FactorMove> factors;
  std::vector<WorstPath> worst_paths;  ///< ten, the worst first; fewer where the tail is shorter
};

/// Simulates one account on the listing of the run, so that its margin has the bytes of the full
/// run, with every component. The worst paths are those of the account as one portfolio: for an
/// account in cross or isolated mode they take a simulation of their own, and the attribution is
/// by its margin groups all the same. Throws InputError where no such account holds anything.
Explanation explain(const RunConfig& config, const std::string& account,
                    const Progress& progress = {});

}  // namespace shortfall
