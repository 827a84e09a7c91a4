// Jobs of several classes on one engine: the urgent ones run inside the others, between two tiles
// of paths.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "shortfall/error.hpp"

namespace shortfall {

/// In order of urgency.
enum class JobClass : std::uint8_t { what_if, near_call, full };
inline constexpr std::size_t job_class_count = 3;
const char* to_string(JobClass value);

/// What work throws, from its checkpoint, once its job is cancelled.
class JobCancelled : public OperatingError {
 public:
  JobCancelled() : OperatingError("cancelled") {}
};

/// Called by work between two units of it, a few milliseconds at most: more urgent jobs run in this
/// call, on the calling thread. Throws JobCancelled.
using Checkpoint = std::function<void()>;
using Work = std::function<void(const Checkpoint&)>;

class JobScheduler;

/// Something that was submitted.
class Job {
 public:
  enum class State : std::uint8_t { queued, running, done, failed, cancelled };

  State state() const;
  /// Until it is done, failed or cancelled. Throws what the work threw, or JobCancelled.
  void wait() const;
  /// A queued job never starts; a running one ends at its next checkpoint.
  void cancel();

 private:
  friend class JobScheduler;
  using Clock = std::chrono::steady_clock;

  JobScheduler* scheduler = nullptr;
  JobClass job_class = JobClass::full;
  Clock::time_point deadline, submitted;
  std::uint64_t number = 0;
  Work work;
  State state_ = State::queued;
  bool is_to_stop = false;
  std::exception_ptr failure;
  Clock::time_point started;
  Clock::duration lent{};  ///< time that more urgent jobs took inside it
};

/// Jobs of a class that wait.
struct WaitingJobs {
  std::size_t count = 0;
  double oldest_seconds = 0;  ///< since the first of them was submitted
};

/// One thread that runs the most urgent job: by class, then earliest deadline, then first come. A
/// job that is running goes on until its checkpoint, where jobs of more urgent classes run, as long
/// as they have taken no more of its time than it has had itself, give or take `grace`: so that a
/// job ends within about twice the time it takes alone, however many there are.
///
/// Results are those of the work alone whatever the order: jobs share no state here.
class JobScheduler {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::duration grace = std::chrono::milliseconds(20);

  JobScheduler();
  ~JobScheduler() { close(); }
  JobScheduler(const JobScheduler&) = delete;
  JobScheduler& operator=(const JobScheduler&) = delete;

  /// Once closed, the job is cancelled.
  std::shared_ptr<Job> submit(JobClass job_class, Clock::time_point deadline, Work work);
  /// Cancels what is left and waits for it. Not from work.
  void close();

  /// By class.
  std::array<WaitingJobs, job_class_count> waiting() const;

 private:
  friend class Job;
  using Lock = std::unique_lock<std::mutex>;

  void serve(const std::stop_token& stop);
  std::shared_ptr<Job> take(std::size_t below_class);
  void run(Lock& lock, const std::shared_ptr<Job>& job);
  void checkpoint(const std::shared_ptr<Job>& job);

  mutable std::mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::vector<std::shared_ptr<Job>> queue_;
  std::uint64_t submitted_ = 0;
  bool is_closing_ = false;
  std::jthread thread_;  ///< last: it uses all of the above
};

}  // namespace shortfall
