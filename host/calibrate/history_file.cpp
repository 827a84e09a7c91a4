#include "history_file.hpp"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"
#include "input/csv.hpp"
#include "input/date.hpp"
#include "shortfall/config.hpp"
#include "text.hpp"

namespace shortfall::calibration {
namespace {

constexpr double neighbour_ratio_max = 1000;
constexpr std::size_t series_max = 1000;

/// What levels of a series have to be.
struct LevelRule {
  bool is_positive = false;
  double least = 0, greatest = 0;
  const char* remedy = "";
};

LevelRule rule_of(FactorKind kind, Quantity quantity) {
  if (kind == FactorKind::spot || quantity == Quantity::price)
    return {true, 1e-12, 1e15, "check its unit"};
  switch (kind) {
    case FactorKind::vol:
      return {true, 0.01, 10, "write volatilities as annual decimals, or set unit = \"percent\""};
    case FactorKind::perp:
      return {false, -0.5, 0.5, "write premiums and rates as decimals, or set unit = \"percent\""};
    default:
      return {false, -10, 10, "write it as an annual decimal, or set unit = \"percent\""};
  }
}

class HistoryReader {
 public:
  HistoryReader(const HistorySource& source, Problems& problems)
      : source_(source), csv_(source.file, problems) {}

  HistoryFile read() {
    if (!read_header()) return {};
    while (csv_.next()) read_row();
    if (csv_.is_complete() && history_.times.empty() && !has_reported_)
      csv_.report_file("has a header but no rows; add the history");
    return std::move(history_);
  }

 private:
  bool read_header() {
    if (!csv_.next()) {
      if (csv_.is_complete()) csv_.report_file("is empty; begin it with a header such as date,BTC");
      return false;
    }
    const std::vector<std::string> header(csv_.fields().begin(), csv_.fields().end());
    field_count_ = header.size();
    return find_time(header) && find_columns(header);
  }

  bool find_time(const std::vector<std::string>& header) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < header.size(); ++i) {
      const bool is_time = source_.time_column.empty() ? header[i] == "date" || header[i] == "time"
                                                       : header[i] == source_.time_column;
      if (is_time) found.push_back(i);
    }
    if (found.size() == 1) {
      time_position_ = found.front();
      return true;
    }
    csv_.report(
        source_.time_column.empty()
            ? fmt::format("has {} columns date or time, and needs one: the columns are {}; name "
                          "another with the key time",
                          found.size(), fmt::join(header, ","))
            : fmt::format("has {} columns {}, and needs one; the columns are {}", found.size(),
                          in_quotes(source_.time_column), fmt::join(header, ",")));
    return false;
  }

  bool find_columns(const std::vector<std::string>& header) {
    std::vector<HistoryColumn> columns = source_.columns;
    if (columns.empty())
      for (std::size_t i = 0; i < header.size(); ++i)
        if (i != time_position_) columns.push_back({header[i], header[i] + ".spot"});
    if (columns.empty() || columns.size() > series_max) {
      csv_.report(
          fmt::format("has {} series; from 1 to {} are supported", columns.size(), series_max));
      return false;
    }
    bool is_valid = true;
    for (const HistoryColumn& column : columns) is_valid = add(column, header) && is_valid;
    return is_valid;
  }

  bool add(const HistoryColumn& column, const std::vector<std::string>& header) {
    const auto count = std::count(header.begin(), header.end(), column.column);
    if (count != 1) {
      csv_.report(fmt::format("has {} columns {}, and needs one; the columns are {}", count,
                              in_quotes(column.column), fmt::join(header, ",")));
      return false;
    }
    const std::optional<FactorName> name = parse_factor_name(column.factor);
    if (!name) {
      csv_.report(
          fmt::format("column {} is to be the factor {}, which is none; name columns by "
                      "their coins, or map them to factors like BTC.spot, BTC.vol.30d, "
                      "BTC.skew, BTC.basis or BTC.perp",
                      in_quotes(column.column), in_quotes(column.factor)));
      return false;
    }
    positions_.push_back(static_cast<std::size_t>(
        std::find(header.begin(), header.end(), column.column) - header.begin()));
    rules_.push_back(rule_of(name->kind, source_.quantity));
    history_.series.push_back({column.column, column.factor, *name, {}, {}, {}});
    neighbours_.emplace_back();
    return true;
  }

