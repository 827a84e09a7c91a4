// Change of value of one instrument on one path (methodology, section 3). Units: see
// plan_arrays.hpp.
#pragma once

#include "shortfall/core/black76.hpp"
#include "shortfall/core/plan_arrays.hpp"
#include "shortfall/core/portable.hpp"

namespace shortfall::core {

inline constexpr float volatility_min = 0.01f;
inline constexpr float volatility_max = 10.0f;

struct StrikeValues {
  float call, put;
};

/// Call and put of one strike cell. `shock` is ln(F1/F0), `forward_growth` and `strike_growth` are
/// G and J, `volatility_growth` is e^v(T), `skew` the skew factor's move. The twin that is out of
/// the money at the marks is valued; the other is the twin plus the change of the forward, so that
/// a parity-hedged book cancels to rounding and a deep in-the-money value never meets its own large
/// base.
SHORTFALL_CORE StrikeValues revalue_strike(const StrikeCell& cell, float shock,
                                           float forward_growth, float strike_growth,
                                           float volatility_growth, float skew) {
  const float volatility =
      clamp(fma(skew, cell.skew_moneyness, cell.volatility * volatility_growth), volatility_min,
            volatility_max);
  const float forward_change = cell.forward * forward_growth;
  const float strike_change = cell.strike * strike_growth;
  const float forward = cell.forward + forward_change;
  const float strike = cell.strike + strike_change;
  const float otm =
      otm_value(forward, strike, cell.log_moneyness + shock, volatility * cell.sqrt_time);
  const float intrinsic = cell.twin_is_call ? forward - strike : strike - forward;
  const float twin = (otm - cell.base) + (intrinsic > 0.0f ? intrinsic : 0.0f);
  const float synthetic = forward_change - strike_change;
  return cell.twin_is_call ? StrikeValues{twin, twin - synthetic}
                           : StrikeValues{twin + synthetic, twin};
}

/// An option that expires inside the horizon settles on the index: its intrinsic value.
SHORTFALL_CORE float revalue_settled(const SettledCell& cell, float spot_growth) {
  const float spot = 1.0f + spot_growth;
  const float intrinsic = cell.twin_is_call ? spot - cell.strike : cell.strike - spot;
  // Not max(): a NaN must pass.
  const float twin = (intrinsic < 0.0f ? 0.0f : intrinsic) - cell.base;
  if (cell.is_call == cell.twin_is_call) return twin;
  const float synthetic = spot_growth + cell.carry;
  return cell.is_call ? twin + synthetic : twin - synthetic;
}

/// Futures, perpetuals and spot are linear in two rows of the state.
SHORTFALL_CORE float revalue_linear(const LinearCell& cell, float state_a, float state_b) {
  return fma(cell.a, state_a, fma(cell.b, state_b, cell.c));
}

}  // namespace shortfall::core
