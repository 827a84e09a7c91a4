// The tail: its order, its fixed point, and its statistics against a full sort in plain double.
#include "shortfall/core/tail.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "shortfall/shortfall.hpp"
#include "tests/temporary_book.hpp"

namespace shortfall {
namespace {

using core::fixed_point;
using core::tail_key;
using core::TailStatistics;
using Keys = std::vector<std::uint64_t>;

constexpr float float_max = std::numeric_limits<float>::max();
constexpr float denormal = std::numeric_limits<float>::denorm_min();

TEST(Tail, KeysOrderByLossThenByLowerPath) {
  const float losses[] = {-float_max, -1.5f, -1.0f, -denormal, 0.0f,
                          denormal,   1.0f,  1.5f,  float_max};
  const std::uint32_t paths[] = {0xffffffffu, 0xfffffffeu, 65536, 1, 0};  // the worst last
  std::uint64_t previous = 0;
  for (const float loss : losses)
    for (const std::uint32_t path : paths) {
      const std::uint64_t key = tail_key(loss, path);
      EXPECT_GT(key, previous) << loss << " " << path;
      EXPECT_EQ(core::bit_cast<std::uint32_t>(core::tail_loss(key)),
                core::bit_cast<std::uint32_t>(loss));
      EXPECT_EQ(core::tail_path(key), path);
      previous = key;
    }
}

TEST(Tail, KeysOrderRandomPairs) {
  std::mt19937 random(1);
  for (int i = 0; i < 1'000'000; ++i) {
    const auto draw = [&] {
      const float loss = core::bit_cast<float>(static_cast<std::uint32_t>(random()));
      return std::isfinite(loss) ? loss + 0.0f : 0.0f;
    };
    const float a = draw(), b = i % 4 ? draw() : a;
    const auto p = static_cast<std::uint32_t>(random()), q = static_cast<std::uint32_t>(random());
    ASSERT_EQ(tail_key(a, p) > tail_key(b, q), a > b || (a == b && p < q)) << a << " " << b;
    ASSERT_EQ(core::tail_loss(tail_key(a, p)), a);
    ASSERT_EQ(core::tail_path(tail_key(a, p)), p);
  }
}

TEST(Tail, FixedPointIsToNearestTiesToEven) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> exponent(-40.0, 17.0);
  const auto check = [](float loss) {
    // 24 bits times a power of two is exact in double, and nearbyint rounds it once.
    ASSERT_EQ(fixed_point(loss), std::llrint(static_cast<double>(loss) * 0x1p30)) << loss;
  };
  for (int i = 0; i < 1'000'000; ++i) {
    const auto size = static_cast<float>(std::exp2(exponent(random)));
    check(random() % 2 ? size : -size);
  }
  for (int n = -4001; n <= 4001; ++n) check(static_cast<float>(n) * 0x1p-31f);  // odd n are ties
  EXPECT_EQ(fixed_point(0x1p-31f), 0);
  EXPECT_EQ(fixed_point(0x3p-31f), 2);
  EXPECT_EQ(fixed_point(-0x3p-31f), -2);
  EXPECT_EQ(fixed_point(denormal), 0);
  EXPECT_EQ(fixed_point(std::nextafter(0x1p17f, 0.0f)), (std::int64_t{1} << 47) - (1 << 23));
}

/// The same statistics in units of losses, in the arithmetic of a textbook.
TailStatistics textbook_statistics(std::vector<double> losses, double confidence_level) {
  std::sort(losses.begin(), losses.end(), std::greater<>());
  double k = (1.0 - confidence_level) * static_cast<double>(losses.size());
  if (std::abs(k - std::round(k)) <= 1e-9 * std::max(1.0, k)) k = std::round(k);
  const auto whole = static_cast<std::size_t>(k);
  long double sum = 0, squares = 0;
  for (std::size_t j = 0; j < whole; ++j) sum += losses[j];
  const double mean = static_cast<double>(sum / static_cast<long double>(whole));
  for (std::size_t j = 0; j < whole; ++j) squares += (losses[j] - mean) * (losses[j] - mean);
  const double var = losses[whole];
  const double es =
      static_cast<double>((sum + (static_cast<long double>(k) - whole) * losses[whole]) / k);
  const double variance = static_cast<double>(squares / static_cast<long double>(whole));
  return {var, es, std::sqrt((variance + confidence_level * (es - var) * (es - var)) / k)};
}

/// The floor(k) + 1 worst keys, the least last and the others in no order.
Keys worst_keys(const std::vector<float>& losses, std::uint64_t count) {
  Keys keys;
  for (std::uint32_t p = 0; p < losses.size(); ++p) keys.push_back(tail_key(losses[p], p));
  std::sort(keys.begin(), keys.end(), std::greater<>());
  keys.resize(count);
  std::shuffle(keys.begin(), keys.end() - 1, std::mt19937(3));
  return keys;
}

TailStatistics statistics_of(const std::vector<float>& losses, double confidence_level) {
  const TailSize size = tail_size(losses.size(), confidence_level);
  TailStatistics s = core::tail_statistics(worst_keys(losses, size.count).data(), size.whole,
                                           size.k, confidence_level);
  for (double* value : {&s.value_at_risk, &s.expected_shortfall, &s.standard_error})
    *value *= 0x1p-30;
  return s;
}

struct LossRow {
  const char* name;
  std::function<float(std::mt19937&)> draw;
};

TEST(Tail, StatisticsAgreeWithAFullSort) {
  const LossRow distributions[] = {
      {"normal", [](auto& r) { return std::normal_distribution<float>(0.0f, 0.1f)(r); }},
      {"heavy", [](auto& r) { return std::student_t_distribution<float>(2.5f)(r); }},
      {"all gains", [](auto& r) { return -std::exponential_distribution<float>(3.0f)(r); }},
      {"mostly tied", [](auto& r) { return r() % 100 < 91 ? 0.25f : 0.5f; }},
      {"far from zero",
       [](auto& r) { return 1000.0f + static_cast<float>(r() % 1000) * 0x1p-13f; }},
  };
  struct Size {
    std::size_t path_count;
    double confidence_level;
  };
  const Size sizes[] = {{100, 0.99},   {101, 0.985},  {1000, 0.9975},     {12'345, 0.99},
                        {9999, 0.975}, {50'000, 0.5}, {200'000, 0.99999}, {300'000, 0.6}};
  for (const LossRow& row : distributions)
    for (const auto& [path_count, confidence_level] : sizes) {
      std::mt19937 random(7);
      std::vector<float> losses(path_count);
      for (float& loss : losses) loss = std::clamp(row.draw(random) + 0.0f, -1e5f, 1e5f);
      const TailStatistics got = statistics_of(losses, confidence_level);
      const TailStatistics want =
          textbook_statistics({losses.begin(), losses.end()}, confidence_level);
      SCOPED_TRACE(testing::Message()
                   << row.name << ", " << path_count << " paths at " << confidence_level);
      // Each loss is rounded to 2^-30, so each mean of losses moves by at most 2^-31; 1e-12 is for
      // the rounding of double in either computation.
      const double scale = std::abs(want.expected_shortfall);
      EXPECT_NEAR(got.value_at_risk, want.value_at_risk, 0x1p-31);
      EXPECT_NEAR(got.expected_shortfall, want.expected_shortfall, 0x1p-31 + 1e-12 * scale);
      EXPECT_NEAR(got.standard_error, want.standard_error, 0x1p-29 + 1e-12 * scale);
      EXPECT_GE(got.expected_shortfall, got.value_at_risk);
    }
}

TEST(Tail, EqualLossesHaveNoError) {
  for (const float loss : {0.0f, 1.25f, -0.37f, denormal, -131071.0f}) {
    const TailStatistics s = statistics_of(std::vector<float>(12'345, loss), 0.99);
    EXPECT_EQ(s.value_at_risk, static_cast<double>(fixed_point(loss)) * 0x1p-30);
    EXPECT_EQ(s.expected_shortfall, s.value_at_risk);
    EXPECT_EQ(s.standard_error, 0.0);
  }
}

TEST(Tail, OrderOfKeysChangesNoBit) {
  std::mt19937 random(4);
  std::vector<float> losses(20'000);
  for (float& loss : losses) loss = std::student_t_distribution<float>(3.0f)(random) + 0.0f;
  const TailSize size = tail_size(losses.size(), 0.97);
  Keys keys = worst_keys(losses, size.count);
  const TailStatistics first = core::tail_statistics(keys.data(), size.whole, size.k, 0.97);
  for (int i = 0; i < 20; ++i) {
    std::shuffle(keys.begin(), keys.end() - 1, random);
    const TailStatistics s = core::tail_statistics(keys.data(), size.whole, size.k, 0.97);
    EXPECT_EQ(s.expected_shortfall, first.expected_shortfall);
    EXPECT_EQ(s.standard_error, first.standard_error);
  }
}

TEST(Tail, ExtremesDoNotOverflow) {
  // Half of the tail at each end of the domain: squares of 2^47 each, 2^114 in all.
  const float most = std::nextafter(0x1p17f, 0.0f);
  constexpr std::uint64_t whole = 1 << 20;
  Keys keys;
  for (std::uint32_t j = 0; j <= whole; ++j)
    keys.push_back(tail_key(j < whole / 2 ? most : -most, j));
  const double q = static_cast<double>(fixed_point(most)), k = static_cast<double>(whole);
  const TailStatistics s = core::tail_statistics(keys.data(), whole, k, 0.99);
  EXPECT_EQ(s.value_at_risk, -q);
  EXPECT_EQ(s.expected_shortfall, 0.0);
  EXPECT_DOUBLE_EQ(s.standard_error, std::sqrt((q * q + 0.99 * q * q) / k));
}

TEST(Tail, ALossBeyondTheFixedPointFailsItsGroup) {
  const TemporaryBook folder;
  const RunConfig config = load_config(folder.path("run.toml"));
  const RunInputs inputs = load_inputs(config);
  const Plan plan = build_plan(config, inputs);
  Tails tails{plan.path_count, plan.tail.count, {}};
  tails.keys.assign(plan.groups.size() * plan.tail.count, tail_key(1.0f, 5));
  EXPECT_NO_THROW(compute_margins(plan, inputs.book, tails, config.margin));
  for (const float loss : {0x1p17f, -0x1p17f, float_max}) {
    tails.keys[plan.tail.count] = tail_key(loss, 99);  // the first of group 1
    try {
      compute_margins(plan, inputs.book, tails, config.margin);
      ADD_FAILURE() << loss << " was summed";
    } catch (const LossError& error) {
      EXPECT_EQ(error.group, 1u);
      EXPECT_EQ(error.path, 99u);
    }
  }
  tails.keys[plan.tail.count] = tail_key(std::nextafter(0x1p17f, 0.0f), 99);
  EXPECT_NO_THROW(compute_margins(plan, inputs.book, tails, config.margin));
}

}  // namespace
}  // namespace shortfall
