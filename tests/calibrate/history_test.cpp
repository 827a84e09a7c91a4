// Histories: changes of every kind of factor, windows, gaps, and one row per reason to refuse.
#include "host/calibrate/history.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "host/input/date.hpp"
#include "temporary_histories.hpp"

namespace shortfall::calibration {
namespace {

HistorySource source_of(const std::filesystem::path& file) {
  HistorySource source;
  source.file = file;
  return source;
}

HistorySource source_of(const std::filesystem::path& file, std::vector<HistoryColumn> columns) {
  HistorySource source = source_of(file);
  source.columns = std::move(columns);
  return source;
}

TEST(History, TakesLogReturnsOfPrices) {
  TemporaryFolder folder;
  const auto file = folder.write("p.csv",
                                 "date,BTC,ETH\r\n2020-01-01,100,\r\n2020-01-02,110,20\r\n"
                                 "2020-01-03,,22\r\n2020-01-04,121,\r\n2020-01-05,133.1,11\r\n");
  const ReadHistory read = read_history({source_of(file)}, {});
  const FactorChanges& changes = read.changes;
  EXPECT_EQ(changes.factors, (std::vector<std::string>{"BTC.spot", "ETH.spot"}));
  EXPECT_EQ(changes.interval_days, 1);
  EXPECT_EQ(format_date(changes.times.front()), "2020-01-02");
  ASSERT_EQ(changes.values.size(), 8u);
  EXPECT_NEAR(changes.values[0], std::log(1.1), 1e-15);
  EXPECT_TRUE(std::isnan(changes.values[1]));  // listed the day after
  EXPECT_TRUE(std::isnan(changes.values[2]));  // a gap: no change into it or out of it
  EXPECT_NEAR(changes.values[3], std::log(1.1), 1e-15);
  EXPECT_TRUE(std::isnan(changes.values[4]));
  EXPECT_NEAR(changes.values[6], std::log(1.1), 1e-14);
  EXPECT_TRUE(std::isnan(changes.values[7]));
  // Where each change began.
  EXPECT_EQ(read.levels[0], 100);
  EXPECT_TRUE(std::isnan(read.levels[1]) && std::isnan(read.levels[4]));
  EXPECT_EQ(read.levels[6], 121);
  EXPECT_EQ(read.series[0].missing_count, 1u);
  EXPECT_NEAR(read.series[0].largest_left_out, std::log(1.1), 1e-14);
  EXPECT_EQ(format_date(read.series[1].first), "2020-01-02");
}

TEST(History, KeepsToTheWindow) {
  TemporaryFolder folder;
  std::string text = "date,BTC\n";
  for (int i = 0; i < 30; ++i) text += fmt::format("{},{}\n", day(i), 100 + i);
  const auto file = folder.write("p.csv", text);
  HistoryWindow window;
  window.from = parse_date(day(10));
  window.to = parse_date(day(20));
  const ReadHistory read = read_history({source_of(file)}, window);
  // Rows before the window remain, for mixtures; those after it do not.
  EXPECT_EQ(format_date(read.changes.times.back()), day(20));
  EXPECT_EQ(format_date(read.changes.times[read.window.begin]), day(11));
  EXPECT_EQ(read.window.end - read.window.begin, 10u);
  EXPECT_EQ(format_date(read.series[0].first), day(10));
}

TEST(History, ReadsHoursAndRowsThatAreMissing) {
  TemporaryFolder folder;
  const auto file = folder.write("p.csv",
                                 "time,BTC\n2020-01-01T22:00:00Z,1\n2020-01-01T23:00:00Z,2\n"
                                 "2020-01-02T00:00:00Z,4\n2020-01-02T03:00:00+01:00,8\n");
  const ReadHistory read = read_history({source_of(file)}, {});
  EXPECT_EQ(read.changes.interval_days, 1 / 24.0);
  ASSERT_EQ(read.changes.values.size(), 4u);
  EXPECT_TRUE(std::isnan(read.changes.values[2]) && std::isnan(read.changes.values[3]));
}

TEST(History, FixedStrikesOfASmileThatStaysHaveNoChange) {
  // A smile fixed in the strike, sigma(K) = 0.5 - 0.1 ln(K / 100) / sqrt(T): the volatility at the
  // money moves with the forward, and that of no strike does.
  TemporaryFolder folder;
  const double root = std::sqrt(30.0 / 365);
  std::string prices = "date,BTC\n", vols = "date,iv\n";
  for (int i = 0; i < 5; ++i) {
    const double forward = 100 * (1 + 0.01 * i);
    prices += fmt::format("{},{}\n", day(i), forward);
    vols += fmt::format("{},{}\n", day(i), 100 * (0.5 - 0.1 * std::log(forward / 100) / root));
  }
  HistorySource vol = source_of(folder.write("v.csv", vols), {{"iv", "BTC.vol.30d"}});
  vol.scale = 0.01;
  const std::vector<HistorySource> fixed = {source_of(folder.write("p.csv", prices)), vol};
  EXPECT_NEAR(read_history(fixed, {}).changes.values[1],
              std::log(1 - 0.1 * std::log(1.01) / root / 0.5), 1e-12);
  EXPECT_EQ(read_history(fixed, {}).levels[1], 0.5);  // in the unit of the factor
  std::vector<HistorySource> at_the_money = fixed;
  at_the_money[1].is_at_the_money = true;
  at_the_money[1].slope = -0.1;
  const ReadHistory read = read_history(at_the_money, {});
  // ln(1 + x) - x of a move of 0.7 %.
  for (std::size_t t = 0; t < 4; ++t) EXPECT_NEAR(read.changes.values[2 * t + 1], 0, 3e-5);
  EXPECT_EQ(read.series[1].slope, -0.1);
}

TEST(History, ShortTenorsMoveAlongTheSmileOfSevenDays) {
  TemporaryFolder folder;
  HistorySource vol =
      source_of(folder.write("v.csv", fmt::format("date,iv\n{},0.5\n{},0.5\n", day(0), day(1))),
                {{"iv", "BTC.vol.1d"}});
  vol.is_at_the_money = true;
  vol.slope = 0.2;
  const auto prices =
      folder.write("p.csv", fmt::format("date,BTC\n{},100\n{},110\n", day(0), day(1)));
  EXPECT_NEAR(read_history({source_of(prices), vol}, {}).changes.values[1],
              -0.2 * std::log(1.1) / std::sqrt(7.0 / 365) / 0.5, 1e-15);
}

TEST(History, PerpetualsAreTheirPremium) {
  TemporaryFolder folder;
  const auto prices =
      folder.write("p.csv", fmt::format("date,BTC\n{},100\n{},120\n", day(0), day(1)));
  const auto other = folder.write("x.csv", fmt::format("date,x\n{},0.1\n{},0.3\n", day(0), day(1)));
  HistorySource premium = source_of(other, {{"x", "BTC.perp"}});
  premium.quantity = Quantity::premium;
  EXPECT_NEAR(read_history({source_of(prices), premium}, {}).changes.values[1], std::log(1.3 / 1.1),
              1e-15);
  HistorySource funding = premium;
  funding.quantity = Quantity::funding;
  funding.scale = 0.5;
  EXPECT_NEAR(read_history({source_of(prices), funding}, {}).changes.values[1],
              std::log(1.15 / 1.05), 1e-15);
  HistorySource price = premium;
  price.quantity = Quantity::price;
  EXPECT_NEAR(read_history({source_of(prices), price}, {}).changes.values[1],
              std::log(0.3 / 0.1) - std::log(1.2), 1e-14);
  EXPECT_NEAR(read_history({source_of(other, {{"x", "BTC.basis"}})}, {}).changes.values[0], 0.2,
              1e-15);
}

TEST(History, SeriesNeedTheirSpot) {
  TemporaryFolder folder;
  HistorySource vol =
      source_of(folder.write("v.csv", fmt::format("date,iv\n{},0.5\n{},0.5\n", day(0), day(1))),
                {{"iv", "BTC.vol.30d"}});
  vol.is_at_the_money = true;
  EXPECT_EQ(folder.problems_of([&] { read_history({vol}, {}); }),
            "v.csv:1: BTC.vol.30d needs the history of BTC.spot beside it; add its prices");
}

struct BadHistory {
  const char* name;
  std::string text;
  const char* place;
  const char* message;
};

class HistoryRefuses : public testing::TestWithParam<BadHistory> {};

TEST_P(HistoryRefuses, WithTheLine) {
  TemporaryFolder folder;
  const auto file = folder.write("p.csv", GetParam().text);
  const std::string problems = folder.problems_of([&] { read_history({source_of(file)}, {}); });
  EXPECT_TRUE(problems.starts_with(std::string(GetParam().place) + ": ")) << problems;
  EXPECT_NE(problems.find(GetParam().message), std::string::npos) << problems;
  EXPECT_EQ(problems.find('\n'), std::string::npos) << "more than one problem:\n" << problems;
}

const std::string header = "date,BTC\n";
const std::string row = "2020-01-01,100\n";

INSTANTIATE_TEST_SUITE_P(
    Reasons, HistoryRefuses,
    testing::Values(
        BadHistory{"empty", "", "p.csv", "is empty"},
        BadHistory{"no_rows", header, "p.csv", "has a header but no rows"},
        BadHistory{"one_row", header + row, "p.csv", "has a single row"},
        BadHistory{"no_time", "day,BTC\n" + row, "p.csv:1", "has 0 columns date or time"},
        BadHistory{"two_times", "date,time\n", "p.csv:1", "has 2 columns date or time"},
        BadHistory{"no_series", "date\n2020-01-01\n", "p.csv:1", "has 0 series"},
        BadHistory{"no_coin", "date,B.C\n" + row, "p.csv:1", "the factor \"B.C.spot\", which is"},
        BadHistory{"field_count", header + row + "2020-01-02,1,2\n", "p.csv:3", "has 3 fields"},
        BadHistory{"time", header + "01.01.2020,100\n", "p.csv:2", "\"01.01.2020\" is no time"},
        BadHistory{"no_such_day", header + "2021-02-29,100\n", "p.csv:2", "is no time"},
        BadHistory{"no_zone", "time,BTC\n2020-01-01T00:00:00,1\n", "p.csv:2", "is no time"},
        BadHistory{"duplicate", header + row + row, "p.csv:3", "repeats line 2; remove one"},
        BadHistory{"unsorted", header + row + "2019-12-31,99\n", "p.csv:3",
                   "is before line 2; sort the rows"},
        BadHistory{"zero", header + "2020-01-01,0\n" + "2020-01-02,1\n2020-01-03,1\n", "p.csv:2",
                   "BTC is 0; it must be greater than 0"},
        BadHistory{"negative", header + row + "2020-01-02,-5\n", "p.csv:3",
                   "BTC is -5; it must be greater than 0"},
        BadHistory{"no_number", header + row + "2020-01-02,nan\n", "p.csv:3",
                   "\"nan\" is not a finite decimal number"},
        BadHistory{"infinite", header + row + "2020-01-02,1e999\n", "p.csv:3",
                   "is not a finite decimal number"},
        BadHistory{"huge", header + row + "2020-01-02,1e16\n", "p.csv:3", "outside [1e-12, "},
        BadHistory{"thousand", header + row + "2020-01-02,100000\n2020-01-03,101\n", "p.csv:3",
                   "BTC is 100000, and 100 on line 2: a thousand times its neighbour"},
        BadHistory{"thousandth", header + row + "2020-01-02,0.1\n2020-01-03,0.1\n", "p.csv:3",
                   "a thousand times its neighbour"},
        BadHistory{"gap", header + row + "2020-01-02,101\n2020-01-03,102\n2020-01-08,103\n",
                   "p.csv:5", "no level since line 4 (2020-01-03): a gap longer than 3 days"},
        BadHistory{"ends_early",
                   "date,BTC,ETH\n2020-01-01,1,1\n2020-01-02,1,1\n2020-01-03,1,\n2020-01-04,1,\n"
                   "2020-01-05,1,\n2020-01-06,1,\n",
                   "p.csv:3", "ETH ends on 2020-01-02, more than 3 days before the window's end"},
        BadHistory{"never", "date,BTC,ETH\n2020-01-01,1,\n2020-01-02,1,\n", "p.csv",
                   "column ETH has no level up to 2020-01-02"},
        BadHistory{
            "irregular",
            header + row + "2020-01-02,1\n2020-01-03T06:00:00Z,1\n2020-01-04,1\n2020-01-05,1\n",
            "p.csv:4", "is not a whole number of intervals (1 days)"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(History, RefusesHistoriesThatDoNotFitTogether) {
  TemporaryFolder folder;
  const auto prices =
      folder.write("p.csv", fmt::format("date,BTC\n{},1\n{},1\n{},1\n", day(0), day(1), day(2)));
  const auto problems = [&](const std::string& text, const HistoryWindow& window = {}) {
    const HistorySource other = source_of(folder.write("x.csv", text), {{"x", "BTC.vol.30d"}});
    return folder.problems_of([&] { read_history({source_of(prices), other}, window); });
  };
  EXPECT_NE(problems("date,x\n2020-01-01,0.5\n2020-01-08,0.5\n")
                .find("x.csv: has a row every 7 days, and"),
            std::string::npos);
  EXPECT_NE(problems("time,x\n2020-01-01T08:00:00Z,0.5\n2020-01-02T08:00:00Z,0.5\n")
                .find("x.csv:2: time 2020-01-01T08:00:00Z is not a whole number of intervals"),
            std::string::npos);
  EXPECT_NE(problems("date,x\n2020-01-01,56.7\n2020-01-02,57\n")
                .find("x.csv:2: x is 56.7, outside [0.01, 10]; write volatilities as annual"),
            std::string::npos);
  HistoryWindow late;
  late.to = parse_date(day(9));
  EXPECT_NE(problems("date,x\n2020-01-01,0.5\n2020-01-02,0.5\n2020-01-03,0.5\n", late)
                .find("the window from 2020-01-01 to 2020-01-10 is not within the histories"),
            std::string::npos);
}

}  // namespace
}  // namespace shortfall::calibration
