// Many position changes: how fast, in how little memory, and how long reading them takes. The
// figures are printed; only those that do not depend on the machine are required.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <random>

#include "temporary_store.hpp"
#include "tests/long_share.hpp"

namespace shortfall::service {
namespace {

double seconds(const std::function<void()>& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double resident_mb() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

/// A venue of 1,000 accounts with up to 50 positions each.
PositionChange change(std::uint64_t i) {
  std::mt19937_64 random(i);
  const std::uint64_t account = random() % 1000;
  return {"account-" + std::to_string(account),
          "BTC-27JUN25-" + std::to_string((account * 31 + random() % 50) % 1400 * 500) + "-C",
          Quantity::from_units((static_cast<Quantity::Units>(random() % 2001) - 1000) *
                               100'000'000'000)};
}

void append(StateStore& store, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t next = store.position_sequence() + 1;
    store.append_positions("client-order-" + std::to_string(next), std::vector{change(next)});
  }
}

TEST(StoreLoad, MemoryIsFlatInTheLog) {
  const TemporaryState state;
  const auto count =
      static_cast<std::uint64_t>(std::max(20'000., long_share() * 1e6)) / 1000 * 1000;
  auto store = std::make_unique<StateStore>(state.open());
  const double alone = seconds([&] { append(*store, 1000); });
  std::cout << 1000 / alone << " batches/s, each durable alone\n";

  constexpr std::uint64_t group_size = 20;
  double early_mb = 0, grouped = 0;
  while (store->position_sequence() < count) {
    grouped += seconds([&] {
      GroupCommit group(*store);
      append(*store, group_size);
      group.commit();
    });
    if (store->position_sequence() == count / 10) early_mb = resident_mb();
  }
  const double late_mb = resident_mb();
  std::cout << static_cast<double>(count - 1000) / grouped << " batches/s in groups of "
            << group_size << ", " << count << " in all\n"
            << "resident: " << early_mb << " MB after a tenth, " << late_mb << " MB after all\n";
#ifndef __SANITIZE_ADDRESS__
  // SQLite's cache is 2 MB, and the rest is what the allocator keeps.
  EXPECT_LT(late_mb, early_mb + 4);
#endif

  std::size_t now_count = 0, before_count = 0;
  const double now = seconds([&] { now_count = store->positions_at(count).size(); });
  const double before = seconds([&] { before_count = store->positions_at(count - 1).size(); });
  EXPECT_LE(std::max(now_count, before_count) - std::min(now_count, before_count), 1u);
  const double check = seconds([&] { store->check_all(); });
  store.reset();
  const double file_mb = static_cast<double>(std::filesystem::file_size(state.file())) / 1e6;
  const double open = seconds([&] { store = std::make_unique<StateStore>(state.open()); });
  std::cout << "positions_at: " << now * 1e3 << " ms for the last (" << now_count << " positions), "
            << before * 1e3 << " ms for the one before, from the log\n"
            << "check_all: " << check * 1e3 << " ms; open: " << open * 1e3 << " ms; state.db "
            << file_mb << " MB\n";
}

}  // namespace
}  // namespace shortfall::service
