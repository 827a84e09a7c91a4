// What a person sees: the progress bar and the tables.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "shortfall/attribution.hpp"
#include "shortfall/compare.hpp"
#include "shortfall/importance.hpp"
#include "shortfall/scheduler.hpp"
#include "shortfall/selftest.hpp"

namespace shortfall {

/// A bar with the share done and the time left, redrawn in place on standard error while that is a
/// terminal, otherwise silent.
class ProgressBar {
 public:
  ProgressBar(std::uint64_t count, bool is_quiet, const char* unit = "paths");
  ~ProgressBar();
  void update(std::uint64_t done);

 private:
  void draw(std::uint64_t done, double elapsed_seconds);

  std::uint64_t count_;
  const char* unit_;
  bool is_shown_;
  std::chrono::steady_clock::time_point start_, last_;
};

/// The accounts with the largest margins, totals, throughput and where the results are.
std::string format_summary(const RunResult& result, const std::string& directory);

/// Loads everything, builds the plan, and says what the run would do. The time is extrapolated from
/// the first few thousand paths, which it simulates.
std::string describe_run(const RunConfig& config);

/// What this program is and what it can run on.
std::string describe_program();

/// A line per stage: its hash, and whether that is the one expected.
std::string format_selftest(const SelftestResult& result);

/// Every account of a comparison, or those with the largest margins where they are many; sums.
std::string format_comparison_table(const Comparison& comparison);

/// An estimate by importance sampling, what it saved and where it is.
std::string format_importance_table(const ImportanceEstimate& estimate,
                                    const std::string& directory);

/// What an account's margin is made of, its positions' shares of the expected shortfall, and its
/// worst paths; at most 100 columns, but for warnings.
std::string format_explanation(const Explanation& explanation);

/// At most `width` bytes, the end replaced by dots where it is longer.
std::string clip(const std::string& text, std::size_t width);
/// 1234567.5 as "1,234,568"; bytes as "12.3 MB"; seconds as "1 min 5 s".
std::string format_usd(double usd);
std::string format_bytes(double bytes);
std::string format_duration(double seconds);

}  // namespace shortfall
