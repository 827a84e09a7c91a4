// The venue over HTTP: connections, limits and access. What a route answers is in routes.hpp.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "access.hpp"
#include "connection.hpp"
#include "routes.hpp"
#include "venue.hpp"

namespace shortfall::service {

struct HttpOptions {
  ListenAddress listen{"127.0.0.1", 8090, true};
  ConnectionLimits connection;
  RouteLimits routes;
  std::size_t body_bytes_max = 1 << 20;
  std::size_t thread_count = 48;  ///< connections served at a time, event streams among them
  std::size_t queue_max = 64;     ///< connections that wait for a thread; beyond: 503 and closed
  std::size_t keep_alive_max = 1000;     ///< requests of a connection
  std::function<void(std::string)> log;  ///< a line per request; empty: none
};

/// Listens from its construction to its end.
class HttpServer {
 public:
  /// Throws InputError without tokens elsewhere than on loopback, OperatingError where it cannot
  /// listen.
  HttpServer(Venue& venue, AccessTokens tokens, const HttpOptions& options);
  /// Stops.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// With the port that was found.
  const ListenAddress& address() const;
  /// False once it was stopped, or the system took its socket away.
  bool is_listening() const;
  /// Accepts no more, ends event streams, and waits for the requests that have begun: those still
  /// coming have ConnectionLimits::stopping to be complete.
  void stop();

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace shortfall::service
