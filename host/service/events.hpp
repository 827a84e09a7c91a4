// What happens at a venue, for those who listen: the last events are kept, each stream asks for
// what follows the one it has.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace shortfall::service {

struct Event {
  std::uint64_t id = 0;  ///< 1, 2, ...
  std::string name;      ///< margin, call, recovery, run, market
  std::string data;      ///< one line of JSON
};

class EventLog {
 public:
  explicit EventLog(std::size_t kept_max = 1000) : kept_max_(kept_max) {}

  void add(std::string name, std::string data);
  /// Wakes everybody who waits; from now on nobody waits.
  void close();

  struct Next {
    std::vector<Event> events;
    bool has_gap = false;  ///< events after `id` are no longer kept: begin anew from last_id
    bool is_closed = false;
  };
  /// Events after `id`, waited for at most so long.
  Next after(std::uint64_t id, std::chrono::milliseconds wait) const;
  std::uint64_t last_id() const;

 private:
  const std::size_t kept_max_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Event> events_;
  std::uint64_t last_id_ = 0;
  bool is_closed_ = false;
};

}  // namespace shortfall::service
