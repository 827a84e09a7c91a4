// `shortfall import`.
#pragma once

#include <CLI/CLI.hpp>

namespace shortfall {

void add_import(CLI::App& app);

}  // namespace shortfall
