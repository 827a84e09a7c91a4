#include "event_stream.hpp"

#include <fmt/format.h>

#include <charconv>
#include <utility>

namespace shortfall::service {

EventStream::EventStream(const EventLog& log, Options options)
    : log_(log), options_(std::move(options)), id_(log.last_id()) {
  const std::string& last = options_.last_event_id;
  if (last.empty()) return;
  is_unknown_ = true;
  if (!last.starts_with(options_.id_prefix)) return;
  std::uint64_t id = 0;
  const char* const end = last.data() + last.size();
  const auto [rest, error] = std::from_chars(last.data() + options_.id_prefix.size(), end, id);
  if (error != std::errc() || rest != end || id > id_) return;
  id_ = id;
  is_unknown_ = false;
}

bool EventStream::write(httplib::DataSink& sink, const std::string& text) {
  last_write_ = std::chrono::steady_clock::now();
  return sink.write(text.data(), text.size());
}

bool EventStream::operator()(httplib::DataSink& sink) {
  constexpr const char* comment = ": \n\n";
  constexpr const char* reset = "event: reset\ndata: {}\n\n";
  if (!has_begun_) {
    has_begun_ = true;
    return write(sink, is_unknown_ ? std::string(comment) + reset : comment);
  }
  const EventLog::Next next =
      log_.after(id_, std::min(options_.comment, std::chrono::milliseconds(1000)));
  if (options_.is_peer_gone()) return false;
  std::string text;
  if (next.has_gap) {
    id_ = log_.last_id();
    text = reset;
  }
  for (const Event& event : next.events) {
    text += fmt::format("id: {}{}\nevent: {}\ndata: {}\n\n", options_.id_prefix, event.id,
                        event.name, event.data);
    id_ = event.id;
  }
  if (text.empty() && !next.is_closed &&
      std::chrono::steady_clock::now() - last_write_ >= options_.comment)
    text = comment;
  if (!text.empty() && !write(sink, text)) return false;
  if (next.is_closed) sink.done();
  return true;
}

}  // namespace shortfall::service
