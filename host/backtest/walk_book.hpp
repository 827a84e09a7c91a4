// The books of a walk as the engine takes them.
#pragma once

#include <cstddef>
#include <vector>

#include "shortfall/book.hpp"
#include "walk.hpp"

namespace shortfall::backtest {

/// Books as accounts of one configuration in memory. Only the covariance changes from date to date.
class WalkBook {
 public:
  /// Problems: factors whose name is none, positions that no factor values, books without any.
  WalkBook(const FactorChanges& changes, const std::vector<LinearBook>& books,
           const WalkSettings& settings, Problems& problems);

  struct Forecast {
    std::vector<double> value_at_risk_usd, expected_shortfall_usd;  ///< by confidence level
    std::vector<float> worst_losses_usd;
  };
  /// By book. Warnings of the model are added to `warnings`.
  std::vector<Forecast> forecast(const Calibration& calibration,
                                 std::vector<std::string>& warnings) const;

  /// Of a book, from a row of changes; NaN where a price is missing.
  double loss_usd(std::size_t book, const double* changes) const;

 private:
  struct Exposure {
    std::size_t factor;
    double value_usd;
  };
  void add_underlyings(const FactorChanges& changes, Problems& problems);
  void add_book(const LinearBook& book, const FactorChanges& changes, Problems& problems);

  RunConfig config_;
  RunInputs inputs_;
  std::vector<std::vector<Exposure>> exposures_;  ///< by book
  std::vector<double> confidence_levels_;
  std::optional<double> degrees_of_freedom_;
};

}  // namespace shortfall::backtest
