// Books built in memory, and the bound on the error of a loss.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "reference_engine.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/book.hpp"
#include "shortfall/core/plan_arrays.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/plan.hpp"
#include "shortfall/trace.hpp"

namespace shortfall {

inline constexpr std::int64_t hour_seconds = 3600, day_seconds = 86400;

/// A configuration and its inputs without files. The loader's promises are the caller's to keep.
struct MemoryBook {
  RunConfig config;
  RunInputs inputs;

  explicit MemoryBook(std::uint64_t path_count = 10'000) {
    config.as_of = 1'767'225'600;  // 2026-01-01T00:00:00Z
    config.risk.path_count = path_count;
    config.compute.backend = BackendChoice::cpu;
    config.compute.thread_count = 1;
  }

  Book& book() { return inputs.book; }
  const Book& book() const { return inputs.book; }

  std::uint32_t add_underlying(double spot_usd) {
    const auto index = static_cast<std::uint32_t>(book().underlyings.size());
    book().underlyings.push_back({"U" + std::to_string(index), spot_usd});
    return index;
  }

  /// An independent factor; correlations are written into the matrix afterwards.
  std::size_t add_factor(std::uint32_t underlying, FactorKind kind, double deviation,
                         std::uint32_t tenor_days = 0) {
    std::vector<Factor>& factors = inputs.covariance.factors;
    const std::size_t old = factors.size(), n = old + 1;
    factors.push_back({"factor" + std::to_string(old), underlying, kind, tenor_days});
    std::vector<double> grown(n * n);
    for (std::size_t i = 0; i < old; ++i)
      std::copy_n(inputs.covariance.matrix.data() + i * old, old, grown.data() + i * n);
    grown.back() = deviation * deviation;
    inputs.covariance.matrix = std::move(grown);
    return old;
  }
  void correlate(std::size_t i, std::size_t j, double correlation) {
    std::vector<double>& matrix = inputs.covariance.matrix;
    const std::size_t n = inputs.covariance.factors.size();
    matrix[i * n + j] = matrix[j * n + i] =
        correlation * std::sqrt(matrix[i * n + i] * matrix[j * n + j]);
  }

  /// Named after its place where the name is empty.
  std::uint32_t add(Instrument instrument) {
    const auto index = static_cast<std::uint32_t>(book().instruments.size());
    if (instrument.name.empty()) instrument.name = "I" + std::to_string(index);
    if (instrument.mark_price == 0)
      instrument.mark_price = book().underlyings[instrument.underlying].spot_usd;
    book().instruments.push_back(std::move(instrument));
    return index;
  }
  std::uint32_t add_account(MarginMode mode = MarginMode::portfolio) {
    const auto index = static_cast<std::uint32_t>(book().accounts.size());
    book().accounts.push_back({"A" + std::to_string(index), mode});
    return index;
  }
  void hold(std::uint32_t account, std::uint32_t instrument, double contracts) {
    const double units = std::round(contracts * Quantity::units_per_contract);
    book().positions.push_back(
        {account, instrument, Quantity::from_units(static_cast<Quantity::Units>(units))});
  }
  /// An account that holds one instrument.
  std::uint32_t add_holder(std::uint32_t instrument, double contracts) {
    const std::uint32_t account = add_account();
    hold(account, instrument, contracts);
    return account;
  }

  /// The order that the loader gives.
  void sort_positions() {
    std::ranges::sort(book().positions, {},
                      [](const Position& p) { return std::pair(p.account, p.instrument); });
  }
  Plan plan() {
    sort_positions();
    return build_plan(config, inputs);
  }
};

inline Tails simulate(const RunConfig& config, const Plan& plan, PathRange range) {
  return make_backend(config.compute)->simulate(plan, range, {});
}

inline std::vector<AccountMargin> margins_of(MemoryBook& book) {
  const Plan plan = book.plan();
  return compute_margins(plan, book.book(),
                         simulate(book.config, plan, {0, book.config.risk.path_count}),
                         book.config.margin);
}

/// The bound on the error of a loss, over max(1, S1/S0) and gross notional: docs/methodology.md,
/// section 7.
inline constexpr double loss_error_max = 1e-6;

/// max(1, S1/S0) over the underlyings of each margin group of a plan, on each path: row per group.
inline std::vector<double> spot_ratios(const Plan& plan, const RunInputs& inputs,
                                       const PathTrace& trace) {
  const std::size_t n = trace.path_count, factor_count = inputs.covariance.factors.size();
  std::vector<std::vector<double>> by_underlying(inputs.book.underlyings.size());
  for (std::size_t f = 0; f < factor_count; ++f) {
    const Factor& factor = inputs.covariance.factors[f];
    if (factor.kind != FactorKind::spot) continue;
    for (std::size_t p = 0; p < n; ++p)
      by_underlying[factor.underlying].push_back(std::max(1.0, std::exp(trace.factors[f * n + p])));
  }
  std::vector<double> ratios(plan.groups.size() * n, 1.0);
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    std::vector<bool> is_in(by_underlying.size());
    for (std::uint64_t h = plan.group_begin[g]; h < plan.group_begin[g + 1]; ++h) {
      const std::uint32_t priced = plan.holdings[h].instrument & core::Holding::index_mask;
      is_in[inputs.book.instruments[plan.instruments[priced]].underlying] = true;
    }
    for (std::size_t u = 0; u < is_in.size(); ++u)
      for (std::size_t p = 0; is_in[u] && p < n; ++p)
        ratios[g * n + p] = std::max(ratios[g * n + p], by_underlying[u][p]);
  }
  return ratios;
}

/// Where in the reference's losses a margin group of the plan is.
inline std::size_t reference_group(const Plan& plan, const Book& book,
                                   const reference::GroupLosses& losses, std::size_t group) {
  const std::uint32_t priced =
      plan.holdings[plan.group_begin[group]].instrument & core::Holding::index_mask;
  const reference::Group wanted =
      reference::group_of(book, {plan.groups[group].account, plan.instruments[priced], {}});
  const auto at = std::ranges::lower_bound(losses.groups, wanted);
  return static_cast<std::size_t>(at - losses.groups.begin());
}

}  // namespace shortfall
