// Collects what Google Benchmark measured and says it as one table and as JSON.
#pragma once

#include <benchmark/benchmark.h>

#include <filesystem>
#include <vector>

#include "conditions.hpp"
#include "program.hpp"
#include "ratios.hpp"
#include "suite.hpp"
#include "targets.hpp"

namespace shortfall::bench {

class Collector : public benchmark::BenchmarkReporter {
 public:
  explicit Collector(Suite& suite) : suite_(suite) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override;

 private:
  Suite& suite_;
};

/// Everything that a run found.
struct Report {
  const Suite& suite;
  Conditions conditions;
  ProgramRuns runs;
  std::vector<Target> targets;
  Comparison comparison;
};

std::string format_report(const Report& report);

/// The same as JSON. Throws OperatingError where the file cannot be written.
void write_json(const Report& report, const std::filesystem::path& file);

}  // namespace shortfall::bench
