// What the tests say of a walk: a row per book and confidence level.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "shortfall/backtest.hpp"
#include "walk.hpp"

namespace shortfall::backtest {

/// Tests are at 5 %, by p-values that a right model rejects in no more cases.
inline constexpr double significance = 0.05;

struct Evaluation {
  std::string book;
  double confidence_level = 0;
  std::size_t date_count = 0, exceedance_count = 0;
  LikelihoodRatioTest proportion, independence, joint;
  TrafficLight zone = TrafficLight::green;
  ShortfallTests shortfall;
  Procyclicality procyclicality;           ///< of the expected shortfall
  double largest_loss_over_shortfall = 0;  ///< of all dates

  /// "proportion", "independence", "joint", "Z1", "Z2": those that reject.
  std::vector<std::string> rejected_by() const;
  /// By Z2, which no test of losses beyond the forecast says: there are too few, or too small ones.
  bool is_too_high() const { return shortfall.z2.p_value_high <= significance; }
};

/// By book, then by level. `history_count` histories are simulated for each. What `between`, called
/// before each, throws ends it. Throws InputError where a book has no date, or an expected
/// shortfall that is not above 0.
std::vector<Evaluation> evaluate(const Walk& walk, std::size_t history_count, std::uint64_t seed,
                                 const std::function<void()>& between = {});

/// At a level: books, those that no test rejects, and those of these whose forecasts are too high.
struct PassCount {
  std::size_t passed = 0, tested = 0, too_high = 0;
};
PassCount pass_count(const std::vector<Evaluation>& evaluations, double confidence_level);

}  // namespace shortfall::backtest
