#include "conditions.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>

namespace shortfall::bench {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double processor_seconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

std::vector<int> usable_core_numbers() {
  std::vector<int> cores;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

}  // namespace

std::string Processor::kind() const {
  return fmt::format("{} ({} family {} model {} stepping {})", name, vendor, family, model,
                     stepping);
}

Processor read_processor() {
  Processor processor;
  processor.cores = usable_core_numbers();
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line) && !line.empty();) {
    const std::string key = line.substr(0, line.find_first_of("\t:"));
    const std::size_t colon = line.find(": ");
    const std::string value = colon == std::string::npos ? "" : line.substr(colon + 2);
    if (key == "model name") processor.name = value;
    if (key == "vendor_id") processor.vendor = value;
    if (key == "cpu family") processor.family = std::atoi(value.c_str());
    if (key == "model") processor.model = std::atoi(value.c_str());
    if (key == "stepping") processor.stepping = std::atoi(value.c_str());
  }
  if (processor.name.empty()) processor.name = "unknown processor";
  return processor;
}

ProcessorTimes ProcessorTimes::now() {
  // proc(5): user nice system idle iowait irq softirq steal, in ticks.
  std::array<double, 8> ticks{};
  std::ifstream stat("/proc/stat");
  std::string label;
  stat >> label;
  for (double& count : ticks) stat >> count;
  const double second = static_cast<double>(sysconf(_SC_CLK_TCK));
  ProcessorTimes times;
  times.busy = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / second;
  times.stolen = ticks[7] / second;
  times.own = processor_seconds(RUSAGE_SELF) + processor_seconds(RUSAGE_CHILDREN);
  times.wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  return times;
}

double cores_used_by_others(const ProcessorTimes& before, const ProcessorTimes& after) {
  const double others = (after.busy - before.busy) - (after.own - before.own);
  return std::max(0.0, others / (after.wall - before.wall));
}

bool pin_to(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  return !cores.empty() && sched_setaffinity(0, sizeof set, &set) == 0;
}

double load_average() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

std::string git_revision() {
  std::string text;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      popen("git -C '" SHORTFALL_SOURCE_DIR "' describe --always --dirty 2>/dev/null", "r"),
      pclose);
  std::array<char, 128> line;
  if (pipe && fgets(line.data(), static_cast<int>(line.size()), pipe.get())) text = line.data();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "unknown" : text;
}

}  // namespace shortfall::bench
