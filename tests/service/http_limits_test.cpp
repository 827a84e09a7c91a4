// What strangers may not: too much, too slowly, too often, from elsewhere, without a token.
#include <fmt/format.h>
#include <sys/stat.h>

#include <mutex>

#include "served_book.hpp"
#include "service/access.hpp"
#include "service/routes.hpp"

namespace shortfall::service {
namespace {

using HttpLimits = ServedBook;

/// Times that a test can wait for.
HttpOptions impatient() {
  HttpOptions options;
  options.connection.idle = options.connection.request = options.connection.stall =
      milliseconds(400);
  return options;
}

const char* const json_type = "Content-Type: application/json\r\n";

struct BadFraming {
  const char* name;
  const char* line;
  std::string headers;
  int status;
};

TEST_F(HttpLimits, BodiesHaveALengthAndAType) {
  start(impatient());
  const std::string length = "Content-Length: 2\r\n", type = json_type;
  const std::vector<BadFraming> cases = {
      {"no length", "POST /v1/runs", type, 411},
      {"chunks", "PUT /v1/market", type + "Transfer-Encoding: chunked\r\n", 411},
      {"chunks and a length", "POST /v1/runs", type + length + "Transfer-Encoding: chunked\r\n",
       411},
      {"too large", "POST /v1/runs", type + "Content-Length: 1048577\r\n", 413},
      {"too large by far", "POST /v1/runs", type + "Content-Length: 99999999999999999999999\r\n",
       413},
      {"negative", "POST /v1/runs", type + "Content-Length: -1\r\n", 400},
      {"not decimal", "POST /v1/runs", type + "Content-Length: 0x10\r\n", 400},
      {"two lengths", "POST /v1/runs", type + length + "Content-Length: 3\r\n", 400},
      {"no type", "POST /v1/runs", length, 415},
      {"text", "POST /v1/runs", length + "Content-Type: text/plain\r\n", 415},
      {"json-like", "POST /v1/runs", length + "Content-Type: application/jsonp\r\n", 415},
      {"compressed", "POST /v1/runs", type + length + "Content-Encoding: gzip\r\n", 415},
      {"expectation", "POST /v1/runs", type + length + "Expect: miracles\r\n", 417},
      {"no route", "POST /v1/nothing", type + length, 404},
      {"no method", "DELETE /v1/runs", type + length, 405},
      {"short", "POST /v1/runs", type + "Content-Length: 20\r\n", 408},
  };
  for (const BadFraming& bad : cases) {
    RawClient client(port());
    // What follows must not be taken for a request.
    client.send(request_text(bad.line, bad.headers, "{}") + request_text("GET /healthz"));
    if (bad.status == 408) {
      RawClient slow(port());
      slow.send(request_text(bad.line, bad.headers, "{}"));
      EXPECT_EQ(status_of(slow.receive()), 408);
      continue;
    }
    const std::string answer = client.receive();
    EXPECT_EQ(status_of(answer), bad.status) << bad.name << "\n" << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << bad.name;
    EXPECT_EQ(answer.find("HTTP/1.1", 1), std::string::npos) << bad.name << "\n" << answer;
    EXPECT_TRUE(client.is_ended()) << bad.name;
  }
  const Answer good = ask("POST", "/v1/runs", R"({"kind":"full"})",
                          {{"Content-Type", "Application/JSON; charset=utf-8"}});
  EXPECT_EQ(good.status, 202);
}

TEST_F(HttpLimits, ABodyThatIsSentInFullIsToldWhyItIsTooLarge) {
  start();
  RawClient client(port());
  const std::string body(3 << 20, ' ');
  client.send(request_text("POST /v1/runs",
                           json_type + fmt::format("Content-Length: {}\r\n", body.size()), body));
  EXPECT_EQ(status_of(client.receive()), 413);
  const std::string largest = "{" + std::string((1 << 20) - 15, ' ') + R"("kind":"full"})";
  EXPECT_EQ(largest.size(), std::size_t{1} << 20);
  EXPECT_EQ(ask("POST", "/v1/runs", largest).status, 202);
}

TEST_F(HttpLimits, ExpectationIsMetBeforeTheBody) {
  start();
  RawClient client(port());
  client.send(request_text(
      "POST /v1/runs", std::string(json_type) +
                           "Content-Length: 15\r\nExpect: 100-continue\r\nConnection: close\r\n"));
  EXPECT_EQ(client.receive("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send(R"({"kind":"full"})");
  const std::string answer = client.receive();
  EXPECT_NE(answer.find("HTTP/1.1 202"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("100 Continue", 20), std::string::npos) << answer;
}

TEST_F(HttpLimits, HeadersAreLimitedTogether) {
  start();
  RawClient many(port());
  std::string headers;
  for (int h = 0; h < 600; ++h) headers += fmt::format("X-{}: {}\r\n", h, std::string(40, 'x'));
  many.send(request_text("GET /healthz", headers));
  EXPECT_EQ(status_of(many.receive()), 431);
  RawClient one(port());
  one.send(request_text("GET /healthz", "X: " + std::string(20000, 'x') + "\r\n"));
  EXPECT_EQ(status_of(one.receive()), 431);
  for (const std::size_t length : {9000, 30000}) {
    RawClient line(port());
    line.send(request_text("GET /" + std::string(length, 'a')));
    EXPECT_EQ(status_of(line.receive()), 414) << length;
  }
  EXPECT_EQ(ask("GET", "/healthz").status, 200);
}

TEST_F(HttpLimits, GarbageIsRefused) {
  start(impatient());
  for (const std::string& text :
       {std::string("\r\n\r\n"), std::string("GET\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"),
        std::string("BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        std::string("GET / HTTP/1.1\r\nHost localhost\r\n\r\n"), std::string(5000, '\0')}) {
    RawClient client(port());
    client.send(text);
    const std::string answer = client.receive();
    EXPECT_TRUE(client.is_ended());
    EXPECT_TRUE(answer.empty() || status_of(answer) >= 400) << answer;
  }
  EXPECT_EQ(ask("GET", "/healthz").status, 200);
}

TEST_F(HttpLimits, ARequestHasATimeHoweverSteadilyItDrips) {
  start(impatient());
  const auto began = std::chrono::steady_clock::now();
  RawClient client(port());
  client.send("GET /healthz HTTP/1.1\r\n");
  for (int drop = 0; drop < 60 && client.send("X: y\r\n"); ++drop) {
    client.receive("\r\n\r\n", milliseconds(50));
    if (client.is_ended()) break;
  }
  const std::string answer = client.receive();
  EXPECT_EQ(status_of(answer), 408) << answer;
  EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(3000));
  RawClient of_line(port());
  of_line.send("GET /hea");
  EXPECT_EQ(status_of(of_line.receive()), 408);
  RawClient idle(port());
  EXPECT_EQ(idle.receive("", milliseconds(3000)), "");
  EXPECT_TRUE(idle.is_ended());
}

TEST_F(HttpLimits, AnAnswerThatIsNotTakenIsGivenUp) {
  HttpOptions options = impatient();
  options.thread_count = 1;
  options.routes.chart_files = {book_.path("chart.js")};
  book_.write("chart.js", std::string(32 << 20, 'x'));
  start(options);
  RawClient client(port());
  client.send(request_text("GET /static/chart.js"));
  EXPECT_TRUE(eventually([&] { return ask("GET", "/healthz").status == 200; }));
}

TEST_F(HttpLimits, KeepsAliveForSoManyRequests) {
  HttpOptions options;
  options.keep_alive_max = 3;
  start(options);
  RawClient client(port());
  std::string five;
  for (int r = 0; r < 5; ++r) five += request_text("GET /healthz");
  client.send(five);
  const std::string answers = client.receive();
  std::size_t count = 0;
  for (std::size_t at = 0; (at = answers.find("HTTP/1.1 200", at)) != std::string::npos; ++at)
    ++count;
  EXPECT_EQ(count, 3u);
  RawClient old(port());
  old.send("GET /healthz HTTP/1.0\r\nHost: localhost\r\nConnection: Keep-Alive\r\n\r\n");
  EXPECT_EQ(status_of(old.receive()), 200);
  EXPECT_TRUE(old.is_ended());
}

TEST_F(HttpLimits, ConnectionsBeyondTheQueueAreTurnedAway) {
  HttpOptions options;
  options.thread_count = 2;
  options.queue_max = 1;
  start(options);
  std::vector<std::unique_ptr<RawClient>> busy;
  for (int c = 0; c < 2; ++c) {  // streams keep their threads
    busy.push_back(std::make_unique<RawClient>(port()));
    busy.back()->send(request_text("GET /v1/events"));
    busy.back()->receive(": \n\n");
  }
  RawClient waits(port());
  waits.send(request_text("GET /healthz", "Connection: close\r\n"));
  std::string answer;
  EXPECT_TRUE(eventually([&] {
    RawClient late(port());
    late.send(request_text("GET /healthz", "Connection: close\r\n"));
    answer = late.receive("\r\n\r\n{", milliseconds(200));
    return status_of(answer) == 503;
  }));
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("too_many_connections"), std::string::npos) << answer;
  busy.clear();
  EXPECT_EQ(status_of(waits.receive()), 200);
  EXPECT_TRUE(eventually([&] {
    return ask("GET", "/metrics").body.find("turned_away_total 0\n") == std::string::npos;
  }));
}

TEST_F(HttpLimits, AnIdleConnectionMakesRoom) {
  HttpOptions options;
  options.thread_count = 1;
  start(options);
  RawClient idle(port());
  idle.send(request_text("GET /healthz"));
  EXPECT_EQ(status_of(idle.receive("}")), 200);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(ask("GET", "/healthz").status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(2000));  // idle may stay for 5 s
}

TEST_F(HttpLimits, StreamsEvents) {
  HttpOptions options;
  options.routes.event_streams = 2;
  options.routes.event_comment = milliseconds(200);
  start(options);
  auto first = std::make_unique<RawClient>(port());
  first->send(request_text("GET /v1/events"));
  EXPECT_NE(first->receive(": \n\n").find("Content-Type: text/event-stream\r\n"),
            std::string::npos);
  venue_->events().add("market", R"({"n":1})");
  venue_->events().add("market", R"({"n":2})");
  const std::string text = first->receive("{\"n\":2}\n\n");
  const std::size_t at = text.find("id: ");
  const std::string id = text.substr(at + 4, text.find('\n', at) - at - 4);
  EXPECT_NE(text.find("id: " + id + "\nevent: market\ndata: {\"n\":1}\n\n"), std::string::npos);
  EXPECT_NE(first->receive(": \n\n: \n\n").find(": \n\n: \n\n"), std::string::npos) << "comments";
  // From the first event on: the second again, and only that.
  RawClient again(port());
  again.send(request_text("GET /v1/events", "Last-Event-ID: " + id + "\r\n"));
  const std::string rest = again.receive("{\"n\":2}\n\n");
  EXPECT_EQ(rest.find("{\"n\":1}"), std::string::npos) << rest;
  EXPECT_EQ(rest.find("reset"), std::string::npos) << rest;
  EXPECT_EQ(read("/v1/engine")["event_streams"], 2);
  const Answer third = ask("GET", "/v1/events");
  EXPECT_EQ(third.status, 503);
  EXPECT_FALSE(third.header("Retry-After").empty());
  // A client that goes makes room.
  first.reset();
  EXPECT_TRUE(eventually([&] { return read("/v1/engine")["event_streams"] == 1; }));
}

TEST_F(HttpLimits, AnIdThatIsNotKnownBeginsAnew) {
  start();
  venue_->events().add("market", "{}");
  // Of before a restart, of the future, and none at all.
  for (const char* unknown : {"1-1", "99999999999999999999", "x"}) {
    RawClient client(port());
    client.send(request_text("GET /v1/events", fmt::format("Last-Event-ID: {}\r\n", unknown)));
    EXPECT_NE(client.receive("data: {}").find("event: reset\ndata: {}"), std::string::npos)
        << unknown;
  }
}

TEST_F(HttpLimits, AStreamThatWasTooFarBehindBeginsAnew) {
  start();
  venue_->events().add("market", "{}");
  RawClient client(port());
  client.send(request_text("GET /v1/events"));
  client.receive(": \n\n");
  venue_->events().add("market", R"({"n":1})");
  const std::string text = client.receive("{\"n\":1}\n\n");
  const std::size_t at = text.find("id: ");
  const std::string id = text.substr(at + 4, text.find('\n', at) - at - 4);
  for (int e = 0; e < 1100; ++e) venue_->events().add("market", "{}");  // 1000 are kept
  RawClient behind(port());
  behind.send(request_text("GET /v1/events", "Last-Event-ID: " + id + "\r\n"));
  EXPECT_NE(behind.receive("data: {}\n\n").find("event: reset\ndata: {}\n\n"), std::string::npos);
}

TEST_F(HttpLimits, StopsWithinFiveSeconds) {
  start();
  RawClient stream(port()), idle(port()), half(port());
  stream.send(request_text("GET /v1/events"));
  stream.receive(": \n\n");
  half.send("POST /v1/positions HTTP/1.1\r\nHost: ");
  const auto began = std::chrono::steady_clock::now();
  server_->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(4000));
  EXPECT_FALSE(server_->is_listening());
  stream.receive();
  EXPECT_TRUE(stream.is_ended());
}

TEST_F(HttpLimits, OnlyNamesOfLoopbackAreAnswered) {
  start();
  const auto status = [&](const std::string& headers) {
    RawClient client(port());
    client.send("GET /v1/accounts HTTP/1.1\r\nConnection: close\r\n" + headers + "\r\n");
    return status_of(client.receive());
  };
  for (const char* host : {"localhost", "LOCALHOST:8090", "127.0.0.1", "127.0.0.1:1", "[::1]:8090"})
    EXPECT_EQ(status(fmt::format("Host: {}\r\n", host)), 200) << host;
  for (const char* host : {"example.com", "localhost.example.com", "127.0.0.1.nip.io", "",
                           "127.0.0.1:80:80", "localhost:x", "[::1", "192.168.0.1"})
    EXPECT_EQ(status(fmt::format("Host: {}\r\n", host)), 421) << host;
  EXPECT_EQ(status(""), 421);
  EXPECT_EQ(status("Host: localhost\r\nHost: example.com\r\n"), 400);
}

/// A token file, and what it says.
AccessTokens tokens_of(const TemporaryBook& book, const std::string& text, mode_t mode = 0600) {
  book.write("tokens", text);
  ::chmod(book.path("tokens").c_str(), mode);
  return AccessTokens::load(book.path("tokens"));
}

TEST_F(HttpLimits, RolesIncludeEachOther) {
  const std::string read_token(16, 'r'), trade_token = "t+t/t=t-t.t_t~t0", admin_token(64, 'a');
  std::vector<std::string> lines;
  std::mutex mutex;
  HttpOptions options;
  options.log = [&](const std::string& line) {
    const std::lock_guard lock(mutex);
    lines.push_back(line);
  };
  start(options, tokens_of(book_, "# who\nread " + read_token + "\n\ntrade " + trade_token +
                                      "   # desk\nadmin " + admin_token + "\n"));
  const std::vector<std::pair<Role, std::string>> callers = {
      {Role::none, ""},
      {Role::none, "Basic " + admin_token},
      {Role::none, "Bearer "},
      {Role::none, "Bearer " + admin_token + "a"},
      {Role::read, "Bearer " + read_token},
      {Role::trade, "bearer " + trade_token},
      {Role::admin, "Bearer " + admin_token}};
  for (const Route& route : Routes::all()) {
    std::string path = route.path;
    if (path == "/v1/events") continue;  // has no end
    path = path.substr(0, path.find('{'));
    if (path.size() < std::string(route.path).size()) path += "page.js";
    for (const auto& [role, authorization] : callers) {
      httplib::Headers headers;
      if (!authorization.empty()) headers.emplace("Authorization", authorization);
      const Answer answer = ask(route.method, path, route.takes_body() ? "{}" : "", headers);
      const bool is_refused = answer.status == 401 || answer.status == 403;
      EXPECT_EQ(is_refused, role < route.role) << path << " " << authorization;
      if (!is_refused) continue;
      EXPECT_EQ(answer.status, role == Role::none ? 401 : 403) << path << " " << authorization;
      EXPECT_EQ(answer.header("WWW-Authenticate"), role == Role::none ? "Bearer" : "");
      EXPECT_EQ(answer.body.find(admin_token), std::string::npos);
    }
  }
  ask("GET", "/v1/accounts?search=private");
  server_->stop();  // lines come after their answers
  EXPECT_FALSE(lines.empty());
  for (const std::string& line : lines)
    for (const std::string& secret : {read_token, trade_token, admin_token, std::string("private")})
      EXPECT_EQ(line.find(secret), std::string::npos) << line;
}

TEST(Access, TokenFilesAreRefusedWithTheRemedy) {
  struct Case {
    std::string text;
    mode_t mode;
    const char* message;
  };
  const std::string token = "0123456789abcdef";
  const TemporaryBook book;
  for (const Case& bad :
       std::vector<Case>{{"read " + token, 0644, "chmod 600"},
                         {"read " + token, 0620, "chmod 600"},
                         {"", 0600, "has no tokens"},
                         {"# read " + token, 0600, "has no tokens"},
                         {"write " + token, 0600, "tokens:1: begins with no role"},
                         {token, 0600, "begins with no role"},
                         {"read", 0600, "is not a role and a token"},
                         {"read a b", 0600, "is not a role and a token"},
                         {"\nread 0123456789abcde", 0600, "tokens:2: has a token"},
                         {"read 0123456789%61bcdef", 0600, "has a token"},
                         {"read " + token + "\nadmin " + token, 0600,
                          "tokens:2: has a token that a line before has"},
                         {std::string(2 << 20, 'x'), 0600, "more than 1 MiB"}}) {
    try {
      tokens_of(book, bad.text, bad.mode);
      ADD_FAILURE() << "was accepted: " << bad.text;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(bad.message), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find("456789"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(AccessTokens::load(book.path("none")), InputError);
  EXPECT_THROW(AccessTokens::load(book.path(".")), InputError);
}

TEST(Access, ElsewhereThanOnLoopbackTokensAreNeeded) {
  const TemporaryBook book;
  const AccessTokens tokens = tokens_of(book, "read 0123456789abcdef\n");
  for (const char* text : {"127.0.0.1:8090", "127.1.2.3:0", "[::1]:65535", "localhost:1"}) {
    const ListenAddress address = parse_listen_address(text);
    EXPECT_TRUE(address.is_loopback) << text;
    EXPECT_NO_THROW(require_access(address, {}));
  }
  for (const char* text : {"0.0.0.0:8090", "192.168.1.1:1", "[::]:1", "[::ffff:127.0.0.1]:1"}) {
    const ListenAddress address = parse_listen_address(text);
    EXPECT_FALSE(address.is_loopback) << text;
    EXPECT_THROW(require_access(address, {}), InputError);
    EXPECT_NO_THROW(require_access(address, tokens));
  }
  for (const char* text :
       {"", "8090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "127.0.0.1:-1",
        "127.0.0.1:80x", "example.com:80", "[::1:80", "127.1:80"})
    EXPECT_THROW(parse_listen_address(text), InputError) << text;
  EXPECT_EQ(url_of({"::1", 80, true}), "http://[::1]:80");
}

TEST_F(HttpLimits, APortInUseIsRefused) {
  start();
  HttpOptions options;
  options.listen.port = port();
  try {
    const HttpServer second(*venue_, {}, options);
    ADD_FAILURE() << "two servers share a port";
  } catch (const OperatingError& error) {
    EXPECT_NE(std::string(error.what()).find("in use"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace shortfall::service
