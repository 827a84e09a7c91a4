// Kill -9 at random moments while the store is written as fast as it goes: nothing acknowledged is
// lost, nothing is doubled.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "temporary_store.hpp"
#include "tests/long_share.hpp"

namespace shortfall::service {
namespace {

// What is appended under a number follows from the number.

std::string client_id(std::uint64_t sequence) { return "client " + std::to_string(sequence); }

std::vector<PositionChange> changes_of(std::uint64_t sequence) {
  std::mt19937_64 random(sequence);
  std::vector<PositionChange> changes(1 + random() % 4);
  for (PositionChange& one : changes)
    one = {"account " + std::to_string(random() % 20), "instrument " + std::to_string(random() % 9),
           units(static_cast<Quantity::Units>(random() % 7) - 3)};
  return changes;
}

MarketUpdate market_of(std::uint64_t sequence) {
  std::mt19937_64 random(sequence);
  MarketUpdate update{static_cast<std::int64_t>(sequence), {}, {}};
  const auto value = static_cast<double>(sequence);
  update.spots = {{"U" + std::to_string(random() % 3), value}};
  update.marks = {{"instrument " + std::to_string(random() % 9), value, value / 2}};
  return update;
}

std::vector<MarginRow> margins_of(std::uint64_t sequence) {
  std::vector<MarginRow> rows;
  for (std::uint64_t account = sequence % 3; account < 20; account += 3) {
    const std::string name = "account " + std::to_string(account);
    rows.push_back({name, name + "," + std::to_string(sequence)});
  }
  return rows;
}

RunEntry run_of(const StateStore& store) {
  RunEntry entry = a_run();
  entry.market_sequence = store.market_sequence();
  entry.position_sequence = store.position_sequence();
  entry.seed = store.run_sequence() + 1;
  return entry;
}

enum Kind : std::uint64_t { opened, batches, updates, runs, kind_count };

struct Acknowledgement {
  std::uint64_t kind, sequence;
};

void acknowledge(int pipe, Kind kind, std::uint64_t sequence) {
  const Acknowledgement one{kind, sequence};
  if (::write(pipe, &one, sizeof one) != sizeof one) ::_exit(1);
}

std::uint64_t append_batch(StateStore& store) {
  const std::uint64_t sequence = store.position_sequence() + 1;
  return store.append_positions(client_id(sequence), changes_of(sequence)).sequence;
}

constexpr std::uint64_t group_size_max = 8;

/// The life of a process that is going to be killed.
[[noreturn]] void append_for_ever(const std::filesystem::path& directory, int pipe,
                                  std::uint64_t seed) {
  std::mt19937_64 random(seed);
  StateStore store = StateStore::open(directory);
  if (store.inputs_generation() == 0)
    store.adopt(std::vector<InputFileCopy>{{"config", "run.toml", "abc"}});
  acknowledge(pipe, opened, 1);
  for (;;) {
    switch (random() % 4) {
      case 0:
        acknowledge(pipe, batches, append_batch(store));
        break;
      case 1: {
        const std::uint64_t before = store.position_sequence();
        GroupCommit group(store);
        for (std::uint64_t i = random() % group_size_max; i < group_size_max; ++i)
          append_batch(store);
        group.commit();
        for (std::uint64_t i = before + 1; i <= store.position_sequence(); ++i)
          acknowledge(pipe, batches, i);
        break;
      }
      case 2:
        acknowledge(pipe, updates, store.append_market(market_of(store.market_sequence() + 1)));
        break;
      case 3:
        acknowledge(pipe, runs,
                    store.append_run(run_of(store), margins_of(store.run_sequence() + 1)));
        break;
    }
  }
}

/// Numbers acknowledged so far: the last of each kind.
struct Acknowledged {
  std::uint64_t last[kind_count] = {};

