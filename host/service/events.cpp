#include "events.hpp"

#include <utility>

namespace shortfall::service {

void EventLog::add(std::string name, std::string data) {
  const std::lock_guard lock(mutex_);
  events_.push_back({++last_id_, std::move(name), std::move(data)});
  if (events_.size() > kept_max_) events_.pop_front();
  changed_.notify_all();
}

void EventLog::close() {
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
  changed_.notify_all();
}

EventLog::Next EventLog::after(std::uint64_t id, std::chrono::milliseconds wait) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, wait, [&] { return is_closed_ || last_id_ != id; });
  Next next;
  next.is_closed = is_closed_;
  const std::uint64_t first_kept = last_id_ - events_.size() + 1;
  next.has_gap = id > last_id_ || id + 1 < first_kept;
  if (!next.has_gap)
    for (std::uint64_t i = id + 1; i <= last_id_; ++i)
      next.events.push_back(events_[static_cast<std::size_t>(i - first_kept)]);
  return next;
}

std::uint64_t EventLog::last_id() const {
  const std::lock_guard lock(mutex_);
  return last_id_;
}

}  // namespace shortfall::service
