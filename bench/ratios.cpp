#include "ratios.hpp"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "shortfall/error.hpp"

namespace shortfall::bench {

std::map<std::string, double> measured_ratios(const Suite& suite) {
  std::map<std::string, double> ratios;
  const auto add = [&](const Row& row, const std::string& other, double ratio) {
    if (ratio > 0) ratios[row.name() + ": " + other] = ratio;
  };
  for (const Row& row : suite.rows()) {
    if (row.best() == 0) continue;
    add(row, "limit", suite.share_of_limit(row));
    for (const Baseline& baseline : row.baselines)
      add(row, baseline.name, suite.times_faster(row, baseline));
  }
  return ratios;
}

Ratios read_ratios(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) return {};
  try {
    const auto json = nlohmann::json::parse(in);
    return {json.at("processor"), json.at("revision"), json.at("ratios")};
  } catch (const nlohmann::json::exception& error) {
    throw OperatingError(fmt::format("{}: {}", file.string(), error.what()));
  }
}

void write_ratios(const Ratios& ratios, const std::filesystem::path& file) {
  nlohmann::ordered_json json;
  json["processor"] = ratios.processor;
  json["revision"] = ratios.revision;
  for (const auto& [name, ratio] : ratios.values)
    json["ratios"][name] = std::stod(fmt::format("{:.4g}", ratio));
  std::ofstream out(file);
  out << json.dump(2) << '\n';
  if (!out.flush()) throw OperatingError("cannot write " + file.string());
}

Comparison compare(const Ratios& now, const Ratios& recorded) {
  constexpr double kept = 0.95;
  Comparison comparison;
  if (recorded.processor != now.processor) {
    comparison.against = recorded.processor.empty()
                             ? "nothing was recorded"
                             : "what was recorded is of another processor: " + recorded.processor;
    return comparison;
  }
  comparison.against = "revision " + recorded.revision;
  for (const auto& [name, before] : recorded.values) {
    const auto found = now.values.find(name);
    if (found == now.values.end()) {
      comparison.not_measured.push_back(name);
      continue;
    }
    ++comparison.compared_count;
    if (found->second < kept * before) comparison.falls.push_back({name, before, found->second});
  }
  return comparison;
}

std::string format_comparison(const Comparison& comparison) {
  std::string text = fmt::format(
      "compared with bench/ratios.json ({}): {} ratios, {} fell by more "
      "than 5 %\n",
      comparison.against, comparison.compared_count, comparison.falls.size());
  for (const Fall& fall : comparison.falls)
    text += fmt::format("  {:<48} {:.4g} -> {:.4g} ({:+.1f} %)\n", fall.name, fall.before, fall.now,
                        100 * (fall.now / fall.before - 1));
  if (!comparison.not_measured.empty())
    text += fmt::format("  {} recorded ratios were not measured, {} the first\n",
                        comparison.not_measured.size(), comparison.not_measured.front());
  return text;
}

}  // namespace shortfall::bench
