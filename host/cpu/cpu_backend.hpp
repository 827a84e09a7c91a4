// The CPU backend: tiles of paths through the loops of one instruction set, on some threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cpu_loops.hpp"
#include "shortfall/backend.hpp"

namespace shortfall {

/// The loops of an instruction set; `automatic` is the widest usable. Throws InputError where this
/// build or processor lacks it.
const CpuLoops& cpu_loops(InstructionSet instruction_set);

std::unique_ptr<Backend> make_cpu_backend(const ComputeConfig& config);
/// With these loops, which must outlive it, in place of the configuration's.
std::unique_ptr<Backend> make_cpu_backend(const ComputeConfig& config, const CpuLoops& loops);

inline constexpr std::uint32_t max_tile_rows = 1024;

/// Arrays for one row of paths, sized for a plan, aligned to a cache line.
class RowBuffers {
 public:
  RowBuffers(const core::PlanArrays& plan, std::uint32_t row_count);
  static std::uint64_t bytes(const core::PlanArrays& plan, std::uint32_t row_count);

  double* normals;
  double* mixing;
  double* factors;
  float* states;
  float* values;  ///< row_count rows of paths, one after the other
  float* losses;  ///< of shared_group_count groups

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<std::byte, Free> storage_;
};

/// The factor moves of the row that begins at first_path: drawn, or those of a history, 0 beyond
/// its last.
void move_factors(const CpuLoops& loops, const core::PlanArrays& plan, std::uint64_t first_path,
                  RowBuffers& row);
/// The same for the 64 paths of a list.
void move_factors(const CpuLoops& loops, const core::PlanArrays& plan, const std::uint32_t* paths,
                  RowBuffers& row);

/// Runs `loops` from draws to instrument values for the row that begins at first_path. Returns what
/// market_states returns.
bool revalue_row(const CpuLoops& loops, const core::PlanArrays& plan, std::uint64_t first_path,
                 RowBuffers& row, float* values);

PathTrace trace_paths(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count,
                      const CpuLoops& loops);

/// Backend::replay.
void replay_paths(const Plan& plan, std::span<const std::uint32_t> paths, const CpuLoops& loops,
                  std::uint32_t thread_count, PathValues& out);

/// Calls work(thread) on `count` threads and rethrows the first exception.
void on_threads(std::uint32_t count, const std::function<void(std::uint32_t)>& work);

}  // namespace shortfall
