// The books of a walk as the engine takes them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "shortfall/book.hpp"
#include "walk.hpp"

namespace shortfall::backtest {

/// "BTC", or "BTC call 30d".
std::string describe(const WalkPosition& position);

/// Books as accounts of one configuration in memory, in which a coin costs 1 USD and every strike
/// is that. Only the covariance and the volatilities change from date to date.
class WalkBook {
 public:
  /// Problems: factors whose name is none, positions that no factor values, books without any.
  WalkBook(const FactorChanges& changes, const std::vector<HeldBook>& books,
           const WalkSettings& settings, Problems& problems);

  struct Forecast {
    std::vector<double> value_at_risk_usd, expected_shortfall_usd;  ///< by confidence level
    std::vector<float> worst_losses_usd;
    double degrees_of_freedom = 0;  ///< infinite: Gaussian
  };
  /// By book; empty where an option has no volatility. `levels` are those of the factors at the
  /// date; they may be null where there are no options. Warnings of the model are added to
  /// `warnings`.
  std::vector<Forecast> forecast(const Calibration& calibration, const double* levels,
                                 std::vector<std::string>& warnings) const;

  /// Of a book, from rows of changes and of the levels before them; NaN where one is missing.
  double loss_usd(std::size_t book, const double* changes, const double* levels) const;

 private:
  /// A position and the columns that value it.
  struct Exposure {
    double value_usd;
    std::uint32_t instrument;
    InstrumentType type;
    std::size_t spot;                ///< a factor
    std::optional<std::size_t> vol;  ///< of options
    std::uint32_t tenor_days;

    bool is_known(const double* levels) const;
    double loss_usd(const double* changes, const double* levels, double interval_days) const;
  };
  void set_config(const FactorChanges& changes, const WalkSettings& settings, Problems& problems);
  void add_underlyings(const FactorChanges& changes, Problems& problems);
  void add_book(const HeldBook& book, const FactorChanges& changes, Problems& problems);
  /// Empty, and reported, where the history cannot value it.
  std::optional<Exposure> exposure_of(const WalkPosition& position, const FactorChanges& changes,
                                      const std::string& book, Problems& problems);
  std::uint32_t instrument_of(const WalkPosition& position);
  void place_positions(RunInputs& inputs, const double* levels) const;

  RunConfig config_;
  RunInputs inputs_;                                ///< no positions, no covariance matrix
  std::vector<std::vector<Exposure>> exposures_;    ///< by book
  std::vector<std::optional<std::size_t>> vol_of_;  ///< factor, by instrument
  std::vector<double> confidence_levels_;
  std::optional<double> degrees_of_freedom_;
};

}  // namespace shortfall::backtest
