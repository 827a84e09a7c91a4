#include "api_json.hpp"

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "margin/collateral.hpp"
#include "shortfall/shortfall.hpp"

namespace shortfall::service {
namespace {

/// -0 is 0; what is not finite has no JSON.
Json number(double value) { return std::isfinite(value) ? Json(value == 0 ? 0.0 : value) : Json(); }

Json time_of(std::int64_t seconds) { return format_date_time(seconds); }

Json time_of_ms(std::int64_t milliseconds) {
  return milliseconds == 0 ? Json() : time_of(milliseconds / 1000);
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool has_maintenance(const MarginConfig& config) {
  return config.collateral || config.maintenance_ratio || config.maintenance_confidence_level;
}

Json json_of(const Source& source) {
  return {{"run", source.run},
          {"run_sequence", source.run_sequence == 0 ? Json() : Json(source.run_sequence)},
          {"market_sequence", source.market_sequence},
          {"position_sequence", source.position_sequence},
          {"as_of", time_of(source.as_of)}};
}

Json json_of(const Staleness& staleness) {
  return {{"seconds", number(staleness.seconds)},
          {"market_updates", staleness.market_updates},
          {"position_changes", staleness.position_changes}};
}

/// What the margin is made of, in the order of margin.csv.
std::vector<std::pair<const char*, double>> components_of(const MarginComponents& components,
                                                          const MarginConfig& config) {
  std::vector<std::pair<const char*, double>> all = {{"base", components.base}};
  const auto add = [&](bool is_configured, const char* name, double usd) {
    if (is_configured) all.emplace_back(name, usd);
  };
  add(config.dependence.has_value(), "dependence", components.dependence);
  add(config.dependence.has_value(), "concentration", components.concentration);
  add(config.liquidity.has_value(), "liquidity", components.liquidity);
  add(config.stress.has_value(), "stress", components.stress);
  add(config.procyclicality.has_value(), "procyclicality", components.procyclicality);
  add(config.funding.has_value(), "funding", components.funding);
  add(config.short_option_minimum_rate.has_value(), "short_option_minimum",
      components.short_option_minimum);
  add(config.floor_usd > 0, "floor", components.floor);
  return all;
}

Json json_of(const std::vector<std::pair<const char*, double>>& components) {
  Json json = Json::array();
  for (const auto& [name, usd] : components)
    json.push_back({{"component", name}, {"amount", number(usd)}});
  return json;
}

/// A row of margin.csv; what is not configured is absent.
Json json_of(const AccountMargin& margin, const MarginConfig& config) {
  Json json = {{"positions", margin.position_count},
               {"gross_notional", number(margin.gross_notional_usd)},
               {"value_at_risk", number(margin.value_at_risk_usd)},
               {"expected_shortfall", number(margin.expected_shortfall_usd)},
               {"standard_error", number(margin.standard_error_usd)},
               {"confidence_low", number(margin.confidence_low_usd)},
               {"confidence_high", number(margin.confidence_high_usd)},
               {"margin", number(margin.margin_usd)},
               {"components", json_of(components_of(margin.components, config))}};
  if (config.stress) json["worst_scenario"] = margin.worst_scenario;
  if (config.dependence && !config.dependence->is_sum)
    json["uncharged"] = number(margin.components.uncharged);
  if (has_maintenance(config)) json["maintenance_margin"] = number(margin.maintenance_margin_usd);
  if (!config.collateral) return json;
  json["equity"] = number(margin.equity_usd);
  json["margin_excess"] = number(margin.excess_usd);
  json["margin_ratio"] = number(margin.margin_ratio);
  json["status"] = to_string(margin.status);
  return json;
}

Json json_of(const LossDistribution& distribution, const RiskConfig& risk) {
  std::uint64_t paths = 0;
  for (const std::uint64_t count : distribution.counts) paths += count;
  Json edges = Json::array();
  for (const double edge : distribution.bin_edges) edges.push_back(number(edge));
  return {{"bin_edges", std::move(edges)},
          {"counts", distribution.counts},
          {"paths", paths},
          {"confidence", risk.confidence_level},
          {"value_at_risk", number(distribution.value_at_risk_usd)},
          {"expected_shortfall", number(distribution.expected_shortfall_usd)}};
}

Json json_of(const BackendDescription& backend, double paths_per_second) {
  return {
      {"name", backend.name},
      {"device", backend.device},
      {"instruction_set", backend.instruction_set.empty() ? Json() : Json(backend.instruction_set)},
      {"threads", backend.thread_count == 0 ? Json() : Json(backend.thread_count)},
      {"state", "ready"},
      {"error", nullptr},
      {"paths_per_second", number(paths_per_second)},
  };
}

Json source_of(const AccountView& account) {
  return account.margin ? json_of(account.source) : Json();
}

}  // namespace

std::string text_of(Quantity quantity) {
  constexpr int fraction_digits = 12;
  __extension__ typedef unsigned __int128 Magnitude;
  const Quantity::Units units = quantity.units();
  Magnitude rest = units < 0 ? -static_cast<Magnitude>(units) : static_cast<Magnitude>(units);
  std::string reversed;
  bool is_significant = false;
  for (int digit = 0; rest != 0 || digit <= fraction_digits; ++digit) {
    if (digit == fraction_digits) {
      if (is_significant) reversed += '.';
      is_significant = true;
    }
    const char c = static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
    is_significant = is_significant || c != '0';
    if (is_significant) reversed += c;
  }
  if (units < 0) reversed += '-';
  return {reversed.rbegin(), reversed.rend()};
}

Json json_of(const AccountView& account, const MarginConfig& config) {
  const auto amount = [&](bool is_shown, double AccountMargin::*usd) {
    return account.margin && is_shown ? number((*account.margin).*usd) : Json();
  };
  const bool has_equity = config.collateral.has_value();
  return {
      {"account", account.name},
      {"mode", to_string(account.mode)},
      {"positions", account.position_count},
      {"gross_notional", amount(true, &AccountMargin::gross_notional_usd)},
      {"expected_shortfall", amount(true, &AccountMargin::expected_shortfall_usd)},
      {"margin", amount(true, &AccountMargin::margin_usd)},
      {"maintenance_margin",
       amount(has_maintenance(config), &AccountMargin::maintenance_margin_usd)},
      {"equity", amount(has_equity, &AccountMargin::equity_usd)},
      {"margin_excess", amount(has_equity, &AccountMargin::excess_usd)},
      {"margin_ratio", amount(has_equity, &AccountMargin::margin_ratio)},
      {"status", account.margin && has_equity ? Json(to_string(account.margin->status)) : Json()},
      {"source", source_of(account)},
      {"staleness", json_of(account.staleness)}};
}

Json json_of(const AccountDetail& detail, const RunConfig& config) {
  const AccountView& account = detail.account;
  Json contributions = Json::array(), positions = Json::array();
  for (const Contribution& c : detail.contributions)
    contributions.push_back({{"instrument", c.instrument},
                             {"quantity", text_of(c.quantity)},
                             {"component_es", number(c.component_usd)}});
  for (const PositionView& p : detail.positions)
    positions.push_back({{"instrument", p.instrument},
                         {"underlying", p.underlying},
                         {"type", to_string(p.type)},
                         {"quantity", text_of(p.quantity)},
                         {"gross_notional", number(p.gross_notional_usd)}});
  return {{"account", account.name},
          {"mode", to_string(account.mode)},
          {"margin", account.margin ? json_of(*account.margin, config.margin) : Json()},
          {"source", source_of(account)},
          {"staleness", json_of(account.staleness)},
          {"loss_distribution",
           detail.distribution ? json_of(*detail.distribution, config.risk) : Json()},
          {"contributions", std::move(contributions)},
          {"contributions_rest", number(detail.contributions_rest_usd)},
          {"positions", std::move(positions)}};
}

Json json_of(const WhatIfView& view, const WhatIfQuery& query, const RunConfig& config) {
  Json trades = Json::array();
  for (const Trade& trade : query.trades)
    trades.push_back({{"instrument", trade.instrument}, {"quantity", text_of(trade.quantity)}});
  const WhatIf& answer = view.answer;
  auto difference = components_of(answer.after.components, config.margin);
  const auto before = components_of(answer.before.components, config.margin);
  for (std::size_t c = 0; c < difference.size(); ++c) difference[c].second -= before[c].second;
  return {{"account", query.account},
          {"trades", std::move(trades)},
          {"before", json_of(answer.before, config.margin)},
          {"after", json_of(answer.after, config.margin)},
          {"difference",
           {{"margin", number(answer.after.margin_usd - answer.before.margin_usd)},
            {"components", json_of(difference)},
            {"standard_error", number(answer.standard_error_usd)}}},
          {"is_exact", view.is_exact},
          {"market_sequence", view.market_sequence},
          {"position_sequence", view.position_sequence},
          {"as_of", time_of(view.as_of)},
          {"paths", config.risk.path_count},
          {"seed", config.risk.seed},
          {"seconds", number(answer.seconds)}};
}

Json json_of(const RunView& run) {
  const RunEntry& entry = run.entry;
  Json hashes = Json::object();
  for (const InputHash& hash : run.input_hashes) hashes[hash.name] = hash.sha256;
  return {{"id", run.id},
          {"sequence", run.sequence ? Json(*run.sequence) : Json()},
          {"kind", to_string(entry.kind)},
          {"status", to_string(run.status)},
          {"error", run.error.empty() ? Json() : Json(run.error)},
          {"warnings", run.warnings},
          {"accounts", run.account_count},
          {"paths_done", run.paths_done},
          {"paths", entry.path_count},
          {"seconds", number(run.seconds)},
          {"seed", entry.seed},
          {"sampler", entry.sampler},
          {"plan_hash", entry.plan_hash.empty() ? Json() : Json(entry.plan_hash)},
          {"program_version", entry.program_version},
          {"inputs_generation", entry.inputs_generation},
          {"input_hashes", std::move(hashes)},
          {"market_sequence", entry.market_sequence},
          {"position_sequence", entry.position_sequence},
          {"as_of", time_of(entry.as_of)},
          {"requested_at", time_of(run.requested_at_ms / 1000)},
          {"began_at", time_of_ms(entry.began_at_ms)},
          {"ended_at", time_of_ms(entry.ended_at_ms)}};
}

Json json_of(const EngineView& engine, std::size_t stream_count, std::size_t stream_limit) {
  Json backends = Json::array(), queue = Json::array(), running = Json::array();
  if (!engine.backend.name.empty())
    backends.push_back(json_of(engine.backend, engine.paths_per_second));
  constexpr std::array<const char*, job_class_count> classes = {"whatif", "near_call", "periodic"};
  for (std::size_t c = 0; c < job_class_count; ++c)
    queue.push_back({{"class", classes[c]},
                     {"jobs", engine.waiting[c].count},
                     {"oldest_seconds", number(engine.waiting[c].oldest_seconds)}});
  for (const RunView& run : engine.running) running.push_back(json_of(run));
  const RunEntry since = engine.last_full_run ? engine.last_full_run->entry : RunEntry{};
  return {{"program_version", version()},
          {"uptime_seconds", number(engine.uptime_seconds)},
          {"accounts", engine.account_count},
          {"instruments", engine.instrument_count},
          {"paths", engine.path_count},
          {"as_of", time_of(engine.as_of)},
          {"inputs_generation", engine.inputs_generation},
          {"market_sequence", engine.market_sequence},
          {"position_sequence", engine.position_sequence},
          {"run_sequence", engine.run_sequence},
          {"backends", std::move(backends)},
          {"backend_failures", engine.backend_failures},
          {"queue", std::move(queue)},
          {"paths_per_second", number(engine.paths_per_second)},
          {"running", std::move(running)},
          {"last_full_run", engine.last_full_run ? json_of(*engine.last_full_run) : Json()},
          {"staleness",
           {{"seconds", number(engine.stalest_seconds)},
            {"accounts", engine.stale_account_count},
            {"market_updates", engine.market_sequence - since.market_sequence},
            {"position_changes", engine.position_sequence - since.position_sequence}}},
          {"event_streams", stream_count},
          {"event_streams_limit", stream_limit}};
}

std::string margin_event(std::span<const AccountView> accounts, const MarginConfig& config) {
  Json rows = Json::array();
  for (const AccountView& account : accounts) rows.push_back(json_of(account, config));
  return line_of({{"source", source_of(accounts.front())}, {"accounts", std::move(rows)}});
}

std::string status_event(const AccountView& account, std::optional<AccountStatus> previous) {
  const AccountMargin& margin = *account.margin;
  return line_of({{"account", account.name},
                  {"status", to_string(margin.status)},
                  {"previous", previous ? Json(to_string(*previous)) : Json()},
                  {"margin", number(margin.margin_usd)},
                  {"maintenance_margin", number(margin.maintenance_margin_usd)},
                  {"equity", number(margin.equity_usd)},
                  {"source", json_of(account.source)}});
}

std::string market_event(const Venue::MarketAccepted& market) {
  return line_of({{"market_sequence", market.sequence},
                  {"as_of", time_of(market.as_of)},
                  {"underlyings", market.underlying_count},
                  {"instruments", market.instrument_count}});
}

std::string run_event(const RunView& run) { return line_of(json_of(run)); }

}  // namespace shortfall::service
