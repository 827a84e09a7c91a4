#include "walk.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "cpu/cpu_backend.hpp"
#include "cpu/machine.hpp"
#include "fmt/format.h"
#include "input/date.hpp"
#include "shortfall/plan.hpp"
#include "walk_book.hpp"

namespace shortfall::backtest {
namespace {

/// Dates that one thread takes at a time. The first is calibrated from scratch, the others start
/// from the one before, so that nothing depends on the number of threads.
constexpr std::size_t chunk_date_count = 32;

/// Dates of a warning.
struct WarningDates {
  std::size_t first_row = 0, count = 0;
};

class Walker {
 public:
  Walker(const FactorChanges& changes, const std::vector<double>& levels,
         const std::vector<HeldBook>& books, const WalkSettings& settings,
         const WalkProgress& progress)
      : changes_(changes),
        levels_(levels),
        books_(books),
        settings_(settings),
        progress_(progress) {
    SHORTFALL_ASSERT(!books.empty() && !settings.confidence_levels.empty());
    SHORTFALL_ASSERT(changes.values.size() == changes.times.size() * changes.factors.size());
    SHORTFALL_ASSERT(levels.empty() || levels.size() == changes.values.size());
    Problems problems;
    find_rows(problems);
    book_.emplace(changes, books, settings, problems);
    problems.throw_if_any();
    settings_.calibration.horizon_days = changes.interval_days;
    settings_.calibration.garch_start.clear();
    settings_.calibration.dcc_start.reset();
    settings_.calibration.bounds_degrees_of_freedom = true;
    settings_.calibration.fits_degrees_of_freedom =
        settings.distribution == Distribution::student_t && !settings.degrees_of_freedom;
  }

  Walk walk() {
    require_memory();
    forecasts_.resize(rows_.end - rows_.begin);
    const std::size_t chunk_count = (forecasts_.size() + chunk_date_count - 1) / chunk_date_count;
    chunk_warnings_.resize(chunk_count);
    if (settings_.calibration_date) fixed_ = calibrated(*fixed_window_, settings_.calibration);
    run_chunks(chunk_count);
    return collected();
  }

 private:
  void report(Problems& problems, const std::string& message) {
    problems.add(changes_.source, 0, message);
  }

