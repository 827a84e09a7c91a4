#include "shortfall/report.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "atomic_file.hpp"
#include "csv_text.hpp"
#include "fmt/format.h"
#include "margin/collateral.hpp"
#include "sha256.hpp"

namespace shortfall {
namespace {

using Append = void (*)(std::string& out, const AccountMargin& margin);

/// A column of margin.csv.
struct Column {
  const char* name;
  Append append;
};

template <double AccountMargin::*member>
void append_amount(std::string& out, const AccountMargin& m) {
  append_number(out, m.*member);
}

template <double MarginComponents::*member>
void append_component(std::string& out, const AccountMargin& m) {
  append_number(out, m.components.*member);
}

/// Empty where it is infinite: there is no equity for the maintenance margin to be a share of.
void append_ratio(std::string& out, const AccountMargin& m) {
  if (std::isfinite(m.margin_ratio)) append_number(out, m.margin_ratio);
}

/// What the configuration asks for, in an order that never changes.
std::vector<Column> columns(const MarginConfig& c) {
  std::vector<Column> all = {
      {"account", [](std::string& out, const AccountMargin& m) { append_field(out, m.account); }},
      {"mode", [](std::string& out, const AccountMargin& m) { out += to_string(m.mode); }},
      {"positions",
       [](std::string& out, const AccountMargin& m) { out += std::to_string(m.position_count); }},
      {"gross_notional", append_amount<&AccountMargin::gross_notional_usd>},
      {"value_at_risk", append_amount<&AccountMargin::value_at_risk_usd>},
      {"expected_shortfall", append_amount<&AccountMargin::expected_shortfall_usd>},
      {"standard_error", append_amount<&AccountMargin::standard_error_usd>},
      {"margin", append_amount<&AccountMargin::margin_usd>},
      {"confidence_low", append_amount<&AccountMargin::confidence_low_usd>},
      {"confidence_high", append_amount<&AccountMargin::confidence_high_usd>}};
  const auto add = [&](bool is_shown, const char* name, Append append) {
    if (is_shown) all.push_back({name, append});
  };
  const bool has_dependence = c.dependence.has_value(), has_stress = c.stress.has_value();
  const bool has_collateral = c.collateral.has_value();
  add(c.has_components(), "base", append_component<&MarginComponents::base>);
  add(has_dependence, "dependence", append_component<&MarginComponents::dependence>);
  add(has_dependence, "concentration", append_component<&MarginComponents::concentration>);
  add(c.liquidity.has_value(), "liquidity", append_component<&MarginComponents::liquidity>);
  add(has_stress, "stress", append_component<&MarginComponents::stress>);
  add(has_stress, "worst_scenario",
      [](std::string& out, const AccountMargin& m) { append_field(out, m.worst_scenario); });
  add(c.procyclicality.has_value(), "procyclicality",
      append_component<&MarginComponents::procyclicality>);
  add(c.funding.has_value(), "funding", append_component<&MarginComponents::funding>);
  add(c.short_option_minimum_rate.has_value(), "short_option_minimum",
      append_component<&MarginComponents::short_option_minimum>);
  add(c.floor_usd > 0, "floor", append_component<&MarginComponents::floor>);
  add(has_dependence && !c.dependence->is_sum, "uncharged",
      append_component<&MarginComponents::uncharged>);
  add(has_collateral || c.maintenance_ratio || c.maintenance_confidence_level, "maintenance_margin",
      append_amount<&AccountMargin::maintenance_margin_usd>);
  add(has_collateral, "equity", append_amount<&AccountMargin::equity_usd>);
  add(has_collateral, "margin_excess", append_amount<&AccountMargin::excess_usd>);
  add(has_collateral, "margin_ratio", append_ratio);
  add(has_collateral, "status",
      [](std::string& out, const AccountMargin& m) { out += to_string(m.status); });
  return all;
}

std::string text_of(const std::filesystem::path& path) { return path.generic_string(); }

/// The tables that there are, each with every key.
nlohmann::ordered_json margin_configuration(const MarginConfig& c) {
  nlohmann::ordered_json j = {
      {"multiplier", c.multiplier}, {"sampling_uplift", c.sampling_uplift}, {"floor", c.floor_usd}};
  if (c.maintenance_ratio) j["maintenance"] = *c.maintenance_ratio;
  if (c.maintenance_confidence_level)
    j["maintenance"] = {{"confidence", *c.maintenance_confidence_level}};
  if (c.dependence)
    j["dependence"] = {{"weight", c.dependence->weight},
                       {"confidence", c.dependence->confidence_level},
                       {"combine", c.dependence->is_sum ? "sum" : "larger"}};
  if (c.liquidity) j["liquidity"] = {{"file", text_of(c.liquidity->file)}};
  if (c.stress) {
    if (c.stress->file) j["stress"]["file"] = text_of(*c.stress->file);
    j["stress"].update({{"grid", c.stress->has_grid},
                        {"range", c.stress->range},
                        {"vol_up", c.stress->vol_up},
                        {"vol_down", c.stress->vol_down},
                        {"vol_power", c.stress->vol_power},
                        {"far_moves", c.stress->has_far_moves}});
  }
  if (c.procyclicality)
    j["procyclicality"] = {{"covariance", text_of(c.procyclicality->covariance)},
                           {"weight", c.procyclicality->weight}};
  if (c.funding) j["funding"] = {{"file", text_of(c.funding->file)}};
  if (c.short_option_minimum_rate)
    j["short_option_minimum"] = {{"rate", *c.short_option_minimum_rate}};
  if (c.collateral)
    j["collateral"] = {{"simulate", c.collateral->is_simulated},
                       {"haircuts", c.collateral->haircuts}};
  return j;
}

nlohmann::ordered_json configuration(const RunConfig& c) {
  nlohmann::ordered_json j;
  j["inputs"] = {{"underlyings", text_of(c.inputs.underlyings)},
                 {"instruments", text_of(c.inputs.instruments)},
                 {"positions", text_of(c.inputs.positions)},
                 {"covariance", text_of(c.inputs.covariance)}};
  if (c.inputs.accounts) j["inputs"]["accounts"] = text_of(*c.inputs.accounts);
  if (c.inputs.collateral) j["inputs"]["collateral"] = text_of(*c.inputs.collateral);
  j["market"]["as_of"] = format_date_time(c.as_of);
  const bool has_history = c.model.scenarios == Scenarios::history;
  if (has_history) {
    j["inputs"]["history"] = text_of(c.inputs.covariance);
    j["inputs"].erase("covariance");
    j["model"] = {{"scenarios", to_string(c.model.scenarios)},
                  {"history_filter", to_string(c.model.history_filter)}};
    if (c.model.history_filter == HistoryFilter::volatility)
      j["model"]["filter_half_life"] = c.model.filter_half_life;
    if (c.model.weight_half_life) j["model"]["weight_half_life"] = *c.model.weight_half_life;
  } else {
    j["model"]["distribution"] = to_string(c.model.distribution);
    j["model"]["factorization"] = to_string(c.model.factorization);
  }
  if (c.model.distribution == Distribution::student_t) {
    j["model"]["degrees_of_freedom"] = c.model.degrees_of_freedom;
    if (c.model.tail_floor)
      j["model"]["tail_floor"] = *c.model.tail_floor;
    else
      j["model"]["tail_floor"] = "auto";
  }
  j["model"]["covariance_horizon_days"] = c.model.covariance_horizon_days;
  j["risk"] = {
      {"paths", c.risk.path_count},           {"seed", c.risk.seed},
      {"sampler", to_string(c.risk.sampler)}, {"confidence", c.risk.confidence_level},
      {"horizon_days", c.risk.horizon_days},  {"revalue_at", to_string(c.risk.revalue_at)}};
  if (has_history)
    for (const char* const key : {"paths", "seed", "sampler"}) j["risk"].erase(key);
  if (c.risk.sampler == Sampler::sobol) j["risk"]["scramblings"] = c.risk.scrambling_count;
  if (c.risk.is_automatic) {
    j["risk"]["paths"] = "auto";
    j["risk"]["target_relative_error"] = c.risk.target_relative_error;
    j["risk"]["max_paths"] = c.risk.path_count_max;
    j["risk"]["precise_margin_share"] = c.risk.precise_margin_share;
    j["risk"]["precise_accounts"] = c.risk.precise_accounts;
  }
  j["margin"] = margin_configuration(c.margin);
  j["compute"] = {{"backend", to_string(c.compute.backend)},
                  {"threads", c.compute.thread_count},
                  {"devices", c.compute.devices},
                  {"fallback", c.compute.fallback_to_cpu ? "cpu" : "none"},
                  {"instruction_set", to_string(c.compute.instruction_set)},
                  {"tile_paths", c.compute.tile_path_count}};
  j["output"] = {{"attribution", c.output.has_attribution}};
  return j;
}

nlohmann::ordered_json input_hashes(const RunConfig& c) {
  nlohmann::ordered_json j;
  const auto add = [&](const std::filesystem::path& file) {
    j[text_of(file)] = sha256_of_file(file);
  };
  add(c.file);
  add(c.inputs.underlyings);
  add(c.inputs.instruments);
  add(c.inputs.positions);
  add(c.inputs.covariance);
  if (c.inputs.accounts) add(*c.inputs.accounts);
  if (c.inputs.collateral) add(*c.inputs.collateral);
  if (c.margin.liquidity) add(c.margin.liquidity->file);
  if (c.margin.stress && c.margin.stress->file) add(*c.margin.stress->file);
  if (c.margin.procyclicality) add(c.margin.procyclicality->covariance);
  if (c.margin.funding) add(c.margin.funding->file);
  return j;
}

/// Instruction set and threads only where the backend has any.
nlohmann::ordered_json backend_fields(const BackendDescription& backend) {
  nlohmann::ordered_json j = {{"name", backend.name}, {"device", backend.device}};
  if (!backend.instruction_set.empty()) j["instruction_set"] = backend.instruction_set;
  if (backend.thread_count != 0) j["threads"] = backend.thread_count;
  j["tile_paths"] = backend.tile_path_count;
  return j;
}

/// The first share's backend in the fields that a reader of one backend expects, then every share.
nlohmann::ordered_json what_ran(const RunRecord& r) {
  nlohmann::ordered_json j = backend_fields(r.shares.front().backend);
  if (ran_on_cuda(r)) j["contract"] = cuda_contract;
  for (const PathShare& share : r.shares) {
    nlohmann::ordered_json part = {{"first_path", share.paths.begin},
                                   {"paths", share.paths.end - share.paths.begin}};
    part.update(backend_fields(share.backend));
    j["shares"].push_back(part);
  }
  return j;
}

std::string sha256_of(const std::string& text) {
  Sha256 hash;
  hash.add(text);
  return hash.finish_hex();
}

std::string format_record(const RunRecord& r, const std::string& margins,
                          const std::optional<std::string>& attribution) {
  nlohmann::ordered_json j;
  j["format_version"] = 2;
  j["program"] = "shortfall";
  j["version"] = version();
  j["backend"] = what_ran(r);
  j["seed"] = r.config.risk.seed;
  j["paths"] = r.path_count;
  if (r.config.model.distribution == Distribution::student_t) j["tail_floor"] = r.tail_floor;
  j["counts"] = {{"instruments", r.instrument_count},
                 {"positions", r.position_count},
                 {"accounts", r.account_count},
                 {"margin_groups", r.group_count},
                 {"factors", r.factor_count}};
  for (const auto& [stage, seconds] : r.seconds_by_stage) j["seconds"][stage] = seconds;
  j["warnings"] = r.warnings;
  if (!r.rounds.empty()) j["rounds"] = r.rounds;
  if (!r.rounds.empty()) j["imprecise_accounts"] = r.imprecise_accounts;
  j["plan_hash"] = r.plan_hash;
  j["sha256"]["margin.csv"] = sha256_of(margins);
  if (attribution) j["sha256"]["attribution.csv"] = sha256_of(*attribution);
  j["sha256"]["inputs"] = input_hashes(r.config);
  j["configuration"] = configuration(r.config);
  return j.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// The rows of an account's positions from `first` on that are in the same underlying, and the
/// place after them.
std::size_t append_underlying(std::string& out, const Attribution& attribution,
                              const Attribution::Of& of, std::size_t first) {
  const auto underlying = [&](std::size_t p) -> const std::string& {
    return attribution.instruments[attribution.positions[p].instrument].underlying;
  };
  double sum = 0;
  std::size_t end = first;
  for (; end < of.end && underlying(end) == underlying(first); ++end)
    sum += attribution.positions[end].expected_shortfall_usd;
  for (std::size_t p = first; p < end; ++p) {
    const PositionShortfall& position = attribution.positions[p];
    append_field(out, of.account);
    out += ',';
    append_field(out, underlying(p));
    out += ',';
    append_field(out, attribution.instruments[position.instrument].name);
    for (const double number : {position.quantity, position.expected_shortfall_usd, sum}) {
      out += ',';
      append_number(out, number);
    }
    out += '\n';
  }
  return end;
}

/// A file of an earlier run; what else has its name stays.
void remove_earlier(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) return;
  std::filesystem::remove(file, error);
  if (error)
    throw OperatingError(
        fmt::format("cannot remove {} of an earlier run: {}", file.string(), error.message()));
}

}  // namespace

const char* version() { return SHORTFALL_VERSION; }

bool ran_on_cuda(const RunRecord& record) {
  return std::any_of(record.shares.begin(), record.shares.end(),
                     [](const PathShare& share) { return share.backend.name == "cuda"; });
}

std::string format_margins(const std::vector<AccountMargin>& margins, const MarginConfig& config) {
  const std::vector<Column> shown = columns(config);
  std::string out;
  for (const Column& column : shown) {
    if (!out.empty()) out += ',';
    out += column.name;
  }
  out += '\n';
  for (const AccountMargin& margin : margins) {
    for (const Column& column : shown) {
      if (&column != &shown.front()) out += ',';
      column.append(out, margin);
    }
    out += '\n';
  }
  return out;
}

std::string format_attribution(const Attribution& attribution) {
  std::string out = "account,underlying,instrument,quantity,component_es,underlying_component_es\n";
  for (const Attribution::Of& of : attribution.accounts) {
    for (std::size_t first = of.begin; first < of.end;)
      first = append_underlying(out, attribution, of, first);
    if (of.begin == of.end) continue;
    append_field(out, of.account);
    out += ",,rounding,,";
    append_number(out, of.rounding_usd);
    out += ",\n";
  }
  return out;
}

void write_report(const std::filesystem::path& directory, const std::vector<AccountMargin>& margins,
                  const RunRecord& record, const std::optional<Attribution>& attribution) {
  const std::string text = format_margins(margins, record.config.margin);
  std::optional<std::string> attribution_text;
  if (attribution) attribution_text = format_attribution(*attribution);
  const std::string json = format_record(record, text, attribution_text);
  create_directory_for(directory);
  const std::filesystem::path attribution_path = directory / "attribution.csv";
  AtomicFile margin_file(directory / "margin.csv"), record_file(directory / "run.json");
  std::optional<AtomicFile> attribution_file;
  if (attribution_text) attribution_file.emplace(attribution_path).write(*attribution_text);
  margin_file.write(text);
  record_file.write(json);
  margin_file.sync();
  if (attribution_file) attribution_file->sync();
  record_file.sync();
  margin_file.publish();
  if (attribution_file)
    attribution_file->publish();
  else
    remove_earlier(attribution_path);
  record_file.publish();
}

}  // namespace shortfall
