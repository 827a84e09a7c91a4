// Rows of the market state and the cells that read them, from the book and the factors.
#pragma once

#include "shortfall/error.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// Fills state_rows, strike_cells, settled_cells and linear_cells for plan.instruments, which are
/// in the order of the listing. A held underlying without a spot factor is a problem.
void add_cells(Plan& plan, const RunConfig& config, const RunInputs& inputs, Problems& problems);

}  // namespace shortfall
