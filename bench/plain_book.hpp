// A book for baselines in plain double precision: what does not depend on the path is computed
// once, the exponentials once per path and expiry.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"

namespace shortfall::plain {

/// What instruments of one underlying and expiry share.
struct Term {
  double spot_usd;
  double years, years_left;  ///< 0 where it expires inside the horizon
  bool is_perpetual;
  int spot, skew, carry;  ///< factors, or -1
  int vol_below, vol_above;
  double share_above;
};

/// A term on one path.
struct TermState {
  double index_usd;
  double forward_growth, volatility_growth;  ///< over the horizon
  double skew;                               ///< change of the smile's slope
};

/// A distinct instrument that someone holds.
struct Contract {
  std::size_t term;
  InstrumentType type;
  bool is_inverse, is_settled;
  double spot_usd;
  double multiplier, strike, forward, volatility, skew_moneyness, sqrt_years_left;
  double before;  ///< USD value of an option per unit of multiplier

  bool is_option() const { return type == InstrumentType::call || type == InstrumentType::put; }
};

struct Holding {
  std::size_t contract;
  double weight;  ///< contracts times multiplier
};

struct [[gnu::visibility("default")]] Book {
  std::vector<Term> terms;
  std::vector<Contract> contracts;
  std::vector<std::vector<Holding>> accounts;

  Book(const RunConfig& config, const RunInputs& inputs);

  /// A row of terms per path. `moves` are the factors' over the horizon, a row of paths per factor.
  std::vector<TermState> states(const double* moves, std::size_t path_count) const;
};

/// Change of the USD value per unit of multiplier. black(contract, forward, deviation) is the value
/// of an undiscounted option; deviation is volatility times the root of time.
template <class Black>
double change_usd(const Contract& contract, const TermState& now, Black&& black) {
  if (contract.type == InstrumentType::spot) return now.index_usd - contract.spot_usd;
  const double forward =
      contract.is_settled ? now.index_usd : contract.forward * now.forward_growth;
  if (!contract.is_option())
    return contract.is_inverse ? (1 / contract.forward - 1 / forward) * now.index_usd
                               : forward - contract.forward;
  const bool is_call = contract.type == InstrumentType::call;
  double value;
  if (contract.is_settled) {
    value = std::max(is_call ? forward - contract.strike : contract.strike - forward, 0.0);
  } else {
    const double volatility =
        std::clamp(contract.volatility * now.volatility_growth + now.skew * contract.skew_moneyness,
                   0.01, 10.0);
    value = black(contract, forward, volatility * contract.sqrt_years_left);
  }
  return (contract.is_inverse ? value / forward * now.index_usd : value) - contract.before;
}

/// Black (1976) by std::log and std::erfc.
[[gnu::visibility("default")]] double black(bool is_call, double forward, double strike,
                                            double deviation);

/// Losses of every account, USD, a row of 64 paths each, from rows of 64 paths per contract.
[[gnu::visibility("default")]] void sum_accounts(const Book& book, const double* changes_usd,
                                                 double* losses_usd);
inline constexpr std::size_t block_path_count = 64;
/// The same for one path: a value per contract, a loss per account.
[[gnu::visibility("default")]] void sum_accounts_on_path(const Book& book,
                                                         const double* changes_usd,
                                                         double* losses_usd);

}  // namespace shortfall::plain
