// What `shortfall backtest` is asked for.
#pragma once

#include <filesystem>
#include <vector>

#include "calibrate/history.hpp"
#include "walk.hpp"

namespace shortfall::backtest {

struct BacktestConfig {
  std::filesystem::path file;
  std::vector<calibration::HistorySource> sources;  ///< prices first
  std::vector<CalibrationMethod> methods = {CalibrationMethod::sample};
  double gap_days_max = 3;  ///< within a history
  WalkSettings walk;
  /// Empty: each coin of the history long and short, all of them in equal parts, and a short
  /// straddle for each volatility.
  std::vector<HeldBook> books;
  std::size_t history_count = 9'999;  ///< simulated for the tests of the expected shortfall
  std::filesystem::path out;          ///< a folder
};

/// Throws InputError with every problem found. A position is written "BTC", "BTC call 30d",
/// "BTC put 30d", or "BTC straddle 30d", which is one of each.
BacktestConfig load_backtest_config(const std::filesystem::path& file);

/// What is written into `out`.
inline constexpr const char* html_name = "report.html";
std::filesystem::path csv_path(const BacktestConfig& config, CalibrationMethod method);

/// The books of the configuration, or those that stand for none, 1,000 USD each side.
std::vector<HeldBook> books_of(const BacktestConfig& config, const FactorChanges& changes);

}  // namespace shortfall::backtest
