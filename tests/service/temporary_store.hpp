// A state directory of its own for a test, and what to put into it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "host/service/database.hpp"
#include "host/service/store.hpp"

namespace shortfall::service {

class TemporaryState {
 public:
  TemporaryState() {
    static std::atomic<int> count{0};
    root_ = std::filesystem::temp_directory_path() /
            ("shortfall-store-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
    std::filesystem::create_directories(root_);
  }
  TemporaryState(const TemporaryState&) = delete;
  TemporaryState& operator=(const TemporaryState&) = delete;
  ~TemporaryState() { std::filesystem::remove_all(root_); }

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path directory() const { return root_ / "state"; }
  std::filesystem::path file() const { return directory() / "state.db"; }
  StateStore open() const { return StateStore::open(directory()); }
  /// Past the store, as someone with another program would.
  Database database() const { return Database(file(), false); }

 private:
  std::filesystem::path root_;
};

inline Quantity units(Quantity::Units value) { return Quantity::from_units(value); }

using Cells = std::vector<std::tuple<std::string, std::string, Quantity::Units>>;

inline Cells cells(const std::vector<NetPosition>& positions) {
  Cells cells;
  for (const NetPosition& one : positions)
    cells.emplace_back(one.account, one.instrument, one.quantity.units());
  return cells;
}

/// The fault and message of what is thrown; fails the test where nothing is.
template <class Action>
StoreError fault_of(Action action) {
  try {
    action();
  } catch (const StoreError& error) {
    return error;
  }
  ADD_FAILURE() << "no StoreError was thrown";
  return StoreError(StoreFault::failed, "");
}

inline void expect_fault(const StoreError& error, StoreFault fault, const std::string& part) {
  EXPECT_EQ(error.fault(), fault) << error.what();
  EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
}

inline RunEntry a_run() {
  RunEntry entry;
  entry.inputs_generation = 1;
  entry.as_of = 1'750'000'000;
  entry.seed = 7;
  entry.path_count = 100'000;
  entry.sampler = "philox";
  entry.plan_hash = "aa";
  entry.program_version = "0.1.0";
  return entry;
}

}  // namespace shortfall::service
