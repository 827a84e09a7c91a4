// The backtest tested: how often its tests, at 5 %, reject a right model and wrong ones.
//
// Statistics that count exceedances take few values, so that no fixed critical value gives 5 %.
// They are randomised at the boundary (LikelihoodRatioTest), which makes the rate of a right model
// exactly 5 %, whatever the length and the level; what is asserted of the reported p-values, not
// randomised, is that they do not reject more. Of Z1 and Z2 the part that rejects is continuous.
#include <gtest/gtest.h>

#include <boost/math/distributions/students_t.hpp>
#include <boost/random/bernoulli_distribution.hpp>
#include <boost/random/uniform_01.hpp>
#include <cmath>

#include "shortfall/backtest.hpp"
#include "tests/calibrate/simulated.hpp"

namespace shortfall {
namespace {

constexpr std::size_t history_count = 1000;
constexpr double degrees_of_freedom = 5;

struct Rates {
  double proportion = 0, independence = 0, joint = 0, z1 = 0, z2 = 0;
  double proportion_not_randomised = 0, independence_not_randomised = 0, joint_not_randomised = 0;
};

struct Setting {
  std::size_t date_count = 500;
  double confidence_level = 0.975;
  double volatility_factor = 1;
  /// Ten dates of twice the volatility, then forty of 0.7 times: exceedances cluster.
  bool alternates = false;
};

/// Forecasts of a unit-variance t, of which volatility falls and rises so that no date is alike.
std::vector<BacktestDate> forecasts(const Setting& setting, std::vector<double>& scales) {
  const boost::math::students_t student_t(degrees_of_freedom);
  const double unit = std::sqrt((degrees_of_freedom - 2) / degrees_of_freedom);
  const double quantile = boost::math::quantile(student_t, setting.confidence_level);
  // McNeil, Frey and Embrechts 2005, "Quantitative Risk Management", chapter 2.
  const double shortfall = boost::math::pdf(student_t, quantile) / (1 - setting.confidence_level) *
                           (degrees_of_freedom + quantile * quantile) / (degrees_of_freedom - 1);
  std::vector<BacktestDate> dates;
  for (std::size_t t = 0; t < setting.date_count; ++t) {
    const double scale = 100 * std::exp(0.5 * std::sin(0.05 * static_cast<double>(t)));
    scales.push_back(scale);
    dates.push_back({scale * unit * quantile, scale * unit * shortfall, 0});
  }
  return dates;
}

Rates rejection_rates(const Setting& setting, std::uint32_t seed) {
  constexpr double size = 0.05;
  std::vector<double> scales;
  std::vector<BacktestDate> dates = forecasts(setting, scales);
  const ShortfallTests simulated = test_shortfall(
      [&] {
        std::vector<BacktestDate> with_one = dates;  // so that there is a Z1 to be judged
        with_one[0].loss_usd = 2 * with_one[0].value_at_risk_usd;
        return with_one;
      }(),
      setting.confidence_level, student_t_tail(degrees_of_freedom, scales), 9999, seed);

  Draws draws(seed);
  boost::random::mt19937 generator(seed + 1);
  boost::random::uniform_01<> uniform;
  Rates rates;
  double z1_count = 0;
  for (std::size_t i = 0; i < history_count; ++i) {
    for (std::size_t t = 0; t < dates.size(); ++t) {
      const bool is_storm = setting.alternates && t / 10 % 5 == 0;
      const bool is_calm = setting.alternates && !is_storm;
      const double factor = setting.volatility_factor * (is_storm ? 2 : is_calm ? 0.7 : 1);
      dates[t].loss_usd = factor * scales[t] * draws.mixing(degrees_of_freedom) * draws.normal();
    }
    const Exceedances exceedances = exceedances_of(dates);
    const auto judge = [&](const LikelihoodRatioTest& test, double& randomised, double& reported) {
      reported += test.exact_p_value <= size;
      randomised += test.exact_p_value - uniform(generator) * test.tie_probability <= size;
    };
    judge(test_proportion(exceedance_count(exceedances), dates.size(), setting.confidence_level),
          rates.proportion, rates.proportion_not_randomised);
    judge(test_independence(exceedances), rates.independence, rates.independence_not_randomised);
    judge(test_conditional_coverage(exceedances, setting.confidence_level), rates.joint,
          rates.joint_not_randomised);
    const ShortfallStatistics statistics = shortfall_statistics(dates, setting.confidence_level);
    if (statistics.z1) {
      ++z1_count;
      rates.z1 += *statistics.z1 < simulated.z1->critical_value;
    }
    rates.z2 += statistics.z2 < simulated.z2.critical_value;
  }
  rates.z1 /= z1_count;
  for (double* rate : {&rates.proportion, &rates.independence, &rates.joint, &rates.z2,
                       &rates.proportion_not_randomised, &rates.independence_not_randomised,
                       &rates.joint_not_randomised})
    *rate /= history_count;
  return rates;
}

std::ostream& operator<<(std::ostream& out, const Rates& rates) {
  return out << "proportion " << rates.proportion << " (not randomised "
             << rates.proportion_not_randomised << "), independence " << rates.independence << " ("
             << rates.independence_not_randomised << "), joint " << rates.joint << " ("
             << rates.joint_not_randomised << "), Z1 " << rates.z1 << ", Z2 " << rates.z2;
}

TEST(BacktestRejectionRates, RightModelsAreRejectedAtTheNominalRate) {
  std::uint32_t seed = 100;
  for (const std::size_t date_count : {250u, 1000u}) {
    for (const double level : {0.975, 0.99}) {
      const Rates rates = rejection_rates({date_count, level}, ++seed);
      // A rate of 1,000 histories has a standard error of 0.7 %: the band is 2.9 of them.
      for (const double rate :
           {rates.proportion, rates.independence, rates.joint, rates.z1, rates.z2}) {
        EXPECT_GE(rate, 0.03) << date_count << ' ' << level << ' ' << rates;
        EXPECT_LE(rate, 0.07) << date_count << ' ' << level << ' ' << rates;
      }
      for (const double rate : {rates.proportion_not_randomised, rates.independence_not_randomised,
                                rates.joint_not_randomised})
        EXPECT_LE(rate, 0.07) << date_count << ' ' << level << ' ' << rates;
    }
  }
}

TEST(BacktestRejectionRates, TwiceTheVolatilityIsNearlyAlwaysRejected) {
  std::uint32_t seed = 200;
  for (const std::size_t date_count : {250u, 500u}) {
    for (const double level : {0.975, 0.99}) {
      const Rates rates = rejection_rates(
          {.date_count = date_count, .confidence_level = level, .volatility_factor = 2}, ++seed);
      EXPECT_GE(rates.proportion_not_randomised, 0.95) << rates;
      EXPECT_GE(rates.joint_not_randomised, 0.95) << rates;
      EXPECT_GE(rates.z2, 0.95) << rates;
      // Not so Z1, 0.03 to 0.6 here: an exceedance of a heavy tail is about as far beyond, relative
      // to the forecast, at twice the volatility. It is no test of volatility.
    }
  }
}

TEST(BacktestRejectionRates, ClustersAreWhatIndependenceSees) {
  const Rates rates =
      rejection_rates({.date_count = 1000, .confidence_level = 0.975, .alternates = true}, 300);
  // 44 % are found, and 56 % of such histories of 1,600 dates: this test has little power.
  EXPECT_GE(rates.independence_not_randomised, 0.25) << rates;
  // Doubled throughout, exceedances are as independent as before: this test has nothing to see.
  const Rates doubled =
      rejection_rates({.date_count = 1000, .confidence_level = 0.975, .volatility_factor = 2}, 301);
  EXPECT_LE(doubled.independence, 0.07) << doubled;
}

}  // namespace
}  // namespace shortfall
