// Tests that look at the size of losses, and the procyclicality of a margin.
#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <random>
#include <utility>

#include "shortfall/backtest.hpp"
#include "shortfall/error.hpp"

namespace shortfall {
namespace {

constexpr double significance = 0.05;

/// Sum of I L / ES, and N: all that both statistics need of a history.
struct ExceedanceSum {
  std::size_t count = 0;
  double relative_loss = 0;

  void add(double loss_usd, double expected_shortfall_usd) {
    ++count;
    relative_loss += loss_usd / expected_shortfall_usd;
  }
  double z1() const { return 1 - relative_loss / static_cast<double>(count); }
  double z2(double expected_count) const { return 1 - relative_loss / expected_count; }
};

/// In (0, 1).
class Uniforms {
 public:
  explicit Uniforms(std::uint64_t seed) : generator_(seed) {}
  double next() { return (static_cast<double>(generator_() >> 11) + 0.5) * 0x1p-53; }

 private:
  std::mt19937_64 generator_;
};

/// A history of the model's. Dates whose loss is in the tail are apart by geometric gaps, so that
/// the others cost nothing.
ExceedanceSum simulate_history(std::span<const BacktestDate> dates, double confidence_level,
                               const TailQuantile& tail, Uniforms& uniforms) {
  ExceedanceSum sum;
  const double log_level = std::log(confidence_level);
  double date = 0;  // may be beyond any integer
  while (true) {
    date += std::floor(std::log(uniforms.next()) / log_level);
    if (date >= static_cast<double>(dates.size())) return sum;
    const auto t = static_cast<std::size_t>(date);
    const double loss = tail(t, uniforms.next() * (1 - confidence_level));
    // Of simulated losses those that tie with the value at risk are none.
    if (loss > dates[t].value_at_risk_usd) sum.add(loss, dates[t].expected_shortfall_usd);
    date += 1;
  }
}

SimulatedTest judge(double statistic, std::vector<double> simulated) {
  SimulatedTest test;
  test.statistic = statistic;
  const auto as_low = std::count_if(simulated.begin(), simulated.end(),
                                    [&](double value) { return value <= statistic; });
  const auto as_high = std::count_if(simulated.begin(), simulated.end(),
                                     [&](double value) { return value >= statistic; });
  const double count = static_cast<double>(simulated.size()) + 1;
  test.p_value = (static_cast<double>(as_low) + 1) / count;
  test.p_value_high = (static_cast<double>(as_high) + 1) / count;
  // The lowest that is not rejected: fewer than `rank` simulated ones may be as low.
  const double rank = std::floor(significance * count * (1 + 1e-12));
  if (rank >= 1) {
    const auto critical = simulated.begin() + static_cast<std::ptrdiff_t>(rank) - 1;
    std::nth_element(simulated.begin(), critical, simulated.end());
    test.critical_value = *critical;
  } else {
    test.critical_value = -INFINITY;
  }
  return test;
}

std::optional<double> largest_increase(std::span<const double> margins,
                                       std::span<const std::int64_t> times, std::int64_t days) {
  std::optional<double> largest;
  for (std::size_t before = 0, t = 0; t < margins.size(); ++t) {
    const std::int64_t time = times[t] - 86'400 * days;
    while (times[before] < time) ++before;
    if (times[before] != time) continue;
    const double increase = margins[t] / margins[before] - 1;
    if (!largest || increase > *largest) largest = increase;
  }
  return largest;
}

ExceedanceSum observed_sum(std::span<const BacktestDate> dates, double confidence_level) {
  SHORTFALL_ASSERT(!dates.empty());
  SHORTFALL_ASSERT(confidence_level > 0 && confidence_level < 1);
  ExceedanceSum sum;
  for (const BacktestDate& date : dates) {
    SHORTFALL_ASSERT(date.expected_shortfall_usd > 0);
    if (date.is_exceedance()) sum.add(date.loss_usd, date.expected_shortfall_usd);
  }
  return sum;
}

}  // namespace

ShortfallStatistics shortfall_statistics(std::span<const BacktestDate> dates,
                                         double confidence_level) {
  const ExceedanceSum sum = observed_sum(dates, confidence_level);
  ShortfallStatistics statistics;
  if (sum.count > 0) statistics.z1 = sum.z1();
  statistics.z2 = sum.z2(static_cast<double>(dates.size()) * (1 - confidence_level));
  return statistics;
}

TailQuantile student_t_tail(double degrees_of_freedom,
                            std::vector<double> standard_deviations_usd) {
  SHORTFALL_ASSERT(degrees_of_freedom > 2);
  if (std::isinf(degrees_of_freedom)) {
    return [scales = std::move(standard_deviations_usd)](std::size_t date, double probability) {
      return scales[date] *
             boost::math::quantile(boost::math::complement(boost::math::normal(), probability));
    };
  }
  const double unit = std::sqrt((degrees_of_freedom - 2) / degrees_of_freedom);
  return [scales = std::move(standard_deviations_usd), unit,
          student_t = boost::math::students_t(degrees_of_freedom)](std::size_t date,
                                                                   double probability) {
    return scales[date] * unit *
           boost::math::quantile(boost::math::complement(student_t, probability));
  };
}

TailQuantile simulated_tail(std::vector<std::vector<float>> worst_losses_usd,
                            std::size_t path_count) {
  return [losses = std::move(worst_losses_usd), count = static_cast<double>(path_count)](
             std::size_t date, double probability) {
    const auto rank = static_cast<std::size_t>(probability * count);
    SHORTFALL_ASSERT(rank < losses[date].size());
    return static_cast<double>(losses[date][rank]);
  };
}

ShortfallTests test_shortfall(std::span<const BacktestDate> dates, double confidence_level,
                              const TailQuantile& tail, std::size_t history_count,
                              std::uint64_t seed) {
  const ExceedanceSum observed = observed_sum(dates, confidence_level);
  SHORTFALL_ASSERT(history_count >= 19);
  const double expected_count = static_cast<double>(dates.size()) * (1 - confidence_level);
  Uniforms uniforms(seed);
  std::vector<double> z1, z2;
  for (std::size_t i = 0; i < history_count; ++i) {
    const ExceedanceSum sum = simulate_history(dates, confidence_level, tail, uniforms);
    if (sum.count > 0) z1.push_back(sum.z1());
    z2.push_back(sum.z2(expected_count));
  }
  ShortfallTests tests;
  if (observed.count > 0) tests.z1 = judge(observed.z1(), std::move(z1));
  tests.z2 = judge(observed.z2(expected_count), std::move(z2));
  return tests;
}

Procyclicality procyclicality_of(std::span<const double> margins_usd,
                                 std::span<const std::int64_t> times) {
  SHORTFALL_ASSERT(times.size() == margins_usd.size());
  SHORTFALL_ASSERT(!margins_usd.empty());
  for (const double margin : margins_usd) SHORTFALL_ASSERT(std::isfinite(margin) && margin > 0);
  const auto [trough, peak] = std::minmax_element(margins_usd.begin(), margins_usd.end());
  Procyclicality result;
  result.peak_to_trough = *peak / *trough;
  result.increase_1 = largest_increase(margins_usd, times, 1);
  result.increase_5 = largest_increase(margins_usd, times, 5);
  result.increase_30 = largest_increase(margins_usd, times, 30);
  return result;
}

}  // namespace shortfall
