// The routes of openapi.json: from a request that was let in to its answer.
#pragma once

#include <httplib.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access.hpp"
#include "http_metrics.hpp"
#include "venue.hpp"

namespace shortfall::service {

/// A number of places, each held as long as what `take` returns.
class Places {
 public:
  explicit Places(std::size_t limit) : limit_(limit) {}
  /// Empty where all are taken.
  std::shared_ptr<void> take();
  std::size_t taken() const { return static_cast<std::size_t>(taken_.use_count() - 1); }
  std::size_t limit() const { return limit_; }

 private:
  const std::size_t limit_;
  std::mutex mutex_;
  const std::shared_ptr<void> taken_ = std::make_shared<char>();
};

struct RouteLimits {
  std::size_t event_streams = 16;
  std::size_t simulations = 16;                    ///< what-ifs and accounts asked for at a time
  std::size_t queued_runs = 64;                    ///< full ones, and those asked for
  std::chrono::milliseconds event_comment{15000};  ///< a comment line where there is no event
  /// Debian's Chart.js: the first that is there.
  std::vector<std::filesystem::path> chart_files = {"/usr/share/javascript/chart.js/chart.min.js",
                                                    "/usr/share/javascript/chart.js/Chart.min.js",
                                                    "/usr/share/javascript/chart.js/chart.umd.js"};
};

/// A request as its route sees it.
struct Call {
  std::string argument;    ///< the {part} of the path, decoded
  std::string_view query;  ///< what follows the question mark
  const std::string& body;
  std::string last_event_id;
  std::function<bool()> is_peer_gone;
};

class Routes;

struct Route {
  const char* method;
  const char* path;  ///< as in openapi.json, with at most one {part}, the last
  Role role;
  void (Routes::*answer)(const Call& call, httplib::Response& response);

  bool takes_body() const { return method[0] == 'P'; }
};

/// For any number of threads.
class Routes {
 public:
  Routes(Venue& venue, const HttpMetrics& metrics, const RouteLimits& limits);

  static std::span<const Route> all();

  struct Found {
    const Route* route = nullptr;
    std::string argument;
  };
  /// Of a path as it was sent. Throws a Refusal: 404, 405, 400.
  static Found find(std::string_view method, std::string_view path);

  /// Throws a Refusal or what the venue throws.
  void answer(const Route& route, const Call& call, httplib::Response& response) {
    (this->*route.answer)(call, response);
  }

 private:
  friend struct RouteTable;

  void put_market(const Call& call, httplib::Response& response);
  void post_positions(const Call& call, httplib::Response& response);
  void get_accounts(const Call& call, httplib::Response& response);
  void get_account(const Call& call, httplib::Response& response);
  void get_instruments(const Call& call, httplib::Response& response);
  void post_what_if(const Call& call, httplib::Response& response);
  void get_runs(const Call& call, httplib::Response& response);
  void post_runs(const Call& call, httplib::Response& response);
  void get_run(const Call& call, httplib::Response& response);
  void get_events(const Call& call, httplib::Response& response);
  void get_engine(const Call& call, httplib::Response& response);
  void get_health(const Call& call, httplib::Response& response);
  void get_readiness(const Call& call, httplib::Response& response);
  void get_metrics(const Call& call, httplib::Response& response);
  void get_open_api(const Call& call, httplib::Response& response);
  void get_page(const Call& call, httplib::Response& response);
  void get_page_file(const Call& call, httplib::Response& response);

  /// What is wrong with a what-if that the venue refused, in the terms of its body.
  [[noreturn]] void refuse_what_if(const WhatIfQuery& query, const InputError& error) const;

  Venue& venue_;
  const HttpMetrics& metrics_;
  const RouteLimits limits_;
  Places streams_, simulations_;
  const std::string event_prefix_;  ///< of event ids: those of another start are not known
};

}  // namespace shortfall::service
