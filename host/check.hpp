#pragma once

#include <string>

#include "shortfall/config.hpp"

namespace shortfall {

/// Loads everything, builds the plan, and says what the run would do. The time is extrapolated from
/// the first few thousand paths, which it simulates.
std::string describe_run(const RunConfig& config);

}  // namespace shortfall