  /// The dates, and what can be known to be wrong with them at once.
  void find_rows(Problems& problems) {
    const auto& times = changes_.times;
    const auto row_of = [&](auto found) { return static_cast<std::size_t>(found - times.begin()); };
    rows_.begin = row_of(std::lower_bound(times.begin(), times.end(), settings_.from));
    rows_.end = row_of(std::upper_bound(times.begin(), times.end(), settings_.to));
    const auto interval = static_cast<std::int64_t>(changes_.interval_days * 86'400 + 0.5);
    if (rows_.begin >= rows_.end || settings_.to >= times.back() + interval)
      return report(problems,
                    times.empty()
                        ? std::string("has no changes")
                        : fmt::format("has changes from {} to {}, and is to be tested from {} to "
                                      "{}; change from or to",
                                      format_date(times.front()), format_date(times.back()),
                                      format_date(settings_.from), format_date(settings_.to)));
    if (settings_.calibration_date) {
      const std::int64_t date = *settings_.calibration_date;
      if (date >= times[rows_.begin])
        return report(problems,
                      fmt::format("the calibration date {} is inside the test window, whose first "
                                  "loss ends on {}: a forecast would know the losses that it is "
                                  "tested on; calibrate before, or test later",
                                  format_date(date), format_date(times[rows_.begin])));
      fixed_window_ =
          window_before(row_of(std::upper_bound(times.begin(), times.begin() + rows_.begin, date)));
    }
    check_past(fixed_window_.value_or(window_before(rows_.begin)), problems);
  }

  RowRange window_before(std::size_t row) const {
    const std::size_t count = settings_.window_count;
    return {count == 0 || count > row ? 0 : row - count, row};
  }

  void check_past(RowRange window, Problems& problems) {
    const std::size_t least = settings_.window_count;
    if (window.end - window.begin >= std::max<std::size_t>(1, least)) return;
    report(problems,
           fmt::format("has {} changes before {}, fewer than the {} that a date is calibrated on; "
                       "begin the test later or shorten the window",
                       window.end,
                       format_date(window.end < changes_.times.size() ? changes_.times[window.end]
                                                                      : settings_.from),
                       std::max<std::size_t>(1, least)));
  }

  /// Linux would grant the memory and kill the process once it is touched.
  void require_memory() const {
    const double level =
        *std::min_element(settings_.confidence_levels.begin(), settings_.confidence_levels.end());
    const double bytes = static_cast<double>(tail_size(settings_.path_count, level).count) *
                         sizeof(float) * static_cast<double>(books_.size()) *
                         static_cast<double>(rows_.end - rows_.begin);
    if (bytes > static_cast<double>(machine_memory_bytes()))
      throw OperatingError(fmt::format(
          "out of memory: the worst losses of {} books on {} dates take {:.1f} GB with {} paths; "
          "use fewer paths, or fewer books at a time",
          books_.size(), rows_.end - rows_.begin, bytes * 1e-9, settings_.path_count));
  }

  Calibration calibrated(RowRange window, const CalibrationSettings& settings) const {
    return calibrate(changes_, window, settings);
  }

  void run_chunks(std::size_t chunk_count) {
    const std::uint32_t threads = static_cast<std::uint32_t>(std::min<std::size_t>(
        chunk_count, settings_.thread_count != 0 ? settings_.thread_count : usable_cores()));
    std::atomic<std::size_t> next{0};
    std::atomic<bool> has_failed{false};
    // Chunks begin in order, so that the earliest failure is found whatever the threads do.
    std::map<std::size_t, std::exception_ptr> failures;
    std::mutex mutex;
    on_threads(threads, [&](std::uint32_t) {
      while (!has_failed) {
        const std::size_t chunk = next++;
        if (chunk >= chunk_count) return;
        try {
          run_chunk(chunk);
        } catch (...) {
          has_failed = true;
          const std::lock_guard lock(mutex);
          failures.emplace(chunk, std::current_exception());
        }
      }
    });
    if (!failures.empty()) std::rethrow_exception(failures.begin()->second);
  }

  void run_chunk(std::size_t chunk) {
    CalibrationSettings settings = settings_.calibration;
    const std::size_t end = std::min(forecasts_.size(), (chunk + 1) * chunk_date_count);
    for (std::size_t date = chunk * chunk_date_count; date < end; ++date) {
      const std::size_t row = rows_.begin + date;
      try {
        run_date(row, settings, chunk_warnings_[chunk]);
        report_progress();
      } catch (const InputError& error) {
        std::vector<Problem> problems = error.problems();
        for (Problem& problem : problems)
          problem.message =
              fmt::format("at {}: {}", format_date(changes_.times[row]), problem.message);
        throw InputError(std::move(problems), error.omitted_count());
      }
    }
  }

  void report_progress() {
    if (!progress_) return;
    const std::lock_guard lock(progress_mutex_);
    progress_(++dates_done_);
  }

  const double* change_row(std::size_t row) const {
    return changes_.values.data() + row * changes_.factors.size();
  }
  const double* level_row(std::size_t row) const {
    return levels_.empty() ? nullptr : levels_.data() + row * changes_.factors.size();
  }

  void run_date(std::size_t row, CalibrationSettings& settings,
                std::map<std::string, WarningDates>& warnings) {
    Calibration own;
    if (!fixed_) {
      own = calibrated(window_before(row), settings);
      settings.garch_start.clear();
      for (const GarchFit& fit : own.garch) settings.garch_start.push_back(fit.parameters);
      if (own.dcc) settings.dcc_start = own.dcc->parameters;
    }
    const Calibration& calibration = fixed_ ? *fixed_ : own;
    std::vector<std::string> said = calibration.warnings;
    forecasts_[row - rows_.begin] = book_->forecast(calibration, level_row(row), said);
    for (const std::string& warning : said)
      ++warnings.try_emplace(warning, WarningDates{row, 0}).first->second.count;
  }

  Walk collected() {
    Walk walk;
    walk.confidence_levels = settings_.confidence_levels;
    walk.path_count = settings_.path_count;
    for (std::size_t b = 0; b < books_.size(); ++b) walk.books.push_back(series_of(b));
    std::map<std::string, WarningDates> all;
    for (const auto& warnings : chunk_warnings_)
      for (const auto& [warning, dates] : warnings)
        all.try_emplace(warning, WarningDates{dates.first_row, 0}).first->second.count +=
            dates.count;
    for (const auto& [warning, dates] : all)
      walk.warnings.push_back(fmt::format("{}, on {} of {} dates: {}",
                                          format_date(changes_.times[dates.first_row]), dates.count,
                                          forecasts_.size(), warning));
    warn_of_numbers(walk);
    return walk;
  }

  /// Of dates and of paths.
  void warn_of_numbers(Walk& walk) const {
    const double dates = static_cast<double>(forecasts_.size());
    for (const double level : settings_.confidence_levels)
      if (dates * (1 - level) < 2.5)
        walk.warnings.push_back(
            fmt::format("{} dates expect {:.1f} exceedances at {}: too few for the tests to reject "
                        "what is wrong",
                        dates, dates * (1 - level), level));
    // The error of a count of n from N paths, relative to its own deviation, is sqrt(n / N).
    constexpr double paths_per_date = 25;
    if (static_cast<double>(settings_.path_count) < paths_per_date * dates)
      walk.warnings.push_back(fmt::format(
          "with {} paths the error of the forecasts, which all dates share, is not small "
          "beside that of {} dates; use at least {}",
          settings_.path_count, dates, paths_per_date * dates));
  }

  BookSeries series_of(std::size_t b) {
    BookSeries series;
    series.book = books_[b].name;
    series.levels.resize(settings_.confidence_levels.size());
    for (std::size_t row = rows_.begin; row < rows_.end; ++row) {
      const double loss = book_->loss_usd(b, change_row(row), level_row(row));
      if (std::isnan(loss)) continue;
      WalkBook::Forecast& forecast = forecasts_[row - rows_.begin][b];
      SHORTFALL_ASSERT(forecast.value_at_risk_usd.size() == series.levels.size());
      series.times.push_back(changes_.times[row]);
      series.calibrated_to.push_back(
          changes_.times[(fixed_window_ ? fixed_window_->end : row) - 1]);
      for (std::size_t l = 0; l < series.levels.size(); ++l)
        series.levels[l].push_back(
            {forecast.value_at_risk_usd[l], forecast.expected_shortfall_usd[l], loss});
      series.worst_losses_usd.push_back(std::move(forecast.worst_losses_usd));
      series.degrees_of_freedom.push_back(forecast.degrees_of_freedom);
    }
    return series;
  }

  const FactorChanges& changes_;
  const std::vector<double>& levels_;
  const std::vector<HeldBook>& books_;
  WalkSettings settings_;
  const WalkProgress& progress_;
  std::mutex progress_mutex_;
  std::size_t dates_done_ = 0;
  RowRange rows_;
  std::optional<RowRange> fixed_window_;
  std::optional<Calibration> fixed_;
  std::optional<WalkBook> book_;
  std::vector<std::vector<WalkBook::Forecast>> forecasts_;  ///< by date, then by book
  std::vector<std::map<std::string, WarningDates>> chunk_warnings_;
};

}  // namespace

Walk walk_history(const FactorChanges& changes, const std::vector<double>& levels,
                  const std::vector<HeldBook>& books, const WalkSettings& settings,
                  const WalkProgress& progress) {
  return Walker(changes, levels, books, settings, progress).walk();
}

}  // namespace shortfall::backtest
