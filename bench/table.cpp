#include "table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "shortfall/error.hpp"

namespace shortfall::bench {
namespace {

/// Share of what the machine allows; 0 where that is not known.
double share_of_limit(const Suite& suite, const Row& row) {
  double least_seconds = 0;
  for (const Reference& limit : row.limits) {
    const Row* const other = suite.find(limit.row);
    if (!other || other->best() == 0) return 0;
    least_seconds += limit.amount / other->best();
  }
  return row.best() * least_seconds;
}

/// How many times faster than a baseline; 0 where that was not measured.
double ratio_to(const Suite& suite, const Row& row, const Reference& baseline) {
  const Row* const other = suite.find(baseline.row);
  return other && other->best() > 0 ? row.best() * baseline.amount / other->best() : 0;
}

std::string format_rate(double rate) {
  for (const auto& [unit, prefix] : {std::pair{1e9, "G"}, {1e6, "M"}, {1e3, "k"}})
    if (rate >= unit) return fmt::format("{:#.4g}{}", rate / unit, prefix);
  return fmt::format("{:#.4g} ", rate);
}

std::string format_seconds(double seconds) {
  if (seconds < 0.1) return fmt::format("{:.3g} ms", seconds * 1e3);
  return seconds < 100 ? fmt::format("{:.3g} s", seconds) : fmt::format("{:.0f} s", seconds);
}

/// "63x naive, 10x per_account".
std::string format_ratios(const Suite& suite, const Row& row) {
  std::string text;
  for (const Reference& baseline : row.baselines) {
    const double ratio = ratio_to(suite, row, baseline);
    if (ratio == 0) continue;
    const std::size_t begin = baseline.row.find('.') + 1;
    text += fmt::format("{}{:.3g}x {}", text.empty() ? " " : ", ", ratio,
                        baseline.row.substr(begin, baseline.row.find('/') - begin));
  }
  return text;
}

constexpr const char* columns = "{:<30} {:>8} {:>8} {:<13} {:>5} {:>9}  {:<16} {}\n";

std::string format_row(const Suite& suite, const Row& row) {
  if (!row.skipped.empty()) return fmt::format("{:<30} skipped: {}\n", row.name(), row.skipped);
  if (!row.failure.empty()) return fmt::format("{:<30} FAILED: {}\n", row.name(), row.failure);
  if (row.rates.empty()) return {};
  const double share = share_of_limit(suite, row);
  return fmt::format(columns, row.name(), format_rate(row.best()), format_rate(row.median()),
                     row.item + "/s", share > 0 ? fmt::format("{:.0f} %", 100 * share) : "",
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
      notes += fmt::format("  {:<30} {}\n", name, row.note);
  }
  return notes;
}

}  // namespace

void Collector::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    const auto rate = run.counters.find("items_per_second");
    if (run.run_type != Run::RT_Iteration || rate == run.counters.end()) continue;
    for (Row& row : suite_.rows())
      if (row.name() == run.run_name.function_name) row.rates.push_back(rate->second.value);
  }
}

std::string format_table(const Suite& suite, const Conditions& conditions) {
  std::size_t repetitions = 0;
  for (const Row& row : suite.rows()) repetitions = std::max(repetitions, row.rates.size());
  std::string table =
      fmt::format("{}, pinned to core {}; load average {:.2f} before, {:.2f} after; revision {}\n",
                  conditions.processor, conditions.pinned_core, conditions.load_before,
                  conditions.load_after, conditions.revision);
  if (suite.is_quick())
    table += "QUICK: this shows that the benchmarks work, not how fast anything is.\n";
  table += fmt::format("\n{}", fmt::format(columns, "stage", "best", "median", "", "limit", "job",
                                           "result", " times faster than"));
  for (const Row& row : suite.rows()) table += format_row(suite, row);
  table += fmt::format(
      "\nbest, median  of {} repetitions, by processor time\n"
      "limit         share of what this core did at most in this run: of limit.*, or for a job of\n"
      "              its stages at their limits, at their own best where no limit is known\n"
      "job           what the stage alone takes for the whole job\n"
      "result        hash; equal for all instruction sets, or the row fails\n\n",
      repetitions);
  return table + format_notes(suite);
}

void write_json(const Suite& suite, const Conditions& conditions,
                const std::filesystem::path& file) {
  nlohmann::ordered_json json;
  json["processor"] = conditions.processor;
  json["pinned_core"] = conditions.pinned_core;
  json["load_average"] = {conditions.load_before, conditions.load_after};
  json["revision"] = conditions.revision;
  json["is_quick"] = suite.is_quick();
  json["rows"] = nlohmann::ordered_json::array();
  for (const Row& row : suite.rows()) {
    nlohmann::ordered_json entry = {{"name", row.name()}};
    const auto say = [&](const char* key, const std::string& text) {
      if (!text.empty()) entry[key] = text;
    };
    say("stage", row.stage);
    say("job", row.job);
    say("instruction_set", row.instruction_set);
    say("item", row.item);
    say("note", row.note);
    say("skipped", row.skipped);
    say("failure", row.failure);
    say("hash", row.hash);
    if (!row.rates.empty()) {
      entry["best_per_second"] = row.best();
      entry["median_per_second"] = row.median();
      entry["per_second"] = row.rates;
      if (row.whole > 0) entry["job_seconds"] = row.whole / row.best();
    }
    if (const double share = share_of_limit(suite, row); share > 0) entry["share_of_limit"] = share;
    for (const Reference& baseline : row.baselines)
      if (const double ratio = ratio_to(suite, row, baseline); ratio > 0)
        entry["times_faster_than"][baseline.row] = ratio;
    json["rows"].push_back(std::move(entry));
  }
  std::ofstream out(file);
  out << json.dump(2) << '\n';
  if (!out.flush()) throw OperatingError("cannot write " + file.string());
}

}  // namespace shortfall::bench
