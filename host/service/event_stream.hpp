// Server-sent events (WHATWG HTML, section 9.2) of a log.
#pragma once

#include <httplib.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "events.hpp"

namespace shortfall::service {

class EventStream {
 public:
  struct Options {
    std::string id_prefix;              ///< of every id
    std::string last_event_id;          ///< the header; empty: begin with what happens next
    std::chrono::milliseconds comment;  ///< after so long without an event
    std::function<bool()> is_peer_gone;
    std::shared_ptr<void> place;  ///< held as long as the stream
  };
  EventStream(const EventLog& log, Options options);

  /// Waits for what comes next, at most a second, and writes it; false where the client has gone.
  bool operator()(httplib::DataSink& sink);

 private:
  bool write(httplib::DataSink& sink, const std::string& text);

  const EventLog& log_;
  Options options_;
  std::uint64_t id_ = 0;
  bool is_unknown_ = false;  ///< what the client has is not known here
  bool has_begun_ = false;
  std::chrono::steady_clock::time_point last_write_;
};

}  // namespace shortfall::service
