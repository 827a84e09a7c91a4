// The program itself, run as its users run it: how long it takes to start, how much memory it
// takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace shortfall::bench {

/// Memory of one run, beside what it may be: 150 MB and 12 bytes for each entry of a tail.
struct PeakMemory {
  std::string book;
  std::uint64_t path_count = 0, group_count = 0;
  double tail_size = 0;  ///< k
  std::uint64_t bytes = 0;

  double bytes_max() const { return 150e6 + 12 * tail_size * static_cast<double>(group_count); }
};

/// The least times of several runs, in seconds of the clock on the wall.
struct StartUp {
  std::string book;
  std::uint64_t path_count = 0;
  double process = 0;  ///< from starting it to its end
  double load = 0, plan = 0, simulate = 0, margin = 0;

  /// An upper bound: writing the results and ending the process is in it.
  double to_first_path() const { return process - simulate - margin; }
};

struct ProgramRuns {
  std::vector<PeakMemory> memory;
  std::vector<StartUp> start_up;
};

/// A run configuration.
struct BookFile {
  std::string name;
  std::filesystem::path config;
};

/// Memory of the demonstration book and of the first of `books`, start-up of the last. Throws
/// OperatingError where a run fails.
ProgramRuns run_program(const std::vector<BookFile>& books, bool is_quick,
                        const std::filesystem::path& directory);

}  // namespace shortfall::bench
