// The walk: what it knows at each date, what it forecasts, and what it refuses.
#include "host/backtest/walk.hpp"

#include <gtest/gtest.h>

#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "host/backtest/walk_csv.hpp"
#include "tests/calibrate/simulated.hpp"
#include "tests/calibrate/temporary_histories.hpp"

namespace shortfall::backtest {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

/// Two coins with daily deviations of 3 and 5 % and a correlation of 0.6, multivariate t.
FactorChanges simulated_changes(Eigen::Index row_count, double degrees_of_freedom,
                                std::uint32_t seed) {
  Eigen::MatrixXd covariance(2, 2);
  covariance << 9e-4, 9e-4, 9e-4, 25e-4;
  Draws draws(seed);
  Eigen::MatrixXd rows = normal_rows(covariance, row_count, draws);
  if (std::isfinite(degrees_of_freedom))
    for (Eigen::Index t = 0; t < row_count; ++t) rows.row(t) *= draws.mixing(degrees_of_freedom);
  return changes_of(rows);
}

const std::vector<HeldBook>& books() {
  static const std::vector<HeldBook> of_test = {{"long A", {{"A", 1000}}},
                                                {"short A", {{"A", -1000}}},
                                                {"hedged", {{"B", -600}, {"A", 1000}}}};
  return of_test;
}

/// Rows are dated from day 1 on: row t ends on day t + 1.
std::int64_t end_of_row(std::size_t row) { return 86'400 * static_cast<std::int64_t>(row + 1); }

WalkSettings settings_of(std::size_t first_row, std::size_t last_row) {
  WalkSettings settings;
  settings.from = end_of_row(first_row);
  settings.to = end_of_row(last_row);
  settings.window_count = 120;
  settings.path_count = 5'000;
  settings.thread_count = 1;
  return settings;
}

TEST(Walk, ForecastsAreThoseOfTheCalibratedModel) {
  const FactorChanges changes = simulated_changes(300, std::numeric_limits<double>::infinity(), 1);
  WalkSettings settings = settings_of(280, 280);
  settings.distribution = Distribution::gaussian;
  settings.path_count = 200'000;
  const Walk walk = walk_history(changes, {}, books(), settings);
  const double deviation =
      std::sqrt(calibrate(changes, {160, 280}, CalibrationSettings{}).covariance[0]);
  const boost::math::normal normal;
  for (std::size_t l = 0; l < 2; ++l) {
    const double level = walk.confidence_levels[l];
    const double z = boost::math::quantile(normal, level), alpha = 1 - level;
    // Five standard errors of a quantile in z, sqrt(alpha (1 - alpha) / N) / pdf.
    const double error = 5 * std::sqrt(alpha * level / 200'000) / boost::math::pdf(normal, z);
    const BacktestDate& longs = walk.books[0].levels[l][0];
    EXPECT_NEAR(longs.value_at_risk_usd, 1000 * (1 - std::exp(-deviation * z)),
                1000 * deviation * error);
    EXPECT_NEAR(walk.books[1].levels[l][0].value_at_risk_usd, 1000 * (std::exp(deviation * z) - 1),
                1100 * deviation * error);
    // E[1 - e^X | X < -z s] = 1 - e^(s^2/2) P(Z < -z - s) / alpha.
    const double mean =
        std::exp(deviation * deviation / 2) * boost::math::cdf(normal, -z - deviation) / alpha;
    EXPECT_NEAR(longs.expected_shortfall_usd, 1000 * (1 - mean), 1000 * deviation * 2 * error);
    EXPECT_EQ(longs.loss_usd, -1000 * std::expm1(changes.values[280 * 2]));
  }
  EXPECT_NEAR(walk.books[2].levels[0][0].loss_usd,
              -1000 * std::expm1(changes.values[560]) + 600 * std::expm1(changes.values[561]),
              1e-9);
  EXPECT_EQ(walk.books[0].calibrated_to[0], end_of_row(279));
}

TEST(Walk, TailsHaveAsManyLossesAboveTheValueAtRiskAsTheLevelSays) {
  for (const std::uint64_t path_count : {1'000u, 5'000u}) {
    WalkSettings settings = settings_of(150, 160);
    settings.path_count = path_count;
    const Walk walk = walk_history(simulated_changes(200, 5, 11), {}, books(), settings);
    for (const BookSeries& series : walk.books)
      for (std::size_t l = 0; l < 2; ++l)
        for (std::size_t date = 0; date < series.times.size(); ++date) {
          const auto& losses = series.worst_losses_usd[date];
          const double value_at_risk = series.levels[l][date].value_at_risk_usd;
          EXPECT_EQ(std::count_if(losses.begin(), losses.end(),
                                  [&](float loss) { return loss > value_at_risk; }),
                    std::lround(static_cast<double>(path_count) * (1 - walk.confidence_levels[l])));
        }
  }
}

/// Every number that a date's forecasts consist of.
std::vector<double> forecasts_at(const Walk& walk, std::size_t date) {
  std::vector<double> numbers;
  for (const BookSeries& series : walk.books) {
    for (const auto& level : series.levels) {
      numbers.push_back(level[date].value_at_risk_usd);
      numbers.push_back(level[date].expected_shortfall_usd);
    }
    numbers.insert(numbers.end(), series.worst_losses_usd[date].begin(),
                   series.worst_losses_usd[date].end());
  }
  return numbers;
}

TEST(Walk, KnowsThePastAlone) {
  const FactorChanges changes = simulated_changes(300, 5, 2);
  for (const CalibrationMethod method : {CalibrationMethod::sample, CalibrationMethod::ewma}) {
    WalkSettings settings = settings_of(200, 209);
    settings.calibration.method = method;
    const Walk walk = walk_history(changes, {}, books(), settings);
    FactorChanges other = changes;
    for (std::size_t i = 205 * 2; i < other.values.size(); ++i) other.values[i] *= -3;
    const Walk changed = walk_history(other, {}, books(), settings);
    // The loss of row 205 is the first that differs, and row 206 the first whose forecast knows.
    for (std::size_t date = 0; date <= 5; ++date)
      EXPECT_EQ(forecasts_at(walk, date), forecasts_at(changed, date)) << date;
    for (std::size_t date = 6; date < 10; ++date)
      EXPECT_NE(forecasts_at(walk, date), forecasts_at(changed, date)) << date;
    EXPECT_NE(walk.books[0].levels[0][5].loss_usd, changed.books[0].levels[0][5].loss_usd);
  }
}

TEST(Walk, SameBitsForAnyNumberOfThreads) {
  const FactorChanges changes = simulated_changes(420, 5, 3);
  WalkSettings settings = settings_of(320, 419);
  settings.calibration.method = CalibrationMethod::garch;
  settings.window_count = 300;
  settings.path_count = 1'000;
  const Walk alone = walk_history(changes, {}, books(), settings);
  settings.thread_count = 3;
  const Walk together = walk_history(changes, {}, books(), settings);
  ASSERT_EQ(alone.books[0].times.size(), 100u);
  for (std::size_t date = 0; date < 100; ++date)
    ASSERT_EQ(forecasts_at(alone, date), forecasts_at(together, date)) << date;
}

TEST(Walk, ATailTooHeavyToCalibrateIsBoundedAndSaid) {
  FactorChanges changes = simulated_changes(200, 3, 12);
  for (std::size_t row = 0; row < 200; row += 9)  // storms
    for (std::size_t i = 0; i < 2; ++i) changes.values[2 * row + i] *= 12;
  const Walk walk = walk_history(changes, {}, books(), settings_of(150, 160));
  // Alone, such a calibration is refused.
  EXPECT_THROW(calibrate(changes, {30, 150}, CalibrationSettings{}), InputError);
  EXPECT_EQ(walk.books[0].degrees_of_freedom[0], 2.5);
  const auto said = [&](const char* part) {
    return std::any_of(walk.warnings.begin(), walk.warnings.end(), [&](const std::string& warning) {
      return warning.find(part) != std::string::npos;
    });
  };
  EXPECT_TRUE(said("on 11 of 11 dates: degrees of freedom estimated below 2.5 are taken as 2.5"));
  EXPECT_TRUE(said("11 dates expect 0.1 exceedances at 0.99: too few"));
  EXPECT_FALSE(said("paths the error"));
  WalkSettings settings = settings_of(150, 199);
  settings.path_count = 1'000;
  EXPECT_NE(walk_history(changes, {}, books(), settings)
                .warnings.back()
                .find("1000 paths the error of the forecasts"),
            std::string::npos);
}

TEST(Walk, OneCalibrationForAllDates) {
  const FactorChanges changes = simulated_changes(200, 5, 4);
  WalkSettings settings = settings_of(150, 160);
  settings.calibration_date = end_of_row(149);
  const Walk walk = walk_history(changes, {}, books(), settings);
  for (std::size_t date = 1; date < 11; ++date)
    EXPECT_EQ(forecasts_at(walk, date), forecasts_at(walk, 0));
  EXPECT_EQ(walk.books[0].calibrated_to.back(), end_of_row(149));
  // It is the calibration that the first date has of its own.
  settings.calibration_date.reset();
  EXPECT_EQ(forecasts_at(walk_history(changes, {}, books(), settings), 0), forecasts_at(walk, 0));
}

TEST(Walk, ADateWithoutAPriceIsNoDateOfItsBooks) {
  FactorChanges changes = simulated_changes(200, 5, 5);
  changes.values[155 * 2 + 1] = none;  // of B
  const Walk walk = walk_history(changes, {}, books(), settings_of(150, 160));
  EXPECT_EQ(walk.books[0].times.size(), 11u);
  ASSERT_EQ(walk.books[2].times.size(), 10u);
  EXPECT_EQ(walk.books[2].times[5], end_of_row(156));
  EXPECT_EQ(walk.books[2].levels[1].size(), 10u);
  EXPECT_EQ(walk.books[2].worst_losses_usd.size(), 10u);
}

TEST(Walk, Refuses) {
  const FactorChanges changes = simulated_changes(300, 5, 7);
  const auto refusal =
      [&](const std::function<void(WalkSettings&, std::vector<HeldBook>&, FactorChanges&)>& spoil) {
        WalkSettings settings = settings_of(150, 160);
        std::vector<HeldBook> of_test = books();
        FactorChanges spoilt = changes;
        spoil(settings, of_test, spoilt);
        try {
          walk_history(spoilt, {}, of_test, settings);
          return std::string("nothing");
        } catch (const InputError& error) {
          return std::string(error.what());
        }
      };
  using Settings = WalkSettings;
  using Books = std::vector<HeldBook>;
  struct Row {
    const char* message;
    std::function<void(Settings&, Books&, FactorChanges&)> spoil;
  };
  const Row rows[] = {
      {"calibration date 1970-06-01 is inside the test window, whose first loss ends on 1970-06-01",
       [](Settings& s, Books&, FactorChanges&) { s.calibration_date = end_of_row(150); }},
      {"has 150 changes before 1970-06-01, fewer than the 151",
       [](Settings& s, Books&, FactorChanges&) { s.window_count = 151; }},
      {"has 100 changes before 1970-04-12, fewer than the 120",
       [](Settings& s, Books&, FactorChanges&) { s.calibration_date = end_of_row(99); }},
      {"has 0 changes before 1970-01-02, fewer than the 1",
       [](Settings& s, Books&, FactorChanges&) { s.from = 0, s.window_count = 0; }},
      {"is to be tested from 1970-06-01 to 1971-01-01; change from or to",
       [](Settings& s, Books&, FactorChanges&) { s.to = 365 * 86'400; }},
      {"is to be tested from 1970-06-01 to 1970-05-01; change from or to",
       [](Settings& s, Books&, FactorChanges&) { s.to = 120 * 86'400; }},
      {"book long A: the history has no prices of C to value it by (it has A, B)",
       [](Settings&, Books& b, FactorChanges&) {
         b[0].positions.push_back({"C", 1});
       }},
      {"book long A: holds nothing",
       [](Settings&, Books& b, FactorChanges&) { b[0].positions.clear(); }},
      {"book long A: has A twice",
       [](Settings&, Books& b, FactorChanges&) {
         b[0].positions.push_back({"A", 1});
       }},
      {"book long A: a position of nan USD in A",
       [](Settings&, Books& b, FactorChanges&) { b[0].positions[0].value_usd = none; }},
      {"book long A: a position of 0 USD in A",
       [](Settings&, Books& b, FactorChanges&) { b[0].positions[0].value_usd = 0; }},
      // Would round to nothing in the engine's quantities.
      {"book long A: a position of 1e-13 USD in A",
       [](Settings&, Books& b, FactorChanges&) { b[0].positions[0].value_usd = 1e-13; }},
      {"rice is no factor", [](Settings&, Books&, FactorChanges& c) { c.factors[1] = "rice"; }},
      // The estimation's own words, with the date.
      {"at 1970-06-01: factor B.spot has 70 changes in the window, and at least 100 are needed",
       [](Settings&, Books&, FactorChanges& c) {
         for (std::size_t row = 0; row < 80; ++row) c.values[row * 2 + 1] = none;
       }},
      {"50 paths at confidence 0.99 leave no tail: use at least 100 paths",
       [](Settings& s, Books&, FactorChanges&) { s.path_count = 50; }},
  };
  for (const Row& row : rows)
    EXPECT_NE(refusal(row.spoil).find(row.message), std::string::npos)
        << row.message << "\n    is not in\n"
        << refusal(row.spoil);
}

TEST(Walk, WhatDoesNotFitIntoMemoryIsRefusedBeforeItIsDone) {
  WalkSettings settings = settings_of(150, 160);
  settings.path_count = 1'000'000'000'000;
  try {
    walk_history(simulated_changes(200, 5, 10), {}, books(), settings);
    FAIL();
  } catch (const OperatingError& error) {
    EXPECT_STREQ(error.what(),
                 "out of memory: the worst losses of 3 books on 11 dates take 3300.0 GB with "
                 "1000000000000 paths; use fewer paths, or fewer books at a time");
  }
}

TEST(Walk, TheEarliestFailureIsReportedWhateverTheThreads) {
  FactorChanges changes = simulated_changes(700, 5, 8);
  for (std::size_t row = 300; row < 500; ++row) changes.values[row * 2] = none;
  WalkSettings settings = settings_of(150, 699);
  settings.path_count = 1'000;
  for (const std::uint32_t threads : {1u, 4u}) {
    settings.thread_count = threads;
    try {
      walk_history(changes, {}, books(), settings);
      FAIL();
    } catch (const InputError& error) {
      // Row 320 is the last with 100 of the 120 before it.
      EXPECT_NE(std::string(error.what()).find("at 1970-11-19: factor A.spot has 99 changes"),
                std::string::npos)
          << error.what();
    }
  }
}

TEST(Walk, WritesARowPerBookDateAndLevel) {
  const FactorChanges changes = simulated_changes(200, 5, 9);
  const Walk walk = walk_history(changes, {}, books(), settings_of(150, 151));
  const TemporaryFolder folder;
  {
    AtomicFile csv(folder.path("walk.csv"));
    write_walk(walk, csv);
    csv.publish();
  }
  std::ifstream file(folder.path("walk.csv"));
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line,
            "date,book,confidence_level,value_at_risk_usd,expected_shortfall_usd,loss_usd,"
            "is_exceedance,calibrated_to,degrees_of_freedom");
  std::getline(file, line);
  const BacktestDate& first = walk.books[0].levels[0][0];
  EXPECT_EQ(line, fmt::format("1970-06-01,long A,0.975,{},{},{},{:d},1970-05-31,{}",
                              first.value_at_risk_usd, first.expected_shortfall_usd, first.loss_usd,
                              first.is_exceedance(), walk.books[0].degrees_of_freedom[0]));
  int rest = 0;
  while (std::getline(file, line)) ++rest;
  EXPECT_EQ(rest, 3 * 2 * 2 - 1);
}

}  // namespace
}  // namespace shortfall::backtest
