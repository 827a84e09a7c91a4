// The forecasts of a walk and the losses that followed, by date.
#pragma once

#include "output/atomic_file.hpp"
#include "walk.hpp"

namespace shortfall::backtest {

/// Writes date, book, confidence_level, value_at_risk_usd, expected_shortfall_usd, loss_usd,
/// is_exceedance, calibrated_to, degrees_of_freedom (empty: Gaussian): a row per book, date and
/// level. Throws OperatingError.
void write_walk(const Walk& walk, AtomicFile& csv);

}  // namespace shortfall::backtest
