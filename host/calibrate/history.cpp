#include "history.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "fmt/format.h"
#include "history_file.hpp"
#include "input/date.hpp"
#include "input/load.hpp"
#include "shortfall/config.hpp"
#include "text.hpp"

namespace shortfall::calibration {
namespace {

constexpr double seconds_per_day = 86'400;
constexpr double none = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t cells_max = 100'000'000;

std::string format_interval(std::int64_t seconds) {
  const double days = static_cast<double>(seconds) / seconds_per_day;
  return days >= 1 ? fmt::format("{:.6g} days", days) : fmt::format("{:.6g} hours", days * 24);
}

/// The most frequent step between neighbouring rows; ties: the shorter. 0 where there is none.
std::int64_t usual_step(const std::vector<std::int64_t>& times) {
  std::map<std::int64_t, std::size_t> counts;
  for (std::size_t i = 1; i < times.size(); ++i) ++counts[times[i] - times[i - 1]];
  std::int64_t step = 0;
  std::size_t most = 0;
  for (const auto& [length, count] : counts)
    if (count > most) step = length, most = count;
  return step;
}

/// Every file on one regular grid of times.
class HistoryGrid {
 public:
  HistoryGrid(const std::vector<HistorySource>& sources, const HistoryWindow& window)
      : sources_(sources), window_(window) {
    for (const HistorySource& source : sources)
      files_.push_back(read_history_file(source, problems_));
    problems_.throw_if_any();
  }

  ReadHistory read() {
    find_grid();
    problems_.throw_if_any();
    find_window();
    problems_.throw_if_any();
    check_series();
    problems_.throw_if_any();
    place_levels();
    return take_changes();
  }

 private:
  void find_grid() {
    interval_ = usual_step(files_.front().times);
    first_ = files_.front().times.front();
    if (interval_ == 0) return report(0, 0, "has a single row; a change takes two");
    std::set<std::string> names;
    for (std::size_t f = 0; f < files_.size(); ++f) {
      check_times(f);
      for (const Series& series : files_[f].series)
        if (!names.insert(series.factor).second)
          report(f, 1,
                 fmt::format("gives the factor {} a second history; leave one out", series.factor));
    }
  }

  void check_times(std::size_t f) {
    const HistoryFile& file = files_[f];
    const std::int64_t step = file.times.size() < 2 ? interval_ : usual_step(file.times);
    if (step != interval_)
      return report(f, 0,
                    fmt::format("has a row every {}, and {} every {}; give all histories at the "
                                "same interval",
                                format_interval(step), sources_[0].file.string(),
                                format_interval(interval_)));
    for (std::size_t i = 0; i < file.times.size(); ++i)
      if ((file.times[i] - first_) % interval_ != 0)
        report(f, file.lines[i],
               fmt::format("time {} is not a whole number of intervals ({}) from {}; give every "
                           "history at the same time of day",
                           format_date(file.times[i]), format_interval(interval_),
                           format_date(first_)));
  }

  void find_window() {
    std::int64_t last = first_;
    for (const HistoryFile& file : files_) {
      first_ = std::min(first_, file.times.front());
      last = std::max(last, file.times.back());
    }
    to_ = window_.to.value_or(last);
    from_ = std::max(window_.from.value_or(first_), first_);
    if (to_ > last || to_ - from_ < interval_)
      return report(0, 0,
                    fmt::format("the window from {} to {} is not within the histories, which have "
                                "rows from {} to {}; change from or to",
                                format_date(from_), format_date(to_), format_date(first_),
                                format_date(last)));
    to_ -= (to_ - first_) % interval_;
    from_ += (interval_ - (from_ - first_) % interval_) % interval_;
    row_count_ = static_cast<std::size_t>((to_ - first_) / interval_) + 1;
    std::size_t series_count = 0;
    for (const HistoryFile& file : files_) series_count += file.series.size();
    if (row_count_ > cells_max / series_count)
      report(0, 0,
             fmt::format("spans {} intervals; at most {} are supported", row_count_,
                         cells_max / series_count));
  }

  /// Gaps inside a series that reach into the window, and before the window's end.
  void check_series() {
    const auto longest = static_cast<std::int64_t>(window_.gap_days_max * seconds_per_day);
    for (std::size_t f = 0; f < files_.size(); ++f)
      for (const Series& series : files_[f].series) {
        std::size_t end = 0;
        while (end < series.times.size() && series.times[end] <= to_) ++end;
        if (end == 0) {
          report(f, 0,
                 fmt::format("column {} has no level up to {}; leave it out", series.column,
                             format_date(to_)));
          continue;
        }
        for (std::size_t i = 1; i < end; ++i)
          if (series.times[i] > from_ &&
              series.times[i] - series.times[i - 1] - interval_ > longest)
            report(f, series.lines[i],
                   fmt::format("{} has no level since line {} ({}): a gap longer than {} days; "
                               "complete it, leave the column out or raise max_gap_days",
                               series.column, series.lines[i - 1], format_date(series.times[i - 1]),
                               window_.gap_days_max));
        if (to_ - series.times[end - 1] > longest)
          report(f, series.lines[end - 1],
                 fmt::format("{} ends on {}, more than {} days before the window's end {}; end the "
                             "window earlier (to) or leave the column out",
                             series.column, format_date(series.times[end - 1]),
                             window_.gap_days_max, format_date(to_)));
      }
  }

