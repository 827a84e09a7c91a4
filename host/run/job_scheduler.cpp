#include "job_scheduler.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace shortfall {

const char* to_string(JobClass value) {
  constexpr const char* names[job_class_count] = {"what_if", "near_call", "full"};
  return names[static_cast<std::size_t>(value)];
}

Job::State Job::state() const {
  const std::lock_guard lock(scheduler->mutex_);
  return state_;
}

void Job::wait() const {
  std::unique_lock lock(scheduler->mutex_);
  scheduler->changed_.wait(lock,
                           [&] { return state_ != State::queued && state_ != State::running; });
  if (failure) std::rethrow_exception(failure);
  if (state_ == State::cancelled) throw JobCancelled();
}

void Job::cancel() {
  const std::lock_guard lock(scheduler->mutex_);
  is_to_stop = true;
  if (state_ != State::queued) return;
  state_ = State::cancelled;
  std::erase_if(scheduler->queue_, [&](const auto& job) { return job.get() == this; });
  scheduler->changed_.notify_all();
}

JobScheduler::JobScheduler() : thread_([this](const std::stop_token& stop) { serve(stop); }) {}

void JobScheduler::close() {
  {
    const std::lock_guard lock(mutex_);
    is_closing_ = true;
    for (const std::shared_ptr<Job>& job : queue_) job->state_ = Job::State::cancelled;
    queue_.clear();
    changed_.notify_all();
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<Job> JobScheduler::submit(JobClass job_class, Clock::time_point deadline,
                                          Work work) {
  auto job = std::make_shared<Job>();
  job->scheduler = this;
  job->job_class = job_class;
  job->deadline = deadline;
  job->submitted = Clock::now();
  job->work = std::move(work);
  const std::lock_guard lock(mutex_);
  job->number = ++submitted_;
  if (is_closing_)
    job->state_ = Job::State::cancelled;
  else
    queue_.push_back(job);
  changed_.notify_all();
  return job;
}

std::array<WaitingJobs, job_class_count> JobScheduler::waiting() const {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  std::array<WaitingJobs, job_class_count> waiting{};
  for (const std::shared_ptr<Job>& job : queue_) {
    WaitingJobs& of_class = waiting[static_cast<std::size_t>(job->job_class)];
    ++of_class.count;
    of_class.oldest_seconds = std::max(of_class.oldest_seconds,
                                       std::chrono::duration<double>(now - job->submitted).count());
  }
  return waiting;
}

/// The most urgent job of the classes before one, out of the queue; null where there is none.
std::shared_ptr<Job> JobScheduler::take(std::size_t below_class) {
  const auto urgency = [](const std::shared_ptr<Job>& job) {
    return std::tuple(job->job_class, job->deadline, job->number);
  };
  const auto first = std::ranges::min_element(queue_, {}, urgency);
  if (first == queue_.end() || static_cast<std::size_t>((*first)->job_class) >= below_class)
    return nullptr;
  std::shared_ptr<Job> job = *first;
  queue_.erase(first);
  return job;
}

void JobScheduler::serve(const std::stop_token& stop) {
  Lock lock(mutex_);
  while (changed_.wait(lock, stop, [&] { return !queue_.empty(); })) {
    if (const std::shared_ptr<Job> job = take(job_class_count)) run(lock, job);
  }
}

void JobScheduler::run(Lock& lock, const std::shared_ptr<Job>& job) {
  job->state_ = Job::State::running;
  job->started = Clock::now();
  lock.unlock();
  Job::State end = Job::State::done;
  try {
    job->work([&] { checkpoint(job); });
  } catch (const JobCancelled&) {
    end = Job::State::cancelled;
  } catch (...) {
    end = Job::State::failed;
    job->failure = std::current_exception();
  }
  job->work = nullptr;  // what it holds may be large
  lock.lock();
  job->state_ = end;
  changed_.notify_all();
}

void JobScheduler::checkpoint(const std::shared_ptr<Job>& job) {
  Lock lock(mutex_);
  for (;;) {
    if (job->is_to_stop || is_closing_) throw JobCancelled();
    const Clock::time_point now = Clock::now();
    if (job->lent > now - job->started - job->lent + grace) return;
    const std::shared_ptr<Job> urgent = take(static_cast<std::size_t>(job->job_class));
    if (!urgent) return;
    run(lock, urgent);
    job->lent += Clock::now() - now;
  }
}

}  // namespace shortfall
