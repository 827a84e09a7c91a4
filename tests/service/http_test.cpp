// The routes: what they answer, and how they refuse.
#include <algorithm>
#include <array>
#include <set>

#include "served_book.hpp"
#include "service/api_json.hpp"
#include "service/page_files.hpp"
#include "service/refusal.hpp"
#include "service/requests.hpp"
#include "service/routes.hpp"
#include "tests/demo_run.hpp"

namespace shortfall::service {
namespace {

using Http = ServedBook;

const char* const batch =
    R"({"client_id":"a-1","changes":[{"account":"ann","instrument":"ETH-PERP","quantity":"-12.5"}]})";

TEST(Routes, AreThoseOfTheDocument) {
  const json document = json::parse(compiled_file("openapi.json"));
  std::set<std::string> documented, served;
  for (const auto& [path, item] : document["paths"].items())
    for (auto operation = item.begin(); operation != item.end(); ++operation) {
      std::string method = operation.key();
      std::ranges::transform(method, method.begin(), ::toupper);
      documented.insert(method + " " + path + " " + operation.value()["x-role"].get<std::string>());
    }
  for (const Route& route : Routes::all())
    served.insert(std::string(route.method) + " " + route.path + " " + to_string(route.role));
  EXPECT_EQ(served, documented);
}

TEST_F(Http, ReadsAccounts) {
  start();
  const json list = read("/v1/accounts?sort=account");
  ASSERT_EQ(list["matched"], 2);
  const json ann = list["accounts"][0];
  EXPECT_EQ(ann["account"], "ann");
  EXPECT_EQ(ann["mode"], "cross");
  EXPECT_EQ(ann["positions"], 1);
  EXPECT_GT(ann["margin"].get<double>(), 0);
  EXPECT_TRUE(ann["status"].is_null());  // no [margin.collateral]
  EXPECT_EQ(ann["source"]["as_of"], "2025-06-27T08:00:00Z");
  EXPECT_EQ(read("/v1/accounts?search=ZO")["accounts"][0]["account"], "zoe");
  EXPECT_EQ(read("/v1/accounts?search=z+n")["matched"], 0);
  EXPECT_EQ(read("/v1/accounts?sort=account&order=descending&limit=1")["accounts"][0]["account"],
            "zoe");
  EXPECT_EQ(read("/v1/accounts?offset=1&sort=account")["accounts"][0]["account"], "zoe");
  EXPECT_EQ(read("/v1/accounts?status=none")["matched"], 2);
  EXPECT_EQ(read("/v1/accounts?status=ok")["matched"], 0);
}

TEST_F(Http, ReadsAnAccount) {
  start();
  const json zoe = read("/v1/accounts/zoe");
  EXPECT_EQ(zoe["positions"][0]["instrument"], "BTC-C");
  EXPECT_EQ(zoe["positions"][0]["quantity"], "-12.5");
  EXPECT_EQ(zoe["margin"]["components"],
            json::parse(fmt::format(R"([{{"component":"base","amount":{}}}])",
                                    zoe["margin"]["margin"].dump())));
  const json losses = zoe["loss_distribution"];
  EXPECT_EQ(losses["bin_edges"].size(), losses["counts"].size() + 1);
  EXPECT_EQ(losses["paths"], 2000);
  EXPECT_EQ(ask("GET", "/v1/accounts/nobody").status, 404);
  EXPECT_EQ(ask("GET", "/v1/accounts/%zz").status, 400);
  EXPECT_EQ(ask("GET", "/v1/accounts/a%2Fb").status, 404);
}

TEST_F(Http, CollateralGivesStatus) {
  start({}, {}, "[margin]\nmaintenance = 0.8\n[margin.collateral]\nhaircuts = {BTC = 0.1}\n");
  const json list = read("/v1/accounts?sort=account");
  const json ann = list["accounts"][0];
  EXPECT_EQ(ann["equity"].get<double>(), 1e6);
  EXPECT_EQ(ann["status"], "ok");
  EXPECT_NEAR(ann["maintenance_margin"].get<double>(), 0.8 * ann["margin"].get<double>(), 1e-6);
  // Nobody answers for zoe: a ratio without equity is null and comes first.
  EXPECT_EQ(list["accounts"][1]["status"], "liquidate");
  EXPECT_TRUE(list["accounts"][1]["margin_ratio"].is_null());
  EXPECT_EQ(read("/v1/accounts")["accounts"][0]["account"], "zoe");
  EXPECT_EQ(list["statuses"], json::parse(R"({"ok":1,"call":0,"liquidate":1,"none":0})"));
}

TEST_F(Http, ReadsInstrumentsRunsAndTheEngine) {
  start();
  const json found = read("/v1/instruments?search=btc");
  EXPECT_EQ(found["total"], 5);
  ASSERT_EQ(found["matched"], 2);
  EXPECT_EQ(found["instruments"][0]["instrument"], "BTC-C");
  EXPECT_EQ(found["instruments"][0]["expiry"], "2025-09-26T08:00:00Z");
  EXPECT_EQ(found["instruments"][0]["mark_iv"], 0.55);
  EXPECT_TRUE(found["instruments"][1]["strike"].is_null());
  const json run = read("/v1/runs?limit=1")["runs"][0];
  EXPECT_EQ(run["status"], "done");
  EXPECT_EQ(run["input_hashes"].size(), 7u);
  EXPECT_EQ(read("/v1/runs/" + run["id"].get<std::string>()), run);
  EXPECT_EQ(ask("GET", "/v1/runs/none").status, 404);
  const json engine = read("/v1/engine");
  EXPECT_EQ(engine["accounts"], 2);
  EXPECT_EQ(engine["backends"][0]["name"], "cpu");
  EXPECT_EQ(engine["last_full_run"], run);
  EXPECT_EQ(engine["event_streams_limit"], 16);
}

TEST_F(Http, TakesPositionsOnce) {
  start();
  const Answer first = ask("POST", "/v1/positions", batch);
  EXPECT_EQ(first.read(), json::parse(R"({"client_id":"a-1","position_sequence":1,
                                          "is_repeat":false,"changes":1})"));
  EXPECT_TRUE(ask("POST", "/v1/positions", batch).read()["is_repeat"]);
  std::string other = batch;
  other.replace(other.find("-12.5"), 5, "-12.6");
  const Answer conflict = ask("POST", "/v1/positions", other);
  EXPECT_EQ(conflict.status, 409);
  EXPECT_EQ(conflict.read()["error"], "client_id_reused");
  EXPECT_TRUE(
      eventually([&] { return read("/v1/accounts/ann")["positions"][0]["quantity"] == "987.5"; }));
}

TEST_F(Http, TakesTheMarket) {
  start();
  const char* const update =
      R"({"as_of":"2025-06-28T08:00:00Z","underlyings":[{"underlying":"BTC","spot_usd":99000}],
          "instruments":[{"instrument":"BTC-C","mark_iv":0.6}]})";
  EXPECT_EQ(ask("PUT", "/v1/market", update).read(),
            json::parse(R"({"market_sequence":1,"as_of":"2025-06-28T08:00:00Z",
                            "underlyings":1,"instruments":1})"));
  const Answer back = ask("PUT", "/v1/market", R"({"as_of":"2025-06-28T07:59:59Z"})");
  EXPECT_EQ(back.status, 409);
  EXPECT_EQ(back.read()["error"], "as_of_goes_back");
  const Answer expired = ask("PUT", "/v1/market", R"({"as_of":"2025-09-26T08:00:00Z"})");
  EXPECT_EQ(expired.status, 422);
  EXPECT_EQ(expired.read()["problems"][0]["where"], "/as_of");
  EXPECT_NE(expired.body.find("BTC-C"), std::string::npos);
  EXPECT_TRUE(
      eventually([&] { return read("/v1/accounts/zoe")["source"]["market_sequence"] == 1; }));
}

