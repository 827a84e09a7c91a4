// Hostile requests to every route, over loopback: those of the corpus, each with the status it has
// to get; and an endless row of others made from them, after which nothing may have happened that
// was not acknowledged.
//
// SHORTFALL_FUZZ_SEED and SHORTFALL_FUZZ_SECONDS say which, and for how long.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include "fuzz_requests.hpp"
#include "host/text.hpp"
#include "http_answers.hpp"
#include "served_book.hpp"
#include "service/page_files.hpp"
#include "service/requests.hpp"
#include "temporary_store.hpp"
#include "tests/long_share.hpp"

namespace shortfall::service {
namespace {

using Clock = std::chrono::steady_clock;

const char* const admin_token = "fuzz-0123456789abcdef";

/// Of any route, whatever it is asked (openapi.json's introduction): what concerns the connection,
/// and requests that are none.
const std::set<int> general_refusals = {400, 404, 405, 408, 414, 417, 421, 431, 503};

HttpOptions impatient() {
  HttpOptions options;
  options.connection.idle = options.connection.request = milliseconds(150);
  options.routes.event_comment = milliseconds(20);
  return options;
}

/// What the store has, read past the service.
struct Stored {
  std::uint64_t positions = 0, changes = 0, markets = 0;
  bool operator==(const Stored&) const = default;
};

class HttpFuzz : public ServedBook {
 protected:
  std::filesystem::path state() const { return book_.path("state"); }

  Stored stored() const {
    Database database(state() / "state.db", false);
    const auto count = [&](const char* table) {
      return static_cast<std::uint64_t>(
          database.integer(fmt::format("SELECT count(*) FROM {}", table)));
    };
    return {count("batches"), count("position_changes"), count("market_updates")};
  }

  /// Sends, and everything that comes back until the server ends the connection. Fails where that
  /// takes longer than anything may.
  std::string exchange(const Delivery& delivery) const {
    RawClient client(port());
    const auto began = Clock::now();
    std::size_t sent = 0;
    bool is_open = true;
    const auto send_until = [&](std::size_t end) {
      is_open = is_open && client.send(delivery.text.substr(sent, end - sent));
      sent = end;
    };
    for (const std::size_t pause : delivery.pauses) {
      send_until(std::max(sent, pause));
      std::this_thread::sleep_for(milliseconds(2));
    }
    send_until(delivery.text.size());
    if (delivery.end == Delivery::End::resets) {
      client.reset();
      return "";
    }
    if (delivery.end == Delivery::End::closes) client.finish();
    std::string answer = client.receive("\r\nContent-Type: text/event-stream\r\n");
    if (!client.is_ended()) {  // an event stream ends when the client does
      client.finish();
      answer = client.receive();
    }
    EXPECT_TRUE(client.is_ended()) << "no end";
    EXPECT_LT(Clock::now() - began, std::chrono::seconds(8)) << "slow";
    return answer;
  }
};

TEST_F(HttpFuzz, TheCorpusIsAnsweredAsItSays) {
  start(impatient());
  std::set<const Route*> served;
  for (const CorpusEntry& entry : read_corpus()) {
    SCOPED_TRACE(entry.name);
    Delivery delivery;
    delivery.text = entry.bytes;
    const Stored before = stored();
    const std::string text = exchange(delivery);
    std::vector<RawAnswer> answers;
    EXPECT_NO_THROW(answers = take_answers(text, entry.bytes.starts_with("HEAD "))) << text;
    std::vector<int> statuses;
    for (const RawAnswer& answer : answers) {
      EXPECT_NO_THROW(require_answer(answer)) << text;
      statuses.push_back(answer.status);
    }
    EXPECT_EQ(statuses, entry.statuses) << text;
    if (std::ranges::none_of(statuses, [](int status) { return status == 200; })) {
      EXPECT_EQ(stored(), before) << "something was changed";
    }
    const std::optional<RequestParts> request = RequestParts::of(entry.bytes);
    if (request && statuses == std::vector{request->method == "POST" ? statuses.back() : 200} &&
        statuses.back() < 300)
      served.insert(Routes::find(request->method,
                                 request->target.substr(0, request->target.find_first_of("?#")))
                        .route);
  }
  for (const Route& route : Routes::all()) {
    const std::string path = route.path;
    // Ready it is only between changes; a run's name is made when it is asked for.
    if (path == "/readyz" || path == "/v1/runs/{id}") continue;
    EXPECT_TRUE(served.contains(&route)) << "no request of the corpus is for " << path;
  }
}

/// What was acknowledged, and what must follow from it.
class FuzzRound {
 public:
  explicit FuzzRound(const json& document) : document_(document) {}

