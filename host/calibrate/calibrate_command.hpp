// shortfall calibrate.
#pragma once

#include <CLI/CLI.hpp>

namespace shortfall {

void add_calibrate(CLI::App& app);

}  // namespace shortfall
