// Decides what runs where, reads the clock, and owns no mathematics.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shortfall/attribution.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/report.hpp"

namespace shortfall {

struct RunResult {
  std::vector<AccountMargin> margins;
  RunRecord record;
  std::optional<Attribution> attribution;  ///< where the configuration asks for it
};

/// The main job: load, plan, simulate, margin, attribution. Writes nothing.
RunResult run(const RunConfig& config, const Progress& progress = {});
RunResult run(const std::filesystem::path& config_file);

/// The tails of all paths of a plan, and how they came about.
struct Simulated {
  Tails tails;
  std::vector<PathShare> shares;      ///< ascending
  std::vector<std::string> warnings;  ///< one per device that failed
  std::vector<std::size_t> failed;    ///< backends that are not to be used again, by index
};

/// Makes the backend that takes over where every device failed; empty: nothing does.
using MakeFallback = std::function<std::unique_ptr<Backend>()>;

/// Simulates paths of a plan, all unless some are given, in contiguous parts on all backends at
/// once; at least one backend. Progress counts them from the first of the plan. The result does not
/// depend on how many there are. A backend that fails with DeviceError is not used again: the
/// others redo its paths, or the fallback where none is left, and a warning says so. Without a
/// fallback that is a DeviceError which names the paths. Any other exception, from a backend or
/// from `progress`, stops the other backends and is thrown at once; of several LossErrors that of
/// the lowest path.
Simulated simulate_on(const std::vector<std::unique_ptr<Backend>>& backends, const Plan& plan,
                      const Progress& progress, const MakeFallback& make_fallback,
                      std::optional<PathRange> paths = {});

}  // namespace shortfall
