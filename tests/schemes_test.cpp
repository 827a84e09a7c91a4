// The scan like SPAN's, by hand and by Black by libm; what holds for every scheme.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "books.hpp"
#include "demo_run.hpp"
#include "shortfall/schemes.hpp"
#include "straddles.hpp"

namespace shortfall {
namespace {

using enum InstrumentType;
using enum Settlement;

// 4 contracts of half a coin at 100 USD are 200 USD.
TEST(Span, LinearPerpetualLosesItsRangeOrAShareOfTheExtreme) {
  for (const double side : {1.0, -1.0}) {
    MemoryBook book;
    const std::uint32_t underlying = book.add_underlying(99);
    book.add_holder(book.add({{}, perpetual, linear, underlying, 0, 0, 0.5, 100}), 4 * side);
    EXPECT_NEAR(first_scan(book), 32, 1e-12);  // 0.33 * 48 % is 15.84 %, below 16 %
    EXPECT_NEAR(first_scan(book, {.extreme_share = 0.5}), 48, 1e-12);
    // 20 ranges are 320 %, but a fall stops at 95 %.
    EXPECT_NEAR(first_scan(book, {.extreme_multiple = 20}),
                side > 0 ? 200 * 0.95 * 0.33 : 200 * 3.2 * 0.33, 1e-12);
  }
}

// (1/P - 1/P') S' = m S / P per USD of contract, long and short alike.
TEST(Span, InversePerpetualIsLinearInUsd) {
  for (const double contracts : {500.0, -500.0}) {
    MemoryBook book;
    const std::uint32_t underlying = book.add_underlying(99);
    book.add_holder(book.add({{}, perpetual, inverse, underlying, 0, 0, 10, 100}), contracts);
    EXPECT_NEAR(first_scan(book), 5000 * 0.16 * 99 / 100, 1e-10);
  }
}

// A straddle that is bought is worst off where its strike is, with volatility down: strikes at each
// price of the scan make each scenario count.
TEST(Span, StraddleIsTheWorstOfSixteenByBlack) {
  for (Straddle straddle : straddles) {
    for (int strike_thirds = -3; strike_thirds <= 3; ++strike_thirds)
      for (const double contracts : {-3, 3})
        for (const double share : {0.33, 1.0}) {
          straddle.strike = Straddle::forward * (1 + 0.16 * strike_thirds / 3);
          straddle.contracts = contracts;
          double worst = 0;
          for (int thirds = -3; thirds <= 3; ++thirds)
            for (const double factor : {0.7, 1.3})
              worst = std::max(worst, -straddle.pnl_usd(0.16 * thirds / 3, 0.4 * factor));
          for (const double m : {0.48, -0.48})
            worst = std::max(worst, -share * straddle.pnl_usd(m, 0.4));
          EXPECT_NEAR(first_scan(straddle.book(), {.extreme_share = share}), worst, 2e-11)
              << straddle.days << ' ' << strike_thirds << ' ' << contracts << ' ' << share;
        }
  }
}

/// Instruments of every kind on two underlyings.
MemoryBook mixed_book() {
  MemoryBook book;
  for (const double spot_usd : {60'000.0, 150.0}) {
    const std::uint32_t underlying = book.add_underlying(spot_usd);
    book.add({{}, spot, linear, underlying});
    for (const Settlement settlement : {linear, inverse}) {
      book.add({{}, perpetual, settlement, underlying});
      for (const std::int64_t days : {9, 200}) {
        const std::int64_t expiry = book.config.as_of + days * day_seconds;
        Instrument i{{}, future, settlement, underlying, expiry};
        i.mark_price = spot_usd * (1 + 0.0001 * static_cast<double>(days));
        book.add(i);
        i.mark_iv = 0.6;
        for (const double moneyness : {0.8, 1.0, 1.3})
          for (const InstrumentType type : {call, put})
            i.type = type, i.strike = spot_usd * moneyness, book.add(i);
      }
    }
  }
  return book;
}

double contracts_held(std::uint32_t account, std::uint32_t instrument) {
  return static_cast<double>((account * 7 + instrument * 13) % 11) - 5;
}

void hold_everything(MemoryBook& book, std::uint32_t account) {
  for (std::uint32_t i = 0; i < book.book().instruments.size(); ++i)
    book.hold(account, i, contracts_held(account, i));
}

void expect_same_bits(const std::vector<PortfolioMargin>& a,
                      const std::vector<PortfolioMargin>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].matrix, b[i].matrix);
    EXPECT_EQ(a[i].extended, b[i].extended);
    EXPECT_EQ(a[i].initial_margin, b[i].initial_margin);
    EXPECT_EQ(a[i].maintenance_margin, b[i].maintenance_margin);
  }
}

