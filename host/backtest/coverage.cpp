// Tests that look at exceedances alone.
#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>

#include "shortfall/backtest.hpp"
#include "shortfall/error.hpp"

namespace shortfall {
namespace {

/// All outcomes that are rarer change no digit of a p-value that anyone reads.
constexpr double negligible = 1e-16;

/// count ln(probability), with 0 ln 0 = 0.
double log_power(double probability, std::size_t count) {
  return count == 0 ? 0 : static_cast<double>(count) * std::log(probability);
}

/// Largest log-likelihood of `hits` in hits + misses trials.
double log_likelihood(std::size_t misses, std::size_t hits) {
  const double total = static_cast<double>(misses + hits);
  return log_power(static_cast<double>(misses) / total, misses) +
         log_power(static_cast<double>(hits) / total, hits);
}

/// Rounding must not take a ratio of 0 below it.
double not_negative(double ratio) { return std::max(0.0, ratio); }

double proportion_ratio(std::size_t exceedances, std::size_t dates, double confidence_level) {
  const std::size_t misses = dates - exceedances;
  const double expected =
      log_power(confidence_level, misses) + log_power(1 - confidence_level, exceedances);
  return not_negative(2 * (log_likelihood(misses, exceedances) - expected));
}

double independence_ratio(const TransitionCounts& n) {
  return not_negative(2 * (log_likelihood(n.count_00, n.count_01) +
                           log_likelihood(n.count_10, n.count_11) -
                           log_likelihood(n.count_00 + n.count_10, n.count_01 + n.count_11)));
}

/// Adds up the probabilities of outcomes with at least a statistic.
class ExactDistribution {
 public:
  explicit ExactDistribution(double statistic) : statistic_(statistic) {}

  void add(double ratio, double probability) {
    // Ratios of different counts that are equal but for rounding are ties.
    const double rounding = 1e-9 * std::max(1.0, statistic_);
    if (ratio > statistic_ + rounding) {
      above_ += probability;
    } else if (ratio >= statistic_ - rounding) {
      tied_ += probability;
    }
  }

  LikelihoodRatioTest test(unsigned degrees_of_freedom) const {
    const boost::math::chi_squared chi_square(degrees_of_freedom);
    LikelihoodRatioTest result;
    result.statistic = statistic_;
    result.degrees_of_freedom = degrees_of_freedom;
    result.p_value = boost::math::cdf(boost::math::complement(chi_square, statistic_));
    result.tie_probability = std::min(1.0, tied_);
    result.exact_p_value = std::min(1.0, above_ + tied_);
    return result;
  }

 private:
  double statistic_, above_ = 0, tied_ = 0;
};

class LogBinomials {
 public:
  explicit LogBinomials(std::size_t n_max) {
    // Boost's, because glibc's writes a global sign.
    for (std::size_t n = 0; n <= n_max; ++n)
      log_factorials_.push_back(boost::math::lgamma(static_cast<double>(n) + 1));
  }
  double operator()(std::size_t n, std::size_t k) const {
    return log_factorials_[n] - log_factorials_[k] - log_factorials_[n - k];
  }

