// CSV chains, whose columns a map in TOML names.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "input/csv.hpp"
#include "input/toml_document.hpp"
#include "input/toml_section.hpp"
#include "market_record.hpp"
#include "shortfall/config.hpp"
#include "text.hpp"

namespace shortfall::exchange {
namespace {

using TimeFormat = ColumnMap::TimeFormat;

constexpr Choice<TimeFormat> time_formats[] = {{"iso 8601", TimeFormat::iso_8601},
                                               {"seconds", TimeFormat::seconds},
                                               {"milliseconds", TimeFormat::milliseconds}};
enum class Unit { decimal, percent };
constexpr Choice<Unit> iv_units[] = {{"decimal", Unit::decimal}, {"percent", Unit::percent}};

/// 2026-01-15T09:21:30.027641+00:00, with or without a fraction.
std::optional<std::int64_t> parse_iso_8601(std::string_view text) {
  std::string whole(text);
  std::int64_t milliseconds = 0;
  if (const std::size_t point = whole.find('.'); point != std::string::npos) {
    std::size_t end = point + 1, unit = 100;
    for (; end < whole.size() && whole[end] >= '0' && whole[end] <= '9'; ++end, unit /= 10)
      milliseconds += static_cast<std::int64_t>(unit) * (whole[end] - '0');
    if (end == point + 1) return std::nullopt;
    whole.erase(point, end - point);
  }
  const std::optional<std::int64_t> seconds = parse_date_time(whole);
  if (!seconds) return std::nullopt;
  return *seconds * 1000 + milliseconds;
}

std::optional<std::int64_t> parse_time(std::string_view text, TimeFormat format) {
  if (format == TimeFormat::iso_8601) return parse_iso_8601(text);
  const double ms_per_unit = format == TimeFormat::seconds ? 1e3 : 1;
  const std::optional<double> value = parse_real(text);
  if (!value || std::fabs(*value) > 1e15) return std::nullopt;
  return static_cast<std::int64_t>(std::floor(*value * ms_per_unit));
}

/// Rows of a CSV file of which only some columns are read.
class ChainRows {
 public:
  ChainRows(const std::filesystem::path& file, const ColumnMap& map, Problems& problems)
      : map_(map), problems_(problems), name_(file.string()), csv_(file, problems) {}

  void read(std::vector<MarketRecord>& records) {
    if (!read_header()) return;
    bool has_rows = false;
    while (csv_.next()) {
      has_rows = true;
      if (csv_.fields().size() != header_.size()) {
        csv_.report(
            fmt::format("has {} fields; the header has {}", csv_.fields().size(), header_.size()));
        continue;
      }
      const std::size_t problem_count = problems_.count();
      MarketRecord read = record();
      if (problems_.count() == problem_count) records.push_back(std::move(read));
    }
    if (!has_rows && csv_.is_complete())
      csv_.report_file("has a header but no rows; add at least one row");
  }

 private:
  bool read_header() {
    if (!csv_.next()) return false;
    for (const std::string_view column : csv_.fields()) header_.emplace_back(column);
    const std::size_t separator = header_[0].find_first_of(";\t|");
    if (header_.size() == 1 && separator != std::string::npos) {
      csv_.report(fmt::format("columns are separated by {}; separate them by commas",
                              in_quotes(header_[0].substr(separator, 1))));
      return false;
    }
    bool is_valid = true;
    const FieldNames& names = *map_.names;
    for (const std::string* const column :
         {&names.instrument, &names.timestamp, &names.expiry, &names.forward_name,
          &names.underlying, &names.option_type})
      is_valid = check_column(*column) && is_valid;
    for (const std::string& column : names.numbers) is_valid = check_column(column) && is_valid;
    return is_valid;
  }

  bool check_column(const std::string& column) {
    const auto count = column.empty() ? 1 : std::ranges::count(header_, column);
    if (count == 1) return true;
    csv_.report(count == 0
                    ? fmt::format("has no column {}, which the map names; correct the map, or take "
                                  "the layout that it is for",
                                  in_quotes(column))
                    : fmt::format("has the column {} {} times; remove all but one",
                                  in_quotes(column), count));
    return false;
  }

  /// The field of the row; empty where the map has no such column.
  std::string_view field(const std::string& column) const {
    if (column.empty()) return {};
    const auto at = std::ranges::find(header_, column) - header_.begin();
    return csv_.fields()[static_cast<std::size_t>(at)];
  }