  /// Fails the test where an answer, or what the store has after it, is not as documented.
  void check(const Delivery& delivery, const std::string& bytes, const Stored& before,
             const Stored& after, const std::filesystem::path& state) {
    std::vector<RawAnswer> answers;
    try {
      answers = take_answers(bytes, delivery.text.starts_with("HEAD "));
      for (const RawAnswer& answer : answers) require_answer(answer);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what() << "\n" << bytes.substr(0, 3000);
      return;
    }
    std::erase_if(answers, [](const RawAnswer& answer) { return answer.status == 100; });
    const bool has_line = delivery.text.find('\n') != std::string::npos;
    EXPECT_FALSE(answers.empty() && has_line && delivery.end != Delivery::End::resets)
        << "no answer";
    Stored expected = before;
    for (std::size_t a = 0; a < answers.size(); ++a) {
      const RequestParts* const request =
          a < delivery.requests.size() ? &delivery.requests[a] : nullptr;
      check_status(answers[a], request);
      ++statuses_[answers[a].status];
      if (answers[a].status == 200 && answers[a].header("content-type") == "application/json")
        acknowledge(json::parse(answers[a].body), request, expected, state);
    }
    EXPECT_EQ(after, expected) << "more, or less, was changed than was acknowledged\n"
                               << bytes.substr(0, 3000);
  }

  const std::map<int, std::size_t>& statuses() const { return statuses_; }
  const std::map<std::pair<std::string, std::string>, Quantity::Units>& changes() const {
    return changes_;
  }

 private:
  void check_status(const RawAnswer& answer, const RequestParts* request) const {
    EXPECT_TRUE(answer.status < 500 || answer.status == 503) << answer.body;
    if (general_refusals.contains(answer.status)) return;
    const Route* route = nullptr;
    if (request != nullptr)
      route = Routes::find(request->method,
                           request->target.substr(0, request->target.find_first_of("?#")))
                  .route;
    bool is_documented = false;
    for (const Route& one : Routes::all()) {
      if (route != nullptr && route != &one) continue;
      std::string method = one.method;
      std::ranges::transform(method, method.begin(), ::tolower);
      is_documented = is_documented || document_["paths"][one.path][method]["responses"].contains(
                                           std::to_string(answer.status));
    }
    EXPECT_TRUE(is_documented) << answer.status << " is not documented: " << answer.body;
  }

  void acknowledge(const json& body, const RequestParts* request, Stored& expected,
                   const std::filesystem::path& state) {
    if (body.contains("is_repeat")) {
      const std::uint64_t sequence = body["position_sequence"];
      if (body["is_repeat"] == true) {
        EXPECT_LE(sequence, expected.positions) << body;
        return;
      }
      EXPECT_EQ(sequence, ++expected.positions) << body;
      expected.changes += body["changes"].get<std::uint64_t>();
      add_changes(sequence, body["client_id"], request, state);
    } else if (body.contains("market_sequence") && body.size() == 4) {
      EXPECT_EQ(body["market_sequence"], ++expected.markets) << body;
    }
  }

  /// Those of a batch as they are stored, which are those that were sent.
  void add_changes(std::uint64_t sequence, const std::string& client_id,
                   const RequestParts* request, const std::filesystem::path& state) {
    Database database(state / "state.db", false);
    Query row = database.query(
        "SELECT account.name, instrument.name, low, high, client_id FROM position_changes "
        "JOIN batches USING (sequence) JOIN names AS account ON account.id = account "
        "JOIN names AS instrument ON instrument.id = instrument WHERE sequence = ? "
        "ORDER BY ordinal",
        sequence);
    std::vector<PositionChange> changes;
    while (row.next()) {
      const Quantity change{row.unsigned_integer(2), row.integer(3)};
      changes.push_back({std::string(row.text(0)), std::string(row.text(1)), change});
      changes_[{changes.back().account, changes.back().instrument}] += change.units();
      EXPECT_EQ(row.text(4), client_id);
    }
    if (request == nullptr) return;
    const std::vector<PositionChange> sent = parse_positions(request->body).changes;
    EXPECT_TRUE(std::ranges::equal(sent, changes,
                                   [](const PositionChange& a, const PositionChange& b) {
                                     return a.account == b.account &&
                                            a.instrument == b.instrument &&
                                            a.change.units() == b.change.units();
                                   }))
        << request->body;
  }

  const json& document_;
  std::map<int, std::size_t> statuses_;
  std::map<std::pair<std::string, std::string>, Quantity::Units> changes_;
};

class HttpFuzzRounds : public HttpFuzz {
 protected:
  static double setting(const char* name, double absent) {
    const char* const text = std::getenv(name);
    return text ? std::atof(text) : absent;
  }

  AccessTokens tokens() const {
    book_.write("tokens", fmt::format("admin {}\n", admin_token));
    ::chmod(book_.path("tokens").c_str(), 0600);
    return AccessTokens::load(book_.path("tokens"));
  }

