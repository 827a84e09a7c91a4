#include <fstream>
#include <nlohmann/json.hpp>

#include "shortfall/error.hpp"
#include "table.hpp"

namespace shortfall::bench {
namespace {

using Json = nlohmann::ordered_json;

Json parts_of(const std::vector<Reference>& parts) {
  Json list = Json::array();
  for (const Reference& part : parts) list.push_back({{"row", part.row}, {"amount", part.amount}});
  return list;
}

Json row_of(const Suite& suite, const Row& row) {
  Json entry = {{"name", row.name()}};
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
  if (row.best() == 0) return entry;
  entry["best_per_second"] = row.best();
  entry["median_per_second"] = row.median();
  entry["per_second"] = row.rates;
  entry["seconds_each"] = 1 / row.best();
  if (row.whole > 0) entry["job_seconds"] = row.whole / row.best();
  if (const double share = suite.share_of_limit(row); share > 0) {
    entry["share_of_limit"] = share;
    entry["limit_parts"] = parts_of(row.limits);
  }
  for (const Baseline& baseline : row.baselines)
    if (const double ratio = suite.times_faster(row, baseline); ratio > 0)
      entry["times_faster_than"][baseline.name] = {{"ratio", ratio},
                                                   {"parts", parts_of(baseline.parts)}};
  return entry;
}

Json runs_of(const ProgramRuns& runs) {
  Json json = {{"memory", Json::array()}, {"start_up", Json::array()}};
  for (const PeakMemory& run : runs.memory)
    json["memory"].push_back({{"book", run.book},
                              {"paths", run.path_count},
                              {"margin_groups", run.group_count},
                              {"peak_bytes", run.bytes},
                              {"bytes_max", run.bytes_max()}});
  for (const StartUp& run : runs.start_up)
    json["start_up"].push_back({{"book", run.book},
                                {"paths", run.path_count},
                                {"process_seconds", run.process},
                                {"load_seconds", run.load},
                                {"plan_seconds", run.plan},
                                {"simulate_seconds", run.simulate},
                                {"margin_seconds", run.margin}});
  return json;
}

Json targets_of(const std::vector<Target>& targets) {
  Json list = Json::array();
  for (const Target& target : targets) {
    Json entry = {{"metric", target.metric}, {"to_reach", target.bound_text}};
    if (target.is_known()) {
      entry["reached"] = target.reached;
      entry["reached_text"] = target.reached_text;
      entry["is_met"] = target.is_met();
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json comparison_of(const Comparison& comparison) {
  Json json = {{"against", comparison.against},
               {"compared", comparison.compared_count},
               {"not_measured", comparison.not_measured},
               {"falls", Json::array()}};
  for (const Fall& fall : comparison.falls)
    json["falls"].push_back({{"name", fall.name}, {"before", fall.before}, {"now", fall.now}});
  return json;
}

}  // namespace

void write_json(const Report& report, const std::filesystem::path& file) {
  const Conditions& conditions = report.conditions;
  Json json;
  json["processor"] = conditions.processor.kind();
  json["cores"] = conditions.processor.cores.size();
  json["pinned_core"] = conditions.pinned_core;
  json["load_average"] = {conditions.load_before, conditions.load_after};
  json["cores_busy_with_others"] = conditions.cores_of_others;
  json["stolen_share"] = conditions.stolen_share;
  json["revision"] = conditions.revision;
  json["is_quick"] = report.suite.is_quick();
  json["rows"] = Json::array();
  for (const Row& row : report.suite.rows()) json["rows"].push_back(row_of(report.suite, row));
  json["program"] = runs_of(report.runs);
  json["to_reach"] = targets_of(report.targets);
  json["comparison"] = comparison_of(report.comparison);
  std::ofstream out(file);
  out << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  if (!out.flush()) throw OperatingError("cannot write " + file.string());
}

}  // namespace shortfall::bench
