// What settings may be that both `shortfall calibrate` and `shortfall backtest` take.
#pragma once

#include "input/toml_section.hpp"

namespace shortfall::calibration {

inline constexpr RealDomain half_life_domain{"from 0.01 to 100000",
                                             [](double x) { return x >= 0.01 && x <= 1e5; }};
inline constexpr RealDomain weight_domain{"from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};
inline constexpr RealDomain gap_domain{"from 0 to 100000",
                                       [](double x) { return x >= 0 && x <= 1e5; }};

}  // namespace shortfall::calibration
