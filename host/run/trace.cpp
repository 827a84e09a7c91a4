#include "shortfall/trace.hpp"

#include <algorithm>
#include <atomic>
#include <limits>

#include "cpu/cpu_backend.hpp"
#include "cpu/machine.hpp"
#include "shortfall/core/portable.hpp"

namespace shortfall {
namespace {

/// Copies the valid columns of rows of 64 into an array with `path_count` columns.
template <class T>
void copy_columns(const T* rows, std::size_t row_count, std::uint32_t at, std::uint32_t path_count,
                  std::vector<T>& out) {
  const std::uint32_t valid = std::min(core::row_path_count, path_count - at);
  for (std::size_t r = 0; r < row_count; ++r)
    std::copy_n(rows + r * core::row_path_count, valid, out.data() + r * path_count + at);
}

/// Losses of every group on a row of paths, into the columns from `at` on.
void copy_losses(const CpuLoops& loops, const core::PlanArrays& arrays, const RowBuffers& row,
                 std::uint32_t at, std::uint32_t path_count, std::vector<float>& out) {
  const std::uint32_t valid = std::min(core::row_path_count, path_count - at);
  for (std::size_t g = 0; g < arrays.group_count; ++g) {
    const std::uint64_t begin = arrays.group_begin[g];
    loops.aggregate(arrays.holdings + begin, arrays.group_begin[g + 1] - begin, row.values, 0.0f,
                    row.losses);
    std::copy_n(row.losses, valid, out.data() + g * path_count + at);
  }
}

}  // namespace

PathTrace trace_paths(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count,
                      InstructionSet instruction_set) {
  return trace_paths(plan, first_path, path_count, cpu_loops(instruction_set));
}

PathTrace trace_paths(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count,
                      const CpuLoops& loops) {
  const core::PlanArrays arrays = plan.arrays();
  RowBuffers row(arrays, 1);
  PathTrace trace;
  trace.first_path = first_path;
  trace.path_count = path_count;
  const std::size_t n = path_count;
  trace.normals.resize(arrays.factor_count * n);
  trace.mixing.resize(n);
  trace.factors.resize(arrays.factor_count * n);
  trace.states.resize(arrays.state_row_count * n);
  trace.values.resize(arrays.instrument_count * n);
  trace.losses.resize(arrays.group_count * n);
  for (std::uint32_t at = 0; at < path_count; at += core::row_path_count) {
    revalue_row(loops, arrays, first_path + at, row, row.values);
    copy_columns(row.normals, arrays.factor_count, at, path_count, trace.normals);
    copy_columns(row.mixing, 1, at, path_count, trace.mixing);
    copy_columns(row.factors, arrays.factor_count, at, path_count, trace.factors);
    copy_columns(row.states, arrays.state_row_count, at, path_count, trace.states);
    copy_columns(row.values, arrays.instrument_count, at, path_count, trace.values);
    copy_losses(loops, arrays, row, at, path_count, trace.losses);
  }
  return trace;
}

void replay_paths(const Plan& plan, std::span<const std::uint32_t> paths, const CpuLoops& loops,
                  std::uint32_t thread_count, PathValues& out) {
  const core::PlanArrays arrays = plan.arrays();
  const auto path_count = static_cast<std::uint32_t>(paths.size());
  out.path_count = path_count;
  out.factors.resize(std::size_t{arrays.factor_count} * path_count);
  out.values.resize(std::size_t{arrays.instrument_count} * path_count);
  const std::uint32_t row_count = (path_count + core::row_path_count - 1) / core::row_path_count;
  std::atomic<std::uint32_t> next{0};
  on_threads(std::min(thread_count, row_count), [&](std::uint32_t) {
    assert_ieee_environment();
    RowBuffers row(arrays, 1);
    for (std::uint32_t r; (r = next.fetch_add(1)) < row_count;) {
      const std::uint32_t at = r * core::row_path_count;
      std::uint32_t listed[core::row_path_count];
      for (std::uint32_t p = 0; p < core::row_path_count; ++p)
        listed[p] = paths[std::min(at + p, path_count - 1)];
      move_factors(loops, arrays, listed, row);
      loops.market_states(arrays, row.factors, row.states);
      loops.revalue(arrays, row.states, row.values);
      copy_columns(row.factors, arrays.factor_count, at, path_count, out.factors);
      copy_columns(row.values, arrays.instrument_count, at, path_count, out.values);
    }
  });
}

std::vector<float> losses_of_moves(const Plan& plan, const std::vector<double>& moves,
                                   std::uint32_t path_count, InstructionSet instruction_set) {
  const CpuLoops& loops = cpu_loops(instruction_set);
  const core::PlanArrays arrays = plan.arrays();
  SHORTFALL_ASSERT(moves.size() == static_cast<std::size_t>(arrays.factor_count) * path_count);
  RowBuffers row(arrays, 1);
  std::vector<float> losses(static_cast<std::size_t>(arrays.group_count) * path_count);
  for (std::uint32_t at = 0; at < path_count; at += core::row_path_count) {
    const std::uint32_t valid = std::min(core::row_path_count, path_count - at);
    for (std::size_t f = 0; f < arrays.factor_count; ++f) {
      double* const columns = row.factors + f * core::row_path_count;
      std::copy_n(moves.data() + f * path_count + at, valid, columns);
      std::fill(columns + valid, columns + core::row_path_count, 0.0);
    }
    loops.market_states(arrays, row.factors, row.states);
    loops.revalue(arrays, row.states, row.values);
    copy_losses(loops, arrays, row, at, path_count, losses);
  }
  return losses;
}

void throw_loss_error(const Plan& plan, std::uint64_t path) {
  const PathTrace trace = trace_paths(plan, path, 1);
  const auto is_bad = [](float value) {
    return !(core::abs(value) <= std::numeric_limits<float>::max());
  };
  std::uint32_t group = 0;
  while (group + 1 < plan.groups.size() && !is_bad(trace.losses[group])) ++group;
  std::uint32_t culprit = core::none;
  for (std::uint64_t h = plan.group_begin[group]; h < plan.group_begin[group + 1]; ++h) {
    const std::uint32_t instrument = plan.holdings[h].instrument & core::Holding::index_mask;
    if (culprit == core::none && is_bad(trace.values[instrument])) culprit = instrument;
  }
  throw LossError(group, path, culprit);
}

}  // namespace shortfall
