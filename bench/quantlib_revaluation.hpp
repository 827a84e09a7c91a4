// QuantLib as a baseline: every distinct instrument once per path. In a library of its own, like
// the naive engines, and present only where QuantLib was found.
#pragma once

#include <memory>
#include <vector>

#include "plain_book.hpp"

namespace shortfall::quantlib {

enum class Pricer {
  black_formula,   ///< blackFormula()
  analytic_engine  ///< a VanillaOption with an AnalyticEuropeanEngine, its quotes set on each path
};

/// "1.29"
[[gnu::visibility("default")]] const char* version();

class [[gnu::visibility("default")]] Revaluation {
 public:
  Revaluation(const plain::Book& book, Pricer pricer);
  ~Revaluation();
  Revaluation(const Revaluation&) = delete;
  Revaluation& operator=(const Revaluation&) = delete;

  /// Changes of the USD value per unit of multiplier: block by block of 64 paths, a row of 64 per
  /// contract. `moves` as in plain::Book; path_count is a multiple of 64.
  void changes_usd(const double* moves, std::size_t path_count, std::vector<double>& changes);

 private:
  struct Option;
  const plain::Book& book_;
  std::vector<Option> options_;  ///< one per contract, for the analytic engine
};

}  // namespace shortfall::quantlib
