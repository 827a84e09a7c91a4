#include <algorithm>
#include <cmath>

#include "backtest_report.hpp"
#include "calibrate/history.hpp"
#include "fmt/format.h"

namespace shortfall::backtest {
namespace {

constexpr double width = 960, height = 240, margin = 60;

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

/// Where dates and amounts are on a picture.
class Axes {
 public:
  Axes(const BookSeries& series, const std::vector<BacktestDate>& dates) {
    first_ = static_cast<double>(series.times.front());
    last_ = std::max(first_ + 1, static_cast<double>(series.times.back()));
    for (const BacktestDate& date : dates) {
      low_ = std::min(low_, date.loss_usd);
      high_ = std::max({high_, date.loss_usd, date.expected_shortfall_usd});
    }
  }
  double x(std::int64_t time) const {
    return margin + (width - margin) * (static_cast<double>(time) - first_) / (last_ - first_);
  }
  double y(double usd) const { return 10 + (height - 40) * (high_ - usd) / (high_ - low_); }
  double low() const { return low_; }
  double high() const { return high_; }

 private:
  double first_, last_, low_ = 0, high_ = 1e-9;
};

template <class Amount>
std::string polyline(const Axes& axes, const BookSeries& series,
                     const std::vector<BacktestDate>& dates, const char* kind,
                     const Amount& amount) {
  std::string points;
  for (std::size_t t = 0; t < dates.size(); ++t)
    points += fmt::format("{:.1f},{:.1f} ", axes.x(series.times[t]), axes.y(amount(dates[t])));
  return fmt::format("<polyline class=\"{}\" points=\"{}\"/>\n", kind, points);
}

std::string picture(const BookSeries& series, const std::vector<BacktestDate>& dates) {
  const Axes axes(series, dates);
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"losses and forecasts of {}\">\n", width,
      height, escaped(series.book));
  for (const double usd : {axes.low(), 0.0, axes.high()})
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text x=\"{3}\" y=\"{2:.1f}\" text-anchor=\"end\">{4:.0f}</text>\n",
        margin, width, axes.y(usd), margin - 6, usd == 0 ? 0.0 : usd);
  for (const std::size_t t : {std::size_t{0}, dates.size() - 1})
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n",
                       axes.x(series.times[t]), height - 8, t == 0 ? "start" : "end",
                       calibration::format_time(series.times[t]));
  for (std::size_t t = 0; t < dates.size(); ++t)
    svg += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n",
                       dates[t].is_exceedance() ? "over" : "loss", axes.x(series.times[t]),
                       axes.y(dates[t].loss_usd), dates[t].is_exceedance() ? "2.5" : "1");
  svg += polyline(axes, series, dates, "var",
                  [](const BacktestDate& date) { return date.value_at_risk_usd; });
  svg += polyline(axes, series, dates, "es",
                  [](const BacktestDate& date) { return date.expected_shortfall_usd; });
  return svg + "</svg>\n";
}

std::string format_increase(const std::optional<double>& increase) {
  return increase ? fmt::format("{:.1f} %", 100 * *increase) : "-";
}

/// A p-value, marked where it rejects.
std::string p_cell(double p_value) {
  return fmt::format("<td{}>{:.3f}</td>", p_value <= significance ? " class=\"no\"" : "", p_value);
}

std::string row(const Evaluation& e) {
  const Procyclicality& moves = e.procyclicality;
  std::string text = fmt::format(
      "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{:.1f}</td><td class=\"{}\">{}</td>",
      escaped(e.book), e.confidence_level, e.date_count, e.exceedance_count,
      static_cast<double>(e.date_count) * (1 - e.confidence_level), to_string(e.zone),
      to_string(e.zone));
  for (const LikelihoodRatioTest* test : {&e.proportion, &e.independence, &e.joint})
    text += fmt::format("<td>{:.3f}</td>", test->statistic) + p_cell(test->exact_p_value);
  if (e.shortfall.z1)
    text += fmt::format("<td>{:.3f}</td><td>{:.3f}</td>", e.shortfall.z1->statistic,
                        e.shortfall.z1->critical_value) +
            p_cell(e.shortfall.z1->p_value);
  else
    text += "<td>-</td><td>-</td><td>-</td>";
  text += fmt::format("<td>{:.3f}</td><td>{:.3f}</td>", e.shortfall.z2.statistic,
                      e.shortfall.z2.critical_value) +
          p_cell(e.shortfall.z2.p_value);
  return text + fmt::format("<td>{:.2f}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                            moves.peak_to_trough, format_increase(moves.increase_1),
                            format_increase(moves.increase_5), format_increase(moves.increase_30));
}

constexpr const char* head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest</title><style>
body{font:14px sans-serif;margin:2em;color:#222;overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.15em .5em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:first-child{text-align:left}
.no,.red{background:#f6c6c6}.yellow{background:#fbeec0}.green{background:#d3efd3}
svg{display:block;width:100%;max-width:960px;font-size:11px}
.grid{stroke:#ccc}.loss{fill:#888}.over{fill:#c22}
.var,.es{fill:none;stroke:#27c}.es{stroke:#063;stroke-width:1.5}
</style></head><body>
<h1>Backtest</h1>
<p>At each date the model is calibrated on the past alone; x is the number of losses above the value
at risk. p-values of the likelihood ratios (LR) are exact: the probability, of a right model, of
a ratio as large, over all series of this length. Those of Z1 and Z2 are simulated under the model's
own tails; below its critical value, at 5 %, a statistic rejects. Marked: rejected at 5 %. Of many
right models about 1 in 20 is marked by each test. Pictures: losses (dots; red: above the value at
risk), value at risk (blue) and expected shortfall (green), USD.</p>
)";

constexpr const char* table_head =
    "<table><tr><th>book</th><th>level</th><th>dates</th><th>x</th><th>expected</th><th>zone</th>"
    "<th>LR proportion</th><th>p</th><th>LR independence</th><th>p</th><th>LR joint</th><th>p</th>"
    "<th>Z1</th><th>critical</th><th>p</th><th>Z2</th><th>critical</th><th>p</th>"
    "<th>peak/trough</th><th>1 day</th><th>5 days</th><th>30 days</th></tr>\n";

}  // namespace

std::string format_html(const std::vector<MethodResult>& results) {
  std::string html = head;
  for (const MethodResult& result : results) {
    html += fmt::format("<h2>{}</h2>\n{}", escaped(result.method), table_head);
    for (const Evaluation& evaluation : result.evaluations) html += row(evaluation);
    html += "</table>\n";
    for (const std::string& warning : result.walk.warnings)
      html += fmt::format("<p>Warning: {}</p>\n", escaped(warning));
    // The pictures show the highest level.
    const auto& levels = result.walk.confidence_levels;
    const auto highest = std::max_element(levels.begin(), levels.end()) - levels.begin();
    for (const BookSeries& series : result.walk.books)
      html += fmt::format("<h3>{}, {}, {}</h3>\n", escaped(series.book), escaped(result.method),
                          levels[static_cast<std::size_t>(highest)]) +
              picture(series, series.levels[static_cast<std::size_t>(highest)]);
  }
  return html + "</body></html>\n";
}

}  // namespace shortfall::backtest
