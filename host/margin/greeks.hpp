// Analytic sensitivities at the current marks, in canonical double arithmetic.
#pragma once

#include <cstdint>

#include "shortfall/book.hpp"

namespace shortfall {

/// Sensitivities of the USD value of one contract: docs/methodology.md, section 3, differentiated
/// at the marks, before any aging.
struct Greeks {
  double delta_usd = 0;  ///< d value / d ln(spot); forwards and perpetuals move with the spot
  double vega_usd = 0;   ///< d value / d volatility, per 1.00; at a fixed strike
};

/// With F and P the mark price and S the spot, times the multiplier:
/// linear: P of a future or perpetual, F N(d1) of a call, -F N(-d1) of a put (Black 1976); vega
/// F phi(d1) sqrt(T). Inverse: S / P per USD of contract; options with S in place of F, because a
/// value V(F) / F S moves with the spot as V(F) does times S / F, which stays.
/// `as_of` is before the expiry, in seconds since the epoch. N and phi have the error of d1: that
/// of ln(F / K), 3e-16, over sigma sqrt(T).
Greeks greeks_of(const Instrument& instrument, double spot_usd, std::int64_t as_of);

}  // namespace shortfall
