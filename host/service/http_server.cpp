#include "http_server.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "http_metrics.hpp"
#include "refusal.hpp"
#include "text.hpp"
#include "thread_pool.hpp"

namespace shortfall::service {
namespace {

using Clock = Connection::Clock;

constexpr const char* error_type = "application/problem+json";

/// A request between its headers and its answer.
struct Exchange {
  Connection* connection = nullptr;
  Clock::time_point began = Clock::now();
  const Route* route = nullptr;
  std::string argument;
  std::string_view path, query;
  std::optional<Refusal> refusal;  ///< before its route was asked
  bool is_to_close = false;        ///< the connection, after the answer
  bool is_unread = false;          ///< the body, or some of it
};

/// Of the connection that this thread serves: the library's callbacks name none.
thread_local Exchange* current = nullptr;

std::string body_of(const Refusal& refusal) {
  return json_of(refusal).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void send(httplib::Response& response, const Refusal& refusal) {
  response.status = refusal.status;
  response.body.clear();
  for (const auto& [name, value] : refusal.headers) response.set_header(name, value);
  response.set_content(body_of(refusal), error_type);
}

const httplib::Headers& strict_headers() {
  static const httplib::Headers headers = {
      {"Content-Security-Policy",
       "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"}};
  return headers;
}

const char* reason_of(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 408:
      return "Request Timeout";
    case 414:
      return "URI Too Long";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

/// An answer where the library has given none.
std::string raw_answer(const Refusal& refusal) {
  const std::string body = body_of(refusal);
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", refusal.status, reason_of(refusal.status));
  const auto add = [&](const std::string& name, const std::string& value) {
    text += fmt::format("{}: {}\r\n", name, value);
  };
  for (const auto& [name, value] : strict_headers()) add(name, value);
  for (const auto& [name, value] : refusal.headers) add(name, value);
  add("Cache-Control", "no-store");
  add("Content-Type", error_type);
  add("Content-Length", std::to_string(body.size()));
  add("Connection", "close");
  return text + "\r\n" + body;
}

/// What kept a request from being read, which to the library is malformed or nothing.
std::optional<int> status_of_failure(const Connection& connection) {
  if (connection.failure() == Connection::Failure::timed_out) return 408;
  if (connection.failure() == Connection::Failure::too_large)
    return connection.has_line() ? 431 : 414;
  if (connection.failure() == Connection::Failure::malformed) return 400;
  return std::nullopt;
}

bool is_json(std::string_view content_type) {
  const std::string_view media_type = content_type.substr(0, content_type.find(';'));
  constexpr std::string_view wanted = "application/json";
  return media_type.substr(0, media_type.find_last_not_of(" \t") + 1).size() == wanted.size() &&
         ::strncasecmp(media_type.data(), wanted.data(), wanted.size()) == 0;
}

}  // namespace

class HttpServer::Listener : private httplib::Server {
 public:
  Listener(Venue& venue, AccessTokens tokens, const HttpOptions& options);
  ~Listener() override { stop_serving(); }

  const ListenAddress& address() const { return address_; }
  bool is_listening() const { return is_listening_; }
  void stop_serving();

 private:
  bool process_and_close_socket(int socket) override;
  void serve(Connection& connection);

  /// The request's headers are there: lets it in, with its body, or not.
  void receive(httplib::Request& request, Exchange& exchange) const;
  void require_host(const httplib::Request& request) const;
  void require_role(const httplib::Request& request, const Route& route) const;
  std::size_t body_length(const httplib::Request& request) const;
  void read_body(httplib::Request& request, Exchange& exchange) const;

  void answer(const httplib::Request& request, httplib::Response& response);
  static void complete_error(httplib::Response& response);
  void complete_headers(httplib::Response& response) const;
  void record(const httplib::Request& request, const httplib::Response& response);

  Venue& venue_;
  const AccessTokens tokens_;
  const HttpOptions options_;
  ListenAddress address_;
  ConnectionSignals signals_;
  HttpMetrics metrics_;
  Routes routes_;
  std::atomic<bool> is_listening_ = true;
  std::jthread thread_;
};

HttpServer::Listener::Listener(Venue& venue, AccessTokens tokens, const HttpOptions& options)
    : venue_(venue),
      tokens_(std::move(tokens)),
      options_(options),
      address_(options.listen),
      routes_(venue, metrics_, options.routes) {
  require_access(address_, tokens_);
  new_task_queue = [this] {
    return new BoundedPool(options_.thread_count, options_.queue_max, signals_);
  };
  set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    answer(request, response);
    return HandlerResponse::Handled;
  });
  set_error_handler(
      [](const httplib::Request&, httplib::Response& response) { complete_error(response); });
  set_post_routing_handler(
      [this](const httplib::Request&, httplib::Response& response) { complete_headers(response); });
  set_logger([this](const httplib::Request& request, const httplib::Response& response) {
    record(request, response);
  });
  set_default_headers(strict_headers());
  set_keep_alive_max_count(options_.keep_alive_max);
  set_keep_alive_timeout(
      std::chrono::duration_cast<std::chrono::seconds>(options_.connection.idle).count());
  // The library's default lets two processes share a port.
  set_socket_options([](int socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  errno = 0;
  if (address_.port == 0)
    address_.port = bind_to_any_port(address_.host);
  else if (!bind_to_port(address_.host, address_.port))
    address_.port = -1;
  if (address_.port < 0)
    throw OperatingError(fmt::format("cannot listen on {}: {}; choose another with --listen",
                                     url_of(options_.listen),
                                     errno != 0 ? std::strerror(errno) : "no such address"));
  ::listen(svr_sock_, SOMAXCONN);  // the library's backlog is 5
  thread_ = std::jthread([this] {
    listen_after_bind();
    is_listening_ = false;
  });
}

void HttpServer::Listener::stop_serving() {
  if (!thread_.joinable()) return;
  signals_.stop_time = Clock::now();
  venue_.events().close();
  // Until the thread listens there is nothing that the library would stop.
  while (is_listening_ && !is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  stop();
  thread_.join();
}

bool HttpServer::Listener::process_and_close_socket(int socket) {
  Connection connection(socket, options_.connection, signals_);
  try {
    if (BoundedPool::is_turning_away()) {
      metrics_.count_turned_away();
      connection.write_now(raw_answer(
          refuse_for_now(503, "too_many_connections", "too many connections are open", 1)));
    } else {
      serve(connection);
    }
  } catch (const std::exception&) {
    // No memory, or none for a log's line: the client loses its connection, the thread serves on.
  }
  return true;
}

void HttpServer::Listener::serve(Connection& connection) {
  for (std::size_t left = options_.keep_alive_max; left > 0 && connection.wait_for_request();
       --left) {
    Exchange exchange;
    exchange.connection = &connection;
    current = &exchange;
    const bool is_last = left == 1 || signals_.is_stopping();
    bool is_closed = false;
    const bool is_answered =
        process_request(connection, is_last, is_closed,
                        [&](httplib::Request& request) { receive(request, exchange); });
    current = nullptr;
    const std::optional<int> failed = status_of_failure(connection);
    if (!connection.has_answered() && failed && connection.has_begun())
      connection.write(raw_answer(refusal_of_status(*failed)));
    if (exchange.is_unread || failed) return connection.finish();
    if (!is_answered || is_last || is_closed || exchange.is_to_close) return;
  }
}

void HttpServer::Listener::receive(httplib::Request& request, Exchange& exchange) const {
  exchange.began = Clock::now();
  // Compressed and partial answers are not offered.
  for (const char* name : {"Accept-Encoding", "Range", "If-Range"}) request.headers.erase(name);
  request.ranges.clear();
  const std::string_view target = request.target;
  exchange.path = target.substr(0, target.find('?'));
  if (exchange.path.size() < target.size())
    exchange.query = target.substr(exchange.path.size() + 1);
  // Where a body may be, the next request begins only behind it.
  exchange.is_unread =
      request.method.starts_with('P') || request.has_header("Transfer-Encoding") ||
      (request.has_header("Content-Length") && request.get_header_value("Content-Length") != "0");
  try {
    require_host(request);
    Routes::Found found = Routes::find(request.method, exchange.path);
    exchange.route = found.route;
    exchange.argument = std::move(found.argument);
    require_role(request, *found.route);
    if (found.route->takes_body()) read_body(request, exchange);
  } catch (...) {
    exchange.refusal = refusal_of_current_exception();
  }
  request.headers.erase("Expect");  // it was met, or the answer says why not
  exchange.is_to_close = exchange.is_unread || request.version == "HTTP/1.0";
}

void HttpServer::Listener::require_host(const httplib::Request& request) const {
  if (request.get_header_value_count("Host") > 1)
    throw Refusal{400, "malformed", "there is more than one Host", {{"header Host", 0, "twice"}}};
  if (address_.is_loopback && !is_loopback_host(request.get_header_value("Host"), address_))
    throw Refusal{421,
                  "wrong_host",
                  "this service answers as localhost, 127.0.0.1 or [::1] only",
                  {{"header Host", 0, "names another host"}}};
}

void HttpServer::Listener::require_role(const httplib::Request& request, const Route& route) const {
  if (tokens_.empty() || route.role == Role::none) return;
  const std::optional<Role> role = tokens_.role_of(request.get_header_value("Authorization"));
  if (!role)
    throw Refusal{401,
                  "unauthorised",
                  "send a token: Authorization: Bearer TOKEN",
                  {},
                  {{"WWW-Authenticate", "Bearer"}}};
  if (*role < route.role)
    throw Refusal{403, "forbidden",
                  fmt::format("this needs the role {}; the token has {}", to_string(route.role),
                              to_string(*role))};
}

std::size_t HttpServer::Listener::body_length(const httplib::Request& request) const {
  if (request.has_header("Transfer-Encoding") || !request.has_header("Content-Length"))
    throw Refusal{411, "length_required", "send the body with a Content-Length, not in chunks"};
  const std::string text = request.get_header_value("Content-Length");
  std::uint64_t length = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, length);
  const bool is_number = rest == end && !text.empty() && text.front() != '-';
  if (!is_number || request.get_header_value_count("Content-Length") > 1)
    throw Refusal{400,
                  "malformed",
                  "Content-Length is no number",
                  {{"header Content-Length", 0, "write the number of bytes, once"}}};
  if (error == std::errc::result_out_of_range || length > options_.body_bytes_max)
    throw Refusal{413, "too_large",
                  fmt::format("a body has at most {} bytes", options_.body_bytes_max)};
  return static_cast<std::size_t>(length);
}

void HttpServer::Listener::read_body(httplib::Request& request, Exchange& exchange) const {
  const std::size_t length = body_length(request);
  if (!is_json(request.get_header_value("Content-Type")) ||
      request.get_header_value_count("Content-Type") > 1)
    throw Refusal{415,
                  "media_type",
                  "a body is application/json",
                  {{"header Content-Type", 0, "write application/json"}}};
  if (request.has_header("Content-Encoding"))
    throw Refusal{415,
                  "media_type",
                  "a body is not compressed",
                  {{"header Content-Encoding", 0, "leave it out"}}};
  if (const std::string expected = request.get_header_value("Expect"); !expected.empty()) {
    if (::strcasecmp(expected.c_str(), "100-continue") != 0) throw refusal_of_status(417);
    exchange.connection->write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  if (!exchange.connection->read_body(length, request.body)) throw refusal_of_status(408);
  exchange.is_unread = false;
}

void HttpServer::Listener::answer(const httplib::Request& request, httplib::Response& response) {
  Exchange& exchange = *current;
  try {
    if (exchange.refusal) throw Refusal(*exchange.refusal);
    const Connection& connection = *exchange.connection;
    routes_.answer(
        *exchange.route,
        {exchange.argument, exchange.query, request.body, request.get_header_value("Last-Event-ID"),
         [&connection] { return connection.is_peer_gone(); }},
        response);
  } catch (...) {
    send(response, refusal_of_current_exception());
  }
  // A stream has no length: its end is the connection's.
  if (response.content_provider_) exchange.is_to_close = true;
}

/// For what the library refuses by itself; ours have a body.
void HttpServer::Listener::complete_error(httplib::Response& response) {
  if (!response.body.empty()) return;
  Exchange* const exchange = current;
  int status = response.status;
  if (exchange != nullptr) {
    status = status_of_failure(*exchange->connection).value_or(status);
    exchange->is_to_close = true;  // where the next request begins is not known
  }
  send(response, refusal_of_status(status));
}

void HttpServer::Listener::complete_headers(httplib::Response& response) const {
  if (!response.has_header("Cache-Control")) response.set_header("Cache-Control", "no-store");
  if (current == nullptr || !current->is_to_close) return;
  response.headers.erase("Keep-Alive");
  response.headers.erase("Connection");
  response.set_header("Connection", "close");
}

void HttpServer::Listener::record(const httplib::Request& request,
                                  const httplib::Response& response) {
  const Exchange* const exchange = current;
  if (exchange == nullptr) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - exchange->began).count();
  const bool is_known = exchange->route != nullptr;
  metrics_.count(is_known ? exchange->route->path : "other", is_known ? request.method : "any",
                 response.status, seconds);
  if (options_.log)
    options_.log(fmt::format("{} {} {} {:.1f} ms",
                             exchange->path.empty() ? "?" : request.method,  // not yet checked
                             in_quotes(exchange->path), response.status, seconds * 1e3));
}

HttpServer::HttpServer(Venue& venue, AccessTokens tokens, const HttpOptions& options)
    : listener_(std::make_unique<Listener>(venue, std::move(tokens), options)) {}

HttpServer::~HttpServer() = default;

const ListenAddress& HttpServer::address() const { return listener_->address(); }

bool HttpServer::is_listening() const { return listener_->is_listening(); }

void HttpServer::stop() { listener_->stop_serving(); }

}  // namespace shortfall::service
