#include <algorithm>

#include "backtest_chart.hpp"
#include "backtest_report.hpp"
#include "fmt/format.h"

namespace shortfall::backtest {
namespace {

constexpr const char* head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Backtest</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root{color-scheme:light dark;--ground:#fff;--text:#16191d;--muted:#565e68;--line:#d8dce1;
--accent:#1f5f99;--es:#1a6b3b;--no:#b1101c;--no-weak:#b1101c22;--call-weak:#e3b04f44;--ok-weak:#1a6b3b22}
@media(prefers-color-scheme:dark){:root{--ground:#101316;--text:#dde2e7;--muted:#98a2ad;--line:#2b3239;
--accent:#77b2ea;--es:#6cc48b;--no:#ff7d7d;--no-weak:#ff7d7d33;--ok-weak:#6cc48b33}}
body{margin:0 auto;max-width:1240px;padding:1.5rem 1rem;background:var(--ground);color:var(--text);
font:13px/1.45 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:1.4rem}h2{margin:2.5rem 0 .5rem;font-size:1.2rem}h3{margin:1.2rem 0 .2rem;font-size:1rem}
p{max-width:60rem}.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.6rem 0}
td,th{padding:.15em .55em;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600}td:first-child,th:first-child{text-align:left;padding-left:.2em}
.facts th{white-space:normal;vertical-align:top;min-width:6rem}
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
small{color:var(--muted);font-size:inherit}a{color:var(--accent)}
.no,.red{background:var(--no-weak)}.yellow{background:var(--call-weak)}.green,.yes{background:var(--ok-weak)}
svg{display:block;width:100%;max-width:960px}svg text{fill:var(--muted);font-size:11px}
svg *{fill:none}.grid{stroke:var(--line)}.axis{stroke:var(--muted)}
.loss,.over{stroke:var(--muted);stroke-width:2;stroke-linecap:round}.over{stroke:var(--no);stroke-width:5}
.var,.es{stroke:var(--accent)}.es{stroke:var(--es);stroke-width:1.5}
.key svg{display:inline;width:1.4em;height:.8em}
</style></head><body>
<h1>Backtest</h1>
)";

constexpr const char* explanation = R"(
<p>At each date the model is calibrated on the past alone; x is the number of losses above the value
at risk. p-values (in brackets) of the likelihood ratios (LR) are exact: the probability, of a right
model, of a ratio as large, over all series of this length. Those of Z1 and Z2 are simulated under the
model's own tails; below its critical value a statistic rejects. Red: rejected at 5 %. Each test
rejects up to 1 in 20 of right models, so that of right ones too some fail one of the five. Yellow:
so high that a right model is so in 5 %; forecasts are then higher than losses ask for. worst/ES: the
largest loss relative to its expected shortfall.</p>
)";

constexpr const char* key = R"(<p class="key">
<svg viewBox="0 0 14 8"><path class="loss" d="M3 4h0M7 5h0M11 3h0"/></svg> losses
<svg viewBox="0 0 14 8"><path class="over" d="M7 4h0"/></svg> losses above the value at risk
<svg viewBox="0 0 14 8"><path class="var" d="M0 4h14"/></svg> value at risk
<svg viewBox="0 0 14 8"><path class="es" d="M0 4h14"/></svg> expected shortfall; USD, at level {}</p>
)";

std::string table(const std::string& header, const std::string& rows) {
  return fmt::format("<div class=\"wide\"><table><tr>{}</tr>\n{}</table></div>\n", header, rows);
}

std::string facts_table(const std::vector<Fact>& facts) {
  std::string rows;
  for (const auto& [name, value] : facts)
    rows += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(value));
  return fmt::format("<table class=\"facts\">\n{}</table>\n", rows);
}

/// By book and level (rows) and method (columns): what rejects.
std::string verdicts(const std::vector<MethodResult>& results) {
  std::string header = "<th>book</th><th>level</th>", rows;
  for (const MethodResult& result : results)
    header += fmt::format("<th><a href=\"#{0}\">{0}</a></th>", escaped(result.method));
  for (const double level : results.front().walk.confidence_levels) {
    rows += fmt::format("<tr><th>books that pass</th><td>{}</td>", level);
    for (const MethodResult& result : results) {
      const PassCount count = pass_count(result.evaluations, level);
      rows += fmt::format("<th>{} of {}</th>", count.passed, count.tested);
    }
    rows += "</tr>\n";
  }
  for (std::size_t i = 0; i < results.front().evaluations.size(); ++i) {
    const Evaluation& first = results.front().evaluations[i];
    rows += fmt::format("<tr><td>{}</td><td>{}</td>", escaped(first.book), first.confidence_level);
    for (const MethodResult& result : results) {
      const Evaluation& evaluation = result.evaluations[i];
      const std::vector<std::string> tests = evaluation.rejected_by();
      rows += !tests.empty() ? fmt::format("<td class=\"no\">{}</td>", fmt::join(tests, ", "))
              : evaluation.is_too_high() ? std::string("<td class=\"yellow\">passes, too high</td>")
                                         : std::string("<td class=\"yes\">passes</td>");
    }
    rows += "</tr>\n";
  }
  return table(header, rows);
}

