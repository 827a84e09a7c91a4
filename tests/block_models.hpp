// Factor models of a book in memory, as it is and with another dependence between underlyings.
#pragma once

#include <cmath>

#include "books.hpp"
#include "host/model/block_model.hpp"

namespace shortfall {

inline FactorModel model_of(const MemoryBook& made) {
  Problems problems;
  FactorModel model = build_factor_model(made.inputs.covariance, made.config, problems);
  problems.throw_if_any();
  return model;
}
inline FactorModel model_of(const MemoryBook& made, BetweenUnderlyings dependence) {
  Problems problems;
  FactorModel model =
      build_block_model(made.inputs.covariance, made.config, model_of(made), dependence, problems);
  problems.throw_if_any();
  return model;
}

/// Any matrix of this form with |entries| <= 1/n off the diagonal is positive definite.
inline void correlate_all(MemoryBook& made) {
  const std::size_t n = made.inputs.covariance.factors.size();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < i; ++j)
      made.correlate(i, j, std::cos(static_cast<double>(3 * i + 7 * j)) / static_cast<double>(n));
}

/// Two underlyings of which each has a tenor that the other lacks, in no order.
inline MemoryBook mixed_book() {
  using enum FactorKind;
  MemoryBook made;
  made.config.risk.horizon_days = 2;
  made.add_underlying(100);
  made.add_underlying(200);
  made.add_factor(1, vol, 0.08, 30);  // 0
  made.add_factor(0, perp, 1e-3);     // 1
  made.add_factor(0, vol, 0.05, 90);  // 2
  made.add_factor(1, spot, 0.05);     // 3
  made.add_factor(0, vol, 0.1, 7);    // 4
  made.add_factor(0, basis, 0.01);    // 5
  made.add_factor(1, vol, 0.04, 90);  // 6
  made.add_factor(0, spot, 0.03);     // 7
  made.add_factor(1, perp, 2e-3);     // 8
  made.add_factor(0, skew, 0.02);     // 9
  correlate_all(made);
  return made;
}

}  // namespace shortfall
