#include "block_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "symmetric_factor.hpp"

namespace shortfall {
namespace {

/// The share of a variance that counts as explained by the factors before it: cholesky's.
constexpr double rest_share_min = 0x1p-40;

using Slot = std::pair<FactorKind, std::uint32_t>;  // FactorKind is in the order of a block
Slot slot_of(const Factor& factor) { return {factor.kind, factor.tenor_days}; }

double dot(const double* a, const double* b, std::size_t n) {
  double sum = 0.0;
  for (std::size_t k = 0; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

/// Lower triangular L with L L^T = B B^T, by modified Gram-Schmidt on the rows of B (Golub and Van
/// Loan 2013, section 5.2.8), so that column j belongs to factor j as Cholesky's does. The column
/// of a factor that the ones before it explain is zero.
std::vector<double> triangular(std::vector<double> b, std::size_t n) {
  std::vector<double> lower(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    double* const row = &b[i * n];
    const double square = dot(row, row, n);
    for (std::size_t j = 0; j < i; ++j) {
      const double* const direction = &b[j * n];
      lower[i * n + j] = dot(row, direction, n);
      for (std::size_t k = 0; k < n; ++k) row[k] -= lower[i * n + j] * direction[k];
    }
    const double rest = dot(row, row, n);
    if (rest > rest_share_min * square) lower[i * n + i] = __builtin_sqrt(rest);
    for (std::size_t k = 0; k < n; ++k)
      row[k] = lower[i * n + i] > 0.0 ? row[k] / lower[i * n + i] : 0.0;
  }
  return lower;
}

/// The lower triangular factor of a singular block, from its eigenvectors. What is negative of its
/// eigenvalues is rounding, or was accepted with the whole covariance: clipped at 0.
std::vector<double> singular_factor(const std::vector<double>& block, std::size_t n) {
  const EigenDecomposition eigen = decompose(block, n);
  std::vector<double> b(n * n);
  for (std::size_t k = 0; k < n && eigen.values[k] > 0.0; ++k) {
    const double deviation = __builtin_sqrt(eigen.values[k]);
    for (std::size_t i = 0; i < n; ++i) b[i * n + k] = eigen.vectors[k * n + i] * deviation;
  }
  return triangular(std::move(b), n);
}

/// The factors by underlying, and within each in the order of a block.
std::vector<std::size_t> block_order(const std::vector<Factor>& factors) {
  std::vector<std::size_t> order(factors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) {
    return std::tuple(factors[i].underlying, slot_of(factors[i]), i);
  });
  return order;
}

/// The distinct kinds and tenors, ascending.
std::vector<Slot> distinct_slots(const std::vector<Factor>& factors) {
  std::vector<Slot> slots;
  for (const Factor& factor : factors) slots.push_back(slot_of(factor));
  std::ranges::sort(slots);
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

/// The factor of the covariance among `members`; empty and a problem where it is singular and too
/// large.
std::optional<std::vector<double>> block_factor(const Covariance& covariance,
                                                std::span<const std::size_t> members, double scale,
                                                bool& is_singular, Problems& problems) {
  const std::size_t n = covariance.factors.size(), size = members.size();
  std::vector<double> block;
  block.reserve(size * size);
  for (const std::size_t i : members)
    for (const std::size_t j : members) block.push_back(covariance.matrix[i * n + j] * scale);
  if (auto lower = cholesky(block, size, Pivoting::none)) return lower;
  is_singular = true;
  if (size <= decomposition_size_max) return singular_factor(block, size);
  problems.add(covariance.file.string(), members[0] + 2,
               fmt::format("the {} factors of the underlying of {} are linearly dependent; "
                           "[margin.dependence] takes such an underlying of up to {}: leave out "
                           "factors that follow from the others",
                           size, covariance.factors[members[0]].name, decomposition_size_max));
  return std::nullopt;
}

}  // namespace

FactorModel build_block_model(const Covariance& covariance, const RunConfig& config,
                              const FactorModel& model, BetweenUnderlyings dependence,
                              Problems& problems) {
  const std::vector<Factor>& factors = covariance.factors;
  const std::size_t n = factors.size();
  SHORTFALL_ASSERT(model.factor_count == n);
  const std::vector<std::size_t> order = block_order(factors);
  const std::vector<Slot> slots = distinct_slots(factors);
  const auto column_of = [&](std::size_t place) {
    if (dependence == BetweenUnderlyings::uncorrelated) return place;
    const auto slot = std::ranges::lower_bound(slots, slot_of(factors[order[place]]));
    return static_cast<std::size_t>(slot - slots.begin());
  };

  FactorModel changed = model;
  changed.is_singular = false;
  std::vector<double> loading(n * n);
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    while (end < n && factors[order[end]].underlying == factors[order[begin]].underlying) ++end;
    const std::span members(&order[begin], end - begin);
    const auto lower =
        block_factor(covariance, members, covariance_scale(config), changed.is_singular, problems);
    if (!lower) return changed;
    for (std::size_t j = 0; j < members.size(); ++j) {
      const std::size_t column = column_of(begin + j);
      for (std::size_t i = j; i < members.size(); ++i)
        loading[members[i] * n + column] = (*lower)[i * members.size() + j];
    }
  }
  set_loading(changed, std::move(loading));
  return changed;
}

}  // namespace shortfall
