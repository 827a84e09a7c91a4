// From histories to a covariance with names: which factors are estimated, and which are filled.
#pragma once

#include <string>
#include <vector>

#include "fill.hpp"
#include "shortfall/calibrate.hpp"

namespace shortfall::calibration {

struct ModelRequest {
  std::vector<std::string> factors;  ///< wanted, in order; empty: those with histories, then fills
  std::vector<FillRule> fills;
};

struct BuiltModel {
  std::vector<std::string> estimated;  ///< factors of `calibration`, in order
  std::vector<FillRule> filled;        ///< rules that were used
  Calibration calibration;
  NamedCovariance covariance;
};

/// Calibrates the factors that are wanted, or that others are filled like. A factor with a rule and
/// fewer changes in the window than are needed is filled; without a rule it is refused. Throws
/// InputError.
BuiltModel build_model(const FactorChanges& changes, RowRange window,
                       const CalibrationSettings& settings, const ModelRequest& request);

/// Asserts that the engine takes the matrix as a factor model. Throws OperatingError.
void require_factor_model(const NamedCovariance& covariance);

}  // namespace shortfall::calibration
