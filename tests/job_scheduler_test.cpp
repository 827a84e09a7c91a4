// Which job runs when: classes, deadlines, jobs inside jobs, fairness, cancellation.
#include "host/run/job_scheduler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace shortfall {
namespace {

using namespace std::chrono_literals;
using Clock = JobScheduler::Clock;

/// What happened, in order.
class Record {
 public:
  void add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    text_ += text_.empty() ? what : " " + what;
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

/// A job of a class that holds the engine until it is let go.
class Gate {
 public:
  explicit Gate(JobScheduler& scheduler, JobClass job_class = JobClass::full)
      : job_(scheduler.submit(job_class, Clock::now(), [this](const Checkpoint& checkpoint) {
          entered_.set_value();
          opened_.get_future().wait();
          checkpoint();
        })) {
    entered_.get_future().wait();
  }
  void open() { opened_.set_value(); }
  const std::shared_ptr<Job>& job() const { return job_; }

 private:
  std::promise<void> entered_, opened_;
  std::shared_ptr<Job> job_;
};

Work says(Record& record, const std::string& name) {
  return [&record, name](const Checkpoint&) { record.add(name); };
}

void spin(Clock::duration time) {
  for (const auto end = Clock::now() + time; Clock::now() < end;) {
  }
}

TEST(JobScheduler, ClassThenDeadlineThenOrder) {
  Record record;
  JobScheduler scheduler;
  Gate gate(scheduler, JobClass::what_if);  // nothing is more urgent
  const auto now = Clock::now();
  scheduler.submit(JobClass::full, now, says(record, "full"));
  scheduler.submit(JobClass::near_call, now + 2s, says(record, "near-late"));
  scheduler.submit(JobClass::near_call, now + 1s, says(record, "near-early"));
  scheduler.submit(JobClass::what_if, now + 1s, says(record, "what-if-1"));
  scheduler.submit(JobClass::what_if, now + 1s, says(record, "what-if-2"));
  const auto last = scheduler.submit(JobClass::full, now + 1s, says(record, "full-late"));
  std::this_thread::sleep_for(5ms);
  for (const WaitingJobs& of_class : scheduler.waiting()) {
    EXPECT_EQ(of_class.count, 2u);
    EXPECT_GE(of_class.oldest_seconds, 0.005);
    EXPECT_LE(of_class.oldest_seconds, std::chrono::duration<double>(Clock::now() - now).count());
  }
  gate.open();
  last->wait();
  EXPECT_EQ(record.text(), "what-if-1 what-if-2 near-early near-late full full-late");
  EXPECT_EQ(scheduler.waiting()[0].count, 0u);
  EXPECT_EQ(scheduler.waiting()[0].oldest_seconds, 0);
}

TEST(JobScheduler, UrgentJobsRunInsideOthers) {
  Record record;
  JobScheduler scheduler;
  Gate gate(scheduler, JobClass::what_if);
  const auto full = scheduler.submit(JobClass::full, Clock::now(), [&](const Checkpoint& pause) {
    record.add("full(");
    // Submitted by others while it runs.
    scheduler.submit(JobClass::full, Clock::now() - 1s, says(record, "other-full"));
    scheduler.submit(JobClass::near_call, Clock::now(), [&](const Checkpoint& inner) {
      record.add("near(");
      scheduler.submit(JobClass::what_if, Clock::now(), says(record, "what-if"));
      scheduler.submit(JobClass::near_call, Clock::now(), says(record, "other-near"));
      inner();
      record.add(")");
    });
    pause();
    record.add(")");
  });
  gate.open();
  full->wait();
  scheduler.submit(JobClass::full, Clock::now() + 1s, [](const Checkpoint&) {})->wait();
  EXPECT_EQ(record.text(), "full( near( what-if ) other-near ) other-full");
}

/// Under what-ifs without end a job gets half of the time, as measured by whoever runs: the machine
/// may be busy with something else in any of them.
TEST(JobScheduler, NoJobStarves) {
  JobScheduler scheduler;
  std::atomic<bool> is_over = false;
  int answered = 0;
  Clock::duration of_what_ifs{}, longest{};
  const auto timed_spin = [](Clock::duration time) {
    const auto start = Clock::now();
    spin(time);
    return Clock::now() - start;
  };
  std::function<void()> ask = [&] {
    scheduler.submit(JobClass::what_if, Clock::now(), [&](const Checkpoint&) {
      if (is_over) return;
      const Clock::duration time = timed_spin(1ms);
      of_what_ifs += time;
      longest = std::max(longest, time);
      ++answered;
      ask();
    });
  };
  Gate gate(scheduler, JobClass::what_if);
  Clock::duration took{};
  const auto full = scheduler.submit(JobClass::full, Clock::now(), [&](const Checkpoint& pause) {
    ask();
    const auto start = Clock::now();
    for (int unit = 0; unit < 200; ++unit) {
      spin(1ms);
      pause();
    }
    took = Clock::now() - start;
    is_over = true;
  });
  gate.open();
  full->wait();
  EXPECT_LE(of_what_ifs, took - of_what_ifs + JobScheduler::grace + longest);
  EXPECT_GE(answered, 50);  // 200 or so where nothing disturbs
}

TEST(JobScheduler, WaitingJobsAreCancelledAtOnceAndRunningOnesAtACheckpoint) {
  Record record;
  JobScheduler scheduler;
  Gate gate(scheduler);
  const auto queued = scheduler.submit(JobClass::full, Clock::now(), says(record, "never"));
  EXPECT_EQ(gate.job()->state(), Job::State::running);
  EXPECT_EQ(queued->state(), Job::State::queued);
  queued->cancel();
  EXPECT_EQ(queued->state(), Job::State::cancelled);
  EXPECT_THROW(queued->wait(), JobCancelled);
  gate.job()->cancel();
  gate.open();
  EXPECT_THROW(gate.job()->wait(), JobCancelled);
  EXPECT_EQ(gate.job()->state(), Job::State::cancelled);
  const auto next = scheduler.submit(JobClass::full, Clock::now(), says(record, "next"));
  next->wait();
  next->cancel();  // too late to matter
  EXPECT_EQ(next->state(), Job::State::done);
  EXPECT_EQ(record.text(), "next");
}

TEST(JobScheduler, AFailureIsTheJobsOwn) {
  JobScheduler scheduler;
  Gate gate(scheduler, JobClass::what_if);
  const auto outer = scheduler.submit(JobClass::full, Clock::now(), [&](const Checkpoint& pause) {
    const auto inner = scheduler.submit(JobClass::what_if, Clock::now(), [](const Checkpoint&) {
      throw std::runtime_error("broken");
    });
    pause();
    EXPECT_EQ(inner->state(), Job::State::failed);
    EXPECT_THROW(inner->wait(), std::runtime_error);
  });
  gate.open();
  EXPECT_NO_THROW(outer->wait());
  EXPECT_EQ(outer->state(), Job::State::done);
}

TEST(JobScheduler, ItsEndCancelsWhatIsLeft) {
  std::shared_ptr<Job> running, queued;
  std::atomic<int> started = 0;
  {
    JobScheduler scheduler;
    running = scheduler.submit(JobClass::full, Clock::now(), [&](const Checkpoint& pause) {
      ++started;
      for (;;) pause();
    });
    while (!started) std::this_thread::yield();
    queued = scheduler.submit(JobClass::full, Clock::now(), [&](const Checkpoint&) { ++started; });
  }
  EXPECT_EQ(started, 1);
}

}  // namespace
}  // namespace shortfall