  void read_row() {
    const std::vector<std::string_view>& fields = csv_.fields();
    if (fields.size() != field_count_)
      return report(fmt::format("has {} fields; the header has {}", fields.size(), field_count_));
    const std::optional<std::int64_t> time = parse_date(fields[time_position_]);
    if (!time)
      return report(fmt::format("{} is no time; write 2026-01-15 or 2026-01-15T08:00:00Z",
                                in_quotes(fields[time_position_])));
    if (!history_.times.empty() && *time <= history_.times.back())
      return report(fmt::format(
          "time {} {} line {}; {}", fields[time_position_],
          *time == history_.times.back() ? "repeats" : "is before", history_.lines.back(),
          *time == history_.times.back() ? "remove one of the rows" : "sort the rows by time"));
    history_.times.push_back(*time);
    history_.lines.push_back(csv_.line());
    for (std::size_t i = 0; i < history_.series.size(); ++i)
      if (const std::string_view text = fields[positions_[i]]; !text.empty())
        read_level(i, *time, text);
  }

  void read_level(std::size_t i, std::int64_t time, std::string_view text) {
    Series& series = history_.series[i];
    const LevelRule& rule = rules_[i];
    const std::optional<double> number = parse_real(text);
    if (!number)
      return report(
          fmt::format("{} {} is not a finite decimal number; write one, or leave the "
                      "field empty where there is none",
                      series.column, in_quotes(text)));
    const double level = *number * source_.scale;
    if (rule.is_positive && !(level > 0))
      return report(fmt::format("{} is {}; it must be greater than 0, or empty where there is none",
                                series.column, *number));
    if (level < rule.least || level > rule.greatest)
      return report(fmt::format("{} is {}, outside [{}, {}]; {}", series.column, level, rule.least,
                                rule.greatest, rule.remedy));
    if (rule.is_positive && !is_near_neighbour(i, level))
      report(fmt::format("{} is {}, and {} on line {}: a thousand times its neighbour; correct it",
                         series.column, level, series.levels.back(), series.lines.back()));
    series.times.push_back(time);
    series.levels.push_back(level);
    series.lines.push_back(csv_.line());
  }

  /// A price back where it was before one that was reported is near.
  bool is_near_neighbour(std::size_t i, double level) {
    const Series& series = history_.series[i];
    const auto is_near = [&](double other) {
      return level < neighbour_ratio_max * other && other < neighbour_ratio_max * level;
    };
    Neighbour& neighbour = neighbours_[i];
    if (series.levels.empty() || is_near(series.levels.back())) {
      neighbour.is_reported = false;
      return true;
    }
    if (neighbour.is_reported && is_near(neighbour.before)) {
      neighbour.is_reported = false;
      return true;
    }
    neighbour = {true, series.levels.back()};
    return false;
  }

  void report(const std::string& message) {
    has_reported_ = true;
    csv_.report(message);
  }

  struct Neighbour {
    bool is_reported = false;  ///< the last level was
    double before = 0;
  };

  const HistorySource& source_;
  CsvFile csv_;
  HistoryFile history_;
  std::size_t field_count_ = 0, time_position_ = 0;
  std::vector<std::size_t> positions_;
  std::vector<LevelRule> rules_;
  std::vector<Neighbour> neighbours_;
  bool has_reported_ = false;
};

}  // namespace

HistoryFile read_history_file(const HistorySource& source, Problems& problems) {
  return HistoryReader(source, problems).read();
}

}  // namespace shortfall::calibration
