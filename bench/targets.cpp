#include "targets.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace shortfall::bench {
namespace {

class Finder {
 public:
  Finder(const Suite& suite, std::string widest) : suite_(suite), widest_(std::move(widest)) {}

  /// How many times faster the stage is than one of its baselines; `other` says what else to print.
  Target times_faster(std::string metric, const char* stage, const char* job,
                      std::string_view baseline, double least, std::string_view other = {}) const {
    const double ratio = ratio_of(stage, job, baseline);
    Target target{.metric = std::move(metric),
                  .reached = ratio,
                  .reached_text = fmt::format("{:.4g}x", ratio),
                  .bound = least,
                  .bound_text = fmt::format(">= {}x", least)};
    if (!other.empty())
      target.reached_text += fmt::format(" ({}: {:.4g}x)", other, ratio_of(stage, job, other));
    return target;
  }

  Target share(std::string metric, const char* stage, double least) const {
    const Row* const row = find(stage, "canonical");
    const double share = row ? suite_.share_of_limit(*row) : 0;
    return {.metric = std::move(metric),
            .reached = share,
            .reached_text = fmt::format("{:.1f} %", 100 * share),
            .bound = least,
            .bound_text = fmt::format(">= {:.0f} %", 100 * least)};
  }

  Target sum_of_limits() const {
    const Row* const row = find("job", "canonical");
    const double share = row ? suite_.share_of_limit(*row) : 0;
    const double ratio = share > 0 ? 1 / share : 0;
    return {.metric = "whole job / sum of its stage limits",
            .reached = ratio,
            .reached_text = fmt::format("{:.2f}", ratio),
            .bound = 1.25,
            .is_least = false,
            .bound_text = "<= 1.25"};
  }

  Target real_book() const {
    const Row* const row = find("job", "real");
    const double seconds =
        row && row->best() > 0 && row->whole == 1e6 ? row->whole / row->best() : 0;
    return {.metric = "real book, 1,000,000 paths",
            .reached = seconds,
            .reached_text = fmt::format("{:.3g} s", seconds),
            .bound = 6,
            .is_least = false,
            .bound_text = "<= 6 s"};
  }

  Target two_threads() const {
    const auto ratio = [&](const char* name) {
      const Row* const row = suite_.find(name);
      return row && !row->baselines.empty() ? suite_.times_faster(*row, row->baselines[0]) : 0;
    };
    const double job = ratio("threads.two/canonical"), fma = ratio("threads.fma.two");
    return {.metric = "two threads vs one",
            .reached = job,
            .reached_text = fmt::format("{:.3g}x (machine's own FMA: {:.3g}x)", job, fma),
            .bound = 1.85,
            .bound_text = ">= 1.85x"};
  }

 private:
  double ratio_of(const char* stage, const char* job, std::string_view baseline) const {
    const Row* const row = find(stage, job);
    for (const Baseline& one : row ? row->baselines : std::vector<Baseline>())
      if (one.name == baseline) return suite_.times_faster(*row, one);
    return 0;
  }

  const Row* find(const char* stage, const char* job) const {
    return suite_.find(row_name(stage, job, widest_));
  }

  const Suite& suite_;
  const std::string widest_;
};

Target find_memory(const std::vector<PeakMemory>& runs) {
  Target target{.metric = "peak memory / (150 MB + 12 bytes x k x groups)",
                .bound = 1,
                .is_least = false,
                .bound_text = "<= 1"};
  for (const PeakMemory& run : runs) {
    const double share = static_cast<double>(run.bytes) / run.bytes_max();
    if (share <= target.reached) continue;
    target.reached = share;
    target.reached_text =
        fmt::format("{:.2f} ({}, {} paths: {:.0f} MB of {:.0f})", share, run.book, run.path_count,
                    1e-6 * static_cast<double>(run.bytes), 1e-6 * run.bytes_max());
  }
  return target;
}

Target find_start_up(const std::vector<StartUp>& runs) {
  Target target{.metric = "process start to first path, real book",
                .bound = 0.060,
                .is_least = false,
                .bound_text = "<= 60 ms"};
  for (const StartUp& run : runs) {
    if (run.book != "real" || run.path_count != 100) continue;
    target.reached = run.to_first_path();
    target.reached_text = fmt::format("{:.1f} ms (load {:.1f}, plan {:.1f})",
                                      1e3 * run.to_first_path(), 1e3 * run.load, 1e3 * run.plan);
  }
  return target;
}

}  // namespace

std::vector<Target> find_targets(const Suite& suite, const ProgramRuns& runs,
                                 const std::string& widest) {
  const Finder find(suite, widest);
  return {
      find.times_faster("whole job vs naive double", "job", "canonical", "naive", 1500),
      find.times_faster("whole job vs QuantLib blackFormula, shared", "job", "canonical",
                        "QuantLib formula", 45, "QuantLib formula by path"),
      find.times_faster("whole job vs numpy float64, shared", "job", "canonical", "numpy64", 30),
      find.sum_of_limits(),
      find.times_faster("option revaluation vs scalar double, erfc", "revalue.options", "canonical",
                        "hoisted", 30),
      find.times_faster("normals vs cuRAND's host generator", "normals", "", "cuRAND", 4),
      find.share("sparse aggregation vs L2 read", "sparse", 0.75),
      find.share("dense aggregation vs FMA peak", "dense", 0.75),
      find.two_threads(),
      find_memory(runs.memory),
      find.real_book(),
      find_start_up(runs.start_up)};
}

std::string format_targets(const std::vector<Target>& targets, bool is_quick) {
  constexpr const char* columns = "{:<48} {:<10} {:<4} {}\n";
  std::string table = fmt::format(columns, "metric", "to reach", "", "reached");
  for (const Target& target : targets)
    table += fmt::format(columns, target.metric, target.bound_text,
                         is_quick || !target.is_known() ? ""
                         : target.is_met()              ? "yes"
                                                        : "NO",
                         target.is_known() ? target.reached_text : "not measured");
  return table;
}

}  // namespace shortfall::bench
