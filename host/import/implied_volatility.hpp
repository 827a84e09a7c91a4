// Black (1976) over the forward, and its inverse.
#pragma once

#include <optional>

namespace shortfall::exchange {

/// An option's terms relative to its forward.
struct RelativeOption {
  bool is_call = true;
  double strike = 1;  ///< K / F, > 0
  double years = 0;   ///< to expiry, > 0
};

/// Undiscounted value over the forward, N(d1) - (K/F) N(d2) for a call (Black 1976, equation 16):
/// the premium in coin of an option that is settled in coin. Volatility in [0.01, 10].
double black_premium(const RelativeOption& option, double volatility);

/// Change of the premium per unit of volatility: n(d1) sqrt(T).
double black_vega(const RelativeOption& option, double volatility);

/// The volatility whose premium is the one given, to the rounding of the premium; empty where none
/// in [0.01, 10] is, so also at or below the intrinsic value and at or above the upper bound.
/// Solved on the out-of-the-money side, where no intrinsic value hides the digits, for the
/// logarithm of the premium, by a bracketed method that cannot diverge (Alefeld, Potra and Shi
/// 1995, algorithm 748).
std::optional<double> implied_volatility(const RelativeOption& option, double premium);

}  // namespace shortfall::exchange
