// What `shortfall calibrate` is asked for, by a file and by the command line.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fill.hpp"
#include "history.hpp"
#include "shortfall/calibrate.hpp"

namespace shortfall::calibration {

/// The search for a stressed window.
struct StressedSearch {
  std::filesystem::path book;  ///< a run configuration
  double window_days = 250;
  double step_days = 25;  ///< of the first pass; then refined to the interval
  std::uint64_t path_count = 16'384;
};

struct CalibrateConfig {
  std::filesystem::path file;  ///< empty: from the command line alone
  std::vector<HistorySource> sources;
  HistoryWindow window;
  CalibrationSettings settings;
  std::vector<std::string> factors;  ///< of the result, in order; empty: those with histories
  std::vector<FillRule> fills;
  std::optional<StressedSearch> stressed;
  std::filesystem::path out;
  std::filesystem::path moves_out;  ///< empty: none
};

/// Options as they were typed; empty: not given. They take the place of the file's keys.
struct CalibrateArguments {
  std::string config, prices, columns, method, correlations, horizon_days, half_life, from, to,
      min_observations, method_weight, book, window_days, out, moves;
  bool has_no_degrees_of_freedom = false;
};

/// Where the report is: covariance.csv has covariance.report.json beside it.
std::filesystem::path report_path(const std::filesystem::path& out);

/// Throws InputError with every problem found.
CalibrateConfig load_calibrate_config(const CalibrateArguments& arguments);

}  // namespace shortfall::calibration
