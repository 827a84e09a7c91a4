// What the documentation says was found on real histories, as far as seconds allow.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "host/backtest/evaluation.hpp"
#include "host/backtest/walk.hpp"
#include "host/calibrate/history.hpp"
#include "host/input/date.hpp"

namespace shortfall::backtest {
namespace {

class BacktestRealData : public testing::Test {
 protected:
  void SetUp() override {
    const char* const shared = std::getenv("SHORTFALL_SHARED");
    if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set";
    shared_ = std::filesystem::path(shared) / "data";
  }

  calibration::HistorySource prices(const std::vector<std::string>& coins) const {
    calibration::HistorySource source;
    source.file = shared_ / "prices_daily/closes_binance_usdt_8coins_20200101_20260115.csv";
    for (const std::string& coin : coins) source.columns.push_back({coin, coin + ".spot"});
    return source;
  }
  calibration::HistorySource dvol() const {
    calibration::HistorySource source;
    source.file = shared_ / "vol_and_funding/dvol_btc_daily_20221106_20251112.csv";
    source.columns = {{"dvol_close", "BTC.vol.30d"}};
    source.scale = 0.01;
    source.is_at_the_money = true;
    return source;
  }

  std::vector<Evaluation> evaluate(const std::vector<calibration::HistorySource>& sources,
                                   const std::vector<HeldBook>& books, const char* from,
                                   const char* to, Distribution distribution) const {
    calibration::HistoryWindow window;
    window.to = parse_date(to);
    const calibration::ReadHistory history = read_history(sources, window);
    WalkSettings settings;
    settings.from = *parse_date(from);
    settings.to = *parse_date(to);
    settings.calibration.observations_min = 250;
    settings.distribution = distribution;
    settings.path_count = 20'000;
    return backtest::evaluate(walk_history(history.changes, history.levels, books, settings), 999,
                              1);
  }

  std::filesystem::path shared_;
};

bool rejects(const Evaluation& evaluation, const std::string& test) {
  const auto tests = evaluation.rejected_by();
  return std::find(tests.begin(), tests.end(), test) != tests.end();
}

TEST_F(BacktestRealData, GaussianTailsFailAndStudentsAreOfTheRightSize) {
  const std::vector<HeldBook> books = {{"BTC long", {{"BTC", 1000}}},
                                       {"ETH short", {{"ETH", -1000}}},
                                       {"pair", {{"BTC", 1000}, {"ETH", -1000}}}};
  const auto run = [&](Distribution distribution) {
    return evaluate({prices({"BTC", "ETH"})}, books, "2021-07-01", "2026-01-14", distribution);
  };
  for (const Evaluation& row : run(Distribution::gaussian)) {
    EXPECT_EQ(row.date_count, 1659u);
    EXPECT_TRUE(rejects(row, "Z1")) << row.book << ' ' << row.confidence_level;
  }
  for (const Evaluation& row : run(Distribution::student_t)) {
    EXPECT_FALSE(rejects(row, "Z1")) << row.book << ' ' << row.confidence_level;
    EXPECT_FALSE(rejects(row, "Z2")) << row.book << ' ' << row.confidence_level;
    EXPECT_FALSE(rejects(row, "proportion")) << row.book << ' ' << row.confidence_level;
    if (row.book == "pair" && row.confidence_level == 0.975) {  // clusters are not seen
      EXPECT_TRUE(rejects(row, "independence"));
    }
  }
}

TEST_F(BacktestRealData, AStraddleByItsVolatilityIndex) {
  const std::vector<HeldBook> books = {
      {"short straddle",
       {{"BTC", -1000, InstrumentType::call, 30}, {"BTC", -1000, InstrumentType::put, 30}}}};
  const auto run = [&](const char* from, Distribution distribution) {
    return evaluate({prices({"BTC"}), dvol()}, books, from, "2025-11-10", distribution);
  };
  for (const Evaluation& row : run("2023-07-15", Distribution::student_t)) {
    EXPECT_EQ(row.date_count, 850u);
    EXPECT_TRUE(row.rejected_by().empty()) << row.confidence_level;
  }
  for (const Evaluation& row : run("2023-07-15", Distribution::gaussian))
    EXPECT_TRUE(rejects(row, "Z1")) << row.confidence_level;
  // A day earlier it does not have 250 changes yet.
  EXPECT_THROW(run("2023-07-14", Distribution::student_t), InputError);
}

}  // namespace
}  // namespace shortfall::backtest
