// What must hold for any book: coherence of the margin, and independence of order and company.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "books.hpp"

namespace shortfall {
namespace {

constexpr std::uint64_t path_count = 4'005;  // k = 40.05 at 99 %

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
  }
  std::uint32_t below(std::size_t count) { return static_cast<std::uint32_t>(engine_() % count); }
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

/// Two underlyings, 94 instruments of every type and six accounts of every mode.
MemoryBook random_book(std::uint64_t seed) {
  using enum InstrumentType;
  MemoryBook made(path_count);
  made.config.risk.seed = seed;
  if (seed % 2) made.config.model.distribution = Distribution::student_t;
  Random random(seed);
  for (const double spot_usd : {95'000.0, 3'100.0}) {
    const std::uint32_t coin = made.add_underlying(spot_usd);
    made.add_factor(coin, FactorKind::spot, 0.03);
    made.add_factor(coin, FactorKind::vol, 0.09, 7);
    made.add_factor(coin, FactorKind::vol, 0.04, 90);
    made.add_factor(coin, FactorKind::skew, 0.01);
    made.add_factor(coin, FactorKind::basis, 0.01);
    made.add_factor(coin, FactorKind::perp, 0.0005);
    made.add({"", spot, Settlement::linear, coin, 0, 0, 1, spot_usd, 0});
    made.add({"", perpetual, Settlement::linear, coin, 0, 0, 0.01, spot_usd * 1.0003, 0});
    made.add({"", perpetual, Settlement::inverse, coin, 0, 0, 10, spot_usd * 1.0003, 0});
    for (int n = 0; n < 44; ++n) {
      const std::int64_t expiry = made.config.as_of + hour_seconds * (1 + random.below(4'000));
      const auto settlement = random.below(2) ? Settlement::inverse : Settlement::linear;
      const InstrumentType type = n < 4 ? future : (n % 2 ? call : put);
      const double strike = type == future ? 0 : spot_usd * random.uniform(0.6, 1.6);
      made.add({"", type, settlement, coin, expiry, strike, type == future ? 10.0 : 1.0,
                spot_usd * random.uniform(0.98, 1.05),
                type == future ? 0 : random.uniform(0.3, 1.2)});
    }
  }
  made.correlate(0, 6, 0.8);
  made.correlate(0, 1, -0.4);
  for (const MarginMode mode : {MarginMode::portfolio, MarginMode::cross, MarginMode::isolated,
                                MarginMode::portfolio, MarginMode::cross, MarginMode::isolated}) {
    const std::uint32_t account = made.add_account(mode);
    for (std::uint32_t i = 0; i < made.book().instruments.size(); ++i)
      if (random.below(3) == 0) made.hold(account, i, random.uniform(-5, 5));
  }
  made.sort_positions();
  return made;
}

/// Everything but the name.
void expect_same_bits(const AccountMargin& a, const AccountMargin& b, double scale = 1) {
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.position_count, b.position_count);
  EXPECT_EQ(a.gross_notional_usd * scale, b.gross_notional_usd);
  EXPECT_EQ(a.value_at_risk_usd * scale, b.value_at_risk_usd);
  EXPECT_EQ(a.expected_shortfall_usd * scale, b.expected_shortfall_usd);
  EXPECT_EQ(a.standard_error_usd * scale, b.standard_error_usd);
  EXPECT_EQ(a.margin_usd * scale, b.margin_usd);
}

class Properties : public testing::TestWithParam<std::uint64_t> {
 protected:
  Properties() : made_(random_book(GetParam())), margins_(margins_of(made_)), random_(GetParam()) {}

  /// The bound on the error of a figure of one account.
  double error_max(double gross_notional_usd) {
    if (ratio_max_ == 0) {
      const Plan plan = made_.plan();
      const std::vector<double> ratios =
          spot_ratios(plan, made_.inputs, trace_paths(plan, 0, path_count));
      ratio_max_ = *std::ranges::max_element(ratios);
    }
    return loss_error_max * ratio_max_ * gross_notional_usd;
  }

  /// Keeps the positions that a condition holds for.
  MemoryBook only(const std::function<bool(const Position&)>& is_kept) const {
    MemoryBook kept = made_;
    std::erase_if(kept.book().positions, std::not_fn(is_kept));
    return kept;
  }

  MemoryBook made_;
  std::vector<AccountMargin> margins_;
  Random random_;
  double ratio_max_ = 0;
};

TEST_P(Properties, ExpectedShortfallIsAtLeastValueAtRisk) {
  for (const double level : {0.5, 0.9, 0.99, 0.999}) {
    made_.config.risk.confidence_level = level;
    for (const AccountMargin& margin : margins_of(made_)) {
      EXPECT_GE(margin.expected_shortfall_usd, margin.value_at_risk_usd);
      EXPECT_GE(margin.standard_error_usd, 0);
    }
  }
}

TEST_P(Properties, GrowsWithTheConfidenceLevel) {
  made_.config.risk.confidence_level = 0.98;
  const std::vector<AccountMargin> lower = margins_of(made_);
  for (std::size_t a = 0; a < margins_.size(); ++a) {
    EXPECT_GE(margins_[a].value_at_risk_usd, lower[a].value_at_risk_usd);
    EXPECT_GE(margins_[a].expected_shortfall_usd, lower[a].expected_shortfall_usd);
  }
}

TEST_P(Properties, TwiceTheQuantitiesHaveTwiceTheMarginInEveryBit) {
  for (Position& p : made_.book().positions)
    p.quantity = Quantity::from_units(2 * p.quantity.units());
  const std::vector<AccountMargin> twice = margins_of(made_);
  for (std::size_t a = 0; a < margins_.size(); ++a) expect_same_bits(margins_[a], twice[a], 2);
}

TEST_P(Properties, ThriceTheQuantitiesHaveThriceTheMargin) {
  for (Position& p : made_.book().positions)
    p.quantity = Quantity::from_units(3 * p.quantity.units());
  const std::vector<AccountMargin> thrice = margins_of(made_);
  for (std::size_t a = 0; a < margins_.size(); ++a)
    EXPECT_NEAR(3 * margins_[a].margin_usd, thrice[a].margin_usd,
                2 * error_max(thrice[a].gross_notional_usd));
}

TEST_P(Properties, AConstantLossMovesEverythingByItself) {
  // Gaussian moves of 3 % do not reach a strike of 2.5 times the spot: the premium is lost.
  made_.config.model.distribution = Distribution::gaussian;
  margins_ = margins_of(made_);
  const double spot_usd = made_.book().underlyings[0].spot_usd;
  const std::uint32_t lottery =
      made_.add({"", InstrumentType::call, Settlement::linear, 0,
                 made_.config.as_of + day_seconds / 2, 2.5 * spot_usd, 1, spot_usd, 10});
  const std::vector<double> still(made_.inputs.covariance.factors.size());
  double change_usd = 0;
  reference::revalue(made_.config, made_.inputs, made_.book().instruments[lottery],
                     {still.data(), 1}, &change_usd);
  ASSERT_LT(change_usd, -1e-3 * spot_usd);
  constexpr double contracts = 20;
  for (std::uint32_t a = 0; a < margins_.size(); ++a) made_.hold(a, lottery, contracts);
  const std::vector<AccountMargin> moved = margins_of(made_);
  for (std::size_t a = 0; a < margins_.size(); ++a) {
    if (margins_[a].mode == MarginMode::cross) continue;  // its groups are of one underlying each
    const double error = 2 * error_max(moved[a].gross_notional_usd);
    const double loss = -contracts * change_usd;
    EXPECT_NEAR(moved[a].value_at_risk_usd, margins_[a].value_at_risk_usd + loss, error);
    EXPECT_NEAR(moved[a].expected_shortfall_usd, margins_[a].expected_shortfall_usd + loss, error);
    EXPECT_NEAR(moved[a].standard_error_usd, margins_[a].standard_error_usd, error);
  }
}

TEST_P(Properties, MergingAccountsDoesNotAddRisk) {
  for (Account& account : made_.book().accounts) account.mode = MarginMode::portfolio;
  margins_ = margins_of(made_);
  const std::uint32_t merged = made_.add_account();
  std::vector<Quantity::Units> net(made_.book().instruments.size());
  for (const Position& p : made_.book().positions)
    if (p.account < 2) net[p.instrument] += p.quantity.units();
  for (std::uint32_t i = 0; i < net.size(); ++i)
    made_.book().positions.push_back({merged, i, Quantity::from_units(net[i])});
  const double together = margins_of(made_).back().expected_shortfall_usd;
  EXPECT_LE(together,
            margins_[0].expected_shortfall_usd + margins_[1].expected_shortfall_usd +
                2 * error_max(margins_[0].gross_notional_usd + margins_[1].gross_notional_usd));
}

TEST_P(Properties, TheOrderOfInstrumentsAndPositionsChangesNoBit) {
  Book& book = made_.book();
  std::vector<std::uint32_t> order(book.instruments.size()), place(order.size());
  std::iota(order.begin(), order.end(), 0u);
  random_.shuffle(order);
  const std::vector<Instrument> instruments = book.instruments;
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    book.instruments[i] = instruments[order[i]];
    place[order[i]] = i;
  }
  random_.shuffle(book.positions);
  for (Position& p : book.positions) p.instrument = place[p.instrument];
  std::ranges::stable_sort(book.positions, {}, &Position::account);
  const Plan plan = build_plan(made_.config, made_.inputs);
  const std::vector<AccountMargin> shuffled =
      compute_margins(plan, book, simulate(made_.config, plan, {0, path_count}), {});
  for (std::size_t a = 0; a < margins_.size(); ++a) expect_same_bits(margins_[a], shuffled[a]);
}

TEST_P(Properties, TheOrderOfAccountsChangesNoBit) {
  std::ranges::reverse(made_.book().accounts);
  const auto last = static_cast<std::uint32_t>(margins_.size() - 1);
  for (Position& p : made_.book().positions) p.account = last - p.account;
  const std::vector<AccountMargin> reversed = margins_of(made_);
  for (std::size_t a = 0; a < margins_.size(); ++a)
    expect_same_bits(margins_[a], reversed[last - a]);
}

TEST_P(Properties, WhatOthersHoldChangesNoBit) {
  for (std::uint32_t a = 0; a < margins_.size(); ++a) {
    MemoryBook alone = only([a](const Position& p) { return p.account == a; });
    expect_same_bits(margins_[a], margins_of(alone)[a]);
  }
}

TEST_P(Properties, PositionsOfZeroChangeNoBit) {
  std::vector<bool> is_held(made_.book().accounts.size() * made_.book().instruments.size());
  const std::size_t width = made_.book().instruments.size();
  for (const Position& p : made_.book().positions) is_held[p.account * width + p.instrument] = true;
  for (std::uint32_t a = 0; a < margins_.size(); ++a)
    for (std::uint32_t i = 0; i < width; ++i)
      if (!is_held[a * width + i]) made_.hold(a, i, 0);
  const std::vector<AccountMargin> padded = margins_of(made_);
  for (std::size_t a = 0; a < margins_.size(); ++a) expect_same_bits(margins_[a], padded[a]);
}

TEST_P(Properties, CrossAndIsolatedAreSumsOfWhatTheyMarginAlone) {
  for (std::uint32_t a = 0; a < margins_.size(); ++a) {
    if (margins_[a].mode == MarginMode::portfolio) continue;
    MemoryBook split = only([a](const Position& p) { return p.account == a; });
    std::vector<Position> parts;
    std::swap(parts, split.book().positions);
    const std::uint32_t first = static_cast<std::uint32_t>(margins_.size());
    for (Position part : parts) {
      const Instrument& instrument = split.book().instruments[part.instrument];
      part.account =
          first + (margins_[a].mode == MarginMode::cross ? instrument.underlying : part.instrument);
      split.book().positions.push_back(part);
    }
    for (const Position& part : split.book().positions)
      while (split.book().accounts.size() <= part.account) split.add_account();
    double margin_usd = 0, standard_error_usd = 0;
    for (const AccountMargin& part : margins_of(split)) {
      margin_usd += part.margin_usd;
      standard_error_usd += part.standard_error_usd;
    }
    // The parts are the same bits; their sum is in another order.
    EXPECT_NEAR(margins_[a].margin_usd / margin_usd, 1, 1e-14);
    // Errors add up at worst; those of one group have floor(k) in place of k.
    EXPECT_LE(margins_[a].standard_error_usd, standard_error_usd * (1 + 1 / (0.01 * path_count)));
    EXPECT_GT(margins_[a].standard_error_usd, 0.2 * standard_error_usd);
  }
}

TEST_P(Properties, TheMultiplierScalesTheMarginAlone) {
  made_.config.margin.multiplier = 2;
  const std::vector<AccountMargin> twice = margins_of(made_);
  made_.config.margin.multiplier = 1.2;
  const std::vector<AccountMargin> more = margins_of(made_);
  for (std::size_t a = 0; a < margins_.size(); ++a) {
    EXPECT_EQ(twice[a].margin_usd, 2 * margins_[a].margin_usd);
    EXPECT_EQ(twice[a].expected_shortfall_usd, margins_[a].expected_shortfall_usd);
    EXPECT_EQ(twice[a].standard_error_usd, margins_[a].standard_error_usd);
    // Rounded per group rather than once.
    EXPECT_NEAR(more[a].margin_usd / margins_[a].margin_usd, 1.2, 1e-14);
  }
}

TEST_P(Properties, MergedPathRangesAreTheWholeRun) {
  const Plan plan = made_.plan();
  // A range shorter than the tail, and boundaries inside a row of 64 paths.
  const std::uint64_t cuts[] = {0, 17, 1'024, 1'025, 3'000, path_count};
  std::vector<Tails> parts;
  for (std::size_t i = 0; i + 1 < std::size(cuts); ++i)
    parts.push_back(simulate(made_.config, plan, {cuts[i], cuts[i + 1]}));
  random_.shuffle(parts);
  Tails merged = parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) merged = merge(plan, merged, parts[i]);
  Tails whole = simulate(made_.config, plan, {0, path_count});
  EXPECT_EQ(merged.path_count, whole.path_count);
  ASSERT_EQ(merged.count, whole.count);
  ASSERT_EQ(merged.keys.size(), whole.keys.size());
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const auto sorted = [g](const Tails& tails) {
      std::vector<std::uint64_t> keys(tails.group(g), tails.group(g) + tails.count);
      EXPECT_EQ(keys.back(), *std::ranges::min_element(keys));
      std::ranges::sort(keys);
      return keys;
    };
    EXPECT_EQ(sorted(merged), sorted(whole));
  }
}

