#include "shortfall/schemes.hpp"
#include "toml_document.hpp"
#include "toml_section.hpp"

namespace shortfall {
namespace {

using Pair = PortfolioMarginParameters::Pair;
using Currency = PortfolioMarginParameters::Currency;

constexpr RealDomain range_domain{"above 0 (at least 1e-6) and at most 0.95",
                                  [](double x) { return x >= 1e-6 && x <= 0.95; }};
constexpr RealDomain fall_domain{"from 0 to 0.95", [](double x) { return x >= 0 && x <= 0.95; }};
constexpr RealDomain rise_domain{"from 0 to 10", [](double x) { return x >= 0 && x <= 10; }};
constexpr RealDomain share_domain{"from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};
constexpr RealDomain ratio_domain{"above 0 and at most 1",
                                  [](double x) { return x > 0 && x <= 1; }};
constexpr RealDomain multiple_domain{"from 1 to 20", [](double x) { return x >= 1 && x <= 20; }};
constexpr RealDomain usd_domain{"from 0 to 1e15 USD", [](double x) { return x >= 0 && x <= 1e15; }};

/// The tables [<scheme>.underlyings.<name>], each of which has the keys of `others` and their
/// values where it leaves a key out.
template <typename Entry>
void read_underlyings(TomlSection& scheme, const Entry& others,
                      std::map<std::string, Entry>& entries, void (*read)(TomlSection&, Entry&)) {
  const toml::node* const node = scheme.find("underlyings");
  if (!node) return;
  TomlSection underlyings = scheme.table("underlyings");
  if (!node->is_table()) return;
  for (const auto& [name, table] : *node->as_table()) {
    TomlSection own = underlyings.table(name.str().data());
    Entry& entry = entries.emplace(name.str(), others).first->second;
    read(own, entry);
    own.report_unknown_keys();
  }
}

void read_ranges(TomlSection& section, SpanParameters::Ranges& ranges) {
  section.real("price_range", ranges.price, range_domain);
  section.real("volatility_range", ranges.volatility, fall_domain);
}

void read_pair(TomlSection& section, Pair& pair) {
  section.real("price_range", pair.price_range, range_domain);
  section.real("volatility_up", pair.volatility_up, rise_domain);
  section.real("volatility_down", pair.volatility_down, fall_domain);
  section.real("short_term_vega_power", pair.short_term_vega_power, share_domain);
  section.real("long_term_vega_power", pair.long_term_vega_power, share_domain);
  section.real("volatility_up_least", pair.volatility_up_least, rise_domain);
  section.real("extended_table_factor", pair.extended_table_factor, rise_domain);
  section.real("delta_threshold_usd", pair.delta_threshold_usd, usd_domain);
  section.real("delta_increment_per_coin", pair.delta_increment_per_coin, share_domain);
  section.real("delta_shock_most", pair.delta_shock_most, share_domain);
}

void read_currency(TomlSection& scheme, const char* key, Currency& currency) {
  if (!scheme.find(key)) return;
  TomlSection section = scheme.table(key);
  section.real("extended_dampener_usd", currency.extended_dampener_usd, usd_domain);
  section.real("annualised_move_risk", currency.annualised_move_risk, share_domain);
  section.real("annualised_move_least", currency.annualised_move_least, share_domain);
  section.report_unknown_keys();
}

/// The document, with nothing in it but the table `name`.
toml::table read_scheme(const std::filesystem::path& file, std::string_view name,
                        std::string_view what, Problems& problems) {
  std::optional<toml::table> document = read_toml(file, what, problems);
  problems.throw_if_any();
  report_unknown_tables(*document, file, what, {&name, 1}, problems);
  return *std::move(document);
}

}  // namespace

SpanParameters load_span_parameters(const std::filesystem::path& file) {
  Problems problems;
  SpanParameters parameters;
  const toml::table document = read_scheme(file, "span", "a file of the scan", problems);
  TomlSection section(document, "span", file.string(), problems);
  read_ranges(section, parameters.ranges);
  section.real("extreme_multiple", parameters.extreme_multiple, multiple_domain);
  section.real("extreme_share", parameters.extreme_share, ratio_domain);
  read_underlyings(section, parameters.ranges, parameters.by_underlying, read_ranges);
  section.report_unknown_keys();
  problems.throw_if_any();
  return parameters;
}

PortfolioMarginParameters load_portfolio_margin_parameters(const std::filesystem::path& file) {
  Problems problems;
  PortfolioMarginParameters parameters;
  const toml::table document =
      read_scheme(file, "portfolio_margin", "a file of the portfolio margin", problems);
  TomlSection section(document, "portfolio_margin", file.string(), problems);
  read_pair(section, parameters.pair);
  section.real("maintenance_factor", parameters.maintenance_factor, ratio_domain);
  read_underlyings(section, parameters.pair, parameters.by_underlying, read_pair);
  read_currency(section, "inverse", parameters.inverse);
  read_currency(section, "linear", parameters.linear);
  section.report_unknown_keys();
  problems.throw_if_any();
  return parameters;
}

}  // namespace shortfall
