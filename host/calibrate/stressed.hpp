// The window of history that is worst for a book.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "calibrate_config.hpp"
#include "model_build.hpp"

namespace shortfall::calibration {

struct WindowRisk {
  std::int64_t from = 0, to = 0;  ///< levels
  RowRange rows;
  double expected_shortfall_usd = 0;
};

struct StressedWindow {
  WindowRisk worst;
  std::vector<WindowRisk> windows;  ///< all that were simulated, by time
  std::size_t skipped_count = 0;    ///< windows without an estimate
  std::string skipped_because;      ///< the first of them
  double current_usd = 0;           ///< with the book's own covariance, on the same paths
  std::uint64_t path_count = 0;
  BuiltModel model;  ///< of the worst window
};

/// Calibrates every window of window_days, step_days apart, and simulates the book with it: the sum
/// over margin groups of max(0, expected shortfall), on the same paths. Then finer steps about the
/// worst three, down to one interval. Factors are those of the book's covariance, in its order;
/// windows in which one has neither changes enough nor a rule are skipped. `progress` is told
/// windows done and may throw. Throws InputError.
StressedWindow find_stressed_window(const CalibrateConfig& config, const FactorChanges& changes,
                                    RowRange rows,
                                    const std::function<void(std::size_t)>& progress);

}  // namespace shortfall::calibration
