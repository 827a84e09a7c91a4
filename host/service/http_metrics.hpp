// Metrics for Prometheus: of requests, counted here, and of the venue, asked when they are read.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

#include "venue.hpp"

namespace shortfall::service {

/// For any number of threads.
class HttpMetrics {
 public:
  HttpMetrics();

  /// `route` is a path of the document, or "other"; seconds as far as the answer was there.
  void count(const std::string& route, const std::string& method, int status, double seconds);
  /// A connection that was told 503 unheard.
  void count_turned_away() { turned_away_.Increment(); }

  /// Text exposition format 0.0.4.
  std::string text(const EngineView& engine, const VenueCounts& counts, bool is_ready,
                   std::size_t stream_count) const;

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& latencies_;
  prometheus::Counter& turned_away_;
  const double start_seconds_;
};

}  // namespace shortfall::service