TEST_F(Http, AnswersWhatIfs) {
  start();
  const Answer answer = ask("POST", "/v1/whatif",
                            R"({"account":"ann","trades":[{"instrument":"ETH-PERP",
                                "quantity":"-1000"}]})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json what_if = answer.read();
  EXPECT_GT(what_if["before"]["margin"].get<double>(), 0);
  EXPECT_EQ(what_if["after"]["margin"].get<double>(), 0);
  EXPECT_EQ(what_if["difference"]["margin"].get<double>(),
            -what_if["before"]["margin"].get<double>());
  EXPECT_EQ(what_if["trades"][0]["quantity"], "-1000");
  EXPECT_FALSE(what_if["is_exact"]);
  const Answer exact = ask("POST", "/v1/whatif",
                           R"({"account":"ann","exact":true,"trades":[{"instrument":"ETH-PERP",
                               "quantity":"-1"}]})");
  ASSERT_EQ(exact.status, 200) << exact.body;
  EXPECT_TRUE(exact.read()["is_exact"]);
  EXPECT_EQ(exact.read()["before"]["expected_shortfall"],
            read("/v1/accounts/ann")["margin"]["expected_shortfall"]);
  const char* const unknown =
      R"({"account":"%","trades":[{"instrument":"ETH-PERP","quantity":"1"},
          {"instrument":"ETH-PREP","quantity":"1"}]})";
  std::string of_nobody = unknown, of_ann = unknown;
  of_nobody.replace(of_nobody.find('%'), 1, "nobody");
  of_ann.replace(of_ann.find('%'), 1, "ann");
  EXPECT_EQ(ask("POST", "/v1/whatif", of_nobody).status, 404);
  const Answer refused = ask("POST", "/v1/whatif", of_ann);
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(refused.read()["problems"][0]["where"], "/trades/1/instrument");
  EXPECT_NE(refused.body.find("ETH-PERP"), std::string::npos) << "names what is close";
}

