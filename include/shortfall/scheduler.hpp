// Decides what runs where, reads the clock, and owns no mathematics.
#pragma once

#include <filesystem>
#include <vector>

#include "shortfall/backend.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/report.hpp"

namespace shortfall {

struct RunResult {
  std::vector<AccountMargin> margins;
  RunRecord record;
};

/// The main job: load, plan, simulate, margin. Writes nothing.
RunResult run(const RunConfig& config, const Progress& progress = {});
RunResult run(const std::filesystem::path& config_file);

}  // namespace shortfall
