// The portfolio margin like Deribit's: the published example of the venue, hand-computed books, and
// Black by libm.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "books.hpp"
#include "shortfall/schemes.hpp"
#include "straddles.hpp"

namespace shortfall {
namespace {

using enum InstrumentType;
using enum Settlement;

// Expected values are written to 16 digits, and a formula of five operations on doubles below 1 is
// within a few 1e-16.
constexpr double rounding = 1e-15;

/// P&L at the nine prices with volatility unchanged.
std::vector<double> standard_vector(const PortfolioMargin& margin) {
  std::vector<double> pnl;
  for (std::size_t p = 0; p < PortfolioMargin::price_count; ++p)
    pnl.push_back(margin.matrix[p * PortfolioMargin::volatility_count + 1]);
  return pnl;
}

template <class Actual>
void expect_near(const Actual& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], tolerance) << i;
}

// The example of private/pme/simulate in the API documentation of Deribit: index, marks, deltas in
// BTC, and what the venue answers.
class PublishedExample : public testing::Test {
 protected:
  static constexpr double perpetual_delta = 0.314538364, future_delta = -0.001187534;

  /// Contracts of 1 USD, so that quantity / mark is the delta; what is 0 is left out.
  static MemoryBook book(double perpetual_coins, double future_coins) {
    MemoryBook book;
    book.config.as_of = 1'718'619'740;
    const std::uint32_t btc = book.add_underlying(65666.19);
    const std::uint32_t account = book.add_account();
    const auto hold = [&](Instrument instrument, double coins) {
      instrument.underlying = btc;
      instrument.settlement = inverse;
      const double contracts = coins * instrument.mark_price;
      if (coins != 0) book.hold(account, book.add(instrument), contracts);
    };
    hold({.name = "BTC-PERPETUAL", .type = perpetual, .mark_price = 65910.57}, perpetual_coins);
    hold({.name = "BTC-28JUN24", .type = future, .expiry = 1'719'561'600, .mark_price = 67371.75},
         future_coins);
    return book;
  }

  const std::vector<double> perpetual_pnl{
      -0.05991206933333334, -0.04289159509090909, -0.027351162086956524, -0.013105765166666668, 0,
      0.012097629384615385, 0.023299138074074074, 0.033700538999999995,  0.043384601931034494};
  const std::vector<double> future_pnl{0.0002261969523809524,
                                       0.00016193645454545456,
                                       0.00010326382608695652,
                                       0.00004948058333333334,
                                       0,
                                       -0.00004567438461538462,
                                       -0.00008796548148148148,
                                       -0.0001272357857142857,
                                       -0.00016379779310344832};
};

TEST_F(PublishedExample, PnlOfEachInstrument) {
  expect_near(standard_vector(first_margins(book(perpetual_delta, 0)).at(0)), perpetual_pnl,
              rounding);
  expect_near(standard_vector(first_margins(book(0, future_delta)).at(0)), future_pnl, rounding);
}

TEST_F(PublishedExample, ExtendedTableOfEachInstrumentBeforeItsDampener) {
  PortfolioMarginParameters undampened;
  undampened.inverse.extended_dampener_usd = 0;
  std::vector<double> expected(8, 0.04338460193103449);
  expected[0] = expected[1] = -0.05991206933333334;
  expect_near(first_margins(book(perpetual_delta, 0), undampened).at(0).extended, expected,
              rounding);
  expected.assign(8, -0.0001637977931034483);
  expected[0] = expected[1] = 0.0002261969523809524;
  expect_near(first_margins(book(0, future_delta), undampened).at(0).extended, expected, rounding);
}

TEST_F(PublishedExample, Totals) {
  const std::vector<PortfolioMargin> margins = first_margins(book(perpetual_delta, future_delta));
  ASSERT_EQ(margins.size(), 1u);
  const PortfolioMargin& margin = margins.front();
  EXPECT_EQ(margin.settlement, inverse);
  EXPECT_EQ(margin.usd_per_unit, 65666.19);
  // The venue shows gains as 0: nothing of them is offset elsewhere.
  std::vector<double> losses = standard_vector(margin);
  for (double& pnl : losses) pnl = std::min(pnl, 0.0);
  expect_near(losses,
              {-0.05968587238095239, -0.04272965863636364, -0.02724789826086957,
               -0.013056284583333334, 0, 0, 0, 0, 0},
              rounding);
  for (const double pnl : margin.extended) EXPECT_EQ(pnl, 0);
  EXPECT_EQ(margin.worst_loss, 0.059685872);  // 0.05968587238095239 to 9 decimals
  EXPECT_EQ(margin.delta_shock, 0);
  EXPECT_NEAR(margin.roll_shock, 0.00315725898, 1e-12);
  EXPECT_NEAR(margin.initial_margin, 0.06284313098, 1e-12);
  EXPECT_NEAR(margin.maintenance_margin, 0.050274504784, 1e-12);
}

TEST(PortfolioMargin, MatrixIsBlack) {
  for (const Straddle& straddle : straddles) {
    SCOPED_TRACE(straddle.days);
    const PortfolioMargin margin = first_margins(straddle.book()).at(0);
    std::vector<double> expected;
    for (int k = -4; k <= 4; ++k)
      for (const double volatility :
           {straddle.volatility_down, Straddle::iv, straddle.volatility_up})
        expected.push_back(straddle.pnl(0.04 * k, volatility));
    expect_near(margin.matrix, expected, black_rounding(straddle.settlement));
    EXPECT_EQ(standard_vector(margin)[4], 0);                                     // nothing moved
    EXPECT_NEAR(margin.worst_loss, -*std::ranges::min_element(expected), 6e-10);  // 9 decimals
    EXPECT_GT(margin.worst_loss, 0);
  }
}

TEST(PortfolioMargin, ExtendedTableIsBlackWithVolatilityUp) {
  PortfolioMarginParameters parameters;
  parameters.pair.extended_table_factor = 0.5;
  parameters.linear.extended_dampener_usd = 10;
  parameters.inverse.extended_dampener_usd = 10;
  for (const Straddle& straddle : straddles) {
    SCOPED_TRACE(straddle.days);
    std::vector<double> expected;
    for (const double m : {-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0}) {
      const double edge = m < 0 ? 0.84 : 1.16;  // 1 - 16 %, 1 + 16 %
      double pnl = straddle.pnl(m, straddle.volatility_up) * 0.5 * 0.16 / std::abs(m);
      double dampener = (std::abs(m) / 0.16 - 1) * 10;
      if (straddle.settlement == inverse) {
        pnl *= (1 + m) / edge;
        dampener /= edge * Straddle::spot;
      }
      expected.push_back(pnl + std::min(dampener, -pnl));  // a short straddle loses
    }
    expect_near(first_margins(straddle.book(), parameters).at(0).extended, expected,
                black_rounding(straddle.settlement));
  }
}

TEST(PortfolioMargin, VolatilityThatRisesIsAtLeastThat) {
  PortfolioMarginParameters parameters;
  parameters.pair.volatility_up_least = 0.9;
  Straddle straddle = straddles[0];
  const PortfolioMargin margin = first_margins(straddle.book(), parameters).at(0);
  EXPECT_NEAR(margin.matrix[14], straddle.pnl(0, 0.9), 2e-11);
  // At a day 0.4 (1 + 0.5 * 30^0.3) = 0.955 is more.
  straddle.days = 1;
  const PortfolioMargin near = first_margins(straddle.book(), parameters).at(0);
  EXPECT_NEAR(near.matrix[14], straddle.pnl(0, 0.4 * (1 + 0.5 * std::pow(30, 0.3))), 2e-11);
}

// A fall of 95 % times 30^0.3 = 2.77 would leave less than nothing. A quarter of the range brings
// the forward to the strike, where volatility shows.
TEST(PortfolioMargin, VolatilityThatFallsIsThatOfAMarkAtLeast) {
  PortfolioMarginParameters parameters;
  parameters.pair.volatility_down = 0.95;
  Straddle straddle = straddles[0];
  const double move = straddle.strike / Straddle::forward - 1;
  parameters.pair.price_range = 4 * move;
  straddle.days = 1;
  const PortfolioMargin margin = first_margins(straddle.book(), parameters).at(0);
  EXPECT_NEAR(margin.matrix[15], straddle.pnl(move, 0.01), 2e-11);
}

// A call 200 % out of the money: F = S = 100,000, K = 300,000, volatility 10 % that does not move.
// The matrix sees nothing. Short 1,000 coins lose at +500 % (600,000 - 300,000) * 1,000 * 0.16 / 5
// = 9.6e6 USD less the dampener (5 / 0.16 - 1) 25,000 = 756,250; at +400 %, 200,000 * 1,000 * 0.04
// - 600,000 = 7.4e6.
TEST(PortfolioMargin, ExtendedTableSeesAFarCallThatTheMatrixDoesNot) {
  MemoryBook book;
  const std::uint32_t underlying = book.add_underlying(100'000);
  book.add_holder(
      book.add(
          {{}, call, linear, underlying, book.config.as_of + 30 * day_seconds, 300'000, 1, 0, 0.1}),
      -1000);
  const PortfolioMargin margin =
      first_margins(book, {.pair = {.volatility_up = 0, .volatility_up_least = 0}}).at(0);
  for (const double pnl : margin.matrix) EXPECT_NEAR(pnl, 0, 1e-6);
  EXPECT_NEAR(margin.extended[7], -9.6e6 + 756'250, 1e-6);
  EXPECT_NEAR(margin.extended[6], -7.4e6, 1e-6);
  EXPECT_NEAR(margin.worst_loss, 8'843'750, 1e-6);
}

// Futures of 30 days and of two years, +-5 BTC at the same mark: every move is a wash, but each
// delta has to be rolled, 1 % of one and e^(0.075 * 2) - 1 of the other.
TEST(PortfolioMargin, CalendarOfFuturesNetsInTheMatrixAndPaysToRoll) {
  MemoryBook book;
  const std::uint32_t underlying = book.add_underlying(50'000), account = book.add_account();
  for (const auto& [days, contracts] : {std::pair(30, 250'000.0), std::pair(730, -250'000.0)})
    book.hold(account,
              book.add({{}, future, inverse, underlying, book.config.as_of + days * day_seconds}),
              contracts);
  const PortfolioMargin margin = first_margins(book).at(0);
  for (const double pnl : margin.matrix) EXPECT_EQ(pnl, 0);
  EXPECT_EQ(margin.worst_loss, 0);
  EXPECT_NEAR(margin.roll_shock, 5 * 0.01 + 5 * std::expm1(0.15), rounding);
  EXPECT_EQ(margin.initial_margin, margin.roll_shock);
  EXPECT_EQ(first_scan(book), 0);
}

// Within an expiry deltas offset: a long perpetual and a short one pay nothing. A call at the money
// has N(d1), less V/F where it is inverse; with a put sold it is a forward, of delta 1.
TEST(PortfolioMargin, RollShockIsOfTheNetDeltaOfAnExpiry) {
  const double v = 0.4 * std::sqrt(73 / 365.0), n1 = 0.5 * std::erfc(-v / 2 / std::sqrt(2.0));
  struct Row {
    Settlement settlement;
    double call_delta;
    double rate;  // of a fifth of a year
    double unit;  // a coin in the settlement currency
  };
  for (const Row& row : {Row{inverse, n1 - black(true, 1, 1, v), std::expm1(0.015), 1},
                         Row{linear, n1, std::expm1(0.02), 100}}) {
    MemoryBook book;
    const std::uint32_t underlying = book.add_underlying(100), account = book.add_account();
    const std::int64_t expiry = book.config.as_of + 73 * day_seconds;
    const auto hold = [&](Instrument instrument, double contracts) {
      instrument.settlement = row.settlement;
      instrument.underlying = underlying;
      book.hold(account, book.add(instrument), contracts);
    };
    const auto rolled = [&] { return first_margins(book).at(0).roll_shock / row.unit / row.rate; };
    hold({{}, perpetual}, 700);
    hold({{}, perpetual}, -700);
    hold({{}, call, {}, 0, expiry, 100, 1, 0, 0.4}, 2);
    EXPECT_NEAR(rolled(), 2 * row.call_delta, 1e-14);
    hold({{}, put, {}, 0, expiry, 100, 1, 0, 0.4}, -2);
    EXPECT_NEAR(rolled(), 2, 1e-14);
    hold({{}, future, {}, 0, expiry}, row.settlement == inverse ? -200 : -2);
    EXPECT_NEAR(rolled(), 0, 1e-14);
  }
}

struct DeltaShock {
  const char* name;
  double perpetual_coins, call_coins, put_coins;  ///< options deep in the money, delta 1 and -1
  double coins;                                   ///< expected
};
void PrintTo(const DeltaShock& row, std::ostream* out) { *out << row.name; }

class DeltaShocks : public testing::TestWithParam<DeltaShock> {};

// Index 50,000: the threshold is 400 coins. The rate is 0.00005 per coin beyond it, at most 0.1, of
// the whole delta: 0.03 * 1000 coins beyond, 0.015 * 700 where options bought take 300.
TEST_P(DeltaShocks, OptionsBoughtOnlyReduceIt) {
  MemoryBook book;
  const std::uint32_t underlying = book.add_underlying(50'000), account = book.add_account();
  const auto hold = [&](Instrument instrument, double coins) {
    instrument.underlying = underlying;
    if (coins != 0) book.hold(account, book.add(instrument), coins);
  };
  const std::int64_t expiry = book.config.as_of + day_seconds;
  hold({{}, perpetual}, GetParam().perpetual_coins);
  hold({{}, call, linear, 0, expiry, 25'000, 1, 0, 0.1}, GetParam().call_coins);
  hold({{}, put, linear, 0, expiry, 100'000, 1, 0, 0.1}, GetParam().put_coins);
  const PortfolioMargin margin = first_margins(book).at(0);
  EXPECT_NEAR(margin.delta_shock, 50'000 * GetParam().coins, 1e-6);
  EXPECT_EQ(margin.initial_margin, margin.worst_loss + margin.delta_shock + margin.roll_shock);
}

INSTANTIATE_TEST_SUITE_P(Deltas, DeltaShocks,
                         testing::Values(DeltaShock{"AtTheThreshold", 400, 0, 0, 0},
                                         DeltaShock{"Beyond", 1000, 0, 0, 30},
                                         DeltaShock{"Short", -1000, 0, 0, 30},
                                         DeltaShock{"AtTheMost", 10'000, 0, 0, 1000},
                                         DeltaShock{"PutsBought", 1000, 0, 300, 10.5},
                                         DeltaShock{"MorePutsThanDelta", 1000, 0, 5000, 0},
                                         DeltaShock{"CallsBought", 1000, 300, 0, 30},
                                         DeltaShock{"CallsBoughtOfAShort", -1000, 300, 0, 10.5},
                                         DeltaShock{"PutsBoughtOfAShort", -1000, 0, 300, 30},
                                         DeltaShock{"OptionsBoughtAlone", 0, 3000, 0, 0},
                                         DeltaShock{"CallsSold", 0, -1000, 0, 30},
                                         DeltaShock{"PutsSoldAgainstAShort", -1000, 0, -300, 10.5}),
                         [](const auto& row) { return row.param.name; });

// Coins are a linear book of their own: 16 % of 2 * 30,000, and nothing to roll. A call sold on
// them settles in coins and stands alone.
TEST(PortfolioMargin, CoinsAreLinearAndDoNotCoverAnInverseCall) {
  MemoryBook book;
  const std::uint32_t underlying = book.add_underlying(30'000), account = book.add_account();
  book.hold(account, book.add({{}, spot, linear, underlying}), 2);
  const std::uint32_t sold = book.add(
      {{}, call, inverse, underlying, book.config.as_of + 30 * day_seconds, 33'000, 1, 0, 0.5});
  book.hold(account, sold, -2);
  book.add_holder(sold, -2);
  const auto margins = portfolio_margins({}, book.book(), book.config.as_of);
  ASSERT_EQ(margins[0].size(), 2u);
  EXPECT_EQ(margins[0][0].settlement, linear);
  EXPECT_NEAR(margins[0][0].initial_margin, 9600, 1e-9);
  EXPECT_EQ(margins[0][0].roll_shock, 0);
  EXPECT_EQ(margins[0][0].usd_per_unit, 1);
  ASSERT_EQ(margins[1].size(), 1u);
  EXPECT_EQ(margins[0][1].matrix, margins[1][0].matrix);
  EXPECT_EQ(margins[0][1].initial_margin, margins[1][0].initial_margin);
  // The scan adds up USD of both: less than the call and the coins alone.
  const std::vector<double> scans = span_margins({}, book.book(), book.config.as_of);
  EXPECT_LT(scans[0], 9600);
  EXPECT_GT(scans[0], 0);
}

}  // namespace
}  // namespace shortfall
