// The service where the disk is full, locked or slow to come back, and where the clock jumps: a
// refusal that says what to do, nothing half done, and on it goes once the cause is removed.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <functional>
#include <mutex>

#include "served_book.hpp"
#include "service/access.hpp"
#include "small_disk.hpp"
#include "temporary_store.hpp"

namespace shortfall::service {
namespace {

class HttpFaults : public ServedBook {
 protected:
  HttpFaults() { venue_options_.full_run_seconds = 0.5; }

  /// Two legs, one of which opens an account.
  static std::string batch(const std::string& id) {
    return fmt::format(
        R"({{"client_id":"{0}","changes":[{{"account":"ann","instrument":"ETH","quantity":"1"}},
            {{"account":"of {0}","instrument":"ETH","quantity":"1"}}]}})",
        id);
  }
  Answer change(const std::string& id) const { return ask("POST", "/v1/positions", batch(id)); }
  Answer mark(int second) const {
    return ask(
        "PUT", "/v1/market",
        fmt::format(R"({{"as_of":"2025-06-28T08:{:02}:{:02}Z"}})", second / 60, second % 60));
  }

  static void expect_not_writable(const Answer& answer, const std::string& remedy) {
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_EQ(answer.header("Retry-After"), "5");
    const json body = answer.read();
    EXPECT_EQ(body["error"], "state_not_writable");
    EXPECT_NE(body["message"].get<std::string>().find(remedy), std::string::npos) << body;
  }

  /// Changes until one is refused, which is `refused_`; marks likewise.
  void change_until_refused(const std::string& remedy) {
    Answer last;
    for (; last.status != 503 && position_count_ < 2000; position_count_ += last.status == 200) {
      refused_ = fmt::format("c{}", position_count_ + 1);
      last = change(refused_);
    }
    expect_not_writable(last, remedy);
    for (last = {}; last.status != 503 && market_count_ < 2000; market_count_ += last.status == 200)
      last = mark(market_count_ + 1);
    expect_not_writable(last, remedy);
  }

  void expect_that_reads_go_on() {
    const Answer readiness = ask("GET", "/readyz");
    expect_not_writable(readiness, "cannot be written");
    EXPECT_EQ(readiness.body.find("state.db"), std::string::npos) << "asked without a token";
    EXPECT_EQ(ask("GET", "/healthz").status, 200);
    const json engine = read("/v1/engine");
    EXPECT_EQ(engine["position_sequence"], position_count_);
    EXPECT_EQ(engine["market_sequence"], market_count_);
    EXPECT_EQ(ask("GET", "/v1/accounts/of%20" + refused_).status, 404) << "half of it was done";
    EXPECT_EQ(read("/v1/accounts/ann")["positions"].size(), position_count_ > 0 ? 2u : 1u);
    EXPECT_EQ(ask("POST", "/v1/whatif",
                  R"({"account":"ann","trades":[{"instrument":"ETH","quantity":"1"}]})")
                  .status,
              200);
  }

  /// Without anybody's help; then the change that was refused is as if it had not been sent.
  void expect_recovery() {
    EXPECT_TRUE(eventually([&] { return ask("GET", "/readyz").status == 200; }))
        << ask("GET", "/readyz").body;
    const Answer again = change(refused_);
    ASSERT_EQ(again.status, 200) << again.body;
    EXPECT_EQ(again.read()["position_sequence"], ++position_count_);
    EXPECT_EQ(again.read()["is_repeat"], false);
    ++market_count_;
    EXPECT_EQ(mark(market_count_).read()["market_sequence"], market_count_);
    EXPECT_TRUE(eventually([&] {
      const json engine = read("/v1/engine");
      return engine["staleness"]["accounts"] == 0 && ask("GET", "/readyz").status == 200;
    }));
    server_.reset();
    venue_.reset();
    const StateStore store = StateStore::open(book_.path("state"));
    store.check_all();
    EXPECT_EQ(store.position_sequence(), static_cast<std::uint64_t>(position_count_));
    EXPECT_EQ(store.market_sequence(), static_cast<std::uint64_t>(market_count_));
    const Cells held = cells(store.positions_at(store.position_sequence()));
    ASSERT_EQ(held.size(), static_cast<std::size_t>(position_count_) + 1);
    EXPECT_TRUE(
        held.front() ==
        Cells::value_type("ann", "ETH", Quantity::Units{1'000'000'000'000} * position_count_));
  }

  int position_count_ = 0, market_count_ = 0;
  std::string refused_;
};

