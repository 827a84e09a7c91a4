// Component expected shortfalls from the tails of a run.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "shortfall/attribution.hpp"

namespace shortfall {

struct BaseRun;

/// Backend::replay on the backends of a run.
using Replay = std::function<void(const Plan& plan, std::span<const std::uint32_t> paths,
                                  const UseValues& use)>;

/// Of every position of a simulated run, whose margins these are. Replays the tail paths of all
/// margin groups, each once; of its own it holds 4 bytes per tail entry and per such path, and 12
/// per position. Its numbers depend on neither backend, nor threads, nor how many paths are handed
/// over at a time.
Attribution attribute(const BaseRun& base, const std::vector<AccountMargin>& margins,
                      const Replay& replay, std::uint32_t thread_count);

}  // namespace shortfall
