// A small book, its venue and its server on a port of its own; and clients, polite and raw.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "service/http_server.hpp"
#include "tests/temporary_book.hpp"

namespace shortfall::service {

using nlohmann::json;
using std::chrono::milliseconds;

/// Until `is_so`, for at most ten seconds.
template <class Predicate>
bool eventually(Predicate is_so) {
  for (int tries = 0; tries < 1000; ++tries) {
    if (is_so()) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

/// A connection that sends what no client library would.
class RawClient {
 public:
  explicit RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { ::close(socket_); }

  /// False where the server has hung up.
  bool send(const std::string& text) {
    for (std::size_t sent = 0; sent < text.size();) {
      const ssize_t count = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent += static_cast<std::size_t>(count);
    }
    return true;
  }

  /// Everything until the server ends the connection, or `wanted` is in it.
  std::string receive(const std::string& wanted = "", milliseconds wait = milliseconds(10000)) {
    const auto until = std::chrono::steady_clock::now() + wait;
    while (wanted.empty() || received_.find(wanted) == std::string::npos) {
      const auto left =
          std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
      pollfd entry{socket_, POLLIN, 0};
      if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) <= 0) break;
      char piece[65536];
      const ssize_t count = ::recv(socket_, piece, sizeof piece, 0);
      if (count <= 0) {
        is_ended_ = true;
        break;
      }
      received_.append(piece, static_cast<std::size_t>(count));
    }
    return received_;
  }

  /// No more is to come.
  void finish() { ::shutdown(socket_, SHUT_WR); }
  /// Goes without a word, and takes nothing more.
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

  /// After receive: whether the server ended the connection.
  bool is_ended() const { return is_ended_; }

 private:
  const int socket_;
  std::string received_;
  bool is_ended_ = false;
};

inline int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9)) : 0;
}

class ServedBook : public ::testing::Test {
 protected:
  struct Answer {
    int status = 0;
    httplib::Headers headers;
    std::string body;

    json read() const { return json::parse(body); }
    std::string header(const std::string& name) const {
      const auto at = headers.find(name);
      return at == headers.end() ? "" : at->second;
    }
  };

  /// Every account has a margin.
  void start(const HttpOptions& options = {}, AccessTokens tokens = {},
             const std::string& margin = "") {
    if (!margin.empty()) {
      const RunConfig plain = load_config(book_.path("run.toml"));
      book_.write("run.toml",
                  "[inputs]\nunderlyings = \"underlyings.csv\"\ninstruments = "
                  "\"instruments.csv\"\npositions = \"positions.csv\"\ncovariance = "
                  "\"covariance.csv\"\naccounts = \"accounts.csv\"\ncollateral = "
                  "\"collateral.csv\"\n[market]\nas_of = 2025-06-27T08:00:00Z\n" +
                      margin);
    }
    RunOverrides overrides;
    overrides.path_count = 2000;
    overrides.backend = BackendChoice::cpu;
    overrides.thread_count = 1;
    venue_ = std::make_unique<Venue>(load_config(book_.path("run.toml"), overrides),
                                     book_.path("state"), venue_options_);
    HttpOptions any_port = options;
    any_port.listen.port = 0;
    server_ = std::make_unique<HttpServer>(*venue_, std::move(tokens), any_port);
    ASSERT_TRUE(eventually([this] { return venue_->is_ready(); }));
  }

  int port() const { return server_->address().port; }
  RawClient connect() const { return RawClient(port()); }

  Answer ask(const std::string& method, const std::string& path, const std::string& body = "",
             const httplib::Headers& headers = {}) const {
    httplib::Client client("127.0.0.1", port());
    client.set_read_timeout(20);
    httplib::Request request;
    request.method = method;
    request.path = path;
    request.headers = headers;
    request.body = body;
    if (!body.empty() && !request.has_header("Content-Type"))
      request.set_header("Content-Type", "application/json");
    const httplib::Result result = client.send(request);
    EXPECT_TRUE(result) << method << " " << path << ": " << httplib::to_string(result.error());
    return result ? Answer{result->status, result->headers, result->body} : Answer{};
  }

  json read(const std::string& path) const {
    const Answer answer = ask("GET", path);
    EXPECT_EQ(answer.status, 200) << path << ": " << answer.body;
    return answer.read();
  }

  /// "GET path" with the headers that every request needs.
  static std::string request_text(const std::string& first_line, const std::string& headers = "",
                                  const std::string& body = "") {
    return first_line + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + body;
  }

  TemporaryBook book_;
  VenueOptions venue_options_{.full_run_seconds = 3600};
  std::unique_ptr<Venue> venue_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace shortfall::service
