// Books with options at constant maturity: what they lose, what is forecast, and what is refused.
#include <gtest/gtest.h>

#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <limits>

#include "host/backtest/walk.hpp"
#include "tests/calibrate/simulated.hpp"

namespace shortfall::backtest {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t first_row = 150;

/// A coin with a daily deviation of 4 %, its 30-day volatility with one of `vol_deviation`, and a
/// correlation of -0.5; the volatility starts at 60 %.
struct Market {
  FactorChanges changes;
  std::vector<double> levels;
};

Market simulated_market(double vol_deviation, std::uint32_t seed, Eigen::Index row_count = 160) {
  Eigen::MatrixXd covariance(2, 2);
  const double joint = -0.5 * 0.04 * vol_deviation;
  covariance << 16e-4, joint, joint, vol_deviation * vol_deviation;
  Draws draws(seed);
  Market market;
  market.changes = changes_of(normal_rows(covariance, row_count, draws));
  market.changes.factors = {"A.spot", "A.vol.30d"};
  double price = 100, volatility = 0.6;
  for (std::size_t row = 0; row < market.changes.times.size(); ++row) {
    market.levels.insert(market.levels.end(), {price, volatility});
    price *= std::exp(market.changes.values[2 * row]);
    volatility *= std::exp(market.changes.values[2 * row + 1]);
  }
  return market;
}

WalkSettings settings_of(std::size_t from_row, std::size_t to_row) {
  WalkSettings settings;
  settings.from = 86'400 * static_cast<std::int64_t>(from_row + 1);
  settings.to = 86'400 * static_cast<std::int64_t>(to_row + 1);
  settings.window_count = 120;
  settings.path_count = 20'000;
  settings.thread_count = 1;
  settings.distribution = Distribution::gaussian;
  return settings;
}

WalkPosition call(double value_usd) { return {"A", value_usd, InstrumentType::call, 30}; }
WalkPosition put(double value_usd) { return {"A", value_usd, InstrumentType::put, 30}; }

Walk walk_of(const Market& market, const std::vector<HeldBook>& books,
             const WalkSettings& settings) {
  return walk_history(market.changes, market.levels, books, settings);
}

/// Black's put on a forward at a strike of 1, by another library than the engine's.
double black_put(double forward, double volatility, double years) {
  const boost::math::normal normal;
  const double v = volatility * std::sqrt(years), d1 = std::log(forward) / v + v / 2;
  return boost::math::cdf(normal, v - d1) - forward * boost::math::cdf(normal, -d1);
}

TEST(WalkOptions, AreClosedADayOlderAtTheNewVolatility) {
  const Market market = simulated_market(0.05, 1);
  const Walk walk = walk_of(market,
                            {{"put", {put(-1000)}},
                             {"straddle", {put(-1000), call(-1000)}},
                             {"straddle bought", {call(1000), put(1000)}},
                             {"covered", {call(-1000), {"A", 1000}}}},
                            settings_of(first_row, 159));
  for (std::size_t date = 0; date < 10; ++date) {
    const std::size_t row = first_row + date;
    const double forward = std::exp(market.changes.values[2 * row]);
    const double before = market.levels[2 * row + 1];
    const double after = before * std::exp(market.changes.values[2 * row + 1]);
    const double lost =
        1000 * (black_put(forward, after, 29. / 365) - black_put(1, before, 30. / 365));
    const auto loss = [&](std::size_t book) { return walk.books[book].levels[0][date].loss_usd; };
    EXPECT_NEAR(loss(0), lost, 1e-9);
    // Put-call parity: a call is a put and the forward.
    EXPECT_NEAR(loss(1), 2 * lost + 1000 * (forward - 1), 1e-9);
    EXPECT_NEAR(loss(2), -loss(1), 1e-9);
    EXPECT_NEAR(loss(3), lost, 1e-9);
    for (std::size_t l = 0; l < 2; ++l)  // and the engine forecasts alike
      EXPECT_NEAR(walk.books[0].levels[l][date].expected_shortfall_usd,
                  walk.books[3].levels[l][date].expected_shortfall_usd, 0.01);
  }
}

TEST(WalkOptions, ForecastsAreThoseOfTheirOwnVolatility) {
  // A volatility that all but stays: a put sold then loses at a quantile of the price what Black
  // says of it.
  Market market = simulated_market(1e-9, 2);
  for (const double level : {0.6, 1.2}) {
    market.levels[2 * first_row + 1] = level;
    WalkSettings settings = settings_of(first_row, first_row);
    settings.path_count = 200'000;
    const Walk walk = walk_of(market, {{"put", {put(-1000)}}}, settings);
    const double deviation =
        std::sqrt(calibrate(market.changes, {first_row - 120, first_row}, CalibrationSettings{})
                      .covariance[0]);
    const boost::math::normal normal;
    for (std::size_t l = 0; l < 2; ++l) {
      const double confidence = walk.confidence_levels[l];
      const double z = boost::math::quantile(normal, confidence);
      const double lost = 1000 * (black_put(std::exp(-deviation * z), level, 29. / 365) -
                                  black_put(1, level, 30. / 365));
      // Five standard errors of the quantile, of a position whose delta is at most 1.
      const double error = 5 * deviation * std::sqrt(confidence * (1 - confidence) / 200'000) /
                           boost::math::pdf(normal, z);
      EXPECT_NEAR(walk.books[0].levels[l][0].value_at_risk_usd, lost, 1000 * error);
    }
  }
}

TEST(WalkOptions, KnowThePastAlone) {
  const Market market = simulated_market(0.05, 3);
  Market other = market;
  for (std::size_t i = (first_row + 5) * 2; i < other.changes.values.size(); ++i)
    other.changes.values[i] *= -3;
  for (std::size_t i = (first_row + 6) * 2; i < other.levels.size(); ++i) other.levels[i] *= 1.5;
  const std::vector<HeldBook> books = {{"straddle", {put(-1000), call(-1000)}}};
  const auto settings = settings_of(first_row, first_row + 9);
  const auto a = walk_of(market, books, settings).books[0].levels[1];
  const auto b = walk_of(other, books, settings).books[0].levels[1];
  for (std::size_t date = 0; date < 10; ++date)
    EXPECT_EQ(a[date].expected_shortfall_usd == b[date].expected_shortfall_usd, date <= 5) << date;
  EXPECT_NE(a[5].loss_usd, b[5].loss_usd);
}

TEST(WalkOptions, ADateWithoutAVolatilityIsNoDateOfTheirBooks) {
  Market market = simulated_market(0.05, 4);
  const std::size_t missing = first_row + 5;  // the level before this change
  market.levels[2 * missing + 1] = none;
  market.changes.values[2 * missing + 1] = market.changes.values[2 * (missing - 1) + 1] = none;
  const Walk walk = walk_of(market, {{"coin", {{"A", 1000}}}, {"straddle", {put(-1), call(-1)}}},
                            settings_of(first_row, first_row + 9));
  EXPECT_EQ(walk.books[0].times.size(), 10u);
  EXPECT_EQ(walk.books[1].times.size(), 8u);
  // With nothing but options the date has nothing to simulate.
  EXPECT_EQ(
      walk_of(market, {{"straddle", {put(-1), call(-1)}}}, settings_of(first_row, first_row + 9))
          .books[0]
          .levels[0]
          .size(),
      8u);
}

TEST(WalkOptions, LossesStayWithinTheVolatilitiesOfTheEngine) {
  Market market = simulated_market(0.05, 5);
  market.levels[2 * first_row + 1] = 9;
  market.changes.values[2 * first_row + 1] = 1;  // to 24.5, beyond the engine's 10
  const Walk walk = walk_of(market, {{"put", {put(-1000)}}}, settings_of(first_row, first_row));
  EXPECT_NEAR(walk.books[0].levels[0][0].loss_usd,
              1000 * (black_put(std::exp(market.changes.values[2 * first_row]), 10, 29. / 365) -
                      black_put(1, 9, 30. / 365)),
              1e-9);
}

TEST(WalkOptions, Refuses) {
  const Market market = simulated_market(0.05, 6);
  const auto refusal = [&](WalkPosition position, double interval_days = 1) {
    try {
      FactorChanges changes = market.changes;
      changes.interval_days = interval_days;
      walk_history(changes, market.levels, {{"b", {std::move(position)}}},
                   settings_of(first_row, first_row));
      return std::string("nothing");
    } catch (const InputError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refusal({"A", 1, InstrumentType::put, 7}),
            "history.csv: book b: the history has no A.vol.7d to value A put 7d by; add a history "
            "of that volatility, or leave the position out");
  EXPECT_EQ(refusal({"B", 1, InstrumentType::put, 30}),
            "history.csv: book b: the history has no prices of B to value it by (it has A); add "
            "them, or leave the position out");
  EXPECT_EQ(refusal(call(0)),
            "history.csv: book b: a position of 0 USD in A call 30d; give a value "
            "from 0.01 to 1e+12, or below 0");
  EXPECT_EQ(refusal(call(1), 30),
            "history.csv: book b: A call 30d expires within the interval of 30 days over which it "
            "is held; take a longer one");
}

}  // namespace
}  // namespace shortfall::backtest
