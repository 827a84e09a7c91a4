// The forecasts of a walk and the losses that followed, by date.
#pragma once

#include <filesystem>

#include "walk.hpp"

namespace shortfall::backtest {

/// Writes date, book, confidence_level, value_at_risk_usd, expected_shortfall_usd, loss_usd,
/// is_exceedance, calibrated_to: a row per book, date and level. The file is whole or absent.
/// Throws OperatingError.
void write_walk(const Walk& walk, const std::filesystem::path& file);

}  // namespace shortfall::backtest
