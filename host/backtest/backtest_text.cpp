#include <algorithm>

#include "backtest_report.hpp"
#include "fmt/format.h"
#include "input/date.hpp"
#include "program/terminal.hpp"

namespace shortfall::backtest {
namespace {

/// Marked where it rejects, and where the forecast is too high.
std::string format_p(double p_value, double p_value_high = 1) {
  const char mark = p_value <= significance ? '*' : p_value_high <= significance ? '+' : ' ';
  return fmt::format("{:>7.3f}{}", p_value, mark);
}
std::string format_p(const SimulatedTest& test) {
  return format_p(test.p_value, test.p_value_high);
}

std::string format_row(const Evaluation& row) {
  std::string text = fmt::format("{:<24} {:>5} {:>4} {:>6.1f} {:<6}", clip(row.book, 24),
                                 row.confidence_level, row.exceedance_count,
                                 static_cast<double>(row.date_count) * (1 - row.confidence_level),
                                 to_string(row.zone));
  for (const LikelihoodRatioTest* test : {&row.proportion, &row.independence, &row.joint})
    text += format_p(test->exact_p_value);
  text += row.shortfall.z1 ? format_p(*row.shortfall.z1) : fmt::format("{:>7} ", "-");
  return text + format_p(row.shortfall.z2) + (row.rejected_by().empty() ? " passes\n" : " fails\n");
}

/// By level: how many books no test rejects.
std::string format_verdicts(const MethodResult& result) {
  std::string text;
  for (const double level : result.walk.confidence_levels) {
    const PassCount count = pass_count(result.evaluations, level);
    text += fmt::format("{} at {}: no test rejects {} of {} books at 5 %", result.method, level,
                        count.passed, count.tested);
    if (count.too_high > 0) text += fmt::format("; of these Z2 is too high for {}", count.too_high);
    text += '\n';
  }
  return text;
}

}  // namespace

std::string format_backtest(const std::vector<MethodResult>& results) {
  std::string text, verdicts;
  for (const MethodResult& result : results) {
    const auto& times = result.walk.books.front().times;
    text += fmt::format(
        "{}: {} to {}, {} dates, {} paths, {:.1f} s; p-values, * rejected, + too high\n",
        result.method, format_date(times.front()), format_date(times.back()), times.size(),
        result.walk.path_count, result.seconds);
    text += fmt::format("{:<24} {:>5} {:>11} {:<6}{:>7} {:>7} {:>7} {:>7} {:>7}\n", "book", "level",
                        "x  expected", "zone", "prop.", "indep.", "joint", "Z1", "Z2");
    for (const Evaluation& row : result.evaluations) text += format_row(row);
    constexpr std::size_t shown_max = 5;
    const auto& warnings = result.walk.warnings;
    for (std::size_t i = 0; i < std::min(shown_max, warnings.size()); ++i)
      text += "warning: " + warnings[i] + "\n";
    if (warnings.size() > shown_max)
      text += fmt::format("and {} warnings more, in the report\n", warnings.size() - shown_max);
    text += "\n";
    verdicts += format_verdicts(result);
  }
  return text + verdicts;
}

}  // namespace shortfall::backtest
