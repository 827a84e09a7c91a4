// Whether the marks of a chain fit together, and how well Black-76 gives them back.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "chain.hpp"

namespace shortfall::exchange {

/// Order statistics of magnitudes, in coin (premium over the forward) unless said otherwise.
struct Magnitudes {
  std::size_t count = 0, violation_count = 0;  ///< above the tolerance of the check
  double median = 0, percentile_99 = 0, maximum = 0;
  std::string worst;  ///< where the maximum is
};

/// The checks of one underlying. Violations are those of static arbitrage: what they are beyond,
/// in coin, is below. Butterflies in probability: by how much the slope of the call price falls
/// from one pair of neighbouring strikes to the next (Breeden and Litzenberger 1978).
struct ChainChecks {
  static constexpr double parity_tolerance = 1e-4;        ///< the least step of a quote
  static constexpr double monotonicity_tolerance = 1e-6;  ///< the last digit of a mark
  static constexpr double butterfly_tolerance = 1e-4;

  Magnitudes parity;        ///< |C - P - (1 - K/F)|, F the mean of the two forwards
  Magnitudes monotonicity;  ///< rise of a call's value with the strike
  Magnitudes butterfly;     ///< risk-neutral probability below zero
  Magnitudes black;         ///< |Black-76 - mark| at the volatility that is written
  Magnitudes published;     ///< at the published one, where volatilities are solved
};

/// By underlying, in the order of the chain. The percentile is the nearest rank, the median of an
/// even number the mean of the two in the middle.
std::vector<ChainChecks> check_chain(const ImportedChain& chain);

}  // namespace shortfall::exchange