/// A statistic and its p-value, marked where it rejects, and where the forecast is too high.
std::string test_cell(const std::string& statistic, double p_value, double p_value_high = 1) {
  const char* const mark = p_value <= significance        ? " class=\"no\""
                           : p_value_high <= significance ? " class=\"yellow\""
                                                          : "";
  return fmt::format("<td{}>{} <small>({:.3f})</small></td>", mark, statistic, p_value);
}

std::string simulated_cell(const SimulatedTest& test) {
  return test_cell(
      fmt::format("{:.3f} <small>≥ {:.3f}</small>", test.statistic, test.critical_value),
      test.p_value, test.p_value_high);
}

std::string tests_table(const std::vector<Evaluation>& evaluations) {
  std::string rows;
  for (const Evaluation& e : evaluations) {
    rows += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1f}</td>"
        "<td class=\"{}\">{}</td>",
        escaped(e.book), e.confidence_level, e.date_count, e.exceedance_count,
        static_cast<double>(e.date_count) * (1 - e.confidence_level), to_string(e.zone),
        to_string(e.zone));
    for (const LikelihoodRatioTest* test : {&e.proportion, &e.independence, &e.joint})
      rows += test_cell(fmt::format("{:.3f}", test->statistic), test->exact_p_value);
    rows += e.shortfall.z1 ? simulated_cell(*e.shortfall.z1) : "<td>-</td>";
    rows += simulated_cell(e.shortfall.z2) +
            fmt::format("<td>{:.2f}</td></tr>\n", e.largest_loss_over_shortfall);
  }
  return table(
      "<th>book</th><th>level</th><th>dates</th><th>x</th><th>expected</th><th>zone</th>"
      "<th>LR proportion</th><th>LR independence</th><th>LR joint</th><th>Z1 ≥ critical</th>"
      "<th>Z2 ≥ critical</th><th>worst/ES</th>",
      rows);
}

std::string increase_cell(const std::optional<double>& increase) {
  return increase ? fmt::format("<td>{:.1f} %</td>", 100 * *increase) : "<td>-</td>";
}

std::string procyclicality_table(const std::vector<Evaluation>& evaluations) {
  std::string rows;
  for (const Evaluation& e : evaluations) {
    const Procyclicality& moves = e.procyclicality;
    rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{:.2f}</td>", escaped(e.book),
                        e.confidence_level, moves.peak_to_trough) +
            increase_cell(moves.increase_1) + increase_cell(moves.increase_5) +
            increase_cell(moves.increase_30) + "</tr>\n";
  }
  return table(
      "<th>procyclicality of the expected shortfall</th><th>level</th><th>peak to trough</th>"
      "<th>largest increase, 1 day</th><th>5 days</th><th>30 days</th>",
      rows);
}

std::string method_section(const MethodResult& result) {
  const Walk& walk = result.walk;
  std::string html = fmt::format("<h2 id=\"{0}\">{0}</h2>\n", escaped(result.method)) +
                     tests_table(result.evaluations) + procyclicality_table(result.evaluations);
  for (const std::string& warning : walk.warnings)
    html += fmt::format("<p>Warning: {}</p>\n", escaped(warning));
  // The pictures show the highest level.
  const auto& levels = walk.confidence_levels;
  const auto highest = std::max_element(levels.begin(), levels.end());
  html += fmt::format(key, *highest);
  for (const BookSeries& series : walk.books)
    html += fmt::format("<h3>{}, {}</h3>\n", escaped(series.book), escaped(result.method)) +
            draw_walk(series, series.levels[static_cast<std::size_t>(highest - levels.begin())]);
  return html;
}

}  // namespace

std::string format_html(const std::vector<Fact>& facts, const std::vector<MethodResult>& results) {
  SHORTFALL_ASSERT(!results.empty());
  std::string html = head + facts_table(facts) + explanation + verdicts(results);
  for (const MethodResult& result : results) html += method_section(result);
  return html + "</body></html>\n";
}

}  // namespace shortfall::backtest