TEST_F(Http, RunsOnDemand) {
  start();
  const Answer asked = ask("POST", "/v1/runs", R"({"kind":"partial","accounts":["zoe"]})");
  ASSERT_EQ(asked.status, 202);
  const std::string place = asked.header("Location");
  EXPECT_EQ(place, "/v1/runs/" + asked.read()["id"].get<std::string>());
  EXPECT_TRUE(eventually([&] { return read(place)["status"] == "done"; }));
  EXPECT_EQ(read(place)["accounts"], 1);
  const Answer refused = ask("POST", "/v1/runs", R"({"kind":"partial","accounts":["nobody"]})");
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(refused.read()["problems"][0]["where"], "/accounts");
}

TEST_F(Http, RunsInTheQueueAreLimited) {
  HttpOptions options;
  options.routes.queued_runs = 0;
  start(options);
  const Answer answer = ask("POST", "/v1/runs", R"({"kind":"full"})");
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.header("Retry-After"), "5");
}

TEST_F(Http, SimulationsAreLimited) {
  HttpOptions options;
  options.routes.simulations = 0;
  start(options);
  EXPECT_EQ(ask("GET", "/v1/accounts/zoe").status, 503);
  const char* const what_if = R"({"account":"ann","trades":[{"instrument":"ETH","quantity":"1"}]})";
  EXPECT_EQ(ask("POST", "/v1/whatif", what_if).status, 429);
}

struct BadBody {
  const char* name;
  const char* method_and_path;
  std::string body;
  int status;
  std::vector<std::string> places;
};

