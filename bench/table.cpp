#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace shortfall::bench {
namespace {

std::string format_rate(double rate) {
  for (const auto& [unit, prefix] : {std::pair{1e9, "G"}, {1e6, "M"}, {1e3, "k"}})
    if (rate >= unit) return fmt::format("{:#.4g}{}", rate / unit, prefix);
  return fmt::format("{:#.4g} ", rate);
}

std::string format_seconds(double seconds) {
  for (const auto& [unit, name] : {std::pair{1e-9, "ps"}, {1e-6, "ns"}, {1e-3, "us"}, {1.0, "ms"}})
    if (seconds < unit) return fmt::format("{:.3g} {}", seconds / unit * 1e3, name);
  return seconds < 100 ? fmt::format("{:.3g} s", seconds) : fmt::format("{:.0f} s", seconds);
}

/// "63x naive, 10x per_account".
std::string format_ratios(const Suite& suite, const Row& row) {
  std::string text;
  for (const Baseline& baseline : row.baselines) {
    const double ratio = suite.times_faster(row, baseline);
    if (ratio > 0)
      text += fmt::format("{}{:.4g}x {}", text.empty() ? " " : ", ", ratio, baseline.name);
  }
  return text;
}

constexpr const char* columns = "{:<35} {:>8} {:>8} {:<13} {:>8} {:>6} {:>8}  {:<16} {}\n";

std::string format_row(const Suite& suite, const Row& row) {
  if (!row.skipped.empty()) return fmt::format("{:<35} skipped: {}\n", row.name(), row.skipped);
  if (!row.failure.empty()) return fmt::format("{:<35} FAILED: {}\n", row.name(), row.failure);
  if (row.rates.empty()) return {};
  const double share = suite.share_of_limit(row);
  return fmt::format(columns, row.name(), format_rate(row.best()), format_rate(row.median()),
                     row.item + "/s", format_seconds(1 / row.best()),
                     share > 0 ? fmt::format("{:.1f} %", 100 * share) : "",
                     row.whole > 0 ? format_seconds(row.whole / row.best()) : "", row.hash,
                     format_ratios(suite, row));
}

/// Once where instruction sets share a note.
std::string format_notes(const Suite& suite) {
  std::string notes;
  std::set<std::string> seen;
  for (const Row& row : suite.rows()) {
    const std::string name = row_name(row.stage, row.job);
    if (!row.note.empty() && !row.rates.empty() && seen.insert(name + row.note).second)
      notes += fmt::format("  {:<35} {}\n", name, row.note);
  }
  return notes;
}

/// What a limit is and is not: rows that would mislead otherwise.
std::string format_invalid_limits(const Suite& suite) {
  std::string text;
  for (const Row& row : suite.rows())
    if (const double share = suite.share_of_limit(row); share < row.counts_from_share && row.best())
      text +=
          fmt::format("  {:<35} is not used as a limit: {:.1f} % of ports x lanes x 2 x clock\n",
                      row.name(), 100 * share);
  return text;
}

/// What the whole job takes with every stage at its limit.
std::string format_sums_of_limits(const Suite& suite) {
  std::string text;
  for (const Row& row : suite.rows()) {
    if (row.stage != "job" || suite.share_of_limit(row) == 0) continue;
    text += fmt::format("  {:<35} at its limits {}:", row.name(),
                        format_seconds(row.whole * suite.seconds(row.limits)));
    for (const Reference& part : row.limits)
      text += fmt::format(" {} {}", part.row.substr(0, part.row.find('/')),
                          format_seconds(row.whole * suite.seconds({part})));
    text += '\n';
  }
  return text;
}

std::string format_runs(const ProgramRuns& runs) {
  std::string text;
  for (const PeakMemory& run : runs.memory)
    text += fmt::format("  memory    {:<10} {:>10} paths: peak {:>7.1f} MB, may be {:>7.1f} MB\n",
                        run.book, run.path_count, 1e-6 * static_cast<double>(run.bytes),
                        1e-6 * run.bytes_max());
  for (const StartUp& run : runs.start_up)
    text += fmt::format(
        "  start-up  {:<10} {:>10} paths: load {:.1f} + plan {:.1f} + simulate {:.1f} + margin "
        "{:.1f} ms;\n{:38}the process, from its start to its end {:.1f} ms\n",
        run.book, run.path_count, 1e3 * run.load, 1e3 * run.plan, 1e3 * run.simulate,
        1e3 * run.margin, "", 1e3 * run.process);
  return text.empty() ? text : "the program, one thread, by the clock on the wall:\n" + text + "\n";
}

std::string format_conditions(const Conditions& conditions) {
  return fmt::format(
      "{}\npinned to core {}; load average {:.2f} before, {:.2f} after; others kept {:.2f} of {} "
      "cores busy, the hypervisor took {:.1f} %\nrevision {}\n",
      conditions.processor.kind(), conditions.pinned_core, conditions.load_before,
      conditions.load_after, conditions.cores_of_others, conditions.processor.cores.size(),
      100 * conditions.stolen_share, conditions.revision);
}

constexpr const char* legend =
    "\nbest, median  of {} repetitions, by processor time where the notes do not say otherwise\n"
    "each          1 / best\n"
    "limit         share of what this core did at most in this run, limit.*; of limit.fma, that\n"
    "              share of ports x lanes x 2 x clock. Of a job: the sum over its stages of work\n"
    "              / limit, over its time: correlate and dense at limit.fma, sparse at\n"
    "              limit.read.l2, draw, states, revalue and filter at their own best\n"
    "job           what the row alone takes for the whole job\n"
    "result        hash; equal for all instruction sets, or the row fails\n\n";

}  // namespace

void Collector::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    const auto rate = run.counters.find(rate_counter);
    if (run.run_type != Run::RT_Iteration || rate == run.counters.end()) continue;
    for (Row& row : suite_.rows())
      if (row.name() == run.run_name.function_name) row.rates.push_back(rate->second.value);
  }
}

std::string format_report(const Report& report) {
  const Suite& suite = report.suite;
  std::size_t repetitions = 0;
  for (const Row& row : suite.rows()) repetitions = std::max(repetitions, row.rates.size());
  std::string text = format_conditions(report.conditions);
  if (suite.is_quick())
    text += "QUICK: this shows that the benchmarks work, not how fast anything is.\n";
  text += "\n" + fmt::format(columns, "stage", "best", "median", "", "each", "limit", "job",
                             "result", " times faster than");
  for (const Row& row : suite.rows()) text += format_row(suite, row);
  text += fmt::format(legend, repetitions);
  text += format_invalid_limits(suite) + format_sums_of_limits(suite) + format_notes(suite) + "\n";
  text += format_runs(report.runs) + format_targets(report.targets, suite.is_quick()) + "\n";
  return text + format_comparison(report.comparison);
}

}  // namespace shortfall::bench