  /// A state of its own, so many deliveries, and everything that has to hold after them.
  void play(RequestFuzzer& fuzzer, bool has_tokens, Clock::time_point until) {
    std::filesystem::remove_all(state());
    start(impatient(), has_tokens ? tokens() : AccessTokens());
    fuzzer.set_authorization(has_tokens ? fmt::format("Bearer {}", admin_token) : "");
    FuzzRound round(document_);
    Stored now = stored();
    for (int d = 0; d < 400 && Clock::now() < until && !HasFailure(); ++d, ++delivery_count_) {
      const Delivery delivery = fuzzer.next();
      const std::string bytes = exchange(delivery);
      const Stored before = std::exchange(now, stored());
      round.check(delivery, bytes, before, now, state());
      if (HasFailure())
        std::cout << fmt::format("delivery {}, which was\n{}\n", delivery_count_,
                                 in_lines(delivery.text));
    }
    for (const auto& [status, count] : round.statuses()) statuses_[status] += count;
    expect_service(now, has_tokens);
    expect_book(round);
    server_.reset();
    venue_.reset();
    expect_store(now, round);
    start();
    expect_book(round);
    EXPECT_EQ(venue_->engine().position_sequence, now.positions + 1);
    EXPECT_EQ(venue_->engine().market_sequence, now.markets);
    server_.reset();
    venue_.reset();
  }

  /// It still takes what is right.
  void expect_service(const Stored& now, bool has_tokens) {
    httplib::Headers headers;
    if (has_tokens) headers.emplace("Authorization", fmt::format("Bearer {}", admin_token));
    const Answer answer = ask("POST", "/v1/positions",
                              R"({"client_id":"last","changes":[{"account":"last",
                                  "instrument":"ETH","quantity":"1"}]})",
                              headers);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.read()["position_sequence"], now.positions + 1);
    EXPECT_EQ(ask("GET", "/healthz").status, 200);
    // Whatever was accepted has margins.
    EXPECT_TRUE(eventually(
        [&] { return venue_->engine().stale_account_count == 0 && venue_->is_ready(); }));
    for (const RunView& run : venue_->runs(1000))
      EXPECT_NE(run.status, RunStatus::failed) << run.error;
  }

  /// Every account holds what was acknowledged, and what the files gave it.
  void expect_book(const FuzzRound& round) {
    auto held = round.changes();
    held[{"last", "ETH"}] += contract;
    held[{"ann", "ETH-PERP"}] += 1000 * contract;
    held[{"zoe", "BTC-C"}] -= 25 * contract / 2;
    held[{"zoe", "BTC-F"}] += 40 * contract;
    std::map<std::string, std::map<std::string, Quantity::Units>> accounts;
    for (const auto& [cell, units] : held)
      if (units != 0) accounts[cell.first][cell.second] = units;
    std::size_t asked_count = 0;
    for (const AccountView& account : venue_->accounts()) {
      EXPECT_EQ(account.position_count, accounts[account.name].size()) << account.name;
      if (++asked_count > 20) continue;  // each is a simulation
      const std::optional<AccountDetail> detail = venue_->account(account.name);
      ASSERT_TRUE(detail);
      std::map<std::string, Quantity::Units> positions;
      for (const PositionView& p : detail->positions) positions[p.instrument] = p.quantity.units();
      EXPECT_TRUE(positions == accounts[account.name]) << account.name;
    }
  }

  void expect_store(const Stored& now, const FuzzRound& round) {
    const StateStore store = StateStore::open(state());
    store.check_all();
    EXPECT_EQ(store.position_sequence(), now.positions + 1);
    EXPECT_EQ(store.market_sequence(), now.markets);
    Cells expected;
    for (const auto& [cell, units] : round.changes())
      if (units != 0) expected.emplace_back(cell.first, cell.second, units);
    EXPECT_TRUE(cells(store.positions_at(now.positions)) == expected);
  }

  static std::string in_lines(const std::string& text) {
    std::string lines;
    for (const char c : text.substr(0, 4000))
      lines += c == '\n'              ? "\\n\n"
               : c >= ' ' && c <= '~' ? std::string(1, c)
                                      : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return lines;
  }

  static constexpr Quantity::Units contract = 1'000'000'000'000;
  const json document_ = json::parse(compiled_file("openapi.json"));
  std::map<int, std::size_t> statuses_;
  std::size_t delivery_count_ = 0;
};

TEST_F(HttpFuzzRounds, NothingHappensThatWasNotAcknowledged) {
  const double share = long_share();
  const double seconds = setting("SHORTFALL_FUZZ_SECONDS", share > 0 ? 60 * share : 6);
  const auto seed = static_cast<std::uint64_t>(setting("SHORTFALL_FUZZ_SEED", 1));
  RecordProperty("seed", static_cast<int>(seed));
  std::cout << fmt::format("SHORTFALL_FUZZ_SEED={} for {} s\n", seed, seconds) << std::flush;
  RequestFuzzer fuzzer(read_corpus(), seed);
  const auto until = Clock::now() + std::chrono::milliseconds(std::llround(1e3 * seconds));
  for (bool has_tokens = false; Clock::now() < until && !HasFailure(); has_tokens = !has_tokens)
    play(fuzzer, has_tokens, until);
  std::string counts;
  for (const auto& [status, count] : statuses_) counts += fmt::format(" {}: {}", status, count);
  std::cout << fmt::format("{} deliveries; answers{}\n", delivery_count_, counts);
  // It has to get past the parsers, or it tests little.
  EXPECT_GT(10 * statuses_[200], delivery_count_) << counts;
  EXPECT_GT(statuses_[422], 0u);
}

}  // namespace
}  // namespace shortfall::service