TEST_F(Http, RefusesBodiesWithEveryProblem) {
  start();
  const std::string change = R"({"account":"ann","instrument":"ETH","quantity":"1"})";
  const auto positions = [](const std::string& changes) {
    return R"({"client_id":"b","changes":[)" + changes + "]}";
  };
  const auto quantity = [&](const std::string& value) {
    return positions(R"({"account":"ann","instrument":"ETH","quantity":)" + value + "}");
  };
  std::vector<BadBody> cases = {
      {"empty", "POST /v1/runs", "", 400, {""}},
      {"cut", "POST /v1/runs", "{\"kind\":\n \"full\"", 400, {""}},
      {"twice", "POST /v1/runs", R"({"kind":"full","kind":"full"})", 400, {""}},
      {"after the end", "POST /v1/runs", R"({"kind":"full"}})", 400, {""}},
      {"NaN", "PUT /v1/market", R"({"as_of":NaN})", 400, {""}},
      {"infinite", "PUT /v1/market", R"({"as_of":1e999})", 400, {""}},
      {"bad UTF-8", "POST /v1/runs", "{\"kind\":\"\xff\"}", 400, {""}},
      {"surrogate", "POST /v1/runs", R"({"kind":"\ud800"})", 400, {""}},
      {"deep", "POST /v1/runs", std::string(100000, '['), 400, {""}},
      {"deep objects", "POST /v1/runs", std::string(17, '[') + std::string(17, ']'), 400, {""}},
      {"no object", "POST /v1/runs", "[]", 422, {""}},
      {"missing", "POST /v1/runs", "{}", 422, {"/kind"}},
      {"unknown", "POST /v1/runs", R"({"kind":"full","x/y":1})", 422, {""}},
      {"kind", "POST /v1/runs", R"({"kind":"all"})", 422, {"/kind"}},
      {"full of some",
       "POST /v1/runs",
       R"({"kind":"full","accounts":["ann"]})",
       422,
       {"/accounts"}},
      {"partial of none", "POST /v1/runs", R"({"kind":"partial"})", 422, {"/accounts"}},
      {"twice an account",
       "POST /v1/runs",
       R"({"kind":"partial","accounts":["ann","ann",1]})",
       422,
       {"/accounts/1", "/accounts/2"}},
      {"client id",
       "POST /v1/positions",
       R"({"client_id":"\u00e9","changes":[)" + change + "]}",
       422,
       {"/client_id"}},
      {"no changes", "POST /v1/positions", positions(""), 422, {"/changes"}},
      {"control character",
       "POST /v1/positions",
       positions(R"({"account":"a\u0000","instrument":"ETH","quantity":"1"})"),
       422,
       {"/changes/0/account"}},
      {"all at once",
       "POST /v1/positions",
       positions(R"(3,{"account":"","instrument":"ETH","quantity":"two","more":1})"),
       422,
       {"/changes/0", "/changes/1", "/changes/1/account", "/changes/1/quantity"}},
      {"not listed",
       "POST /v1/positions",
       positions(R"({"account":"ann","instrument":"NONE","quantity":"1"})"),
       422,
       {"/changes/0/instrument"}},
      {"instant", "PUT /v1/market", R"({"as_of":"2026-02-30T00:00:00Z"})", 422, {"/as_of"}},
      {"offset", "PUT /v1/market", R"({"as_of":"2026-02-03T00:00:00+01:00"})", 422, {"/as_of"}},
      {"twice a mark",
       "PUT /v1/market",
       R"({"as_of":"2025-06-28T08:00:00Z","underlyings":[{"underlying":"BTC","spot_usd":1e5},
           {"underlying":"BTC","spot_usd":1e5}]})",
       422,
       {"/underlyings/1/underlying"}},
      {"no mark",
       "PUT /v1/market",
       R"({"as_of":"2025-06-28T08:00:00Z","instruments":[{"instrument":"BTC-C"}]})",
       422,
       {"/instruments/0"}},
      {"marks",
       "PUT /v1/market",
       R"({"as_of":"2025-06-28T08:00:00Z","underlyings":[{"underlying":"B C","spot_usd":0}],
           "instruments":[{"instrument":"BTC-C","mark_iv":"0.5","mark_price":1e16}]})",
       422,
       {"/underlyings/0/underlying", "/underlyings/0/spot_usd", "/instruments/0/mark_price",
        "/instruments/0/mark_iv"}},
      {"unlisted underlying",
       "PUT /v1/market",
       R"({"as_of":"2025-06-28T08:00:00Z","underlyings":[{"underlying":"XYZ","spot_usd":1}]})",
       422,
       {"/underlyings/0/underlying"}},
      {"open",
       "POST /v1/whatif",
       R"({"account":"ann","open":1,"trades":[{"instrument":"ETH","quantity":"1"}]})",
       422,
       {"/open"}},
  };
  for (const char* text :
       {R"("1e3")", R"("")", R"("+1")", R"(".5")", R"("1.")", R"(" 1")", "1",
        R"("0.0000000000001")", R"("1234567890123456789")", R"("--1")", R"("NaN")", "null"})
    cases.push_back({text, "POST /v1/positions", quantity(text), 422, {"/changes/0/quantity"}});
  for (const BadBody& bad : cases) {
    const std::string line = bad.method_and_path;
    const std::size_t blank = line.find(' ');
    RawClient client(port());
    client.send(request_text(line,
                             fmt::format("Content-Type: application/json\r\nConnection: "
                                         "close\r\nContent-Length: {}\r\n",
                                         bad.body.size()),
                             bad.body));
    const std::string answer = client.receive();
    ASSERT_EQ(status_of(answer), bad.status) << bad.name << line.substr(blank) << answer;
    const json error = json::parse(answer.substr(answer.find("\r\n\r\n")));
    std::vector<std::string> places;
    for (const json& problem : error["problems"]) places.push_back(problem["where"]);
    EXPECT_EQ(places, bad.places) << bad.name << ": " << error;
    EXPECT_FALSE(error["message"].get<std::string>().empty());
  }
  EXPECT_EQ(read("/v1/engine")["position_sequence"], 0);
  EXPECT_EQ(read("/v1/engine")["market_sequence"], 0);
}