  void place_levels() {
    for (std::size_t f = 0; f < files_.size(); ++f)
      for (Series& series : files_[f].series) {
        std::vector<double> levels(row_count_, none);
        for (std::size_t i = 0; i < series.times.size() && series.times[i] <= to_; ++i)
          levels[row_of(series.times[i])] = series.levels[i];
        series_.push_back({&sources_[f], &series, std::move(levels)});
      }
  }

  struct Placed {
    const HistorySource* source;
    const Series* series;
    std::vector<double> levels;
  };

  std::size_t row_of(std::int64_t time) const {
    return static_cast<std::size_t>((time - first_) / interval_);
  }

  const Placed* spot_of(const std::string& underlying) const {
    for (const Placed& placed : series_)
      if (placed.series->name.kind == FactorKind::spot &&
          placed.series->name.underlying == underlying)
        return &placed;
    return nullptr;
  }

  /// The level whose differences are the factor's changes.
  double factor_level(const Placed& placed, const Placed* spot, std::size_t row) const {
    const double level = placed.levels[row];
    switch (placed.series->name.kind) {
      case FactorKind::spot:
      case FactorKind::vol:
        return std::log(level);
      case FactorKind::perp:
        if (placed.source->quantity == Quantity::price) return std::log(level / spot->levels[row]);
        return std::log1p(level);
      default:
        return level;
    }
  }

  /// Change from row `before` to `row`. Of at-the-money volatility the part that is the forward
  /// moving along the smile is taken out: with m = ln(K/F) / sqrt(T) a fixed strike moves by
  /// -d ln F / sqrt(T) in m, and its volatility by the slope times that beyond the level's change.
  double change(const Placed& placed, const Placed* spot, std::size_t before,
                std::size_t row) const {
    const double moved = factor_level(placed, spot, row) - factor_level(placed, spot, before);
    if (!placed.source->is_at_the_money) return moved;
    const double forward = std::log(spot->levels[row] / spot->levels[before]);
    const double years = std::max<double>(placed.series->name.tenor_days, 7) / 365;
    return moved - placed.source->slope * forward / std::sqrt(years) / placed.levels[before];
  }

  ReadHistory take_changes() {
    ReadHistory read;
    FactorChanges& changes = read.changes;
    changes.source = sources_[0].file.string();
    changes.interval_days = static_cast<double>(interval_) / seconds_per_day;
    for (std::size_t row = 1; row < row_count_; ++row)
      changes.times.push_back(first_ + static_cast<std::int64_t>(row) * interval_);
    changes.values.assign(changes.times.size() * series_.size(), none);
    read.levels.assign(changes.values.size(), none);
    for (std::size_t i = 0; i < series_.size(); ++i) {
      const Placed& placed = series_[i];
      const bool needs_spot =
          placed.source->is_at_the_money || placed.source->quantity == Quantity::price;
      const Placed* const spot = needs_spot ? spot_of(placed.series->name.underlying) : nullptr;
      if (needs_spot && !spot) {
        problems_.add(placed.source->file.string(), 1,
                      fmt::format("{} needs the history of {}.spot beside it; add its prices",
                                  placed.series->factor, placed.series->name.underlying));
        continue;
      }
      for (std::size_t row = 1; row < row_count_; ++row) {
        changes.values[(row - 1) * series_.size() + i] = change(placed, spot, row - 1, row);
        read.levels[(row - 1) * series_.size() + i] = placed.levels[row - 1];
      }
      changes.factors.push_back(placed.series->factor);
      read.series.push_back(record_of(placed, spot));
    }
    problems_.throw_if_any();
    read.window = {row_of(from_), changes.times.size()};
    return read;
  }

  SeriesRecord record_of(const Placed& placed, const Placed* spot) const {
    SeriesRecord record{
        placed.series->factor, placed.source->file.string(), placed.series->column, 0, 0, 0, 0, {}};
    if (placed.source->is_at_the_money) record.slope = placed.source->slope;
    std::size_t last = row_count_;
    for (std::size_t row = row_of(from_); row < row_count_; ++row) {
      if (std::isnan(placed.levels[row])) continue;
      const std::int64_t time = first_ + static_cast<std::int64_t>(row) * interval_;
      if (last == row_count_) record.first = time;
      record.last = time;
      if (last != row_count_ && row - last > 1) {
        record.missing_count += row - last - 1;
        record.largest_left_out =
            std::max(record.largest_left_out, std::abs(change(placed, spot, last, row)));
      }
      last = row;
    }
    return record;
  }

  void report(std::size_t f, std::size_t line, std::string message) {
    problems_.add(sources_[f].file.string(), line, std::move(message));
  }

  const std::vector<HistorySource>& sources_;
  const HistoryWindow& window_;
  Problems problems_;
  std::vector<HistoryFile> files_;
  std::vector<Placed> series_;
  std::int64_t interval_ = 0, first_ = 0, from_ = 0, to_ = 0;
  std::size_t row_count_ = 0;
};

}  // namespace

std::optional<FactorName> parse_factor_name(std::string_view name) {
  const std::size_t dot = name.find('.');
  Factor factor;
  if (dot == std::string_view::npos || !underlying_name_problem(name.substr(0, dot)).empty() ||
      !parse_factor_kind(name.substr(dot + 1), factor))
    return std::nullopt;
  return FactorName{std::string(name.substr(0, dot)), factor.kind, factor.tenor_days};
}

ReadHistory read_history(const std::vector<HistorySource>& sources, const HistoryWindow& window) {
  SHORTFALL_ASSERT(!sources.empty());
  return HistoryGrid(sources, window).read();
}

}  // namespace shortfall::calibration
