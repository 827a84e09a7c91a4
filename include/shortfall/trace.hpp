// Every intermediate of a few paths: for replay, self-test and tests.
#pragma once

#include <cstdint>
#include <vector>

#include "shortfall/config.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// All arrays are row-major with one row per factor, state row, instrument or group and one column
/// per path.
struct PathTrace {
  std::uint64_t first_path = 0;
  std::uint32_t path_count = 0;
  std::vector<double> normals;  ///< factor_count rows, multiples of 2^-20
  std::vector<double> mixing;   ///< one row: the Student-t factor, 1 under a Gaussian
  std::vector<double> factors;  ///< factor_count rows: moves over the horizon
  std::vector<float> states;    ///< state_rows
  std::vector<float> values;    ///< plan.instruments rows: change of value, in units of the plan
  std::vector<float> losses;    ///< groups rows: times 2^scale_exponent is USD
};

/// What listed paths did, row-major with a column per path of the list.
struct PathValues {
  std::uint32_t path_count = 0;
  std::vector<double> factors;  ///< factor_count rows: moves over the horizon
  std::vector<float> values;    ///< plan.instruments rows: change of value, in units of the plan
};

/// On the CPU.
PathTrace trace_paths(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count,
                      InstructionSet instruction_set = InstructionSet::automatic);

/// Losses of given factor moves in place of drawn ones, revalued by the same loops: a row per group
/// and a column per path, times 2^scale_exponent USD. `moves` has a row per factor of the plan's
/// model, whose L is not used, and a column per path. On the CPU.
std::vector<float> losses_of_moves(const Plan& plan, const std::vector<double>& moves,
                                   std::uint32_t path_count,
                                   InstructionSet instruction_set = InstructionSet::automatic);

/// Explains the first loss of a path that is not finite, by LossError.
[[noreturn]] void throw_loss_error(const Plan& plan, std::uint64_t path);

}  // namespace shortfall
