// Whether forecasts of value at risk and expected shortfall were right: statistics of the losses
// that followed. Statistics of data, in ordinary floating point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace shortfall {

/// What was forecast for a date, and what followed; USD. A loss of an exceedance is above the value
/// at risk; one that equals it is none.
struct BacktestDate {
  double value_at_risk_usd = 0;
  double expected_shortfall_usd = 0;
  double loss_usd = 0;

  bool is_exceedance() const { return loss_usd > value_at_risk_usd; }
};

/// Per date in order: was it an exceedance?
using Exceedances = std::vector<bool>;
Exceedances exceedances_of(std::span<const BacktestDate> dates);
std::size_t exceedance_count(const Exceedances& exceedances);

/// Dates followed by dates: count_ab of a (0: none, 1: an exceedance) followed by b.
struct TransitionCounts {
  std::size_t count_00 = 0, count_01 = 0, count_10 = 0, count_11 = 0;
};
TransitionCounts transition_counts(const Exceedances& exceedances);

/// A likelihood ratio, with two distributions to judge it by: the chi-square that it has for ever
/// longer histories, as the literature does; and its own, from all series of this length. The
/// second takes few values, so that "exact_p_value <= 0.05" rejects a right model in less than 5 %
/// of cases. In 5 % does "exact_p_value - u tie_probability <= 0.05" with u uniform in (0, 1): a
/// randomised test, for tests of this test (Dufour 2006, "Monte Carlo tests with nuisance
/// parameters").
struct LikelihoodRatioTest {
  double statistic = 0;
  unsigned degrees_of_freedom = 1;
  double p_value = 1;          ///< of the chi-square
  double exact_p_value = 1;    ///< P(ratio >= statistic)
  double tie_probability = 1;  ///< P(ratio == statistic)
};

/// Are there as many exceedances as the level says? x of n dates, p = 1 - confidence_level:
///   LR = -2 ln [(1-p)^(n-x) p^x / ((1-x/n)^(n-x) (x/n)^x)],  0 ln 0 = 0,
/// chi-square with one degree (Kupiec 1995, "Techniques for verifying the accuracy of risk
/// measurement models"; Christoffersen 1998, test of unconditional coverage). Exactly: x is
/// binomial. Asserts n >= 1, x <= n and 0 < confidence_level < 1.
LikelihoodRatioTest test_proportion(std::size_t exceedance_count, std::size_t date_count,
                                    double confidence_level);

/// Is an exceedance as likely after one as after none? With the transition counts,
///   LR = -2 ln [(1-q)^(n00+n10) q^(n01+n11) /
///               ((1-q01)^n00 q01^n01 (1-q11)^n10 q11^n11)],
///   q01 = n01/(n00+n01), q11 = n11/(n10+n11), q = (n01+n11)/(n00+n01+n10+n11),
/// chi-square with one degree (Christoffersen 1998, "Evaluating interval forecasts", test of
/// independence).
/// Exactly: given the number of exceedances all their orders are as likely, whatever the level.
/// One date, no exceedances or nothing else: 0, with p-values of 1. Asserts n >= 1.
LikelihoodRatioTest test_independence(const Exceedances& exceedances);

/// Both: the sum of the two ratios, chi-square with two degrees (ibid., conditional coverage; the
/// proportion over all n dates, the first included). Exactly: exceedances are independent with 1 -
/// confidence_level.
LikelihoodRatioTest test_conditional_coverage(const Exceedances& exceedances,
                                              double confidence_level);

/// Zones by the probability of as many exceedances or fewer, of a right model: yellow from 95 %,
/// red from 99.99 % (Basel Committee 1996, "Supervisory framework for the use of backtesting in
/// conjunction with the internal models approach", section III; there for 250 dates at 99 %: yellow
/// from 5, red from 10). No exceedances are green however short the history.
enum class TrafficLight : std::uint8_t { green, yellow, red };
TrafficLight traffic_light(std::size_t exceedance_count, std::size_t date_count,
                           double confidence_level);
const char* to_string(TrafficLight value);

/// Tests of the expected shortfall (Acerbi and Szekely 2014, "Back-testing expected shortfall",
/// Risk, December). With losses L, exceedances I = [L > VaR], their number N, and T dates:
///   Z1 = 1 - (1/N) sum I L / ES                              (test 1)
///   Z2 = 1 - (1/(T (1 - confidence_level))) sum I L / ES     (test 2)
/// (there with X = -L). 0 is expected of a right model; less: losses beyond the forecast. Z1 looks
/// at the size of exceedances only, Z2 at their number as well.
struct ShortfallStatistics {
  std::optional<double> z1;  ///< empty: there were no exceedances
  double z2 = 0;
};
/// Asserts at least one date and every expected shortfall > 0.
ShortfallStatistics shortfall_statistics(std::span<const BacktestDate> dates,
                                         double confidence_level);

/// A date's loss by the model that has this probability of being exceeded, USD: falls as the
/// probability rises. Asked for 0 < probability < 1 - confidence_level only.
using TailQuantile = std::function<double(std::size_t date, double probability)>;
/// Losses scale[date] T, T of Student's distribution with unit variance; USD. Degrees of freedom
/// are above 2; infinite: Gaussian.
TailQuantile student_t_tail(double degrees_of_freedom, std::vector<double> standard_deviations_usd);
/// Simulated losses: per date the worst of path_count, the worst first, at least (1 -
/// confidence_level) path_count of them; USD. Each is as likely.
TailQuantile simulated_tail(std::vector<std::vector<float>> worst_losses_usd,
                            std::size_t path_count);

/// A statistic beside what the model would give: histories whose losses come from the model's own
/// tails, independent between dates. One-sided: a p-value is the share of (observed and simulated)
/// histories with a statistic as low or lower, so that "p_value <= 0.05" rejects a right model in
/// 5 % of cases at most (Davison and Hinkley 1997, "Bootstrap methods and their application",
/// chapter 4, Monte Carlo tests).
struct SimulatedTest {
  double statistic = 0;
  double critical_value = 0;  ///< at 5 %: rejected below it
  double p_value = 1;
  double p_value_high = 1;  ///< of as high or higher: forecasts that are too high
};
struct ShortfallTests {
  std::optional<SimulatedTest> z1;  ///< among histories with an exceedance
  SimulatedTest z2;
};
/// The same bits for the same seed. Asserts as shortfall_statistics, and 19 histories or more, the
/// least with which 5 % can be rejected.
ShortfallTests test_shortfall(std::span<const BacktestDate> dates, double confidence_level,
                              const TailQuantile& tail, std::size_t history_count,
                              std::uint64_t seed);

/// How much a margin moves (Murphy, Vasios and Vause 2014, "An investigation into the
/// procyclicality of risk-based initial margin models"), relative: 0.5 is half as much
/// again.
struct Procyclicality {
  double peak_to_trough = 1;
  /// Largest margin(t + d) / margin(t) - 1 of d = 1, 5, 30 days; below 0 where it always fell.
  /// Empty: no two dates lie exactly so far apart.
  std::optional<double> increase_1, increase_5, increase_30;
};
/// Margins at ascending times, in seconds. Asserts at least one, all finite and above 0.
Procyclicality procyclicality_of(std::span<const double> margins_usd,
                                 std::span<const std::int64_t> times);

}  // namespace shortfall