TEST_F(Http, SaysWhereJsonBreaks) {
  start();
  const Answer answer = ask("POST", "/v1/runs", "{\"kind\":\n  full}");
  EXPECT_NE(answer.read()["message"].get<std::string>().find("line 2, column"), std::string::npos)
      << answer.body;
}

TEST_F(Http, RefusesQueries) {
  start();
  for (const char* query :
       {"limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=1", "limit=-1", "offset=1.5",
        "sort=age", "order=up", "status=bad", "colour=red", "search=%FF", "search=%4",
        "limit=99999999999999999999"}) {
    const Answer answer = ask("GET", std::string("/v1/accounts?") + query);
    EXPECT_EQ(answer.status, 400) << query << answer.body;
    EXPECT_TRUE(answer.read()["problems"][0]["where"].get<std::string>().starts_with("query"))
        << answer.body;
  }
  EXPECT_EQ(ask("GET", "/v1/accounts?limit=0&colour=red").read()["problems"].size(), 2u);
  EXPECT_EQ(ask("GET", "/v1/engine?x=1").status, 400);
}

TEST_F(Http, RefusesMethodsAndRoutes) {
  start();
  const Answer answer = ask("DELETE", "/v1/runs");
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.header("Allow"), "GET, POST");
  EXPECT_EQ(answer.header("Content-Type"), "application/problem+json");
  EXPECT_EQ(ask("HEAD", "/healthz").status, 405);
  EXPECT_EQ(ask("OPTIONS", "/v1/market").status, 405);
  for (const char* path : {"/v1/nothing", "/v1/accounts/", "/v1/accounts/a/b", "//", "/v1",
                           "/static/", "/static/openapi.json", "/static/../index.html",
                           "/static/..%2findex.html", "/static/none.js"})
    EXPECT_EQ(ask("GET", path).status, 404) << path;
}

TEST_F(Http, ServesThePage) {
  HttpOptions options;
  options.routes.chart_files = {book_.path("none.js"), book_.path("chart.js")};
  start(options);
  const std::filesystem::path folder =
      demo_folder.parent_path().parent_path() / "host/service/page";
  EXPECT_EQ(ask("GET", "/").body, read_file(folder / "index.html"));
  for (const auto& [name, type] : {std::pair("page.css", "text/css; charset=utf-8"),
                                   std::pair("page.js", "text/javascript; charset=utf-8"),
                                   std::pair("icon.svg", "image/svg+xml")}) {
    const Answer answer = ask("GET", std::string("/static/") + name);
    EXPECT_EQ(answer.body, read_file(folder / name));
    EXPECT_EQ(answer.header("Content-Type"), type);
  }
  EXPECT_EQ(ask("GET", "/static/chart.js").status, 404);
  book_.write("chart.js", "chart");
  EXPECT_EQ(ask("GET", "/static/chart.js").body, "chart");
  EXPECT_EQ(read("/openapi.json"), json::parse(compiled_file("openapi.json")));
}

TEST_F(Http, EveryAnswerHasStrictHeaders) {
  start();
  for (const char* path : {"/", "/static/page.js", "/v1/accounts", "/v1/nothing", "/metrics"}) {
    const Answer answer = ask("GET", path);
    EXPECT_TRUE(answer.header("Content-Security-Policy").starts_with("default-src 'self';"));
    EXPECT_EQ(answer.header("X-Content-Type-Options"), "nosniff") << path;
    EXPECT_TRUE(answer.header("Access-Control-Allow-Origin").empty());
    const bool is_page = std::string(path) == "/" || std::string(path) == "/static/page.js";
    EXPECT_EQ(answer.header("Cache-Control"), is_page ? "no-cache" : "no-store") << path;
  }
}

