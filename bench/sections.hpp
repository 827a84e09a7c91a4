// What is measured, section by section of the table. Each registers its rows; what they refer to
// must outlive the run.
#pragma once

#include <vector>

#include "conditions.hpp"
#include "cpu/cpu_loops.hpp"
#include "job.hpp"
#include "loops.hpp"
#include "suite.hpp"

namespace shortfall::bench {

/// An instruction set that this build has and this machine can run, the widest last.
struct Usable {
  std::string name;
  InstructionSet instruction_set;
  const CpuLoops* engine;
  const Loops* own;
};
std::vector<Usable> usable();

/// What one core can do at most: clock, multiply-adds, second-level cache, memory.
void add_limits(Suite& suite, const std::vector<Usable>& sets, const Processor& processor);
/// Random words and normals, other generators, and the quality of the normals.
void add_normals(Suite& suite, const std::vector<Usable>& sets);
/// Draws to aggregation, a tile at a time, and the whole job.
void add_stages(Suite& suite, const std::vector<Usable>& sets, const Job& job);
/// The filter and the selection, which the rows of whole jobs refer to.
void add_filter(Suite& suite, const std::vector<Usable>& sets, const Job& job);
/// Files to values, values to plan.
void add_preparation(Suite& suite, const Job& job, const std::filesystem::path& directory);
/// The same job done the ways that this engine avoids. Checks that its losses agree.
void add_baselines(Suite& suite, const Job& job);
void add_quantlib(Suite& suite, const Job& job);
/// `directory` is for the factors' moves, which the script reads.
void add_numpy(Suite& suite, const Job& job, const std::filesystem::path& directory);
/// One thread and two, by the clock on the wall: the job, and the machine's own multiply-adds.
void add_threads(Suite& suite, const Usable& set, const Job& job, const Conditions& conditions);

}  // namespace shortfall::bench
