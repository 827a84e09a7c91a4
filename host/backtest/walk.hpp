// A walk through a history: at each date a model of the past alone, its forecast for given books,
// and the loss that followed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "shortfall/backtest.hpp"
#include "shortfall/book.hpp"
#include "shortfall/calibrate.hpp"
#include "shortfall/config.hpp"
#include "shortfall/error.hpp"

namespace shortfall::backtest {

/// Values of positions, in magnitude.
inline constexpr double value_usd_min = 0.01, value_usd_max = 1e12;

/// Opened anew at the beginning of every interval and held over it: coins, or options on coins,
/// struck at the price and `tenor_days` before their expiry.
struct WalkPosition {
  std::string underlying;
  double value_usd = 0;                        ///< of the coins; above 0: long
  InstrumentType type = InstrumentType::spot;  ///< spot, call or put
  std::uint32_t tenor_days = 0;                ///< of options, that of a volatility in the history
};
struct HeldBook {
  std::string name;
  std::vector<WalkPosition> positions;
};

struct WalkSettings {
  /// Its horizon is the interval of the history, and parameters of earlier dates are where its
  /// optimisers start; what is given of these is not read.
  CalibrationSettings calibration;
  /// Changes that a date is calibrated on, the latest before it; 0: all before it.
  std::size_t window_count = 250;
  std::int64_t from = 0, to = 0;  ///< losses of intervals that end in [from, to]
  /// One calibration, on the past of this date, for all dates; empty: a calibration for each. What
  /// a method forecasts for the next interval (ewma, garch) then stands for all of them.
  std::optional<std::int64_t> calibration_date;
  Distribution distribution = Distribution::student_t;
  std::optional<double> degrees_of_freedom;  ///< empty: each calibration's own
  std::vector<double> confidence_levels = {0.975, 0.99};
  std::uint64_t path_count = 50'000;
  /// The same paths at every date, as a venue's configuration has them: forecasts of neighbouring
  /// dates differ by their models alone.
  std::uint64_t seed = 42;
  std::uint32_t thread_count = 0;  ///< 0: one per core
};

/// What a book lost at the dates of the walk that have a loss (others have no price).
struct BookSeries {
  std::string book;
  std::vector<std::int64_t> times;                ///< ends of intervals
  std::vector<std::int64_t> calibrated_to;        ///< ends of the last intervals that were known
  std::vector<std::vector<BacktestDate>> levels;  ///< by confidence level, then by date
  /// Of each date the worst simulated losses, as simulated_tail takes them.
  std::vector<std::vector<float>> worst_losses_usd;
  std::vector<double> degrees_of_freedom = {};  ///< of the forecasts; infinite: Gaussian
};

struct Walk {
  std::vector<double> confidence_levels;
  std::uint64_t path_count = 0;
  std::vector<BookSeries> books;
  /// Of models, with the first date of each and how many there are.
  std::vector<std::string> warnings;
};

/// Called after each date, by one thread at a time, with the number done; what it throws ends the
/// walk.
using WalkProgress = std::function<void(std::size_t dates_done)>;

/// Forecasts are of the engine, revalued at the horizon: the same bits for any number of threads.
/// `levels`: T x F, where each change began; empty where no book has options. Losses of coins are
/// value (1 - e^x), x the change of the factor "<underlying>.spot"; options are sold and bought
/// back at Black's (1976) price, at volatilities s and s e^y, y the change of "<underlying>.vol".
/// Throws InputError: a calibration date not before all losses, fewer past changes than the window,
/// positions that the history cannot value, dates beyond the history; and what calibrate() (but for
/// degrees of freedom, which are bounded) and build_plan() refuse, with the date. Throws
/// OperatingError where the tails of all dates would not fit into memory.
Walk walk_history(const FactorChanges& changes, const std::vector<double>& levels,
                  const std::vector<HeldBook>& books, const WalkSettings& settings,
                  const WalkProgress& progress = {});

}  // namespace shortfall::backtest