TEST_F(Http, CountsForPrometheus) {
  start();
  ask("POST", "/v1/positions", batch);
  ask("GET", "/v1/accounts/zoe");
  ask("GET", "/v1/accounts/nobody");
  ask("GET", "/no/such/route");
  const char* const lines[] = {"shortfall_runs_total{outcome=\"done\"} ",
                               "shortfall_position_batches_total 1\n",
                               "route=\"/v1/accounts/{account}\",status=\"200\"} 1\n",
                               "route=\"/v1/accounts/{account}\",status=\"404\"} 1\n",
                               "method=\"any\",route=\"other\",status=\"404\"} 1\n",
                               "shortfall_http_request_seconds_bucket{",
                               "shortfall_queue_jobs{class=\"whatif\"} 0\n",
                               "shortfall_queue_oldest_seconds{class=\"whatif\"} 0\n",
                               "shortfall_paths_per_second ",
                               "shortfall_stale_seconds ",
                               "shortfall_event_streams 0\n",
                               "shortfall_backend_errors_total 0\n",
                               "process_start_time_seconds "};
  Answer answer;
  eventually([&] {  // a request is counted after it was answered
    answer = ask("GET", "/metrics");
    return std::ranges::all_of(
        lines, [&](const char* line) { return answer.body.find(line) != std::string::npos; });
  });
  for (const char* line : lines)
    EXPECT_NE(answer.body.find(line), std::string::npos) << line << "\n" << answer.body;
  EXPECT_EQ(answer.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(answer.body.find("nobody"), std::string::npos) << "no label is a client's to choose";
}

TEST(ApiJson, QuantitiesAreExactText) {
  const auto text = [](Quantity::Units units) { return text_of(Quantity::from_units(units)); };
  constexpr Quantity::Units contract = 1'000'000'000'000;
  EXPECT_EQ(text(0), "0");
  EXPECT_EQ(text(1), "0.000000000001");
  EXPECT_EQ(text(-1), "-0.000000000001");
  EXPECT_EQ(text(-25 * contract / 2), "-12.5");
  EXPECT_EQ(text(100 * contract), "100");
  EXPECT_EQ(text(contract * contract - 1), "999999999999.999999999999");
  EXPECT_EQ(text(contract * 1'000'000 * contract - 1), "999999999999999999.999999999999");
}

TEST(Refusals, SayWhatTheStoreCannot) {
  const auto status = [](auto thrown) {
    try {
      throw thrown;
    } catch (...) {
      return refusal_of_current_exception();
    }
  };
  const auto of_store = [&](StoreFault fault) { return status(StoreError(fault, "disk")); };
  EXPECT_EQ(of_store(StoreFault::full).status, 503);
  EXPECT_EQ(of_store(StoreFault::full).headers.front().first, "Retry-After");
  EXPECT_EQ(of_store(StoreFault::read_only).status, 503);
  EXPECT_EQ(of_store(StoreFault::corrupt).status, 500);
  EXPECT_EQ(of_store(StoreFault::failed).status, 500);
  EXPECT_EQ(status(Conflict("x")).status, 409);
  EXPECT_EQ(status(JobCancelled()).status, 503);
  EXPECT_EQ(status(OperatingError("x")).status, 500);
  EXPECT_EQ(status(std::logic_error("secret")).message.find("secret"), std::string::npos);
  const Refusal refusal = status(InputError({{"changes[3]", 0, "instrument \"X\" is not listed"},
                                             {"as_of", 0, "is early"},
                                             {"/run/state/positions.csv", 7, "lacks a row"}},
                                            4));
  EXPECT_EQ(refusal.status, 422);
  ASSERT_EQ(refusal.problems.size(), 4u);
  EXPECT_EQ(refusal.problems[0].file, "/changes/3/instrument");
  EXPECT_EQ(refusal.problems[1].file, "/as_of");
  EXPECT_EQ(refusal.problems[3].message, "and 4 more");
}

TEST(Requests, SearchIsByWords) {
  EXPECT_TRUE(matches("BTC-26JUN26-90000-C", "btc 90000"));
  EXPECT_TRUE(matches("BTC", "  "));
  EXPECT_FALSE(matches("BTC", "btcx"));
  EXPECT_EQ(decode_percent("a%2Fb+c", false), "a/b+c");
  EXPECT_EQ(decode_percent("a+b", true), "a b");
  EXPECT_EQ(decode_percent("%", false), std::nullopt);
  EXPECT_EQ(decode_percent("%C3%28", false), std::nullopt);
}

}  // namespace
}  // namespace shortfall::service
