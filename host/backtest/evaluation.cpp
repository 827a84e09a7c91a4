#include "evaluation.hpp"

#include <algorithm>

#include "fmt/format.h"
#include "input/date.hpp"
#include "shortfall/error.hpp"

namespace shortfall::backtest {
namespace {

void require_usable(const Walk& walk) {
  Problems problems;
  for (const BookSeries& series : walk.books) {
    const auto report = [&](const std::string& message) {
      problems.add("backtest", 0, fmt::format("book {}: {}", series.book, message));
    };
    if (series.times.empty()) report("no date has the prices of all that it holds");
    for (std::size_t l = 0; l < series.levels.size(); ++l) {
      const auto& dates = series.levels[l];
      const auto bad = std::find_if(dates.begin(), dates.end(), [](const BacktestDate& date) {
        return !(date.expected_shortfall_usd > 0);
      });
      if (bad == dates.end()) continue;
      report(fmt::format(
          "its expected shortfall at {} is {} USD on {}, and losses are compared with it; leave "
          "books without risk out",
          walk.confidence_levels[l], bad->expected_shortfall_usd,
          format_date(series.times[static_cast<std::size_t>(bad - dates.begin())])));
    }
  }
  problems.throw_if_any();
}

Evaluation evaluate_level(const BookSeries& series, std::size_t l, double confidence_level,
                          const TailQuantile& tail, std::size_t history_count, std::uint64_t seed) {
  const std::vector<BacktestDate>& dates = series.levels[l];
  const Exceedances exceedances = exceedances_of(dates);
  Evaluation result;
  result.book = series.book;
  result.confidence_level = confidence_level;
  result.date_count = dates.size();
  result.exceedance_count = exceedance_count(exceedances);
  result.proportion = test_proportion(result.exceedance_count, result.date_count, confidence_level);
  result.independence = test_independence(exceedances);
  result.joint = test_conditional_coverage(exceedances, confidence_level);
  result.zone = traffic_light(result.exceedance_count, result.date_count, confidence_level);
  result.shortfall = test_shortfall(dates, confidence_level, tail, history_count, seed);
  std::vector<double> margins;
  for (const BacktestDate& date : dates) {
    margins.push_back(date.expected_shortfall_usd);
    result.largest_loss_over_shortfall =
        std::max(result.largest_loss_over_shortfall, date.loss_usd / date.expected_shortfall_usd);
  }
  result.procyclicality = procyclicality_of(margins, series.times);
  return result;
}

}  // namespace

std::vector<std::string> Evaluation::rejected_by() const {
  std::vector<std::string> tests;
  const auto add = [&](const char* name, double p_value) {
    if (p_value <= significance) tests.emplace_back(name);
  };
  add("proportion", proportion.exact_p_value);
  add("independence", independence.exact_p_value);
  add("joint", joint.exact_p_value);
  if (shortfall.z1) add("Z1", shortfall.z1->p_value);
  add("Z2", shortfall.z2.p_value);
  return tests;
}

PassCount pass_count(const std::vector<Evaluation>& evaluations, double confidence_level) {
  PassCount count;
  for (const Evaluation& evaluation : evaluations)
    if (evaluation.confidence_level == confidence_level) {
      ++count.tested;
      const bool passes = evaluation.rejected_by().empty();
      count.passed += passes;
      count.too_high += passes && evaluation.is_too_high();
    }
  return count;
}

std::vector<Evaluation> evaluate(const Walk& walk, std::size_t history_count, std::uint64_t seed,
                                 const std::function<void()>& between) {
  require_usable(walk);
  std::vector<Evaluation> results;
  for (const BookSeries& series : walk.books) {
    const TailQuantile tail = simulated_tail(series.worst_losses_usd, walk.path_count);
    for (std::size_t l = 0; l < series.levels.size(); ++l) {
      if (between) between();
      results.push_back(
          evaluate_level(series, l, walk.confidence_levels[l], tail, history_count, seed));
    }
  }
  return results;
}

}  // namespace shortfall::backtest
