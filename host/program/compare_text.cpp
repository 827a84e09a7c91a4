#include <algorithm>
#include <functional>
#include <vector>

#include "fmt/format.h"
#include "terminal.hpp"

namespace shortfall {
namespace {

struct CompareColumn {
  const char* title;
  int width;
  double AccountComparison::*usd;
};

constexpr CompareColumn compare_columns[] = {
    {"margin", 12, &AccountComparison::margin_usd},
    {"ES portfolio", 13, &AccountComparison::portfolio_usd},
    {"ES cross", 12, &AccountComparison::cross_usd},
    {"ES isolated", 12, &AccountComparison::isolated_usd},
    {"SPAN-like", 12, &AccountComparison::span_usd},
    {"Deribit-like", 13, &AccountComparison::portfolio_margin_usd}};

}  // namespace

std::string format_comparison_table(const Comparison& comparison) {
  constexpr std::size_t all_shown = 30, largest_shown = 20;
  std::vector<const AccountComparison*> rows;
  for (const AccountComparison& row : comparison.accounts) rows.push_back(&row);
  const bool has_all = rows.size() <= all_shown;
  if (!has_all) {
    std::ranges::stable_sort(rows, std::greater{}, &AccountComparison::margin_usd);
    rows.resize(largest_shown);
  }
  std::string out =
      fmt::format("{:<24} {:<9}", has_all ? "account (USD)" : "largest margins (USD)", "mode");
  for (const CompareColumn& c : compare_columns) out += fmt::format(" {:>{}}", c.title, c.width);
  out += '\n';
  const auto add = [&](const std::string& name, const char* mode, auto usd_of) {
    out += fmt::format("{:<24} {:<9}", clip(name, 24), mode);
    for (const CompareColumn& c : compare_columns)
      out += fmt::format(" {:>{}}", format_usd(usd_of(c.usd)), c.width);
    out += '\n';
  };
  for (const AccountComparison* row : rows)
    add(row->account, to_string(row->mode), [&](auto usd) { return row->*usd; });
  add(fmt::format("all {} accounts", comparison.accounts.size()), "", [&](auto usd) {
    double sum = 0;
    for (const AccountComparison& row : comparison.accounts) sum += row.*usd;
    return sum;
  });
  for (const std::string& warning : comparison.warnings)
    out += fmt::format("warning: {}\n", warning);
  return out;
}

}  // namespace shortfall
