#include "thread_pool.hpp"

#include <utility>

namespace shortfall::service {
namespace {

thread_local bool turns_away = false;

}  // namespace

BoundedPool::BoundedPool(std::size_t thread_count, std::size_t queue_max,
                         ConnectionSignals& signals)
    : queue_max_(queue_max), signals_(signals) {
  for (std::size_t t = 0; t < thread_count; ++t) threads_.emplace_back([this] { serve(); });
}

bool BoundedPool::is_turning_away() { return turns_away; }

void BoundedPool::enqueue(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() < queue_max_) {
      queue_.push_back(std::move(work));
      signals_.waiting_count = queue_.size();
      changed_.notify_one();
      return;
    }
  }
  turns_away = true;
  work();
  turns_away = false;
}

void BoundedPool::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    is_closing_ = true;
  }
  changed_.notify_all();
  threads_.clear();
}

void BoundedPool::serve() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return is_closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
      signals_.waiting_count = queue_.size();
    }
    work();
  }
}

}  // namespace shortfall::service
