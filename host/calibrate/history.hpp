// Histories of prices, volatilities, premiums and the like, and the changes of factors they give.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shortfall/calibrate.hpp"
#include "shortfall/error.hpp"
#include "shortfall/factor_model.hpp"

namespace shortfall::calibration {

/// What a column holds. `level`: the factor itself (an index, a volatility, a slope, a carry).
/// For a perpetual: its `premium` over the index, its `price`, or its `funding` rate.
enum class Quantity : std::uint8_t { level, premium, price, funding };

struct HistoryColumn {
  std::string column, factor;  ///< the factor's name as in covariance.csv
};

struct HistorySource {
  std::filesystem::path file;
  std::string time_column;             ///< empty: `date` or `time`, whichever there is
  std::vector<HistoryColumn> columns;  ///< empty: every column C as C.spot
  Quantity quantity = Quantity::level;
  double scale = 1;  ///< what levels are multiplied by: 0.01 for per cent
  /// Volatilities follow the forward: the move along the smile is taken out with its slope, in
  /// annual volatility per unit of ln(K/F) / sqrt(max(T, 7/365)).
  bool is_at_the_money = false;
  double slope = 0;
};

struct HistoryWindow {
  std::optional<std::int64_t> from, to;  ///< levels in [from, to]; empty: all there are
  double gap_days_max = 3;
};

/// Of a series, for the report.
struct SeriesRecord {
  std::string factor, file, column;
  std::int64_t first = 0, last = 0;  ///< levels in the window
  std::size_t missing_count = 0;     ///< levels missing between them
  double largest_left_out = 0;       ///< change over a gap, in the factor's unit
  std::optional<double> slope;       ///< at-the-money volatilities
};

/// Changes up to the window's end, on a regular grid of times.
struct ReadHistory {
  FactorChanges changes;
  /// T x F, as the changes: the level that each began with (a price, a volatility); NaN where there
  /// is none.
  std::vector<double> levels;
  RowRange window;
  std::vector<SeriesRecord> series;  ///< by factor
};

/// Reads the files, checks them and takes changes between neighbouring times; across a gap there is
/// none. Throws InputError with everything wrong.
ReadHistory read_history(const std::vector<HistorySource>& sources, const HistoryWindow& window);

/// "<underlying>.<kind>" in its parts; empty where it is none.
struct FactorName {
  std::string underlying;
  FactorKind kind = FactorKind::spot;
  std::uint32_t tenor_days = 0;
};
std::optional<FactorName> parse_factor_name(std::string_view name);

}  // namespace shortfall::calibration
