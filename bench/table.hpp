// Collects what Google Benchmark measured and says it as one table and as JSON.
#pragma once

#include <benchmark/benchmark.h>

#include <filesystem>
#include <string>

#include "suite.hpp"

namespace shortfall::bench {

/// Where and under what conditions the benchmarks ran.
struct Conditions {
  std::string processor;
  int pinned_core = -1;
  double load_before = 0, load_after = 0;  ///< one-minute load average
  std::string revision;
};

class Collector : public benchmark::BenchmarkReporter {
 public:
  explicit Collector(Suite& suite) : suite_(suite) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override;

 private:
  Suite& suite_;
};

std::string format_table(const Suite& suite, const Conditions& conditions);

/// Throws OperatingError where the file cannot be written.
void write_json(const Suite& suite, const Conditions& conditions,
                const std::filesystem::path& file);

}  // namespace shortfall::bench
