#include "history_tables.hpp"

#include "fmt/format.h"
#include "input/date.hpp"

namespace shortfall::calibration {
namespace {

constexpr Choice<double> units[] = {{"decimal", 1}, {"percent", 0.01}};
constexpr Choice<bool> strikes[] = {{"fixed", false}, {"at_the_money", true}};
constexpr Choice<Quantity> quantities[] = {
    {"premium", Quantity::premium}, {"price", Quantity::price}, {"funding", Quantity::funding}};

constexpr RealDomain slope_domain{"from -10 to 10", [](double x) { return x >= -10 && x <= 10; }};
constexpr RealDomain funding_domain{"above 0 and at most 10000",
                                    [](double x) { return x > 0 && x <= 1e4; }};

void read_file(TomlSection& section, HistorySource& source) {
  if (!section.path("file", source.file))
    section.report_missing("file", "write the path of the history");
  source.time_column = section.string("time").value_or("");
}

/// A table column = name, or an array of names; `suffix` makes factors of coins.
void read_columns(TomlSection& section, HistorySource& source, const std::string& suffix) {
  const toml::node* const node = section.find("columns");
  if (!node) return;
  const char* const wanted = suffix.empty() ? "a table such as {dvol_close = \"BTC.vol.30d\"}"
                                            : "an array of coins, or a table {column = \"BTC\"}";
  if (const toml::table* const table = node->as_table()) {
    for (const auto& [column, value] : *table) {
      const std::optional<std::string> name = value.value_exact<std::string>();
      if (!name) return section.report_type("columns", wanted, value);
      source.columns.push_back({std::string(column.str()), *name + suffix});
    }
  } else if (!suffix.empty() && node->is_array()) {
    std::vector<std::string> coins;
    section.strings("columns", coins);
    for (const std::string& coin : coins) source.columns.push_back({coin, coin + suffix});
  } else {
    section.report_type("columns", wanted, *node);
  }
  if (source.columns.empty()) section.report("columns", "is empty; name at least one column");
}

void read_unit(TomlSection& section, HistorySource& source) {
  if (!section.find("unit")) section.report_missing("unit", "write decimal or percent");
  section.choice("unit", source.scale, units);
  if (source.quantity != Quantity::funding) return;
  double premium = 1;
  section.required_real("premium_per_rate", premium, funding_domain,
                        "write the premium that a rate of 1 stands for: 1 for rates of 8 hours "
                        "that are the mean premium");
  source.scale *= premium;
}

void read_strike(TomlSection& section, HistorySource& source) {
  if (!section.find("strike")) section.report_missing("strike", "write fixed or at_the_money");
  section.choice("strike", source.is_at_the_money, strikes);
  if (!source.is_at_the_money) return;
  section.required_real("slope", source.slope, slope_domain,
                        "volatilities at the money need the slope of the smile, in annual "
                        "volatility per unit of ln(K/F)/sqrt(max(T, 7/365))");
}

/// The kind of all its factors; empty where they have none in common, which is reported.
std::optional<FactorKind> kind_of(TomlSection& section, const HistorySource& source) {
  std::optional<FactorKind> kind;
  for (const HistoryColumn& column : source.columns) {
    const std::optional<FactorName> name = parse_factor_name(column.factor);
    std::string problem;
    if (!name)
      problem = fmt::format(
          "has {}, which is no factor; write one like BTC.vol.30d, BTC.skew, "
          "BTC.basis or BTC.perp",
          in_quotes(column.factor));
    else if (name->kind == FactorKind::spot)
      problem = fmt::format("has {}; spots belong into [prices]", in_quotes(column.factor));
    else if (kind && *kind != name->kind)
      problem = "mixes kinds of factors; give each kind a table";
    if (!problem.empty()) {
      section.report("columns", problem);
      return std::nullopt;
    }
    kind = name->kind;
  }
  return kind;
}

/// What the numbers of a history mean is never guessed.
void read_meaning(TomlSection& section, HistorySource& source) {
  const std::optional<FactorKind> kind = kind_of(section, source);
  if (!kind) {  // what its keys should be is not known either
    for (const char* key : {"unit", "strike", "slope", "quantity", "premium_per_rate"})
      section.find(key);
    return;
  }
  if (*kind == FactorKind::perp) {
    if (!section.find("quantity"))
      section.report_missing("quantity", "write premium, price or funding");
    section.choice("quantity", source.quantity, quantities);
  }
  if (source.quantity != Quantity::price) read_unit(section, source);
  if (*kind == FactorKind::vol) read_strike(section, source);
}

HistorySource read_prices(TomlSection section) {
  HistorySource source;
  read_file(section, source);
  read_columns(section, source, ".spot");
  section.report_unknown_keys();
  return source;
}

HistorySource read_factors(TomlSection section) {
  HistorySource source;
  read_file(section, source);
  read_columns(section, source, "");
  if (!section.find("columns"))
    section.report_missing("columns", "write the factor of each column: {dvol = \"BTC.vol.30d\"}");
  read_meaning(section, source);
  section.report_unknown_keys();
  return source;
}

}  // namespace

std::vector<HistorySource> read_history_tables(const toml::table& document,
                                               const std::filesystem::path& file,
                                               Problems& problems) {
  std::vector<HistorySource> sources;
  if (document.contains("prices"))
    sources.push_back(read_prices(TomlSection(document, "prices", file.string(), problems)));
  for (const auto& [name, section] : tables_of(document, "histories", file, problems))
    sources.push_back(read_factors(section));
  return sources;
}

std::optional<std::int64_t> read_time(TomlSection& section, const char* key) {
  const std::optional<std::string> text = section.string(key);
  if (!text) return std::nullopt;
  const std::optional<std::int64_t> time = parse_date(*text);
  if (!time)
    section.report(key, fmt::format("is {}; write \"2026-01-14\" or \"2026-01-14T08:00:00Z\"",
                                    in_quotes(*text)));
  return time;
}

std::vector<std::pair<std::string, TomlSection>> tables_of(const toml::table& document,
                                                           const char* name,
                                                           const std::filesystem::path& file,
                                                           Problems& problems) {
  std::vector<std::pair<std::string, TomlSection>> tables;
  TomlSection parent(document, name, file.string(), problems);
  if (const toml::table* const table = document[name].as_table())
    for (const auto& [key, node] : *table) {
      const std::string own(key.str());
      tables.emplace_back(own, parent.table(own.c_str()));
    }
  return tables;
}

void check_not_inputs(const std::vector<std::filesystem::path>& results,
                      const std::vector<std::filesystem::path>& inputs, const std::string& where,
                      Problems& problems) {
  std::error_code none_of_two;
  for (const std::filesystem::path& result : results)
    for (const std::filesystem::path& input : inputs)
      if (!result.empty() && !input.empty() &&
          std::filesystem::equivalent(result, input, none_of_two))
        problems.add(
            where, 0,
            fmt::format("would write {} over an input; give another out", result.string()));
}

}  // namespace shortfall::calibration
