// Collateral and equity: hand-computed equities, what is refused, coins that are simulated.
#include "host/margin/collateral.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "books.hpp"
#include "shortfall/scheduler.hpp"
#include "temporary_book.hpp"

namespace shortfall {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// BTC at 100,000 and ETH at 2,500; at 365 days and a volatility of 0.2, sigma sqrt(T) is 0.2.
struct Venue : MemoryBook {
  std::uint32_t btc = add_underlying(100'000), eth = add_underlying(2'500);
  std::int64_t in_a_year = config.as_of + 365 * day_seconds;

  Venue() {
    book().underlyings[btc].name = "BTC";
    book().underlyings[eth].name = "ETH";
    add_factor(btc, FactorKind::spot, 0.04);
    add_factor(eth, FactorKind::spot, 0.05);
    config.margin.collateral.emplace();
    config.inputs.collateral = "collateral.csv";
  }
  std::uint32_t add_option(InstrumentType type, Settlement settlement, double strike,
                           double multiplier = 1, double forward = 0) {
    return add({"", type, settlement, btc, in_a_year, strike, multiplier, forward, 0.2});
  }
  std::uint32_t add_spot(std::uint32_t underlying, double multiplier, const char* name = "") {
    return add({name, InstrumentType::spot, Settlement::linear, underlying, 0, 0, multiplier});
  }
  void give(std::uint32_t account, std::uint32_t asset, double amount) {
    book().collateral.push_back({book().accounts[account].name, asset, amount});
  }
  double equity(std::uint32_t account = 0) {
    sort_positions();
    return equities(config, inputs)[account];
  }
  std::string problems() {
    Problems found;
    check_collateral(config, inputs, found);
    try {
      found.throw_if_any();
    } catch (const InputError& error) {
      return error.what();
    }
    return {};
  }
};

// At the money v = sigma sqrt(T) = 0.2, so an option is worth F (N(0.1) - N(-0.1)) =
// 100,000 erf(0.1 / sqrt 2) = 100,000 * 0.07965567455405796 = 7,965.567455405796 USD.
constexpr double at_the_money_usd = 7965.567455405796;

TEST(Equity, OfEachTypeOfInstrument) {
  const struct {
    const char* name;
    Instrument instrument;
    double quantity, equity;
  } rows[] = {
      {"Call",
       {"", InstrumentType::call, Settlement::linear, 0, 1, 1e5, 1, 1e5, 0.2},
       1,
       at_the_money_usd},
      {"ShortPuts",
       {"", InstrumentType::put, Settlement::linear, 0, 1, 1e5, 0.1, 1e5, 0.2},
       -3,
       -0.3 * at_the_money_usd},
      // The same ratio K/F at F = 110,000: coin value V/F is the same, times the spot of 100,000.
      {"InverseCall",
       {"", InstrumentType::call, Settlement::inverse, 0, 1, 1.1e5, 1, 1.1e5, 0.2},
       2,
       2 * at_the_money_usd},
      // Hull's formula by hand: ln(1.25) = 0.22314355, d1 = 1.21571776, d2 = 1.01571776,
      // N(d1) = 0.88795377, N(d2) = 0.84511810: 125,000 * 0.88795377 - 100,000 * 0.84511810.
      {"InTheMoney",
       {"", InstrumentType::call, Settlement::linear, 0, 1, 1e5, 1, 1.25e5, 0.2},
       1,
       26'482.41},
      // By parity 25,000 less.
      {"OutOfTheMoney",
       {"", InstrumentType::put, Settlement::linear, 0, 1, 1e5, 1, 1.25e5, 0.2},
       1,
       1'482.41},
      {"Spot", {"", InstrumentType::spot, Settlement::linear, 0, 0, 0, 0.5, 1e5, 0}, -3, -150'000},
      {"Future", {"", InstrumentType::future, Settlement::linear, 0, 1, 0, 1, 1.1e5, 0}, 5, 0},
      {"Inverse", {"", InstrumentType::future, Settlement::inverse, 0, 1, 0, 10, 1.1e5, 0}, 5, 0},
      {"Perpetual", {"", InstrumentType::perpetual, Settlement::linear, 0, 0, 0, 1, 1e5, 0}, 5, 0},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Venue venue;
    Instrument instrument = row.instrument;
    if (instrument.expiry != 0) instrument.expiry = venue.in_a_year;
    venue.add_holder(venue.add(instrument), row.quantity);
    // Constants above have ten digits, those in the money seven.
    EXPECT_NEAR(venue.equity(), row.equity, std::abs(row.equity) < 1e-9 ? 0 : 0.01);
  }
}

TEST(Equity, HasTheDigitsOfBlack76) {
  Venue venue;
  venue.add_holder(venue.add_option(InstrumentType::call, Settlement::linear, 100'000), 1);
  EXPECT_NEAR(venue.equity(), 100'000 * std::erf(0.1 / std::sqrt(2.0)), 1e-9);
}

TEST(Equity, OfCollateralAfterHaircuts) {
  const struct {
    const char* name;
    double usd, btc, eth, haircut, equity;
  } rows[] = {{"Cash", 1000, 0, 0, 0.1, 1000},
              {"Debt", -1000, 0, 0, 0.1, -1000},
              {"Coins", 0, 0.5, 0, 0.1, 45'000},  // 0.5 * 100,000 * 0.9
              {"Worthless", 5, 2, 0, 1, 5},
              {"Borrowed", 0, -0.5, 0, 0.1, -50'000},         // a debt has no haircut
              {"All", 250, 0.01, 2, 0.25, 250 + 750 + 5000},  // ETH has none
              {"Nothing", 0, 0, 0, 0.1, 0}};
  for (const auto& row : rows) {
    Venue venue;
    venue.config.margin.collateral->haircuts = {{"BTC", row.haircut}, {"ETH", 0}};
    venue.add_account();
    venue.give(0, Collateral::usd, row.usd);
    venue.give(0, venue.btc, row.btc);
    venue.give(0, venue.eth, row.eth);
    EXPECT_DOUBLE_EQ(venue.equity(), row.equity) << row.name;
    // Simulated coins count in full, and as much once they are positions.
    venue.config.margin.collateral = CollateralConfig{true, {}};
    const double in_full = row.usd + row.btc * 1e5 + row.eth * 2500;
    EXPECT_DOUBLE_EQ(venue.equity(), in_full) << row.name;
    EXPECT_DOUBLE_EQ(equities(venue.config, with_collateral(venue.inputs))[0], in_full) << row.name;
  }
}

TEST(Equity, RowsOfACoinAreAddedBeforeTheHaircut) {
  Venue venue;
  venue.config.margin.collateral->haircuts = {{"BTC", 0.5}};
  venue.add_account();
  venue.give(0, venue.btc, 3);
  venue.give(0, venue.btc, -2);
  EXPECT_EQ(venue.equity(), 50'000);
}

TEST(Equity, IgnoresOrderAndOtherAccounts) {
  Venue venue;
  venue.config.margin.collateral->haircuts = {{"BTC", 0.1}, {"ETH", 0.3}};
  const double strikes[] = {70'000, 90'000, 100'000, 130'000, 170'000};
  venue.add_account();
  for (const double strike : strikes)
    venue.hold(0, venue.add_option(InstrumentType::call, Settlement::inverse, strike, 0.3), -1.7);
  for (const double amount : {0.1, 0.2, 0.3, 1e9}) venue.give(0, Collateral::usd, amount);
  for (const double amount : {0.7, -0.1, 0.013}) venue.give(0, venue.btc, amount);
  const double equity = venue.equity();
  std::ranges::reverse(venue.book().collateral);
  venue.book().collateral.push_back({"stranger", venue.eth, 5});
  std::ranges::reverse(venue.book().instruments);  // and so another order of the same positions
  for (Position& p : venue.book().positions) p.instrument = 4 - p.instrument;
  EXPECT_EQ(venue.equity(), equity);
}

TEST(Equity, IsTheSumWhateverIsLarge) {
  // 10^17 - 10^17 + 1 + 8 * 10^-16, positions in an order that would lose all but the first or all
  // but the 1, and the other way round.
  std::vector<double> values = {1e17, 1, 1e-16, 1e-16, 1e-16, 1e-16, 1e-16, 1e-16, 1e-16, 1e-16};
  values.push_back(-1e17);
  for (const bool is_reversed : {false, true}) {
    Venue venue;
    const auto account = venue.add_account(), other = venue.add_account();
    for (const double value : values)
      venue.hold(account, venue.add_spot(venue.btc, std::abs(value) / 1e5), value < 0 ? -1 : 1);
    std::vector<double> amounts = {0.1, 0.2, 0.3};  // 0.6 only from the right
    if (is_reversed) {
      std::ranges::reverse(venue.book().instruments);
      for (Position& p : venue.book().positions) p.instrument = 10 - p.instrument;
      std::ranges::reverse(amounts);
    }
    for (const double amount : amounts) venue.give(other, Collateral::usd, amount);
    EXPECT_EQ(venue.equity(account), 1 + 8e-16);
    EXPECT_EQ(venue.equity(other), 0.1 + 0.2 + 0.3);
  }
}

TEST(Equity, OfAShortStraddleWithOnlyItsPremiumIsNothing) {
  Venue venue;
  const auto account = venue.add_account();
  for (const auto type : {InstrumentType::call, InstrumentType::put})
    venue.hold(account, venue.add_option(type, Settlement::linear, 100'000), -1);
  venue.give(account, Collateral::usd, 2 * at_the_money_usd);
  const double equity = venue.equity(), margin = margins_of(venue)[0].margin_usd;
  EXPECT_NEAR(equity, 0, 1e-9);  // the digits of the constant
  EXPECT_GT(margin, 1000);
  EXPECT_EQ(status_of(equity, margin, margin), AccountStatus::liquidate);
  EXPECT_EQ(status_of(equity, margin, 0.75 * margin), AccountStatus::liquidate);
}

TEST(Status, ComparesEquityWithBothMargins) {
  const struct {
    double equity, initial, maintenance, ratio;
    const char* status;
  } rows[] = {{100, 100, 75, 0.75, "ok"},
              {99, 100, 75, 75.0 / 99, "call"},
              {75, 100, 75, 1, "call"},
              {74, 100, 75, 75.0 / 74, "liquidate"},
              {0, 0, 0, 0, "ok"},
              {5, 0, 0, 0, "ok"},
              {-1, 0, 0, 0, "liquidate"},
              {0, 100, 75, infinity, "liquidate"},
              {-5, 100, 75, infinity, "liquidate"}};
  for (const auto& row : rows) {
    EXPECT_STREQ(to_string(status_of(row.equity, row.initial, row.maintenance)), row.status)
        << row.equity;
    EXPECT_EQ(margin_ratio(row.equity, row.maintenance), row.ratio) << row.equity;
  }
}

TEST(Collateral, IsChecked) {
  const struct {
    const char* name;
    void (*spoil)(Venue&);
    const char* problem;  // the beginning; empty: none
  } rows[] = {
      {"Valid", [](Venue& v) { v.config.margin.collateral->haircuts["BTC"] = 0.1; }, ""},
      {"NotAsked", [](Venue& v) { v.config.margin.collateral.reset(); }, ""},
      {"Simulated", [](Venue& v) { v.config.margin.collateral->is_simulated = true; }, ""},
      {"NoHaircut", [](Venue&) {},
       "collateral.csv: account \"A0\" holds BTC, which has no haircut; write one in haircuts of "
       "[margin.collateral], or set simulate = true"},
      {"NoFile", [](Venue& v) { v.config.inputs.collateral.reset(); },
       "run.toml: [margin.collateral] needs a collateral file; name it as collateral in [inputs]"},
      {"UnknownUnderlying",
       [](Venue& v) {
         v.config.margin.collateral->haircuts = {{"BTC", 0}, {"BCT", 0}};
       },
       "run.toml: [margin.collateral] haircuts has \"BCT\", which is no underlying"},
      {"Both",
       [](Venue& v) {
         v.config.margin.collateral = CollateralConfig{true, {{"BTC", 0}}};
       },
       "run.toml: [margin.collateral] has haircuts and simulate = true"},
      {"Large",
       [](Venue& v) {
         v.config.margin.collateral->haircuts["BTC"] = 0.1;
         v.give(0, Collateral::usd, 1e300);
       },
       "collateral.csv: account \"A0\" has 1e+300 USD, more than 1e18 USD; correct the amount"},
      {"ManyContracts",
       [](Venue& v) {
         v.config.margin.collateral->is_simulated = true;
         v.add_spot(v.btc, 1e-12);
         v.give(0, v.btc, 1e7);
       },
       "collateral.csv: account \"A0\" has 1e+07 BTC, which is 1e+19 contracts of the spot; a "
       "quantity must be below 1e18"},
      {"NoFactor",
       [](Venue& v) {
         v.config.margin.collateral->is_simulated = true;
         v.inputs.covariance = {};
         v.give(0, v.btc, 1);
       },
       "collateral.csv: account \"A0\" holds BTC, which is simulated and needs the factor "
       "BTC.spot"},
  };
  for (const auto& row : rows) {
    Venue venue;
    venue.config.file = "run.toml";
    venue.add_account();
    venue.give(0, venue.btc, 1);
    venue.give(0, venue.btc, 2);
    row.spoil(venue);
    const std::string problems = venue.problems();
    EXPECT_TRUE(problems.starts_with(row.problem)) << row.name << ": " << problems;
    EXPECT_EQ(problems.empty(), *row.problem == '\0') << row.name << ": " << problems;
    EXPECT_EQ(problems.find('\n'), std::string::npos) << row.name << ": " << problems;
  }
}

TEST(SimulatedCollateral, BecomesSpotPositions) {
  Venue venue;
  const auto small = venue.add_spot(venue.btc, 0.01, "BTC-small");
  venue.add_spot(venue.btc, 1, "BTC-whole");  // after "BTC-small"
  const auto first = venue.add_holder(small, 2), second = venue.add_account();
  venue.give(second, venue.eth, 1.0 / 3);
  venue.give(first, venue.btc, 0.5);
  venue.give(first, Collateral::usd, 7);
  venue.book().collateral.push_back({"late", venue.eth, -4});
  venue.book().collateral.push_back({"later", Collateral::usd, 1});
  venue.book().collateral.push_back({"late", venue.btc, 1});
  const Book book = with_collateral(venue.inputs).book;

  ASSERT_EQ(book.instruments.size(), 3u);
  EXPECT_EQ(book.instruments[2].name, "ETH-collateral");
  EXPECT_EQ(book.instruments[2].underlying, venue.eth);
  EXPECT_EQ(book.instruments[2].type, InstrumentType::spot);
  EXPECT_EQ(book.instruments[2].multiplier, 1);
  EXPECT_EQ(book.instruments[2].mark_price, 2500);
  ASSERT_EQ(book.accounts.size(), 4u);
  EXPECT_EQ(book.accounts[2].name, "late");
  EXPECT_EQ(book.accounts[3].name, "later");

  const struct {
    std::uint32_t account, instrument;
    std::int64_t units;
  } wanted[] = {{first, small, 52'000'000'000'000},  // 2 held and 0.5 / 0.01 as collateral
                {second, 2, 333'333'333'333},        // rounded
                {2, small, 100'000'000'000'000},
                {2, 2, -4'000'000'000'000}};
  ASSERT_EQ(book.positions.size(), std::size(wanted));
  for (std::size_t i = 0; i < std::size(wanted); ++i) {
    EXPECT_EQ(book.positions[i].account, wanted[i].account) << i;
    EXPECT_EQ(book.positions[i].instrument, wanted[i].instrument) << i;
    EXPECT_EQ(static_cast<std::int64_t>(book.positions[i].quantity.units()), wanted[i].units) << i;
  }
  ASSERT_EQ(book.collateral.size(), 2u);  // the cash
}

TEST(SimulatedCollateral, StaysSorted) {
  Venue venue;  // the spots are listed in the other order than the underlyings
  const auto eth = venue.add_spot(venue.eth, 1), btc = venue.add_spot(venue.btc, 1);
  venue.add_account();
  venue.give(0, venue.btc, 1);
  venue.give(0, venue.eth, 2);
  const std::vector<Position> positions = with_collateral(venue.inputs).book.positions;
  ASSERT_EQ(positions.size(), 2u);
  EXPECT_EQ(positions[0].instrument, eth);
  EXPECT_EQ(positions[1].instrument, btc);
}

TEST(SimulatedCollateral, ListsACoinWhetherHeldOrNot) {
  Venue venue;  // so that others' collateral moves no block of the listing
  venue.add_account();
  EXPECT_EQ(with_collateral(venue.inputs).book.instruments.size(), 2u);
  venue.give(0, venue.btc, 1);
  EXPECT_EQ(with_collateral(venue.inputs).book.instruments.size(), 2u);
}

TEST(SimulatedCollateral, RoundsHalvesAwayFromZero) {
  const std::pair<double, std::int64_t> rows[] = {
      {2.5e-12, 3}, {-2.5e-12, -3}, {2.4e-12, 2}, {-2.6e-12, -3}, {0.1, 100'000'000'000}};
  for (const auto& [amount, units] : rows) {
    Venue venue;
    venue.add_account();
    venue.give(0, venue.btc, amount);
    const Book book = with_collateral(venue.inputs).book;
    EXPECT_EQ(static_cast<std::int64_t>(book.positions.at(0).quantity.units()), units) << amount;
  }
}

TEST(SimulatedCollateral, GivesAccountsOfCollateralAloneARow) {
  const TemporaryBook book;  // of bob, isolated, only collateral.csv tells: -0.5 BTC
  std::ifstream stream(book.path("run.toml"));
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  const auto margins_of_run = [&](const std::string& table) {
    book.write("run.toml", text + "[risk]\npaths = 1000\n[compute]\nbackend = \"cpu\"\n" + table);
    return run(book.path("run.toml")).margins;
  };
  EXPECT_EQ(margins_of_run("").size(), 2u);
  EXPECT_EQ(margins_of_run("[margin.collateral]\nhaircuts = {BTC = 0.1}\n").size(), 2u);
  const auto margins = margins_of_run("[margin.collateral]\nsimulate = true\n");
  ASSERT_EQ(margins.size(), 3u);
  EXPECT_EQ(margins[2].account, "bob");
  EXPECT_EQ(margins[2].mode, MarginMode::isolated);
  EXPECT_EQ(margins[2].position_count, 1u);
  EXPECT_EQ(margins[2].gross_notional_usd, 50'000);
  EXPECT_EQ(margins[2].equity_usd, -50'000);
  EXPECT_GT(margins[2].margin_usd, 0);  // who owes coins loses when they rise
  EXPECT_EQ(margins[2].status, AccountStatus::liquidate);
}

/// Margin of one account, options aging by nothing, with and without its coins in the simulation.
struct Margins {
  double without_usd, with_usd;
};
Margins margins_with(InstrumentType type, MarginMode mode = MarginMode::portfolio) {
  Venue venue;
  venue.config.risk.revalue_at = RevalueAt::now;
  venue.add_account(mode);
  venue.hold(0, venue.add_option(type, Settlement::linear, 100'000), -1);
  venue.give(0, venue.btc, 1);
  const double without = margins_of(venue)[0].margin_usd;
  venue.inputs = with_collateral(venue.inputs);
  return {without, margins_of(venue)[0].margin_usd};
}

TEST(SimulatedCollateral, ShowsWrongWayRisk) {
  // One factor moves the book. Short puts and coins lose together, so that the worst paths of the
  // sum are those of both and expected shortfalls add up, to the accuracy of losses.
  Venue alone;
  alone.config.risk.revalue_at = RevalueAt::now;
  alone.add_account();
  alone.give(0, alone.btc, 1);
  alone.inputs = with_collateral(alone.inputs);
  const double coin = margins_of(alone)[0].margin_usd;
  EXPECT_GT(coin, 5000);  // about 2.67 * 4 % of 100,000
  const Margins puts = margins_with(InstrumentType::put);
  EXPECT_NEAR(puts.with_usd, puts.without_usd + coin, 2e5 * loss_error_max);
  // Against short calls the coins are a hedge.
  const Margins calls = margins_with(InstrumentType::call);
  EXPECT_LT(calls.with_usd, calls.without_usd + 0.9 * coin);
  // Isolated, the coins are a position of their own and hedge nothing.
  const Margins isolated = margins_with(InstrumentType::call, MarginMode::isolated);
  EXPECT_NEAR(isolated.with_usd, isolated.without_usd + coin, 2e5 * loss_error_max);
}

}  // namespace
}  // namespace shortfall