 private:
  std::vector<double> log_factorials_;
};

/// Calls use(transition counts, probability) for all series of `dates` with `ones` exceedances, all
/// orders equally likely. A series with r runs of exceedances, which starts (ends) with one or does
/// not, has g = r + 1 - starts - ends runs of the others, and there are
///   C(ones - 1, r - 1) C(dates - ones - 1, g - 1)
/// of them: each a way to cut ones, and zeros, into runs.
template <class Use>
void for_each_order(const LogBinomials& log_binomial, std::size_t dates, std::size_t ones,
                    const Use& use) {
  const std::size_t zeros = dates - ones;
  if (ones == 0) return use(TransitionCounts{dates - 1, 0, 0, 0}, 1.0);
  if (zeros == 0) return use(TransitionCounts{0, 0, 0, dates - 1}, 1.0);
  const double log_orders = log_binomial(dates, ones);
  for (std::size_t runs = 1; runs <= std::min(ones, zeros + 1); ++runs) {
    const double log_runs = log_binomial(ones - 1, runs - 1) - log_orders;
    for (const std::size_t starts : {0u, 1u}) {
      for (const std::size_t ends : {0u, 1u}) {
        const std::size_t gaps = runs + 1 - starts - ends;
        if (gaps == 0 || gaps > zeros) continue;
        const double probability = std::exp(log_runs + log_binomial(zeros - 1, gaps - 1));
        if (probability < negligible) continue;
        use(TransitionCounts{zeros - gaps, runs - starts, runs - ends, ones - runs}, probability);
      }
    }
  }
}

/// Of so many exceedances of a right model.
double count_probability(const LogBinomials& log_binomial, std::size_t exceedances,
                         std::size_t dates, double confidence_level) {
  return std::exp(log_binomial(dates, exceedances) +
                  log_power(confidence_level, dates - exceedances) +
                  log_power(1 - confidence_level, exceedances));
}

void require_domain(std::size_t dates, double confidence_level) {
  SHORTFALL_ASSERT(dates >= 1);
  SHORTFALL_ASSERT(confidence_level > 0 && confidence_level < 1);
}

}  // namespace

Exceedances exceedances_of(std::span<const BacktestDate> dates) {
  Exceedances exceedances;
  exceedances.reserve(dates.size());
  for (const BacktestDate& date : dates) exceedances.push_back(date.is_exceedance());
  return exceedances;
}

std::size_t exceedance_count(const Exceedances& exceedances) {
  return static_cast<std::size_t>(std::count(exceedances.begin(), exceedances.end(), true));
}

TransitionCounts transition_counts(const Exceedances& exceedances) {
  TransitionCounts n;
  for (std::size_t t = 1; t < exceedances.size(); ++t) {
    if (exceedances[t - 1]) {
      ++(exceedances[t] ? n.count_11 : n.count_10);
    } else {
      ++(exceedances[t] ? n.count_01 : n.count_00);
    }
  }
  return n;
}

LikelihoodRatioTest test_proportion(std::size_t exceedance_count, std::size_t date_count,
                                    double confidence_level) {
  require_domain(date_count, confidence_level);
  SHORTFALL_ASSERT(exceedance_count <= date_count);
  ExactDistribution exact(proportion_ratio(exceedance_count, date_count, confidence_level));
  const LogBinomials log_binomial(date_count);
  for (std::size_t x = 0; x <= date_count; ++x)
    exact.add(proportion_ratio(x, date_count, confidence_level),
              count_probability(log_binomial, x, date_count, confidence_level));
  return exact.test(1);
}

LikelihoodRatioTest test_independence(const Exceedances& exceedances) {
  SHORTFALL_ASSERT(!exceedances.empty());
  ExactDistribution exact(independence_ratio(transition_counts(exceedances)));
  for_each_order(LogBinomials(exceedances.size()), exceedances.size(),
                 exceedance_count(exceedances),
                 [&](const TransitionCounts& counts, double probability) {
                   exact.add(independence_ratio(counts), probability);
                 });
  return exact.test(1);
}

LikelihoodRatioTest test_conditional_coverage(const Exceedances& exceedances,
                                              double confidence_level) {
  const std::size_t dates = exceedances.size();
  require_domain(dates, confidence_level);
  ExactDistribution exact(proportion_ratio(exceedance_count(exceedances), dates, confidence_level) +
                          independence_ratio(transition_counts(exceedances)));
  const LogBinomials log_binomial(dates);
  for (std::size_t x = 0; x <= dates; ++x) {
    const double x_probability = count_probability(log_binomial, x, dates, confidence_level);
    if (x_probability < negligible) continue;
    const double proportion = proportion_ratio(x, dates, confidence_level);
    for_each_order(log_binomial, dates, x, [&](const TransitionCounts& counts, double probability) {
      exact.add(proportion + independence_ratio(counts), x_probability * probability);
    });
  }
  return exact.test(2);
}

TrafficLight traffic_light(std::size_t exceedance_count, std::size_t date_count,
                           double confidence_level) {
  require_domain(date_count, confidence_level);
  SHORTFALL_ASSERT(exceedance_count <= date_count);
  if (exceedance_count == 0) return TrafficLight::green;
  const boost::math::binomial binomial(static_cast<double>(date_count), 1 - confidence_level);
  const double cumulative = boost::math::cdf(binomial, static_cast<double>(exceedance_count));
  if (cumulative < 0.95) return TrafficLight::green;
  return cumulative < 0.9999 ? TrafficLight::yellow : TrafficLight::red;
}

const char* to_string(TrafficLight value) {
  switch (value) {
    case TrafficLight::green:
      return "green";
    case TrafficLight::yellow:
      return "yellow";
    case TrafficLight::red:
      return "red";
  }
  return "";
}

}  // namespace shortfall
