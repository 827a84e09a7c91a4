// shortfall backtest.
#pragma once

#include <CLI/CLI.hpp>

namespace shortfall {

void add_backtest(CLI::App& app);

}  // namespace shortfall