TEST(Schemes, AccountsDoNotDependOnEachOther) {
  MemoryBook together = mixed_book();
  for (std::uint32_t a = 0; a < 3; ++a) hold_everything(together, together.add_account());
  const auto margins = portfolio_margins({}, together.book(), together.config.as_of);
  const auto scans = span_margins({}, together.book(), together.config.as_of);
  for (std::uint32_t a = 0; a < 3; ++a) {
    MemoryBook alone = mixed_book();
    std::swap(alone.book().accounts, together.book().accounts);
    alone.book().accounts.resize(1);
    for (Position p : together.book().positions)
      if (p.account == a) p.account = 0, alone.book().positions.push_back(p);
    together.book().accounts.resize(3);
    ASSERT_EQ(margins[a].size(), 4u);
    expect_same_bits(first_margins(alone), margins[a]);
    EXPECT_EQ(first_scan(alone), scans[a]);
    EXPECT_GT(scans[a], 0);
  }
}

TEST(Schemes, OrderOfInstrumentsOnlyRounds) {
  MemoryBook book = mixed_book(), reversed = mixed_book();
  hold_everything(book, book.add_account());
  auto& instruments = reversed.book().instruments;
  std::ranges::reverse(instruments);
  reversed.add_account();
  const auto last = static_cast<std::uint32_t>(instruments.size() - 1);
  for (std::uint32_t i = 0; i <= last; ++i) reversed.hold(0, i, contracts_held(0, last - i));
  const auto a = first_margins(book), b = first_margins(reversed);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].underlying, b[i].underlying);
    EXPECT_EQ(a[i].settlement, b[i].settlement);
    // Fifteen addends, and the ninth decimal of a worst loss that is rounded.
    EXPECT_NEAR(a[i].initial_margin, b[i].initial_margin, 1e-13 * a[i].initial_margin + 1e-9);
  }
  EXPECT_NEAR(first_scan(book), first_scan(reversed), 1e-13 * first_scan(book));
}

TEST(Schemes, NothingHeldIsChargedNothing) {
  MemoryBook book = mixed_book();
  book.add_account();
  hold_everything(book, book.add_account());
  book.hold(book.add_account(), 3, 0);
  const auto margins = portfolio_margins({}, book.book(), book.config.as_of);
  const auto scans = span_margins({}, book.book(), book.config.as_of);
  ASSERT_EQ(margins.size(), 3u);
  ASSERT_EQ(scans.size(), 3u);
  for (const std::size_t a : {0u, 2u}) {
    EXPECT_TRUE(margins[a].empty());
    EXPECT_EQ(scans[a], 0);
  }
  EXPECT_FALSE(margins[1].empty());
}

TEST(Schemes, OptionsBoughtLoseNoMoreThanTheirPremium) {
  for (const Settlement settlement : {linear, inverse}) {
    Straddle straddle = straddles[0];
    straddle.settlement = settlement;
    straddle.contracts = 3;
    const MemoryBook book = straddle.book();
    const double premium = 3 * straddle.value(0, Straddle::iv);
    const PortfolioMargin margin = first_margins(book).at(0);
    EXPECT_GT(margin.worst_loss, 0);
    EXPECT_LE(margin.worst_loss, premium + 1e-9);
    EXPECT_EQ(margin.delta_shock, 0);
    const double usd = settlement == linear ? premium : premium * Straddle::spot;
    EXPECT_GT(first_scan(book), 0);
    EXPECT_LE(first_scan(book), usd);
  }
}

