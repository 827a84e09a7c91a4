// `shortfall replay`.
#pragma once

#include <CLI/CLI.hpp>

namespace shortfall {

void add_replay(CLI::App& app);

}  // namespace shortfall
