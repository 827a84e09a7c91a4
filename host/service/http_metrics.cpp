#include "http_metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <sstream>
#include <utility>
#include <vector>

namespace shortfall::service {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

/// A family of the venue's, of one metric or one per value of a label.
class Families {
 public:
  void counter(const char* name, const char* help, double value) {
    begin(name, help, MetricType::Counter);
    add(value);
  }
  void gauge(const char* name, const char* help, double value) {
    begin(name, help, MetricType::Gauge);
    add(value);
  }
  void begin(const char* name, const char* help, MetricType type) {
    all_.push_back({name, help, type, {}});
  }
  void add(double value, const char* label = nullptr, const char* label_value = nullptr) {
    prometheus::ClientMetric metric;
    if (label != nullptr) metric.label.push_back({label, label_value});
    if (all_.back().type == MetricType::Counter)
      metric.counter.value = value;
    else
      metric.gauge.value = value;
    all_.back().metric.push_back(std::move(metric));
  }
  std::vector<MetricFamily> take() { return std::move(all_); }

 private:
  std::vector<MetricFamily> all_;
};

/// Seconds: of what is answered from memory to a simulation of a large account.
const prometheus::Histogram::BucketBoundaries latency_bounds = {
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

double count_of(std::uint64_t value) { return static_cast<double>(value); }

}  // namespace

HttpMetrics::HttpMetrics()
    : requests_(prometheus::BuildCounter()
                    .Name("shortfall_http_requests_total")
                    .Help("Requests answered, by route, method and status.")
                    .Register(registry_)),
      latencies_(prometheus::BuildHistogram()
                     .Name("shortfall_http_request_seconds")
                     .Help("From a request's headers to its answer, by route and method.")
                     .Register(registry_)),
      turned_away_(prometheus::BuildCounter()
                       .Name("shortfall_http_turned_away_total")
                       .Help("Connections told 503 because too many were open.")
                       .Register(registry_)
                       .Add({})),
      start_seconds_(
          std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
              .count()) {}

void HttpMetrics::count(const std::string& route, const std::string& method, int status,
                        double seconds) {
  requests_.Add({{"route", route}, {"method", method}, {"status", std::to_string(status)}})
      .Increment();
  latencies_.Add({{"route", route}, {"method", method}}, latency_bounds).Observe(seconds);
}

std::string HttpMetrics::text(const EngineView& engine, const VenueCounts& counts, bool is_ready,
                              std::size_t stream_count) const {
  Families f;
  f.begin("shortfall_runs_total", "Runs that ended, by outcome.", MetricType::Counter);
  f.add(count_of(counts.runs_done), "outcome", "done");
  f.add(count_of(counts.runs_failed), "outcome", "failed");
  f.counter("shortfall_what_ifs_total", "What-ifs answered.", count_of(counts.what_ifs));
  f.counter("shortfall_market_updates_total", "Market updates accepted.",
            count_of(counts.market_updates));
  f.counter("shortfall_position_batches_total", "Batches of position changes accepted.",
            count_of(counts.position_batches));
  f.counter("shortfall_backend_errors_total", "Failures of backends.",
            count_of(counts.backend_errors));
  f.counter("shortfall_paths_total", "Paths of runs that are done.", count_of(counts.paths));
  f.gauge("shortfall_paths_per_second", "Paths per second of the last run.",
          engine.paths_per_second);
  constexpr const char* classes[job_class_count] = {"whatif", "near_call", "periodic"};
  f.begin("shortfall_queue_jobs", "Jobs that wait, by class.", MetricType::Gauge);
  for (std::size_t c = 0; c < job_class_count; ++c)
    f.add(count_of(engine.waiting[c].count), "class", classes[c]);
  f.begin("shortfall_queue_oldest_seconds", "Age of the oldest job that waits, by class; 0: none.",
          MetricType::Gauge);
  for (std::size_t c = 0; c < job_class_count; ++c)
    f.add(engine.waiting[c].oldest_seconds, "class", classes[c]);
  f.gauge("shortfall_stale_seconds", "Age of the stalest margin's first missed change.",
          engine.stalest_seconds);
  f.gauge("shortfall_stale_accounts", "Accounts whose margin misses a change.",
          count_of(engine.stale_account_count));
  f.gauge("shortfall_accounts", "Accounts.", count_of(engine.account_count));
  f.gauge("shortfall_instruments", "Instruments listed.", count_of(engine.instrument_count));
  f.gauge("shortfall_market_sequence", "The last market update.", count_of(engine.market_sequence));
  f.gauge("shortfall_position_sequence", "The last batch of position changes.",
          count_of(engine.position_sequence));
  f.gauge("shortfall_run_sequence", "The last entry of the ledger.", count_of(engine.run_sequence));
  f.gauge("shortfall_ready", "1 where every account has a margin.", is_ready ? 1 : 0);
  f.gauge("shortfall_event_streams", "Event streams that are open.", count_of(stream_count));
  f.gauge("process_start_time_seconds", "Start of the process since the epoch.", start_seconds_);
  std::vector<MetricFamily> all = f.take();
  for (MetricFamily& family : registry_.Collect()) all.push_back(std::move(family));
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, all);
  return out.str();
}

}  // namespace shortfall::service
