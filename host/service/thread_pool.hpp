// Threads for connections, and a bounded queue in front of them.
#pragma once

#include <httplib.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "connection.hpp"

namespace shortfall::service {

/// Beyond the queue, work is run at once on the accepting thread, which `is_turning_away` then:
/// work has to be brief about it. The HTTP library would leak the socket of work that is dropped.
class BoundedPool : public httplib::TaskQueue {
 public:
  BoundedPool(std::size_t thread_count, std::size_t queue_max, ConnectionSignals& signals);

  void enqueue(std::function<void()> work) override;
  void shutdown() override;

  static bool is_turning_away();

 private:
  void serve();

  const std::size_t queue_max_;
  ConnectionSignals& signals_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool is_closing_ = false;
  std::vector<std::jthread> threads_;  ///< last: they use all of the above
};

}  // namespace shortfall::service
