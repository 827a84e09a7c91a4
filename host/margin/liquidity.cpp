#include <compare>
#include <optional>
#include <span>

#include "components.hpp"
#include "greeks.hpp"
#include "position_series.hpp"

namespace shortfall {
namespace {

/// What closing a position buys or sells.
struct Exposure {
  std::uint32_t underlying = 0;
  std::int64_t expiry = 0;
  double delta_usd = 0, vega_usd = 0;

  std::uint32_t series() const { return underlying; }
  auto operator<=>(const Exposure&) const = default;
};

double magnitude(double x) { return x < 0 ? -x : x; }

/// Standard deviation of an underlying's log-return over a day; 0 where it has no spot factor.
std::vector<double> daily_deviations(const RunInputs& inputs, const ModelConfig& model) {
  const std::vector<Factor>& factors = inputs.covariance.factors;
  std::vector<double> deviations(inputs.book.underlyings.size());
  for (std::size_t f = 0; f < factors.size(); ++f) {
    if (factors[f].kind != FactorKind::spot) continue;
    const double variance = inputs.covariance.matrix[f * factors.size() + f];
    deviations[factors[f].underlying] = __builtin_sqrt(variance / model.covariance_horizon_days);
  }
  return deviations;
}

/// Of one underlying: spread and square-root impact for the net delta, a spread for the vega of
/// each expiry.
double closing_cost_usd(std::span<const Exposure> exposures, const LiquidityTerms& terms,
                        double daily_deviation) {
  double delta_usd = 0, volatility_cost_usd = 0;
  for (std::size_t i = 0; i < exposures.size();) {
    const std::int64_t expiry = exposures[i].expiry;
    double vega_usd = 0;
    for (; i < exposures.size() && exposures[i].expiry == expiry; ++i) {
      delta_usd += exposures[i].delta_usd;
      vega_usd += exposures[i].vega_usd;
    }
    volatility_cost_usd += magnitude(vega_usd) * terms.vol_spread;
  }
  const double size_usd = magnitude(delta_usd);
  const double impact =
      terms.impact * daily_deviation * __builtin_sqrt(size_usd / terms.daily_volume_usd);
  return size_usd * (terms.half_spread_bps / 1e4 + impact) + volatility_cost_usd;
}

}  // namespace

std::vector<double> liquidity_charges(const ComponentContext& context) {
  const Book& book = context.inputs.book;
  if (!context.config.margin.liquidity) return std::vector<double>(book.accounts.size());
  const std::vector<double> deviations = daily_deviations(context.inputs, context.config.model);
  std::vector<std::optional<Greeks>> greeks(book.instruments.size());
  const auto exposure_of = [&](const Position& position) -> std::optional<Exposure> {
    const Instrument& i = book.instruments[position.instrument];
    std::optional<Greeks>& own = greeks[position.instrument];
    if (!own) own = greeks_of(i, book.underlyings[i.underlying].spot_usd, context.config.as_of);
    const double contracts = position.quantity.contracts();
    return Exposure{i.underlying, i.expiry, contracts * own->delta_usd, contracts * own->vega_usd};
  };
  const auto charge = [&](std::span<const Exposure> exposures) {
    const std::uint32_t underlying = exposures.front().underlying;
    const std::optional<LiquidityTerms>& terms = context.inputs.liquidity[underlying];
    SHORTFALL_ASSERT(terms.has_value());
    return closing_cost_usd(exposures, *terms, deviations[underlying]);
  };
  return sum_over_series<Exposure>(book, exposure_of, charge);
}

Covariance scaled_to_liquidation(const Covariance& covariance, const RunInputs& inputs,
                                 double horizon_days) {
  Covariance scaled = covariance;
  if (inputs.liquidity.empty()) return scaled;
  const std::size_t count = covariance.factors.size();
  std::vector<double> ratios(count, 1.0);
  for (std::size_t f = 0; f < count; ++f) {
    const auto& terms = inputs.liquidity[covariance.factors[f].underlying];
    if (terms && terms->liquidation_days) ratios[f] = *terms->liquidation_days / horizon_days;
  }
  for (std::size_t i = 0; i < scaled.history.size(); ++i)
    scaled.history[i] *= __builtin_sqrt(ratios[i % count]);
  // One root of the product: symmetric to the bit, and a variance times its ratio exactly.
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < count; ++j)
      scaled.matrix[i * count + j] *= __builtin_sqrt(ratios[i] * ratios[j]);
  return scaled;
}

}  // namespace shortfall
