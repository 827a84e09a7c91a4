// Where and under what conditions the benchmarks ran.
#pragma once

#include <string>
#include <vector>

namespace shortfall::bench {

struct Processor {
  std::string name, vendor;
  int family = 0, model = 0, stepping = 0;
  std::vector<int> cores;  ///< that this process may use, ascending

  /// The kind of processor: cloud providers give many kinds one name.
  std::string kind() const;
};
Processor read_processor();

/// Seconds of processor time since some moment: of the whole machine, of this process and its
/// children, and of the clock.
struct ProcessorTimes {
  double busy = 0;    ///< all cores, all processes
  double stolen = 0;  ///< ready to run, but the hypervisor ran something else
  double own = 0;
  double wall = 0;

  static ProcessorTimes now();
};

/// Cores that were busy on average with something else than this process and its children.
double cores_used_by_others(const ProcessorTimes& before, const ProcessorTimes& after);

/// Restricts the calling thread, and those that it starts, to some cores. False where it cannot.
bool pin_to(const std::vector<int>& cores);

struct Conditions {
  Processor processor;
  int pinned_core = -1;
  double load_before = 0, load_after = 0;  ///< one-minute load average, this process included
  double cores_of_others = 0;              ///< on average over the run
  double stolen_share = 0;                 ///< of one core's time
  std::string revision;
};

double load_average();
std::string git_revision();

}  // namespace shortfall::bench
