// A picture of losses against value at risk and expected shortfall, as SVG.
#pragma once

#include <string>
#include <vector>

#include "walk.hpp"

namespace shortfall::backtest {

/// For HTML and SVG, in text and in attributes.
std::string escaped(const std::string& text);

/// Losses as dots, those above the value at risk apart, and the two forecasts as lines. At least
/// one date. Classes: loss, over, var, es, grid, axis.
std::string draw_walk(const BookSeries& series, const std::vector<BacktestDate>& dates);

}  // namespace shortfall::backtest