  /// Reads until the process has ended.
  void add_from(int pipe) {
    Acknowledgement one;
    while (::read(pipe, &one, sizeof one) == sizeof one) {
      if (one.kind != opened) {
        EXPECT_EQ(one.sequence, last[one.kind] + 1);
      }
      last[one.kind] = one.sequence;
    }
  }
};

void expect_last(const char* what, std::uint64_t stored, std::uint64_t acknowledged,
                 std::uint64_t in_flight_max) {
  EXPECT_GE(stored, acknowledged) << what << " were lost";
  EXPECT_LE(stored, acknowledged + in_flight_max) << what << " were doubled";
}

/// Every batch up to the last is there once, whether its acknowledgement arrived or not.
void expect_batches(StateStore& store) {
  const std::uint64_t last = store.position_sequence();
  std::map<std::pair<std::string, std::string>, Quantity::Units> sums;
  for (std::uint64_t i = 1; i <= last; ++i) {
    for (const PositionChange& one : changes_of(i))
      sums[{one.account, one.instrument}] += one.change.units();
    const Accepted again = store.append_positions(client_id(i), changes_of(i));
    ASSERT_TRUE(again.is_repeat) << i;
    ASSERT_EQ(again.sequence, i);
  }
  Cells expected;
  for (const auto& [cell, sum] : sums)
    if (sum != 0) expected.emplace_back(cell.first, cell.second, sum);
  EXPECT_EQ(cells(store.positions_at(last)), expected);
}

void expect_market(const StateStore& store) {
  const std::uint64_t last = store.market_sequence();
  std::map<std::string, double> values;
  for (std::uint64_t i = 1; i <= last; ++i) {
    const MarketUpdate update = market_of(i);
    values[update.spots[0].underlying] = update.spots[0].spot_usd;
    values[update.marks[0].instrument] = *update.marks[0].mark_price;
  }
  const MarketUpdate market = store.market_at(last);
  EXPECT_EQ(market.as_of, static_cast<std::int64_t>(last));
  std::map<std::string, double> stored;
  for (const SpotMark& one : market.spots) stored[one.underlying] = one.spot_usd;
  for (const InstrumentMark& one : market.marks) {
    stored[one.instrument] = one.mark_price.value_or(-1);
    EXPECT_EQ(one.mark_iv, stored[one.instrument] / 2);
  }
  EXPECT_EQ(stored, values);
}

void expect_runs(const StateStore& store) {
  for (std::uint64_t i = 1; i <= store.run_sequence(); ++i) {
    ASSERT_TRUE(store.run(i));
    EXPECT_EQ(store.run(i)->entry.seed, i);
    const std::vector<MarginRow> stored = store.margins(i), expected = margins_of(i);
    ASSERT_EQ(stored.size(), expected.size()) << i;
    for (std::size_t row = 0; row < stored.size(); ++row)
      EXPECT_EQ(stored[row].csv_row, expected[row].csv_row);
  }
}

/// Starts a process on the directory, and kills it after a time from its start, or from when it has
/// opened the store.
void run_and_kill(const std::filesystem::path& directory, std::uint64_t seed, bool from_start,
                  std::chrono::microseconds time, Acknowledged& acknowledged) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t process = ::fork();
  ASSERT_GE(process, 0);
  if (process == 0) {
    ::close(ends[0]);
    try {
      append_for_ever(directory, ends[1], seed);
    } catch (const std::exception& error) {
      std::cerr << "in the process to be killed: " << error.what() << std::endl;
      ::_exit(1);
    }
  }
  ::close(ends[1]);
  if (!from_start) {
    Acknowledgement first{};
    EXPECT_EQ(::read(ends[0], &first, sizeof first), static_cast<ssize_t>(sizeof first));
    EXPECT_EQ(first.kind, opened);
  }
  // The pipe holds 4,096 acknowledgements: a process that is faster waits, and is killed then.
  std::this_thread::sleep_for(time);
  ::kill(process, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(process, &status, 0), process);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
  acknowledged.add_from(ends[0]);
  ::close(ends[0]);
}

TEST(StoreKill, LosesAndDoublesNothing) {
  std::mt19937_64 random(std::random_device{}());
  const int kill_count = std::max(5, static_cast<int>(std::lround(long_share() * 50)));
  auto state = std::make_unique<TemporaryState>();
  Acknowledged acknowledged;
  std::uint64_t appended_count = 0, unacknowledged_count = 0;
  for (int i = 0; i < kill_count; ++i) {
    // Every fifth kill hits an opening, of a new store every tenth.
    const bool from_start = i % 5 == 4;
    if (i % 10 == 4) {
      state = std::make_unique<TemporaryState>();
      acknowledged = {};
    }
    const std::chrono::microseconds time(random() % (from_start ? 20'000 : 300'000));
    SCOPED_TRACE(testing::Message() << "kill " << i << " after " << time.count() << " us");
    ASSERT_NO_FATAL_FAILURE(
        run_and_kill(state->directory(), random(), from_start, time, acknowledged));

    StateStore store = state->open();
    const std::uint64_t stored[kind_count] = {0, store.position_sequence(), store.market_sequence(),
                                              store.run_sequence()};
    expect_last("batches", stored[batches], acknowledged.last[batches], group_size_max);
    expect_last("market updates", stored[updates], acknowledged.last[updates], 1);
    expect_last("runs", stored[runs], acknowledged.last[runs], 1);
    store.check_all();
    ASSERT_NO_FATAL_FAILURE(expect_batches(store));
    expect_market(store);
    expect_runs(store);
    for (const Kind kind : {batches, updates, runs}) {
      appended_count += acknowledged.last[kind];
      unacknowledged_count += stored[kind] - acknowledged.last[kind];
      acknowledged.last[kind] = stored[kind];
    }
    if (testing::Test::HasFailure()) break;
  }
  std::cout << kill_count << " kills, " << appended_count << " appends checked after them, "
            << unacknowledged_count << " were on the disk and not yet acknowledged\n";
}

}  // namespace
}  // namespace shortfall::service
