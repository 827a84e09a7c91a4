// Charges in closed form of positions: liquidity, funding and the short option minimum.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "books.hpp"
#include "host/margin/components.hpp"
#include "host/margin/greeks.hpp"

namespace shortfall {
namespace {

using enum InstrumentType;
using enum Settlement;

constexpr std::int64_t year_seconds = 365 * day_seconds;

/// A book with every closed-form charge on; its accounts stand for margin groups.
struct ChargedBook : MemoryBook {
  ChargedBook() {
    config.margin.liquidity = LiquidityConfig{};
    config.margin.funding = FundingConfig{};
    config.margin.short_option_minimum_rate = 0.1;
  }

  /// An underlying of a daily volatility, without anything to pay.
  std::uint32_t add_charged(double spot_usd, double daily_deviation) {
    const std::uint32_t u = add_underlying(spot_usd);
    add_factor(u, FactorKind::spot, daily_deviation);
    inputs.liquidity.push_back(LiquidityTerms{1e9, 0, 0, 0, {}});
    inputs.funding.push_back(FundingRates{});
    return u;
  }
  std::uint32_t add_option(InstrumentType type, double strike, int days, double multiplier = 1,
                           Settlement settlement = linear, std::uint32_t underlying = 0) {
    return add({{},
                type,
                settlement,
                underlying,
                config.as_of + days * day_seconds,
                strike,
                multiplier,
                0,
                0.5});
  }