TEST_F(HttpFaults, FullDisk) {
  std::filesystem::create_directory(book_.path("state"));
  const SmallDisk disk(book_.path("state"));
  if (!disk.is_mounted()) GTEST_SKIP() << "no permission to mount a small file system";
  start();
  EXPECT_EQ(change("c1").status, 200);
  ++position_count_;
  std::ofstream(book_.path("state") / "ballast") << std::string(2'000'000, 'x');
  change_until_refused("free some");
  expect_that_reads_go_on();
  std::filesystem::remove(book_.path("state") / "ballast");
  expect_recovery();
}

/// As a quota would, and without a right to mount.
TEST_F(HttpFaults, FileSizeLimit) {
  start();
  EXPECT_EQ(change("c1").status, 200);
  ++position_count_;
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto signal_before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = before;
  limit.rlim_cur = 1;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  change_until_refused("file size limit");
  expect_that_reads_go_on();
  EXPECT_EQ(position_count_, 1);
  EXPECT_EQ(market_count_, 0);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, signal_before);
  expect_recovery();
}

TEST_F(HttpFaults, LockedByAnotherProgram) {
  start();
  {
    Database other(book_.path("state") / "state.db", false);
    const Transaction transaction(other);
    expect_not_writable(change("c1"), "close that");
    refused_ = "c1";
    expect_that_reads_go_on();
  }
  expect_recovery();
}

std::int64_t milliseconds_of(const json& time) {
  return *parse_date_time(time.get<std::string>()) * 1000;
}

/// Order is by sequence and age by a clock that does not jump; only what people read follows the
/// wall clock.
TEST_F(HttpFaults, TheClockJumpsBackwards) {
  constexpr std::int64_t noon = 1'750'000'000'000, day = 86'400'000;
  std::atomic<std::int64_t> clock = noon;
  venue_options_.full_run_seconds = 3600;
  venue_options_.clock_ms = [&clock] { return clock.load(); };
  const auto settled = [this] {
    const json engine = read("/v1/engine");
    return engine["staleness"]["accounts"] == 0 && engine["running"].empty();
  };
  const auto expect_order = [&](std::uint64_t run_sequence_min) {
    ASSERT_TRUE(eventually(settled));
    const json accounts = read("/v1/accounts")["accounts"], runs = read("/v1/runs")["runs"];
    for (const json& account : accounts) {
      EXPECT_GE(account["source"]["run_sequence"], run_sequence_min) << account;
      EXPECT_EQ(account["source"]["position_sequence"], position_count_);
      EXPECT_EQ(account["source"]["market_sequence"], market_count_);
      EXPECT_EQ(account["staleness"]["seconds"], 0) << account;
    }
    std::uint64_t later = static_cast<std::uint64_t>(-1);
    for (const json& run : runs) {
      EXPECT_LT(run["sequence"], later) << "newest first";
      later = run["sequence"];
      EXPECT_GE(run["seconds"], 0);
      EXPECT_LT(run["seconds"], 60);
    }
  };
  const auto work = [&] {
    ++position_count_, ++market_count_;
    EXPECT_EQ(change(fmt::format("c{}", position_count_)).read()["position_sequence"],
              position_count_);
    EXPECT_EQ(mark(market_count_).read()["market_sequence"], market_count_);
    ASSERT_TRUE(eventually(settled));
  };
  start();
  work();
  clock -= day;  // while it runs
  work();
  expect_order(2);
  EXPECT_EQ(milliseconds_of(read("/v1/runs?limit=1")["runs"][0]["ended_at"]), noon - day);
  std::uint64_t last = read("/v1/engine")["run_sequence"];
  for (int restart = 0; restart < 2; ++restart) {  // and between two starts, to the same time twice
    server_.reset();
    venue_.reset();
    clock = noon - 2 * day;
    start();
    expect_order(last + 1);
    work();
    expect_order(last + 2);
    EXPECT_LT(read("/v1/engine")["uptime_seconds"], 60);
    last = read("/v1/engine")["run_sequence"];
  }
  server_.reset();
  venue_.reset();
  const StateStore store = StateStore::open(book_.path("state"));
  store.check_all();
  const std::vector<StoredRun> runs = store.runs(1000);
  ASSERT_EQ(runs.size(), last);
  EXPECT_EQ(runs.front().sequence, last);
  EXPECT_EQ(runs.front().entry.began_at_ms, noon - 2 * day);
  EXPECT_EQ(runs.back().entry.began_at_ms, noon);
}

