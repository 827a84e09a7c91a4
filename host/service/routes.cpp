#include "routes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <set>

#include "account_list.hpp"
#include "api_json.hpp"
#include "event_stream.hpp"
#include "input/close_names.hpp"
#include "page_files.hpp"
#include "refusal.hpp"
#include "requests.hpp"
#include "text.hpp"

namespace shortfall::service {

struct RouteTable {
  static constexpr Route all[] = {
      {"PUT", "/v1/market", Role::admin, &Routes::put_market},
      {"POST", "/v1/positions", Role::trade, &Routes::post_positions},
      {"GET", "/v1/accounts", Role::read, &Routes::get_accounts},
      {"GET", "/v1/accounts/{account}", Role::read, &Routes::get_account},
      {"GET", "/v1/instruments", Role::read, &Routes::get_instruments},
      {"POST", "/v1/whatif", Role::read, &Routes::post_what_if},
      {"GET", "/v1/runs", Role::read, &Routes::get_runs},
      {"POST", "/v1/runs", Role::admin, &Routes::post_runs},
      {"GET", "/v1/runs/{id}", Role::read, &Routes::get_run},
      {"GET", "/v1/events", Role::read, &Routes::get_events},
      {"GET", "/v1/engine", Role::read, &Routes::get_engine},
      {"GET", "/healthz", Role::none, &Routes::get_health},
      {"GET", "/readyz", Role::none, &Routes::get_readiness},
      {"GET", "/metrics", Role::read, &Routes::get_metrics},
      {"GET", "/openapi.json", Role::none, &Routes::get_open_api},
      {"GET", "/", Role::none, &Routes::get_page},
      {"GET", "/static/{file}", Role::none, &Routes::get_page_file},
  };
};

namespace {

void send_json(httplib::Response& response, const Json& json, int status = 200) {
  response.status = status;
  response.set_content(json.dump(-1, ' ', false, Json::error_handler_t::replace),
                       "application/json");
}

/// The part of the path that a route's last {part} stands for, as it was sent; empty where the path
/// is not the route's.
std::optional<std::string_view> match(const Route& route, std::string_view path) {
  const std::string_view pattern = route.path;
  const std::size_t brace = pattern.find('{');
  if (brace == std::string_view::npos)
    return path == pattern ? std::optional(std::string_view()) : std::nullopt;
  if (!path.starts_with(pattern.substr(0, brace)) || path.size() == brace) return std::nullopt;
  const std::string_view part = path.substr(brace);
  return part.find('/') == std::string_view::npos ? std::optional(part) : std::nullopt;
}

std::string start_prefix() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("{}-", std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

[[noreturn]] void refuse_unknown_account(const std::string& name) {
  throw Refusal{404, "no_such_account", fmt::format("there is no account {}", in_quotes(name))};
}

void send_file(httplib::Response& response, std::string_view name, std::string_view bytes) {
  if (bytes.empty())
    throw Refusal{404, "no_such_file", fmt::format("there is no file {}", in_quotes(name))};
  const auto is = [&](std::string_view ending) { return name.ends_with(ending); };
  const char* const type = is(".html")  ? "text/html; charset=utf-8"
                           : is(".css") ? "text/css; charset=utf-8"
                           : is(".js")  ? "text/javascript; charset=utf-8"
                                        : "image/svg+xml";
  response.status = 200;
  response.set_header("Cache-Control", "no-cache");
  response.set_content(bytes.data(), bytes.size(), type);
}

}  // namespace

std::shared_ptr<void> Places::take() {
  const std::lock_guard lock(mutex_);
  return taken() < limit_ ? taken_ : nullptr;
}

Routes::Routes(Venue& venue, const HttpMetrics& metrics, const RouteLimits& limits)
    : venue_(venue),
      metrics_(metrics),
      limits_(limits),
      streams_(limits.event_streams),
      simulations_(limits.simulations),
      event_prefix_(start_prefix()) {}

std::span<const Route> Routes::all() { return RouteTable::all; }

Routes::Found Routes::find(std::string_view method, std::string_view path) {
  std::string allowed;
  for (const Route& route : all()) {
    const std::optional<std::string_view> part = match(route, path);
    if (!part) continue;
    if (method != route.method) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
      continue;
    }
    const std::optional<std::string> argument = decode_percent(*part, false);
    if (!argument) throw Refusal{400, "malformed", "the path is no percent-encoded UTF-8"};
    return {&route, *argument};
  }
  if (allowed.empty()) throw refusal_of_status(404);
  throw Refusal{405, "method_not_allowed", "this route takes " + allowed, {}, {{"Allow", allowed}}};
}

void Routes::put_market(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  const MarketUpdate update = parse_market(call.body);
  try {
    const Venue::MarketAccepted accepted = venue_.update_market(update);
    send_json(response, {{"market_sequence", accepted.sequence},
                         {"as_of", format_date_time(accepted.as_of)},
                         {"underlyings", accepted.underlying_count},
                         {"instruments", accepted.instrument_count}});
  } catch (const Conflict& conflict) {
    throw Refusal{409, "as_of_goes_back", conflict.what(), {{"/as_of", 0, conflict.what()}}};
  }
}

void Routes::post_positions(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  const PositionBatch batch = parse_positions(call.body);
  try {
    const Accepted accepted = venue_.change_positions(batch.client_id, batch.changes);
    send_json(response, {{"client_id", batch.client_id},
                         {"position_sequence", accepted.sequence},
                         {"is_repeat", accepted.is_repeat},
                         {"changes", batch.changes.size()}});
  } catch (const Conflict& conflict) {
    throw Refusal{409, "client_id_reused", conflict.what(), {{"/client_id", 0, conflict.what()}}};
  }
}

void Routes::get_accounts(const Call& call, httplib::Response& response) {
  const AccountsQuery query = parse_accounts_query(call.query);
  send_json(response, list_accounts(venue_.accounts(), query, venue_.config().margin));
}

void Routes::get_account(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  const std::shared_ptr<void> place = simulations_.take();
  if (!place)
    throw refuse_for_now(503, "too_many_simulations", "too many accounts are asked for at once", 1);
  const std::optional<AccountDetail> detail = venue_.account(call.argument);
  if (!detail) refuse_unknown_account(call.argument);
  send_json(response, json_of(*detail, venue_.config()));
}

void Routes::get_instruments(const Call& call, httplib::Response& response) {
  const InstrumentsQuery query = parse_instruments_query(call.query);
  send_json(response, list_instruments(venue_.instruments(), venue_.underlyings(), query));
}

void Routes::post_what_if(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  const auto [query, is_exact] = parse_what_if(call.body);
  const std::shared_ptr<void> place = simulations_.take();
  if (!place) throw refuse_for_now(429, "too_many_whatifs", "too many what-ifs wait already", 1);
  try {
    send_json(response, json_of(venue_.what_if(query, is_exact), query, venue_.config()));
  } catch (const InputError& error) {
    refuse_what_if(query, error);
  }
}

void Routes::refuse_what_if(const WhatIfQuery& query, const InputError& error) const {
  const std::vector<AccountView> accounts = venue_.accounts();
  if (!query.may_open &&
      std::ranges::find(accounts, query.account, &AccountView::name) == accounts.end())
    refuse_unknown_account(query.account);
  const std::vector<Instrument> instruments = venue_.instruments();
  std::vector<std::string_view> names;
  for (const Instrument& instrument : instruments) names.push_back(instrument.name);
  Problems problems;
  for (std::size_t t = 0; t < query.trades.size(); ++t) {
    const std::string& name = query.trades[t].instrument;
    if (std::ranges::find(names, name) != names.end()) continue;
    const std::string close = close_names(name, names);
    problems.add(fmt::format("/trades/{}/instrument", t), 0,
                 fmt::format("{} is not listed{}", in_quotes(name),
                             close.empty() ? "" : "; names close to it are " + close));
  }
  problems.throw_if_any();
  throw InputError(error);
}

void Routes::get_runs(const Call& call, httplib::Response& response) {
  Json rows = Json::array();
  for (const RunView& run : venue_.runs(parse_runs_query(call.query).limit))
    rows.push_back(json_of(run));
  send_json(response, {{"runs", std::move(rows)}});
}

void Routes::post_runs(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  const std::vector<std::string> accounts = parse_run(call.body);
  const auto waiting = venue_.engine().waiting[static_cast<std::size_t>(JobClass::full)];
  if (waiting.count >= limits_.queued_runs)
    throw refuse_for_now(429, "too_many_runs", "too many runs wait already", 5);
  const RunView run = venue_.request_run(accounts);
  response.set_header("Location", "/v1/runs/" + run.id);
  send_json(response, {{"id", run.id}, {"status", to_string(run.status)}}, 202);
}

void Routes::get_run(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  const std::optional<RunView> run = venue_.run(call.argument);
  if (!run)
    throw Refusal{404, "no_such_run", fmt::format("there is no run {}", in_quotes(call.argument))};
  send_json(response, json_of(*run));
}

void Routes::get_events(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  std::shared_ptr<void> place = streams_.take();
  if (!place) throw refuse_for_now(503, "too_many_streams", "too many event streams are open", 5);
  // std::function copies what it holds; a stream is one.
  const auto stream = std::make_shared<EventStream>(
      venue_.events(),
      EventStream::Options{event_prefix_, call.last_event_id, limits_.event_comment,
                           call.is_peer_gone, std::move(place)});
  response.status = 200;
  response.set_content_provider(
      "text/event-stream",
      [stream](std::size_t, httplib::DataSink& sink) { return (*stream)(sink); });
}

void Routes::get_engine(const Call& call, httplib::Response& response) {
  require_no_query(call.query);
  send_json(response, json_of(venue_.engine(), streams_.taken(), streams_.limit()));
}

void Routes::get_health(const Call&, httplib::Response& response) {
  send_json(response, {{"status", "ok"}});
}

void Routes::get_readiness(const Call&, httplib::Response& response) {
  // Without a token: where the directory is, and what is wrong with it, are not for everybody.
  if (!venue_.is_writable())
    throw refuse_for_now(503, "state_not_writable",
                         "the state directory cannot be written; the answer to a change, or the "
                         "run that failed, says why",
                         5);
  if (!venue_.is_ready())
    throw refuse_for_now(503, "not_ready", "not every account has a margin yet", 1);
  send_json(response, {{"status", "ready"}});
}

void Routes::get_metrics(const Call&, httplib::Response& response) {
  response.status = 200;
  response.set_content(
      metrics_.text(venue_.engine(), venue_.counts(), venue_.is_ready(), streams_.taken()),
      "text/plain; version=0.0.4; charset=utf-8");
}

void Routes::get_open_api(const Call&, httplib::Response& response) {
  const std::string_view document = compiled_file("openapi.json");
  response.status = 200;
  response.set_content(document.data(), document.size(), "application/json");
}

void Routes::get_page(const Call&, httplib::Response& response) {
  send_file(response, "index.html", compiled_file("index.html"));
}

void Routes::get_page_file(const Call& call, httplib::Response& response) {
  const std::string& name = call.argument;
  if (name != "chart.js") {
    const bool is_of_page = name != "index.html" && name != "openapi.json";
    return send_file(response, name, is_of_page ? compiled_file(name) : "");
  }
  for (const std::filesystem::path& file : limits_.chart_files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) continue;
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    return send_file(response, name, bytes);
  }
  throw Refusal{404, "no_such_file", "Chart.js is not installed: Debian's libjs-chart.js"};
}

}  // namespace shortfall::service
