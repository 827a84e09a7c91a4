// Stress scenarios from a file.
#pragma once

#include <filesystem>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/error.hpp"
#include "shortfall/factor_model.hpp"

namespace shortfall {

/// Reads stress.csv, a row per scenario and factor that it moves. Factors of a covariance that
/// could not be read whole are not reported as unknown.
void load_stress(const std::filesystem::path& file, const Covariance& covariance,
                 std::vector<StressScenario>& scenarios, Problems& problems);

}  // namespace shortfall
