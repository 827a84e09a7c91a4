// How methods are written in files and on the command line.
#pragma once

#include "shortfall/calibrate.hpp"
#include "text.hpp"

namespace shortfall::calibration {

inline constexpr Choice<CalibrationMethod> methods[] = {
    {"sample", CalibrationMethod::sample},
    {"ewma", CalibrationMethod::ewma},
    {"ledoit_wolf", CalibrationMethod::ledoit_wolf},
    {"garch", CalibrationMethod::garch}};
inline constexpr Choice<CorrelationMethod> correlation_methods[] = {
    {"ewma", CorrelationMethod::ewma}, {"dcc", CorrelationMethod::dcc}};

}  // namespace shortfall::calibration
