// The tail of a mixture of two simulations whose paths have weights.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "shortfall/plan.hpp"
#include "tilt.hpp"

namespace shortfall {

/// Every loss of a plan's only margin group, as core/tail.hpp packs them, in no order.
struct AllLosses {
  Plan plan;
  std::vector<std::uint64_t> keys;
};

/// In units of the margin group.
struct WeightedTail {
  double value_at_risk = 0, expected_shortfall = 0, standard_error = 0;
  double plain_error = 0;      ///< estimated: with as many paths of the model
  double effective_count = 0;  ///< (sum w)^2 / sum w^2 over the tail; 0 where it is not reached
};

/// With N paths in all, a share rho of which is of the model, and w their weights: VaR is the first
/// loss with sum w > k down to it,
///   ES = VaR + (1/k) sum w (L - VaR)^+,      k = (1 - confidence) N,
/// not divided by the sum of weights (Glasserman 2003, "Monte Carlo Methods in Financial
/// Engineering", section 9.2): with weights of one the estimators of core/tail.hpp. The error is
/// that of the sum over two independent simulations of fixed size, with psi = w (L - VaR)^+:
///   se^2 = (1/k^2) sum over both of [sum psi^2 - (sum psi)^2 / n].
WeightedTail weighted_tail(const FactorModel& model, const Tilt& tilt, AllLosses from_tilt,
                           AllLosses from_model, double k, std::uint32_t thread_count);

/// Some listed paths as they were drawn: from place `at` of the list on, with a row of 64 columns
/// per factor.
using UseNormals = std::function<void(std::size_t at, std::size_t count, const double* normals,
                                      const double* mixing)>;

/// Draws listed paths with the loops of this processor: the same bits on all of them.
void draw_paths(const Plan& plan, std::span<const std::uint32_t> paths, std::uint32_t thread_count,
                const UseNormals& use);

}  // namespace shortfall