  MarketRecord record() {
    const FieldNames& names = *map_.names;
    MarketRecord record;
    record.file = name_;
    record.line = csv_.line();
    record.names = map_.names;
    record.instrument = field(names.instrument);
    record.forward_name = field(names.forward_name);
    record.underlying = field(names.underlying);
    record.option_type = field(names.option_type);
    for (std::size_t i = 0; i < field_count; ++i) {
      const std::string_view text = field(names.numbers[i]);
      if (text.empty()) continue;
      record.numbers[i] = parse_real(text);
      if (!record.numbers[i])
        record.report(problems_, names.numbers[i],
                      fmt::format("{} is not a finite decimal number; write one like 1234.5 or "
                                  "1e-3, or leave it empty",
                                  in_quotes(text)));
    }
    if (auto& volatility = record[Field::mark_iv]) *volatility *= map_.mark_iv_unit;
    record.time_ms = time(record, names.timestamp, map_.timestamp);
    if (record.time_ms && !is_market_time(*record.time_ms)) {
      record.report(problems_, names.timestamp,
                    fmt::format("{} is not between 2010 and 2100; correct its unit in the map",
                                in_quotes(field(names.timestamp))));
      record.time_ms.reset();
    }
    if (const auto expiry_ms = time(record, names.expiry, map_.expiry))
      record.expiry = *expiry_ms / 1000;
    return record;
  }

  std::optional<std::int64_t> time(const MarketRecord& record, const std::string& column,
                                   TimeFormat format) {
    const std::string_view text = field(column);
    if (text.empty()) return std::nullopt;
    const std::optional<std::int64_t> time_ms = parse_time(text, format);
    if (!time_ms)
      record.report(problems_, column,
                    fmt::format("{} is no time in the format \"{}\" that the map says",
                                in_quotes(text), name_of(time_formats, format)));
    return time_ms;
  }

  const ColumnMap& map_;
  Problems& problems_;
  std::string name_;
  CsvFile csv_;
  std::vector<std::string> header_;
};

}  // namespace

std::optional<ColumnMap> load_column_map(const std::filesystem::path& file, Problems& problems) {
  constexpr std::string_view tables[] = {"columns", "units"};
  constexpr const char* what = "a map of columns";
  const std::size_t problem_count = problems.count();
  const std::optional<toml::table> document = read_toml(file, what, problems);
  if (!document) return std::nullopt;
  report_unknown_tables(*document, file, what, tables, problems);
  TomlSection columns(*document, "columns", file.string(), problems);
  TomlSection units(*document, "units", file.string(), problems);

  FieldNames names;
  const auto column = [&](const char* key) { return columns.string(key).value_or(""); };
  constexpr const char* number_keys[field_count] = {
      "mark_price",    "mark_iv", "forward", "index_price", "estimated_delivery_price",
      "contract_size", "strike"};
  names.instrument = column("instrument");
  names.timestamp = column("timestamp");
  for (std::size_t i = 0; i < field_count; ++i) names.numbers[i] = column(number_keys[i]);
  names.expiry = column("expiry");
  names.forward_name = column("forward_name");
  names.underlying = column("underlying");
  names.option_type = column("option_type");
  columns.report_unknown_keys();
  const toml::node* const instrument = columns.find("instrument");
  if (!instrument || (instrument->is_string() && names.instrument.empty()))
    columns.report_missing("instrument", "name the column of the instruments' names");

  ColumnMap map;
  Unit unit = Unit::decimal;
  units.choice("mark_iv", unit, iv_units);
  if (unit == Unit::percent) map.mark_iv_unit = 0.01;
  units.choice("timestamp", map.timestamp, time_formats);
  units.choice("expiry", map.expiry, time_formats);
  units.report_unknown_keys();
  if (!names[Field::mark_iv].empty() && !document->at_path("units.mark_iv"))
    units.report_missing("mark_iv", "write \"decimal\" or \"percent\"");
  map.names = std::make_shared<const FieldNames>(std::move(names));
  if (problems.count() != problem_count) return std::nullopt;
  return map;
}

void read_chain_table(const std::filesystem::path& file, const ColumnMap& map,
                      std::vector<MarketRecord>& records, Problems& problems) {
  ChainRows(file, map, problems).read(records);
}

}  // namespace shortfall::exchange
