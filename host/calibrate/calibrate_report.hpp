// What a calibration writes and prints.
#pragma once

#include <optional>
#include <string>

#include "calibrate_config.hpp"
#include "model_build.hpp"
#include "stressed.hpp"

namespace shortfall::calibration {

struct CalibrateOutcome {
  CalibrateConfig config;
  ReadHistory history;
  BuiltModel model;  ///< of the stressed window where one was searched
  RowRange rows;     ///< of the window it is from
  std::optional<StressedWindow> stressed;
  double seconds = 0;  ///< of estimation and search, without reading and writing
};

/// Both files, each complete or absent. Throws OperatingError.
void write_outcome(const CalibrateOutcome& outcome);

/// A table of the factors, and what else a person wants to know, at most 100 columns but for
/// warnings.
std::string format_outcome(const CalibrateOutcome& outcome);

}  // namespace shortfall::calibration