  std::vector<double> charges(std::vector<double> (*component)(const ComponentContext&)) {
    sort_positions();
    const Simulate none = [](const Plan&) -> Tails { return {}; };
    const std::vector<GroupRisk> base(book().accounts.size());
    return component({config, inputs, none, base});
  }
  double liquidity() { return charges(liquidity_charges).at(0); }
  double funding() { return charges(funding_charges).at(0); }
  double short_options() { return charges(short_option_minimums).at(0); }
};

/// Derivative at 0 of the instrument's USD value by a move of one factor, by the reference engine:
/// central differences of fourth order, (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h.
double slope(const MemoryBook& book, const Instrument& instrument, std::size_t factor, double h) {
  const double steps[] = {h, -h, 2 * h, -2 * h};
  std::vector<double> moves(book.inputs.covariance.factors.size() * 4);
  std::copy_n(steps, 4, moves.data() + factor * 4);
  double change[4];
  reference::revalue(book.config, book.inputs, instrument, {moves.data(), 4}, change);
  return (8 * (change[0] - change[1]) - (change[2] - change[3])) / (12 * h);
}

TEST(Greeks, AreTheSlopesOfTheReferenceEngine) {
  MemoryBook book;
  const std::uint32_t u = book.add_underlying(100'000);
  book.add_factor(u, FactorKind::spot, 0.03);
  book.add_factor(u, FactorKind::vol, 0.05, 30);
  book.config.risk.revalue_at = RevalueAt::now;
  std::size_t count = 0;
  for (const InstrumentType type : {call, put, future, perpetual, spot})
    for (const Settlement settlement : {linear, inverse})
      for (const std::int64_t seconds : {hour_seconds, 30 * day_seconds, 3 * year_seconds})
        for (const double strike : {50'000.0, 99'800.0, 104'000.0, 250'000.0})
          for (const double iv : {0.05, 0.6, 3.0}) {
            Instrument i{"",     type, settlement, u, book.config.as_of + seconds,
                         strike, 0.1,  104'000,    iv};
            if (type == spot) i.mark_price = 100'000, i.settlement = linear;
            SCOPED_TRACE(testing::Message() << to_string(type) << ' ' << to_string(settlement)
                                            << ' ' << seconds << " s " << strike << ' ' << iv);
            const Greeks greeks = greeks_of(i, 100'000, book.config.as_of);
            // A value varies on the scale v = sigma sqrt(T) of the log price, e^x on the scale 1.
            // With h = 0.02 of that the fourth order leaves 0.02^4 / 30 = 5e-9 of the fifth
            // derivative, which Hermite polynomials keep below 10 on that scale, and rounding
            // 1e-16 / h, h >= 1e-5.
            const bool is_option = type == call || type == put;
            const double v = is_option ? iv * std::sqrt(double(seconds) / year_seconds) : 1;
            const double scale_usd = i.multiplier * i.mark_price;
            EXPECT_NEAR(greeks.delta_usd, slope(book, i, 0, 0.02 * std::min(v, 1.0)),
                        5e-8 * scale_usd);
            const double vega = slope(book, i, 1, 0.005) / iv;
            EXPECT_NEAR(greeks.vega_usd, vega, 1e-8 * std::max(scale_usd, greeks.vega_usd));
            ++count;
          }
  EXPECT_EQ(count, 360u);
}

TEST(Greeks, OfSpotAndForwards) {
  const std::int64_t as_of = 0;
  const auto delta = [&](InstrumentType type, Settlement settlement, double mark) {
    return greeks_of({"", type, settlement, 0, day_seconds, 0, 10, mark, 0}, 200, as_of).delta_usd;
  };
  EXPECT_EQ(delta(spot, linear, 200), 2000);
  EXPECT_EQ(delta(future, linear, 250), 2500);
  EXPECT_EQ(delta(perpetual, linear, 250), 2500);
  // 10 USD of contract at 250 are 0.04 coins, worth 8 USD at the index of 200.
  EXPECT_EQ(delta(future, inverse, 250), 8);
  EXPECT_EQ(delta(perpetual, inverse, 250), 8);
}

TEST(Greeks, StayFiniteAtTheEndsOfTheirDomain) {
  for (const double strike : {1e-4, 1e8})
    for (const std::int64_t seconds : {std::int64_t{1}, 100 * year_seconds}) {
      const Greeks call_greeks =
          greeks_of({"", call, linear, 0, seconds, strike, 1, 100, 0.01}, 100, 0);
      EXPECT_NEAR(call_greeks.delta_usd, strike < 100 ? 100 : 0, 1e-9);
      EXPECT_NEAR(call_greeks.vega_usd, 0, 1e-9);
    }
}

// 30 long linear perpetuals of 0.1 coins at 50,000 (150,000 USD) and 40,000 USD of an inverse
// future at 60,000 that is sold (-40,000 * 50,000 / 60,000) net to 116,666.67 USD; volume 4e6 USD,
// half spread 2 bp, impact 0.5, daily volatility sqrt(0.0032 / 2) = 0.04:
// 116,666.67 * (0.0002 + 0.5 * 0.04 * sqrt(116,666.67 / 4e6)) = 23.3333 + 398.4925 USD.
TEST(Liquidity, OfAHandComputedDelta) {
  ChargedBook book;
  book.config.model.covariance_horizon_days = 2;
  const std::uint32_t u = book.add_charged(50'000, std::sqrt(0.0032));
  book.inputs.liquidity[u] = LiquidityTerms{4e6, 2, 0.5, 0, {}};
  const auto expiry = book.config.as_of + 30 * day_seconds;
  book.add_holder(book.add({"", perpetual, linear, u, 0, 0, 0.1, 0, 0}), 30);
  book.hold(0, book.add({"", future, inverse, u, expiry, 0, 10, 60'000, 0}), -4'000);
  EXPECT_NEAR(book.liquidity(), 421.8259, 1e-4);
}

// At the money with sigma sqrt(T) = 0.5 a vega is F phi(0.25) sqrt(T): phi(0.25) = 0.38666812 and
// F = 1,000 give 386.66812 USD for a year and, with sigma = 1, half as much for a quarter. The
// expiries do not offset: a spread of 0.02 costs 0.02 * (3 * 386.66812 + 2 * 193.33406) USD.
// Within an expiry a linear put offsets a call, and an inverse one S / F of it.
TEST(Liquidity, OfAHandComputedVega) {
  ChargedBook book;
  const std::uint32_t u = book.add_charged(1'000, 0.04);
  book.inputs.liquidity[u] = LiquidityTerms{1e6, 0, 0, 0.02, {}};
  const std::int64_t year = book.config.as_of + year_seconds;
  const std::int64_t quarter = book.config.as_of + year_seconds / 4;
  book.add_holder(book.add({"", call, linear, u, year, 1'000, 1, 0, 0.5}), 3);
  book.hold(0, book.add({"", put, linear, u, quarter, 1'000, 1, 0, 1.0}), -2);
  EXPECT_NEAR(book.liquidity(), 0.02 * (3 * 386.66812 + 2 * 193.33406), 1e-5);
  book.hold(0, book.add({"", put, linear, u, year, 1'000, 1, 0, 0.5}), -2);
  EXPECT_NEAR(book.liquidity(), 0.02 * (386.66812 + 2 * 193.33406), 1e-5);
  book.hold(0, book.add({"", put, inverse, u, year, 500, 1, 500, 0.5}), -1);
  EXPECT_NEAR(book.liquidity(), 0.02 * 2 * 193.33406, 1e-5);
}

TEST(Liquidity, DoesNotOffsetUnderlyingsAndCountsNothingOfEmptyAccounts) {
  ChargedBook book;
  for (int u = 0; u < 2; ++u) {
    book.add_charged(100, 0.04);
    book.inputs.liquidity[u] = LiquidityTerms{1e6, 100, 0, 0, {}};
    book.add({"", spot, linear, std::uint32_t(u), 0, 0, 1, 0, 0});
  }
  book.add_account();
  book.hold(0, 0, 10);
  book.hold(0, 1, -10);
  book.add_account();
  book.add_holder(0, 0);
  EXPECT_EQ(book.charges(liquidity_charges), (std::vector<double>{20, 0, 0}));
  book.config.margin.liquidity.reset();
  book.inputs.liquidity.clear();
  EXPECT_EQ(book.charges(liquidity_charges), (std::vector<double>{0, 0, 0})) << "not configured";
}

/// Account 0 holds a mixed book, account 1 twice that.
ChargedBook mixed_book(double impact) {
  ChargedBook book;
  std::mt19937 random(7);
  for (std::uint32_t u = 0; u < 2; ++u) {
    book.add_charged(1'000, 0.05);
    book.inputs.liquidity[u] = LiquidityTerms{1e5, 3, impact, 0.01, {}};
    book.add({"", perpetual, inverse, u, 0, 0, 100, 1'010, 0});
    for (int n = 0; n < 12; ++n)
      book.add_option(n % 2 ? call : put, 800 + 40 * n, 7 + 30 * (n % 3), 0.1,
                      n % 4 < 2 ? linear : inverse, u);
  }
  book.add_account();
  book.add_account();
  for (std::uint32_t i = 0; i < book.book().instruments.size(); ++i) {
    const double contracts = static_cast<double>(random() % 2'001) - 1'000;
    book.hold(0, i, contracts);
    book.hold(1, i, 2 * contracts);
  }
  return book;
}

TEST(Liquidity, OfADoubledBookAtLeastDoubles) {
  const std::vector<double> flat = mixed_book(0).charges(liquidity_charges);
  EXPECT_GT(flat[0], 0);
  EXPECT_EQ(flat[1], 2 * flat[0]) << "powers of two are exact";
  const std::vector<double> steep = mixed_book(0.8).charges(liquidity_charges);
  // The impact alone grows by 2^1.5.
  EXPECT_NEAR(steep[1] - flat[1], std::pow(2, 1.5) * (steep[0] - flat[0]), 1e-9 * steep[1]);
}

TEST(Liquidity, HasTheSameBitsInAnyOrderOfTheInstruments) {
  ChargedBook book = mixed_book(0.8), reversed = mixed_book(0.8);
  std::ranges::reverse(reversed.book().instruments);
  const auto last = static_cast<std::uint32_t>(reversed.book().instruments.size() - 1);
  for (Position& position : reversed.book().positions)
    position.instrument = last - position.instrument;
  EXPECT_EQ(book.charges(liquidity_charges), reversed.charges(liquidity_charges));
  EXPECT_EQ(book.charges(short_option_minimums), reversed.charges(short_option_minimums));
}

TEST(Liquidity, ScalesFactorsToLiquidation) {
  ChargedBook book;
  book.add_charged(100, 0.1);
  book.add_charged(100, 0.3);
  book.add_factor(1, FactorKind::vol, 0.7, 30);
  book.correlate(0, 1, 0.31);
  book.correlate(1, 2, -0.77);
  const std::vector<double> before = book.inputs.covariance.matrix;
  EXPECT_EQ(scaled_to_liquidation(book.inputs.covariance, book.inputs, 2).matrix, before);
  book.inputs.liquidity[1]->liquidation_days = 10;
  const Covariance scaled = scaled_to_liquidation(book.inputs.covariance, book.inputs, 2);
  EXPECT_EQ(scaled.factors.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) {
      // Moves of the second underlying grow by sqrt(10 / 2).
      const double ratio = (i == 0 ? 1 : std::sqrt(5.0)) * (j == 0 ? 1 : std::sqrt(5.0));
      EXPECT_NEAR(scaled.matrix[3 * i + j], ratio * before[3 * i + j], 1e-15);
      EXPECT_EQ(scaled.matrix[3 * i + j], scaled.matrix[3 * j + i]);
    }
  EXPECT_EQ(scaled.matrix[8], 5 * before[8]) << "a variance grows by the ratio exactly";
}

struct FundingCase {
  const char* name;
  double linear_contracts, inverse_contracts, expected_usd;
};
void PrintTo(const FundingCase& c, std::ostream* out) { *out << c.name; }
class Funding : public testing::TestWithParam<FundingCase> {};

// A linear contract is 2 coins at a mark of 600: 1,200 USD. An inverse one is 100 USD whatever its
// mark. Longs pay 1 % and shorts 3 % a day at worst, for 2 days.
TEST_P(Funding, IsPaidByTheSideThatIsHeldNet) {
  ChargedBook book;
  const std::uint32_t u = book.add_charged(500, 0.05);
  book.inputs.funding[u] = FundingRates{0.01, 0.03};
  book.config.risk.horizon_days = 2;
  book.add_holder(book.add({"", perpetual, linear, u, 0, 0, 2, 600, 0}),
                  GetParam().linear_contracts);
  book.hold(0, book.add({"", perpetual, inverse, u, 0, 0, 100, 600, 0}),
            GetParam().inverse_contracts);
  book.hold(0, book.add({"", spot, linear, u, 0, 0, 1, 0, 0}), 1'000);
  EXPECT_NEAR(book.funding(), GetParam().expected_usd, 1e-9);
  EXPECT_FALSE(std::signbit(book.funding()));
}

INSTANTIATE_TEST_SUITE_P(
    Sides, Funding,
    testing::Values(FundingCase{"Long", 10, 0, 240}, FundingCase{"Short", -10, 0, 720},
                    FundingCase{"InverseLong", 0, 60, 120},
                    FundingCase{"InverseShort", 0, -60, 360}, FundingCase{"NetLong", 10, -60, 120},
                    FundingCase{"NetShort", -10, 60, 360}, FundingCase{"Hedged", 10, -120, 0}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Funding, DoesNotOffsetUnderlyings) {
  ChargedBook book;
  book.add_account();
  for (std::uint32_t u = 0; u < 2; ++u) {
    book.add_charged(100, 0.05);
    book.inputs.funding[u] = FundingRates{0.01, 0.01};
    book.hold(0, book.add({"", perpetual, linear, u, 0, 0, 1, 0, 0}), u == 0 ? 10 : -10);
  }
  EXPECT_NEAR(book.funding(), 20, 1e-12);
}

struct Option {
  InstrumentType type;
  double strike;
  int days;
  double contracts, multiplier = 1;
  Settlement settlement = linear;
};
struct CoverCase {
  const char* name;
  std::vector<Option> options;
  double uncovered_coins;
};
void PrintTo(const CoverCase& c, std::ostream* out) { *out << c.name; }
class ShortOptions : public testing::TestWithParam<CoverCase> {};

// Rate 0.1 of a spot of 1,000: 100 USD per uncovered coin.
TEST_P(ShortOptions, AreChargedWhereUncovered) {
  ChargedBook book;
  book.add_charged(1'000, 0.05);
  book.add_account();
  for (const Option& o : GetParam().options)
    book.hold(0, book.add_option(o.type, o.strike, o.days, o.multiplier, o.settlement),
              o.contracts);
  EXPECT_NEAR(book.short_options(), 100 * GetParam().uncovered_coins, 1e-9);
}

INSTANTIATE_TEST_SUITE_P(
    Books, ShortOptions,
    testing::Values(
        CoverCase{"Naked", {{call, 1'200, 30, -3}}, 3},
        CoverCase{"OnlyLong", {{put, 900, 30, 3}}, 0},
        CoverCase{"Straddle", {{call, 1'000, 30, -1}, {put, 1'000, 30, -1}}, 2},
        CoverCase{"CallCoversNoPut", {{call, 1'000, 30, 1}, {put, 1'000, 30, -1}}, 1},
        // Verticals: a long call covers at a strike not above, a long put at one not below.
        CoverCase{"DebitCalls", {{call, 1'000, 30, 1}, {call, 1'100, 30, -1}}, 0},
        CoverCase{"CreditCalls", {{call, 1'100, 30, 1}, {call, 1'000, 30, -1}}, 1},
        CoverCase{"DebitPuts", {{put, 1'000, 30, 1}, {put, 900, 30, -1}}, 0},
        CoverCase{"CreditPuts", {{put, 900, 30, 1}, {put, 1'000, 30, -1}}, 1},
        CoverCase{"SameStrike", {{put, 900, 30, 1}, {put, 900, 30, -1, 1, inverse}}, 0},
        // Calendars: the long has to live at least as long.
        CoverCase{"Calendar", {{call, 1'000, 60, 1}, {call, 1'000, 30, -1}}, 0},
        CoverCase{"ReverseCalendar", {{call, 1'000, 30, 1}, {call, 1'000, 60, -1}}, 1},
        CoverCase{"Diagonal", {{put, 1'100, 60, 2}, {put, 1'000, 30, -3}}, 1},
        CoverCase{
            "Coins", {{call, 1'000, 30, 5, 0.5}, {call, 1'000, 60, 1}, {call, 1'000, 7, -4}}, 0.5},
        CoverCase{
            "Butterfly", {{call, 900, 30, 1}, {call, 1'000, 30, -2}, {call, 1'100, 30, 1}}, 1},
        // One coin covers one coin: the nearest strike for the upper short leaves the lower one its
        // own. A greedy from the most protective long leaves it uncovered.
        CoverCase{
            "NearestStrikeFirst",
            {{call, 900, 60, 1}, {call, 950, 60, 1}, {call, 1'000, 60, -1}, {call, 920, 30, -1}},
            0},
        // The later short takes the only long that lives as long. A greedy from the earliest expiry
        // gives that one, whose strike is nearest, to the earlier short.
        CoverCase{
            "LatestExpiryFirst",
            {{call, 900, 60, 1}, {call, 800, 30, 1}, {call, 1'000, 60, -1}, {call, 1'000, 30, -1}},
            0},
        CoverCase{
            "LatestExpiryFirstPuts",
            {{put, 1'100, 60, 1}, {put, 1'200, 30, 1}, {put, 1'000, 60, -1}, {put, 1'000, 30, -1}},
            0}),
    [](const auto& test) { return std::string(test.param.name); });

/// Size of a maximum matching of shorts to the longs that cover them, a coin each, by augmenting
/// paths (Berge's theorem).
std::size_t covered_at_most(const std::vector<Option>& longs, const std::vector<Option>& shorts) {
  std::vector<std::size_t> short_of(longs.size(), shorts.size());
  std::vector<bool> is_seen;
  const std::function<bool(std::size_t)> place = [&](std::size_t s) {
    for (std::size_t l = 0; l < longs.size(); ++l) {
      const bool is_as_protective = shorts[s].type == call ? longs[l].strike <= shorts[s].strike
                                                           : longs[l].strike >= shorts[s].strike;
      if (!is_as_protective || longs[l].days < shorts[s].days || is_seen[l]) continue;
      is_seen[l] = true;
      if (short_of[l] != shorts.size() && !place(short_of[l])) continue;
      short_of[l] = s;
      return true;
    }
    return false;
  };
  std::size_t covered = 0;
  for (std::size_t s = 0; s < shorts.size(); ++s) {
    is_seen.assign(longs.size(), false);
    covered += place(s);
  }
  return covered;
}

TEST(ShortOptions, AreCoveredAsFarAsPossible) {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    ChargedBook book;
    book.add_charged(1'000, 0.05);
    book.add_account();
    const InstrumentType type = round % 2 ? call : put;
    std::vector<Option> longs, shorts;
    for (int n = 0; n < 14; ++n) {
      const Option option{type, 800 + 50.0 * int(random() % 8), 10 + 10 * int(random() % 5),
                          random() % 2 ? 1.0 : -1.0};
      (option.contracts > 0 ? longs : shorts).push_back(option);
      book.hold(0, book.add_option(type, option.strike, option.days), option.contracts);
    }
    const auto uncovered = static_cast<double>(shorts.size() - covered_at_most(longs, shorts));
    ASSERT_NEAR(book.short_options(), 100 * uncovered, 1e-9) << "round " << round;
  }
}

TEST(ShortOptions, OfAnotherUnderlyingCoverNothing) {
  ChargedBook book;
  book.add_charged(1'000, 0.05);
  book.add_charged(10, 0.05);
  book.add_holder(book.add_option(call, 5, 30, 1, linear, 0), 1);
  book.hold(0, book.add_option(call, 10, 30, 1, linear, 1), -7);
  EXPECT_NEAR(book.short_options(), 7, 1e-12);
}

}  // namespace
}  // namespace shortfall