TEST(Schemes, UnderlyingsHaveParametersOfTheirOwn) {
  MemoryBook book;
  const std::uint32_t account = book.add_account();
  for (const double spot_usd : {100.0, 10.0})
    book.hold(account, book.add({{}, spot, linear, book.add_underlying(spot_usd)}), 1);
  EXPECT_NEAR(first_scan(book, {.by_underlying = {{"U1", {.price = 0.5}}}}), 16 + 5, 1e-12);
  const auto margins = first_margins(book, {.by_underlying = {{"U1", {.price_range = 0.5}}}});
  ASSERT_EQ(margins.size(), 2u);
  EXPECT_EQ(margins[0].underlying, 0u);
  EXPECT_NEAR(margins[0].initial_margin, 16, 1e-12);
  EXPECT_EQ(margins[1].underlying, 1u);
  EXPECT_NEAR(margins[1].initial_margin, 5, 1e-12);
}

/// What an InputError says; empty where none is thrown.
template <class Call>
std::string problems_of(Call call) {
  try {
    call();
    return {};
  } catch (const InputError& error) {
    return error.what();
  }
}

TEST(Schemes, ParametersOfAnUnderlyingThatIsNotThereAreRefused) {
  const MemoryBook book = mixed_book();
  EXPECT_EQ(
      problems_of([&] {
        span_margins({.by_underlying = {{"U0", {}}, {"BCT", {}}}}, book.book(), book.config.as_of);
      }),
      "span: [span.underlyings] has \"BCT\", which is no underlying of the book; correct the "
      "name, or remove it");
  EXPECT_NE(problems_of([&] {
              portfolio_margins({.by_underlying = {{"BCT", {}}}}, book.book(), book.config.as_of);
            }).find("[portfolio_margin.underlyings] has \"BCT\""),
            std::string::npos);
}

TEST(Schemes, LossThatIsNotFiniteIsRefused) {
  MemoryBook book;
  const std::uint32_t underlying = book.add_underlying(100);
  // 1e17 contracts of 1e300 coins, bought and sold: infinity less infinity.
  const std::uint32_t account = book.add_account();
  for (const double contracts : {1e17, -1e17})
    book.hold(account, book.add({{}, perpetual, linear, underlying, 0, 0, 1e300}), contracts);
  EXPECT_THROW(first_scan(book), OperatingError);
  EXPECT_THROW(first_margins(book), OperatingError);
}

// What configs/strategies/README.md says of the scenario schemes.
TEST(Schemes, GallerySaysWhereOffsetsAreRecognised) {
  const RunConfig config = load_config(demo_folder.parent_path() / "strategies" / "run.toml");
  const Book book = load_inputs(config).book;
  const std::vector<double> scans = span_margins({}, book, config.as_of);
  const auto margins = portfolio_margins({}, book, config.as_of);
  std::map<std::string, double> scan, margin;
  for (std::size_t a = 0; a < book.accounts.size(); ++a) {
    scan[book.accounts[a].name] = scans[a];
    for (const PortfolioMargin& part : margins[a])
      margin[book.accounts[a].name] += part.initial_margin * part.usd_per_unit;
  }
  EXPECT_EQ(scan.size(), 14u);
  EXPECT_NEAR(scan.at("long"), scan.at("short"), 1e-6);
  EXPECT_GT(margin.at("long"), 1.2 * margin.at("short"));
  // ETH's leg has 5 BTC worth of USD as well.
  EXPECT_NEAR(scan.at("long-short"), 2 * scan.at("long"), 1e-3 * scan.at("long"));
  EXPECT_LT(scan.at("covered-call"), scan.at("long"));
  EXPECT_GT(margin.at("covered-call"), margin.at("long"));
  EXPECT_LT(margin.at("covered-call-perpetual"), margin.at("long"));
  EXPECT_LT(margin.at("portfolio-insurance"), 0.6 * margin.at("long"));
  EXPECT_LT(margin.at("long-straddle"), 0.25 * margin.at("short-straddle"));
  EXPECT_LT(margin.at("delta-neutral"), 0.6 * margin.at("short-straddle"));
  for (const char* washed : {"calendar-futures", "basis-arbitrage"})
    EXPECT_LT(scan.at(washed), 10) << washed;  // whole contracts of 10 USD
  EXPECT_GT(margin.at("calendar-futures"), 0.2 * margin.at("long"));
  EXPECT_GT(margin.at("basis-arbitrage"), 1.5 * margin.at("long"));
}

}  // namespace
}  // namespace shortfall