TEST_P(Properties, TailStatisticsAreThoseOfAFullSort) {
  for (Account& account : made_.book().accounts) account.mode = MarginMode::portfolio;
  // k = 2002.5, 400.5, 40.05 and 4.005.
  for (const double level : {0.5, 0.9, 0.99, 0.999}) {
    made_.config.risk.confidence_level = level;
    const std::vector<AccountMargin> margins = margins_of(made_);
    const Plan plan = made_.plan();
    const PathTrace trace = trace_paths(plan, 0, path_count);
    for (std::size_t a = 0; a < margins.size(); ++a) {
      std::vector<double> losses;
      for (std::size_t p = 0; p < path_count; ++p)
        losses.push_back(std::ldexp(static_cast<double>(trace.losses[a * path_count + p]),
                                    plan.groups[a].scale_exponent));
      const reference::TailRisk expected = reference::tail_risk(losses, level);
      // Half a unit of 2^-30 of the gross for each loss; a deviation can be off by twice that.
      const double error = std::ldexp(margins[a].gross_notional_usd, -30);
      EXPECT_NEAR(margins[a].value_at_risk_usd, expected.value_at_risk, error);
      EXPECT_NEAR(margins[a].expected_shortfall_usd, expected.expected_shortfall, error);
      EXPECT_NEAR(margins[a].standard_error_usd, expected.standard_error, error);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Properties, testing::Range<std::uint64_t>(1, 7));

TEST(Margin, OfAGainOnEveryPathIsZero) {
  MemoryBook made(1'000);
  const std::uint32_t coin = made.add_underlying(100);
  made.add_factor(coin, FactorKind::spot, 0.03);
  const std::uint32_t lottery = made.add({"", InstrumentType::call, Settlement::linear, coin,
                                          made.config.as_of + day_seconds / 2, 250, 1, 100, 10});
  const std::uint32_t seller = made.add_holder(lottery, -1);
  // Isolated: the seller's gain does not pay for another instrument's loss.
  const std::uint32_t both = made.add_account(MarginMode::isolated);
  const std::uint32_t spot = made.add({"", InstrumentType::spot, Settlement::linear, coin});
  made.hold(both, lottery, -1);
  made.hold(both, spot, 1);
  const std::uint32_t holder = made.add_holder(spot, 1);
  const std::vector<AccountMargin> margins = margins_of(made);
  EXPECT_LT(margins[seller].expected_shortfall_usd, 0);
  EXPECT_EQ(margins[seller].margin_usd, 0);
  EXPECT_EQ(margins[both].margin_usd, margins[holder].margin_usd);
  EXPECT_LT(margins[both].expected_shortfall_usd, margins[holder].expected_shortfall_usd);
}

struct TailCase {
  std::uint64_t path_count;
  double confidence_level, k;
  std::uint64_t whole, count;
};

TEST(TailSize, IsSnappedToANearInteger) {
  const TailCase cases[] = {
      // (1 - level) times paths, in double, is beside these integers.
      {1'000'000, 0.99, 10'000, 10'000, 10'001},
      {1'000'000, 0.999, 1'000, 1'000, 1'001},
      {100, 0.99, 1, 1, 2},
      {10, 0.9, 1, 1, 2},
      {1'000, 0.95 + 1e-11, 50, 50, 51},
      {1'000, 0.95 - 1e-11, 50, 50, 51},
      // Beyond 1e-9 k.
      {1'000, 0.95 + 1e-10, 49.9999999, 49, 50},
      {1'000, 0.95 - 1e-10, 50.0000001, 50, 51},
      {150, 0.99, 1.5, 1, 2},
      {100'030, 0.975, 2'500.75, 2'500, 2'501},
      // There is no path beyond the last.
      {1, 0, 1, 1, 1},
  };
  for (const TailCase& expected : cases) {
    SCOPED_TRACE(fmt::format("{} paths at {}", expected.path_count, expected.confidence_level));
    const TailSize tail = tail_size(expected.path_count, expected.confidence_level);
    // 1 - level has an error of 1e-16; the integers have none.
    EXPECT_NEAR(tail.k, expected.k, 1e-16 * static_cast<double>(expected.path_count));
    if (expected.k == static_cast<double>(expected.whole)) {
      EXPECT_EQ(tail.k, expected.k);
    }
    EXPECT_EQ(tail.whole, expected.whole);
    EXPECT_EQ(tail.count, expected.count);
  }
}

}  // namespace
}  // namespace shortfall
