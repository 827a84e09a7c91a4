// Published values, and every series of a length counted one by one.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string_view>

#include "shortfall/backtest.hpp"

namespace shortfall {
namespace {

Exceedances series_of(std::string_view digits) {
  Exceedances series;
  for (const char digit : digits) series.push_back(digit == '1');
  return series;
}

Exceedances series_of_bits(unsigned bits, std::size_t length) {
  Exceedances series;
  for (std::size_t t = 0; t < length; ++t) series.push_back(bits >> t & 1);
  return series;
}

/// Acerbi and Szekely's X is gain-positive.
std::vector<BacktestDate> dates_of(std::initializer_list<double> pnls, double value_at_risk_usd,
                                   double expected_shortfall_usd) {
  std::vector<BacktestDate> dates;
  for (const double pnl : pnls) dates.push_back({value_at_risk_usd, expected_shortfall_usd, -pnl});
  return dates;
}

TEST(Backtest, ProportionHasThePublishedValues) {
  // As many digits as were published.
  const LikelihoodRatioTest long_history = test_proportion(57, 1043, 0.95);
  EXPECT_NEAR(long_history.statistic, 0.46147, 5e-6);
  EXPECT_NEAR(long_history.p_value, 0.49694, 5e-6);
  EXPECT_NEAR(test_proportion(3, 250, 0.99).statistic, 0.09494012, 5e-9);
}

TEST(Backtest, ProportionAtTheEnds) {
  const LikelihoodRatioTest none = test_proportion(0, 250, 0.99);
  EXPECT_NEAR(none.statistic, -500 * std::log(0.99), 1e-12);
  const LikelihoodRatioTest all = test_proportion(250, 250, 0.99);
  EXPECT_NEAR(all.statistic, -500 * std::log(0.01), 1e-9);
  EXPECT_LT(all.exact_p_value, 1e-300);
  const LikelihoodRatioTest one_date = test_proportion(1, 1, 0.99);
  EXPECT_NEAR(one_date.statistic, -2 * std::log(0.01), 1e-12);
  EXPECT_NEAR(one_date.exact_p_value, 0.01, 1e-15);
  EXPECT_NEAR(test_proportion(0, 1, 0.99).exact_p_value, 1, 1e-15);
  // As expected to the dot: nothing to object to.
  EXPECT_NEAR(test_proportion(10, 1000, 0.99).statistic, 0, 1e-12);
}

TEST(Backtest, CountsTransitions) {
  const TransitionCounts n = transition_counts(series_of("0001001101000"));
  EXPECT_EQ(n.count_00, 5u);
  EXPECT_EQ(n.count_01, 3u);
  EXPECT_EQ(n.count_10, 3u);
  EXPECT_EQ(n.count_11, 1u);
  EXPECT_EQ(transition_counts(series_of("11")).count_11, 1u);
  EXPECT_EQ(transition_counts(series_of("1")).count_11, 0u);
}

TEST(Backtest, IndependenceFollowsItsFormula) {
  // 5, 3, 3, 1: q01 = 3/8, q11 = 1/4, q = 1/3.
  const double pooled = 8 * std::log(2. / 3) + 4 * std::log(1. / 3);
  const double apart =
      5 * std::log(5. / 8) + 3 * std::log(3. / 8) + 3 * std::log(3. / 4) + std::log(1. / 4);
  const LikelihoodRatioTest independence = test_independence(series_of("0001001101000"));
  EXPECT_NEAR(independence.statistic, -2 * (pooled - apart), 1e-12);
  EXPECT_EQ(independence.degrees_of_freedom, 1u);
  // Of one degree: erfc(sqrt(x/2)); of two: exp(-x/2).
  EXPECT_NEAR(independence.p_value, std::erfc(std::sqrt(independence.statistic / 2)), 1e-12);
  const LikelihoodRatioTest joint = test_conditional_coverage(series_of("0001001101000"), 0.8);
  EXPECT_NEAR(joint.statistic, independence.statistic + test_proportion(4, 13, 0.8).statistic,
              1e-12);
  EXPECT_NEAR(joint.p_value, std::exp(-joint.statistic / 2), 1e-12);
}

TEST(Backtest, IndependenceOfWhatCannotDepend) {
  for (const char* series : {"0", "1", "00000", "11111"}) {
    const LikelihoodRatioTest test = test_independence(series_of(series));
    EXPECT_EQ(test.statistic, 0) << series;
    EXPECT_EQ(test.p_value, 1) << series;
    EXPECT_NEAR(test.exact_p_value, 1, 1e-12) << series;
    EXPECT_NEAR(test.tie_probability, 1, 1e-12) << series;
  }
}

TEST(Backtest, TwoExceedancesInARowAreNoticed) {
  // 248 transitions from none, of which one to an exceedance; one each from the first of the pair
  // and from the second. Pairs in a row are n - 1 of n (n - 1) / 2 orders.
  Exceedances pair(250, false);
  pair[100] = pair[101] = true;
  const LikelihoodRatioTest test = test_independence(pair);
  EXPECT_LT(test.p_value, 0.01);
  EXPECT_NEAR(test.exact_p_value, 2. / 250, 1e-3);
  Exceedances apart(250, false);
  apart[100] = apart[102] = true;
  EXPECT_GT(test_independence(apart).p_value, 0.8);
}

/// Two bodies that share no line with the library's way of counting.
struct CountedOrders {
  double above = 0, tied = 0;
  void add(double ratio, double observed, double probability) {
    if (std::abs(ratio - observed) < 1e-9) {
      tied += probability;
    } else if (ratio > observed) {
      above += probability;
    }
  }
};

TEST(Backtest, ExactDistributionsCountEverySeries) {
  constexpr std::size_t length = 11;
  constexpr double level = 0.8;
  for (const unsigned observed : {0u, 1u, 0b11u, 0b10000000001u, 0b1101u, 0b11111000000u, 2047u}) {
    const Exceedances series = series_of_bits(observed, length);
    const std::size_t ones = exceedance_count(series);
    const LikelihoodRatioTest independence = test_independence(series);
    const LikelihoodRatioTest joint = test_conditional_coverage(series, level);
    CountedOrders orders, all;
    double orders_count = 0;
    for (unsigned bits = 0; bits < 1u << length; ++bits) {
      const Exceedances other = series_of_bits(bits, length);
      const std::size_t other_ones = exceedance_count(other);
      if (other_ones == ones) {
        orders.add(test_independence(other).statistic, independence.statistic, 1);
        ++orders_count;
      }
      all.add(test_conditional_coverage(other, level).statistic, joint.statistic,
              std::pow(1 - level, other_ones) * std::pow(level, length - other_ones));
    }
    // Sums of 2048 terms of logarithms' rounding.
    EXPECT_NEAR(independence.tie_probability, orders.tied / orders_count, 1e-12) << observed;
    EXPECT_NEAR(independence.exact_p_value, (orders.above + orders.tied) / orders_count, 1e-12);
    EXPECT_NEAR(joint.tie_probability, all.tied, 1e-12) << observed;
    EXPECT_NEAR(joint.exact_p_value, all.above + all.tied, 1e-12) << observed;
  }
}

TEST(Backtest, TrafficLightHasTheZonesOfBasel) {
  for (std::size_t x = 0; x <= 250; ++x) {
    const TrafficLight zone = x < 5    ? TrafficLight::green
                              : x < 10 ? TrafficLight::yellow
                                       : TrafficLight::red;
    EXPECT_EQ(traffic_light(x, 250, 0.99), zone) << x;
  }
  EXPECT_EQ(traffic_light(0, 1, 0.99), TrafficLight::green);  // though 99 % have none
  EXPECT_EQ(traffic_light(1, 1, 0.99), TrafficLight::red);
  EXPECT_STREQ(to_string(TrafficLight::yellow), "yellow");
}

TEST(Backtest, ShortfallStatisticsHaveThePublishedValues) {
  // Losses of 10 and 5 above 4: (10 + 5) / 7.5 = 2 over T alpha = 0.2, and over N = 2.
  const auto statistics = shortfall_statistics(dates_of({-10, 1, -5, 1, 1}, 4, 7.5), 0.96);
  EXPECT_NEAR(statistics.z2, -9, 1e-12);
  ASSERT_TRUE(statistics.z1);
  EXPECT_NEAR(*statistics.z1, 0, 1e-15);
}

TEST(Backtest, ShortfallStatisticsAtTheEnds) {
  const auto none = shortfall_statistics(dates_of({1, -4}, 4, 5), 0.99);
  EXPECT_FALSE(none.z1);  // a loss that equals the value at risk is no exceedance
  EXPECT_EQ(none.z2, 1);
  const auto all = shortfall_statistics(dates_of({-5}, 4, 5), 0.99);
  EXPECT_NEAR(*all.z1, 0, 1e-15);
  EXPECT_NEAR(all.z2, 1 - 100, 1e-9);
}

TEST(Backtest, SimulatedTestsOfASingleOutcome) {
  // Two equally likely losses in the tail, 4 and 8, of a value at risk of 2 and a shortfall of 6.
  const auto dates = dates_of({-8, 0, -8, 0}, 2, 6);
  const auto tail = simulated_tail(std::vector<std::vector<float>>(4, {8, 4}), 4);
  const ShortfallTests tests = test_shortfall(dates, 0.5, tail, 9999, 7);
  // N of 4 is binomial(1/2), losses are 4 or 8 alike. No Z1 is below that of two worst losses; as
  // low are histories of worst losses only: sum_n C(4,n) 2^-4 2^-n over 15/16 have it.
  const double all_worst = (4 / 2. + 6 / 4. + 4 / 8. + 1 / 16.) / 15;
  // Five standard errors.
  EXPECT_NEAR(tests.z1->p_value, all_worst, 5 * std::sqrt(all_worst / 9374));
  EXPECT_NEAR(tests.z1->statistic, 1 - 8 / 6., 1e-15);
  EXPECT_EQ(tests.z1->p_value_high, 1);
  const ShortfallTests again = test_shortfall(dates, 0.5, tail, 9999, 7);
  EXPECT_EQ(again.z1->p_value, tests.z1->p_value);
  EXPECT_EQ(again.z2.p_value, tests.z2.p_value);
  EXPECT_NE(test_shortfall(dates, 0.5, tail, 9999, 8).z2.p_value, tests.z2.p_value);
}

TEST(Backtest, NothingHappenedIsNoReasonToReject) {
  const auto dates = dates_of({0, 0, 0}, 2, 3);
  const ShortfallTests tests =
      test_shortfall(dates, 0.99, student_t_tail(5, std::vector<double>(3, 1.0)), 99, 1);
  EXPECT_FALSE(tests.z1);
  EXPECT_EQ(tests.z2.p_value, 1);
  EXPECT_GT(tests.z2.p_value_high, 0.9);  // 0.99^3
  // Of a year without any it says that the forecasts are too high: 0.975^250 = 0.0018.
  const std::vector<BacktestDate> year(250, {2, 3, 0});
  EXPECT_LT(test_shortfall(year, 0.975, student_t_tail(5, std::vector<double>(250, 1.0)), 999, 1)
                .z2.p_value_high,
            0.01);
}

TEST(Backtest, TailsHaveTheirQuantiles) {
  const auto gaussian = student_t_tail(std::numeric_limits<double>::infinity(), {1, 3});
  EXPECT_NEAR(gaussian(0, 0.01), 2.3263478740408408, 1e-12);
  EXPECT_NEAR(gaussian(1, 0.01), 3 * 2.3263478740408408, 1e-12);
  // t with 4 degrees: 3.7469473879791968 at 1 %, variance 2.
  EXPECT_NEAR(student_t_tail(4, {1})(0, 0.01), 3.7469473879791968 / std::sqrt(2.0), 1e-12);
}

TEST(Backtest, ProcyclicalityOfAMargin) {
  const auto on_days = [](const std::vector<double>& margins, const std::vector<int>& days) {
    std::vector<std::int64_t> times;
    for (const int day : days) times.push_back(86'400LL * day);
    return procyclicality_of(margins, times);
  };
  const std::vector<double> margins = {100, 50, 75, 150, 60, 120, 90};
  const Procyclicality measures = on_days(margins, {0, 1, 2, 3, 4, 5, 6});
  EXPECT_EQ(measures.peak_to_trough, 3);
  EXPECT_EQ(measures.increase_1, 1);    // 75 to 150, and 60 to 120
  EXPECT_EQ(measures.increase_5, 0.8);  // 50 to 90, before 100 to 120
  EXPECT_FALSE(measures.increase_30);
  // Dates beside each other are no days beside each other.
  EXPECT_EQ(on_days({100, 50, 75, 60}, {0, 10, 11, 12}).increase_1, 0.5);
  EXPECT_FALSE(on_days({100, 50}, {0, 7}).increase_5);
  EXPECT_EQ(on_days({100, 50, 250}, {0, 2, 30}).increase_30, 1.5);
  EXPECT_EQ(on_days({5}, {3}).peak_to_trough, 1);
  EXPECT_FALSE(on_days({5}, {3}).increase_1);
  EXPECT_EQ(on_days({4, 2}, {0, 1}).increase_1, -0.5);
}

}  // namespace
}  // namespace shortfall
