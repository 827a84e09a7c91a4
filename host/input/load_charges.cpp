#include "load_charges.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "csv.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

constexpr double liquidation_days_max = 1e5;  // as any horizon

/// A file with at most one row per underlying, named in its first column.
class UnderlyingRows {
 public:
  UnderlyingRows(CsvTable& table, const NameTable<Underlying>& underlyings, const RunConfig& config)
      : table_(table),
        underlyings_(underlyings),
        config_(config),
        lines_(underlyings.entries().size()) {}

  /// The underlying of the row; reports one that is not listed or has a row already.
  std::optional<std::uint32_t> enter() {
    constexpr std::size_t column = 0;
    const std::optional<std::uint32_t> index = underlyings_.find(table_[column]);
    if (!index) {
      if (underlyings_.is_complete())
        table_.report(column,
                      fmt::format("{} is unknown; list it in {}, or remove the row",
                                  in_quotes(table_[column]), config_.inputs.underlyings.string()));
      return std::nullopt;
    }
    if (lines_[*index] != 0) {
      table_.report(column, fmt::format("{} is a duplicate of line {}; remove one of them",
                                        in_quotes(table_[column]), lines_[*index]));
      return std::nullopt;
    }
    lines_[*index] = table_.line();
    return index;
  }

 private:
  CsvTable& table_;
  const NameTable<Underlying>& underlyings_;
  const RunConfig& config_;
  std::vector<std::size_t> lines_;  // of the rows; 0 where there is none
};

/// The field as a number from 0 to `most`; reports what is none, with the remedy. 0 then.
double bounded(CsvTable& table, std::size_t column, double most, std::string_view remedy) {
  const std::optional<double> value = table.real(column);
  if (!value) return 0;
  if (*value >= 0 && *value <= most) return *value;
  table.report(column, fmt::format("{} is outside [0, {}]; {}", *value, most, remedy));
  return 0;
}

std::optional<double> liquidation_days(CsvTable& table, std::size_t column, double horizon_days) {
  if (table[column].empty()) return std::nullopt;
  const std::optional<double> days = table.real(column);
  if (!days || (*days >= horizon_days && *days <= liquidation_days_max)) return days;
  table.report(column,
               *days < horizon_days
                   ? fmt::format("{} is below horizon_days {}; leave it empty for the horizon",
                                 *days, horizon_days)
                   : fmt::format("{} is more than {}; write days", *days, liquidation_days_max));
  return std::nullopt;
}

/// What needs a row, and a name of it for the message; the first of each underlying counts.
class Needs {
 public:
  explicit Needs(std::size_t underlying_count) : holdings_(underlying_count) {}

  void add(std::uint32_t underlying, std::string_view kind, std::string_view name) {
    if (holdings_[underlying].empty())
      holdings_[underlying] = fmt::format("{} {}", kind, in_quotes(name));
  }

  template <typename Row>
  void report_missing(const std::filesystem::path& file, const Book& book,
                      const std::vector<std::optional<Row>>& rows, Problems& problems) const {
    for (std::size_t u = 0; u < holdings_.size(); ++u) {
      if (holdings_[u].empty() || rows[u]) continue;
      problems.add(file.string(), 0,
                   fmt::format("has no row for {0}, of which {1} is held; add a row for {0}",
                               book.underlyings[u].name, holdings_[u]));
    }
  }

 private:
  std::vector<std::string> holdings_;  // by underlying; empty where nothing is held
};

}  // namespace

void load_liquidity(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                    const RunConfig& config, std::vector<std::optional<LiquidityTerms>>& liquidity,
                    Problems& problems) {
  enum Column : std::size_t { underlying, daily_volume, half_spread, impact, vol_spread, days };
  CsvTable table(file,
                 {"underlying", "daily_volume_usd", "half_spread_bps", "impact", "vol_spread",
                  "liquidation_days"},
                 problems, 1);
  liquidity.assign(underlyings.entries().size(), std::nullopt);
  UnderlyingRows rows(table, underlyings, config);
  while (table.next()) {
    const std::optional<std::uint32_t> index = rows.enter();
    LiquidityTerms terms;
    terms.daily_volume_usd = table.positive(daily_volume).value_or(1);
    terms.half_spread_bps =
        bounded(table, half_spread, 1e4, "write basis points of the price: 5 for 0.05 %");
    terms.impact = bounded(table, impact, 1e3,
                           "write how many daily standard deviations a day's volume moves a price");
    terms.vol_spread =
        bounded(table, vol_spread, 10, "write a spread of one volatility point as 0.01");
    terms.liquidation_days = liquidation_days(table, days, config.risk.horizon_days);
    if (index) liquidity[*index] = terms;
  }
}

void load_funding(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                  const RunConfig& config, std::vector<std::optional<FundingRates>>& funding,
                  Problems& problems) {
  enum Column : std::size_t { underlying, long_pays, short_pays };
  CsvTable table(file, {"underlying", "long_pays", "short_pays"}, problems);
  funding.assign(underlyings.entries().size(), std::nullopt);
  UnderlyingRows rows(table, underlyings, config);
  constexpr std::string_view remedy =
      "write what the side pays a day at worst, as a decimal: 0.0038 for 38 bp";
  while (table.next()) {
    const std::optional<std::uint32_t> index = rows.enter();
    const FundingRates rates{bounded(table, long_pays, 1, remedy),
                             bounded(table, short_pays, 1, remedy)};
    if (index) funding[*index] = rates;
  }
}

void check_charges_cover(const RunConfig& config, const RunInputs& inputs, Problems& problems) {
  const Book& book = inputs.book;
  const MarginConfig& margin = config.margin;
  Needs liquidity(book.underlyings.size()), funding(book.underlyings.size());
  for (const Position& position : book.positions) {
    if (position.quantity.is_zero()) continue;
    const Instrument& i = book.instruments[position.instrument];
    liquidity.add(i.underlying, "instrument", i.name);
    if (i.type == InstrumentType::perpetual) funding.add(i.underlying, "perpetual", i.name);
  }
  if (margin.collateral && margin.collateral->is_simulated) {
    for (const Collateral& row : book.collateral)
      if (row.asset != Collateral::usd && row.amount != 0)
        liquidity.add(row.asset, "collateral of account", row.account);
  }
  if (margin.liquidity)
    liquidity.report_missing(margin.liquidity->file, book, inputs.liquidity, problems);
  if (margin.funding) funding.report_missing(margin.funding->file, book, inputs.funding, problems);
}

}  // namespace shortfall
