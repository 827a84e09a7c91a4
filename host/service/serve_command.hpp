// `shortfall serve`: the venue as a process.
#pragma once

#include <CLI/CLI.hpp>

namespace shortfall {

void add_serve(CLI::App& app);

}  // namespace shortfall
