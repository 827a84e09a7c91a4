#include "shortfall/report.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "atomic_file.hpp"
#include "fmt/format.h"
#include "sha256.hpp"

namespace shortfall {
namespace {

/// The shortest decimal form that reads back as the same double; -0 is 0.
void append_number(std::string& out, double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value == 0 ? 0.0 : value);
  SHORTFALL_ASSERT(error == std::errc());
  out.append(text, end);
}

/// RFC 4180: quoted where the field holds a comma, a quote or a line break.
void append_field(std::string& out, const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

std::string text_of(const std::filesystem::path& path) { return path.generic_string(); }

nlohmann::ordered_json configuration(const RunConfig& c) {
  nlohmann::ordered_json j;
  j["inputs"] = {{"underlyings", text_of(c.inputs.underlyings)},
                 {"instruments", text_of(c.inputs.instruments)},
                 {"positions", text_of(c.inputs.positions)},
                 {"covariance", text_of(c.inputs.covariance)}};
  if (c.inputs.accounts) j["inputs"]["accounts"] = text_of(*c.inputs.accounts);
  if (c.inputs.collateral) j["inputs"]["collateral"] = text_of(*c.inputs.collateral);
  j["market"]["as_of"] = format_date_time(c.as_of);
  j["model"]["distribution"] = to_string(c.model.distribution);
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
  j["margin"]["multiplier"] = c.margin.multiplier;
  j["compute"] = {{"backend", to_string(c.compute.backend)},
                  {"threads", c.compute.thread_count},
                  {"devices", c.compute.devices},
                  {"fallback", c.compute.fallback_to_cpu ? "cpu" : "none"},
                  {"instruction_set", to_string(c.compute.instruction_set)},
                  {"tile_paths", c.compute.tile_path_count}};
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

std::string format_record(const RunRecord& r, const std::string& margins) {
  nlohmann::ordered_json j;
  j["format_version"] = 1;
  j["program"] = "shortfall";
  j["version"] = version();
  j["backend"] = what_ran(r);
  j["seed"] = r.config.risk.seed;
  j["paths"] = r.config.risk.path_count;
  if (r.config.model.distribution == Distribution::student_t) j["tail_floor"] = r.tail_floor;
  j["counts"] = {{"instruments", r.instrument_count},
                 {"positions", r.position_count},
                 {"accounts", r.account_count},
                 {"margin_groups", r.group_count},
                 {"factors", r.factor_count}};
  for (const auto& [stage, seconds] : r.seconds_by_stage) j["seconds"][stage] = seconds;
  j["warnings"] = r.warnings;
  j["plan_hash"] = r.plan_hash;
  Sha256 hash;
  hash.add(margins);
  j["sha256"]["margin.csv"] = hash.finish_hex();
  j["sha256"]["inputs"] = input_hashes(r.config);
  j["configuration"] = configuration(r.config);
  return j.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

const char* version() { return SHORTFALL_VERSION; }

bool ran_on_cuda(const RunRecord& record) {
  return std::any_of(record.shares.begin(), record.shares.end(),
                     [](const PathShare& share) { return share.backend.name == "cuda"; });
}

std::string format_margins(const std::vector<AccountMargin>& margins) {
  std::string out =
      "account,mode,positions,gross_notional,value_at_risk,expected_shortfall,standard_error,"
      "margin\n";
  for (const AccountMargin& m : margins) {
    append_field(out, m.account);
    out += fmt::format(",{},{}", to_string(m.mode), m.position_count);
    for (const double number : {m.gross_notional_usd, m.value_at_risk_usd, m.expected_shortfall_usd,
                                m.standard_error_usd, m.margin_usd}) {
      out += ',';
      append_number(out, number);
    }
    out += '\n';
  }
  return out;
}

void write_report(const std::filesystem::path& directory, const std::vector<AccountMargin>& margins,
                  const RunRecord& record) {
  const std::string text = format_margins(margins);
  const std::string json = format_record(record, text);
  create_directory_for(directory);
  AtomicFile margin_file(directory / "margin.csv"), record_file(directory / "run.json");
  margin_file.write(text);
  record_file.write(json);
  margin_file.sync();
  record_file.sync();
  margin_file.publish();
  record_file.publish();
}

}  // namespace shortfall
