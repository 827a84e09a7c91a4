#include "whatif_command.hpp"

#include <chrono>
#include <istream>
#include <ostream>
#include <vector>

#include "fmt/format.h"
#include "margin/collateral.hpp"
#include "terminal.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

struct Row {
  const char* name;
  double before, after;
};

/// "+1,234", "0" or "-1,234".
std::string format_change(double usd) { return (usd > 0 ? "+" : "") + format_usd(usd); }

std::vector<Row> component_rows(const WhatIf& w, const MarginConfig& config) {
  std::vector<Row> rows;
  const auto add = [&](bool is_shown, const char* name, double MarginComponents::*part) {
    if (is_shown) rows.push_back({name, w.before.components.*part, w.after.components.*part});
  };
  using C = MarginComponents;
  add(config.has_components(), "base", &C::base);
  add(config.dependence.has_value(), "dependence", &C::dependence);
  add(config.dependence.has_value(), "concentration", &C::concentration);
  add(config.liquidity.has_value(), "liquidity", &C::liquidity);
  add(config.stress.has_value(), "stress", &C::stress);
  add(config.procyclicality.has_value(), "procyclicality", &C::procyclicality);
  add(config.funding.has_value(), "funding", &C::funding);
  add(config.short_option_minimum_rate.has_value(), "short option minimum",
      &C::short_option_minimum);
  add(config.floor_usd > 0, "floor", &C::floor);
  return rows;
}

std::vector<Row> account_rows(const WhatIf& w, const MarginConfig& config) {
  std::vector<Row> rows;
  const auto add = [&](bool is_shown, const char* name, double AccountMargin::*amount) {
    if (is_shown) rows.push_back({name, w.before.*amount, w.after.*amount});
  };
  using A = AccountMargin;
  const bool has_equity = config.collateral.has_value();
  add(true, "margin", &A::margin_usd);
  add(has_equity || config.maintenance_ratio || config.maintenance_confidence_level,
      "maintenance margin", &A::maintenance_margin_usd);
  add(has_equity, "equity", &A::equity_usd);
  add(has_equity, "excess", &A::excess_usd);
  return rows;
}

std::vector<Row> risk_rows(const WhatIf& w) {
  return {{"gross notional", w.before.gross_notional_usd, w.after.gross_notional_usd},
          {"value at risk", w.before.value_at_risk_usd, w.after.value_at_risk_usd},
          {"expected shortfall", w.before.expected_shortfall_usd, w.after.expected_shortfall_usd}};
}

std::string format_row(std::string_view name, const std::string& before, const std::string& after,
                       const std::string& difference) {
  return fmt::format("{:<24} {:>17} {:>17} {:>17}\n", name, before, after, difference);
}

/// Words between blanks; double quotes hold a word with blanks together.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  bool is_quoted = false, is_in_word = false;
  for (const char c : line) {
    const bool is_blank = c == ' ' || c == '\t' || c == '\r';
    if (is_blank && !is_quoted) {
      is_in_word = false;
      continue;
    }
    if (!is_in_word) words.emplace_back();
    is_in_word = true;
    if (c == '"')
      is_quoted = !is_quoted;
    else
      words.back() += c;
  }
  if (is_quoted)
    throw InputError({{"command line", 0, "has a double quote that is not closed; close it"}}, 0);
  return words;
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

/// The lines of one session.
class Dialogue {
 public:
  Dialogue(WhatIfSession& session, WhatIfQuery query, bool is_base_only, std::ostream& out)
      : session_(session), query_(std::move(query)), is_base_only_(is_base_only), out_(out) {}

  void describe() {
    const RunConfig& config = session_.config();
    out_ << fmt::format("{} paths, {} factors, {} held, loaded in {}\n", config.risk.path_count,
                        session_.factor_count(),
                        format_bytes(static_cast<double>(session_.bytes())),
                        format_duration(session_.load_seconds()))
         << std::flush;
  }

  void answer(const std::vector<std::string>& words) {
    WhatIfQuery query = query_;
    const bool is_switch = words.front() == "account";
    if (is_switch) {
      if (words.size() != 2)
        throw InputError(
            {{"command line", 0, "write account NAME; a name with blanks in double quotes"}}, 0);
      query.account = words[1];
    } else {
      for (const std::string& word : words) query.trades.push_back(parse_trade(word));
    }
    print_base(query);
    if (is_switch)
      query_ = query;
    else if (!is_base_only_ && session_.config().margin.has_components())
      out_ << format_what_if(session_.all(query), session_.config().margin) << std::flush;
  }

 private:
  void print_base(const WhatIfQuery& query) {
    const auto start = std::chrono::steady_clock::now();
    const BaseWhatIf base = session_.base(query);
    const double milliseconds = milliseconds_since(start);
    out_ << fmt::format("{}: base {} -> {}, {} (standard error {}) in {:.2f} ms\n", query.account,
                        format_usd(base.before_usd), format_usd(base.after_usd),
                        format_change(base.after_usd - base.before_usd),
                        format_usd(base.standard_error_usd), milliseconds)
         << std::flush;
  }

  WhatIfSession& session_;
  WhatIfQuery query_;  // without trades
  bool is_base_only_;
  std::ostream& out_;
};

}  // namespace

std::string format_what_if(const WhatIf& answer, const MarginConfig& config) {
  std::string out =
      format_row(clip(answer.before.account, 24), "before", "after", "difference (USD)");
  const auto add = [&](const std::vector<Row>& rows) {
    for (const Row& row : rows)
      out += format_row(row.name, format_usd(row.before), format_usd(row.after),
                        format_change(row.after - row.before));
  };
  add(component_rows(answer, config));
  add(account_rows(answer, config));
  if (config.collateral)
    out +=
        format_row("status", to_string(answer.before.status), to_string(answer.after.status), "");
  add(risk_rows(answer));
  out += format_row("standard error", format_usd(answer.before.standard_error_usd),
                    format_usd(answer.after.standard_error_usd),
                    format_usd(answer.standard_error_usd));
  for (const std::string& warning : answer.warnings) out += "warning: " + warning + "\n";
  return out + fmt::format("in {:.2f} s\n", answer.seconds);
}

int answer_queries(WhatIfSession& session, const std::string& account, bool may_open,
                   bool is_base_only, std::istream& in, std::ostream& out, std::ostream& err) {
  Dialogue dialogue(session, {account, {}, may_open}, is_base_only, out);
  dialogue.describe();
  int refused_count = 0, line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    try {
      const std::vector<std::string> words = words_of(line);
      if (words.empty()) continue;
      if (words.size() == 1 && words.front() == "quit") break;
      dialogue.answer(words);
    } catch (const InputError& error) {
      ++refused_count;
      for (const Problem& problem : error.problems())
        err << fmt::format("line {}: {}\n", line_number,
                           problem.file == "command line" ? problem.message : to_string(problem));
      err << std::flush;
    } catch (const OperatingError& error) {
      ++refused_count;
      err << fmt::format("line {}: {}\n", line_number, error.what()) << std::flush;
    }
    // Nobody reads on: standard input need not end for that.
    if (!out) throw OperatingError("cannot write to standard output");
  }
  return refused_count;
}

}  // namespace shortfall
