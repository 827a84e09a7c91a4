// The market state of a path: functions of two factor moves.
#pragma once

#include "shortfall/core/elementary.hpp"
#include "shortfall/core/plan_arrays.hpp"

namespace shortfall::core {

/// y = a x_A + b x_B, from which every row of the state is made. Two roundings on purpose: double
/// fma is not a baseline operation.
SHORTFALL_CORE double state_exponent(const StateRow& row, double x_a, double x_b) {
  return row.coefficient_a * x_a + row.coefficient_b * x_b;
}

}  // namespace shortfall::core