/// A token that is refused may be one that was mistyped, or another service's.
TEST_F(HttpFaults, NothingSecretIsLogged) {
  const std::string right = "right-0123456789abcdef", wrong = "wrong-0123456789abcdef";
  book_.write("tokens", "admin " + right + "\n");
  ::chmod(book_.path("tokens").c_str(), 0600);
  std::string log;
  std::mutex mutex;
  HttpOptions options;
  options.connection.idle = options.connection.request = milliseconds(300);
  options.log = [&](const std::string& line) {
    const std::lock_guard lock(mutex);
    log += line + "\n";
  };
  start(options, AccessTokens::load(book_.path("tokens")));
  std::string answers;
  for (const std::string& token : {right, wrong})
    for (const std::string& headers :
         {"Authorization: Bearer " + token + "\r\n", "Authorization: bearer  " + token + "\r\n",
          "Authorization: Basic " + token + "\r\n", "Authorization: " + token + "\r\n",
          "Authorization : Bearer " + token + "\r\n", "Authorization: Bearer " + token,
          "Cookie: token=" + token + "\r\n", "Bearer " + token + "\r\n", token + ": x\r\n",
          "Authorization: Bearer " + token + "\r\nContent-Length: x\r\n"})
      for (const std::string& line :
           {std::string("GET /v1/accounts"), "GET /v1/accounts?token=" + token,
            "GET /v1/engine?" + token + "=1", std::string("POST /v1/positions"),
            std::string("GET /v1/nothing"), "Bearer:" + token + " /v1/accounts"}) {
        RawClient client(port());
        client.send(request_text(line, headers));
        client.finish();
        std::string answer = client.receive();
        // The name of a parameter that there is not is said, to whoever sent it with a right token.
        const bool is_let_in = status_of(answer) != 401 && token == right;
        if (!is_let_in) answers += answer;
      }
  server_->stop();
  EXPECT_NE(log.find("401"), std::string::npos) << log;
  for (const std::string& token : {right, wrong}) {
    EXPECT_EQ(log.find(token), std::string::npos) << log;
    EXPECT_EQ(answers.find(token), std::string::npos) << answers;
  }
  EXPECT_TRUE(std::ranges::all_of(log, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
}

TEST_F(HttpFaults, OfManyProblemsTheFirstAreListedAndTheOthersCounted) {
  start();
  const auto changes = [](const std::string& change) {
    std::string body = R"({"client_id":"many","changes":[)";
    for (int c = 0; c < 500; ++c) body += (c == 0 ? "" : ",") + change;
    return body + "]}";
  };
  std::string query = "/v1/accounts?";
  for (int q = 0; q < 500; ++q) query += fmt::format("p{}=1&", q);
  const Answer answers[] = {
      ask("POST", "/v1/positions",
          changes(R"({"account":"ann","instrument":"ETH","quantity":1})")),  // as it is read
      ask("POST", "/v1/positions",
          changes(R"({"account":"ann","instrument":"ETC","quantity":"1"})")),  // by the book
      ask("GET", query)};
  for (const Answer& answer : answers) {
    const json body = answer.read();
    ASSERT_EQ(body["problems"].size(), 21u) << body;
    EXPECT_EQ(body["problems"][20]["message"], "and 480 more");
  }
  EXPECT_EQ(answers[0].read()["message"], "the request has 500 problems");
  EXPECT_EQ(answers[1].read()["problems"][19]["where"], "/changes/19/instrument");
  EXPECT_EQ(answers[2].status, 400);
}

}  // namespace
}  // namespace shortfall::service
