// Books for the tests of the CUDA backend, and what "equal" means there: every bit.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "books.hpp"
#include "shortfall/cuda.hpp"
#include "shortfall/report.hpp"

namespace shortfall {

/// What a book is made of. It has every instrument type, on both sides of the horizon.
struct MixedBook {
  const char* name;
  std::uint64_t path_count = 1000;
  double confidence_level = 0.95;
  Distribution distribution = Distribution::student_t;
  std::uint32_t underlying_count = 1;
  std::uint32_t factor_count = 3;
  int strike_count = 1;               ///< per expiry; 20 options each and underlying
  std::uint32_t unheld_every = 1000;  ///< instruments that nobody holds: one in so many
  int everything_count = 1;           ///< accounts that hold everything
  int sparse_count = 5;               ///< accounts that hold one in twenty
};

inline void PrintTo(const MixedBook& book, std::ostream* out) { *out << book.name; }

/// Every underlying's spot first, then its other factors in turn, further volatilities last.
inline void add_factors(MemoryBook& made, const MixedBook& book) {
  using enum FactorKind;
  constexpr FactorKind kinds[] = {spot, vol, skew, basis, perp};
  constexpr double deviations[] = {0.04, 0.08, 0.05, 0.01, 0.002};
  for (std::uint32_t f = 0; f < book.factor_count; ++f) {
    const std::uint32_t round = f / book.underlying_count;
    const std::uint32_t kind = round < 5 ? round : 1;
    made.add_factor(f % book.underlying_count, kinds[kind], deviations[kind] * (1 + 0.01 * f),
                    kind == 1 ? 30 + 7 * (round - 1) : 0);
    for (std::uint32_t other = 0; other < f; ++other) made.correlate(f, other, 0.3);
  }
}

inline void add_listing(MemoryBook& made, const MixedBook& book, std::uint32_t underlying) {
  using enum InstrumentType;
  const double spot_usd = made.book().underlyings[underlying].spot_usd;
  const auto add = [&](InstrumentType type, Settlement settlement, int hours, double strike,
                       double volatility) {
    const std::int64_t expiry = hours ? made.config.as_of + hours * hour_seconds : 0;
    made.add({"", type, settlement, underlying, expiry, strike, 1, spot_usd * (1 + 1e-5 * hours),
              volatility});
  };
  add(spot, Settlement::linear, 0, 0, 0);
  for (const Settlement settlement : {Settlement::linear, Settlement::inverse}) {
    add(perpetual, settlement, 0, 0, 0);
    for (const int hours : {12, 24, 720, 4320}) add(future, settlement, hours, 0, 0);
    for (const int hours : {12, 24, 216, 1080, 6480})
      for (int level = 0; level < book.strike_count; ++level)
        for (const InstrumentType type : {call, put})
          add(type, settlement, hours, spot_usd * (0.75 + 0.5 * (level + 0.5) / book.strike_count),
              0.5 + 0.01 * level);
  }
}

inline void add_accounts(MemoryBook& made, const MixedBook& book) {
  std::mt19937 random(static_cast<unsigned>(book.factor_count));
  const auto listed = static_cast<std::uint32_t>(made.book().instruments.size());
  const auto hold = [&](MarginMode mode, const std::function<bool(std::uint32_t)>& holds) {
    const std::uint32_t account = made.add_account(mode);
    for (std::uint32_t i = 0; i < listed; ++i)
      if (i % book.unheld_every != 7 && holds(i))
        made.hold(account, i, 0.001 * static_cast<int>(random() % 40'001) - 20.0005);
  };
  for (int a = 0; a < book.everything_count; ++a)
    hold(MarginMode::portfolio, [](std::uint32_t) { return true; });
  for (int a = 0; a < book.sparse_count; ++a)
    hold(a % 2 ? MarginMode::cross : MarginMode::portfolio,
         [&](std::uint32_t) { return random() % 20 == 0; });
  hold(MarginMode::isolated, [](std::uint32_t i) { return i % 10 == 3; });
  // One position each: at the ends of the listing, and here and there between.
  for (std::uint32_t i = 0; i < listed; i += i + 25 < listed ? 24 : 1)
    hold(MarginMode::portfolio, [=](std::uint32_t other) { return other == i; });
  made.hold(made.add_account(), 0, 0);  // nets to nothing
  // Options that expire worthless on every path: all losses are equal.
  for (const InstrumentType type : {InstrumentType::call, InstrumentType::put}) {
    const double spot_usd = made.book().underlyings[0].spot_usd;
    const std::uint32_t far =
        made.add({"", type, Settlement::linear, 0, made.config.as_of + 12 * hour_seconds,
                  spot_usd * (type == InstrumentType::call ? 1.6 : 0.6), 1, spot_usd, 2.0});
    made.add_holder(far, 3);
    made.add_holder(far, -2);
  }
}

inline MemoryBook make_mixed(const MixedBook& book) {
  MemoryBook made(book.path_count);
  made.config.risk.confidence_level = book.confidence_level;
  made.config.model.distribution = book.distribution;
  for (std::uint32_t u = 0; u < book.underlying_count; ++u)
    made.add_underlying(90'000.5 / (1 + 30 * u));
  add_factors(made, book);
  for (std::uint32_t u = 0; u < book.underlying_count; ++u) add_listing(made, book, u);
  add_accounts(made, book);
  return made;
}

/// A test that needs a CUDA device.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    if (found.usable.empty()) GTEST_SKIP() << found.reason;
  }
  int device() const { return found.usable.front().number; }
  const CudaDevices found = find_cuda_devices();
};

/// The baseline of every comparison: the CPU's plainest loops.
inline std::unique_ptr<Backend> make_reference() {
  ComputeConfig config;
  config.backend = BackendChoice::cpu;
  config.thread_count = 1;
  config.instruction_set = InstructionSet::generic;
  return make_backend(config);
}

inline Tails simulate_all(Backend& backend, const Plan& plan) {
  return backend.simulate(plan, {0, plan.path_count}, {});
}

/// Keys in falling order: backends leave them in different ones.
inline std::vector<std::uint64_t> sorted_keys(const Tails& tails, std::size_t group) {
  std::vector<std::uint64_t> keys(tails.group(group), tails.group(group) + tails.count);
  std::sort(keys.begin(), keys.end(), std::greater<>());
  return keys;
}

inline void expect_equal_tails(const Plan& plan, const Tails& got, const Tails& want) {
  ASSERT_EQ(got.path_count, want.path_count);
  ASSERT_EQ(got.count, want.count);
  ASSERT_EQ(got.keys.size(), plan.groups.size() * got.count);
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const std::vector<std::uint64_t> keys = sorted_keys(want, g);
    ASSERT_EQ(sorted_keys(got, g), keys) << "group " << g;
    ASSERT_EQ(got.group(g)[got.count - 1], keys.back()) << "the least is last, group " << g;
  }
}

template <class T>
void expect_same_bits(const char* stage, const std::vector<T>& got, const std::vector<T>& want) {
  ASSERT_EQ(got.size(), want.size()) << stage;
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(T)), 0)
        << stage << ", element " << i << ": " << got[i] << " is not " << want[i];
}

inline void expect_equal_stages(const PathTrace& got, const PathTrace& want) {
  EXPECT_EQ(got.first_path, want.first_path);
  EXPECT_EQ(got.path_count, want.path_count);
  expect_same_bits("normals", got.normals, want.normals);
  expect_same_bits("mixing", got.mixing, want.mixing);
  expect_same_bits("factors", got.factors, want.factors);
  expect_same_bits("states", got.states, want.states);
  expect_same_bits("values", got.values, want.values);
  expect_same_bits("losses", got.losses, want.losses);
}

}  // namespace shortfall
