// What `shortfall backtest` is asked for.
#pragma once

#include <filesystem>
#include <vector>

#include "calibrate/history.hpp"
#include "walk.hpp"

namespace shortfall::backtest {

struct BacktestConfig {
  std::filesystem::path file;
  calibration::HistorySource prices;
  std::vector<CalibrationMethod> methods = {CalibrationMethod::sample};
  WalkSettings walk;
  /// Empty: each coin of the history long and short, and all of them in equal parts.
  std::vector<LinearBook> books;
  std::size_t history_count = 9'999;  ///< simulated for the tests of the expected shortfall
  std::filesystem::path out;          ///< a folder
};

/// Throws InputError with every problem found.
BacktestConfig load_backtest_config(const std::filesystem::path& file);

/// What is written into `out`.
inline constexpr const char* html_name = "report.html";
std::filesystem::path csv_path(const BacktestConfig& config, CalibrationMethod method);

/// The books of the configuration, or those that stand for none, 1,000 USD each side.
std::vector<LinearBook> books_of(const BacktestConfig& config, const FactorChanges& changes);

}  // namespace shortfall::backtest
