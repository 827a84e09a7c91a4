#include <algorithm>
#include <compare>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "components.hpp"
#include "position_series.hpp"

namespace shortfall {
namespace {

struct PerpetualNotional {
  std::uint32_t underlying = 0;
  double usd = 0;  ///< signed, at the mark

  std::uint32_t series() const { return underlying; }
  auto operator<=>(const PerpetualNotional&) const = default;
};

/// Options of one underlying and type, in the order in which `uncovered_coins` takes them.
struct OptionCoins {
  std::uint32_t underlying = 0;
  InstrumentType type = InstrumentType::call;
  std::int64_t negative_expiry = 0;  ///< the latest first
  bool is_short = false;             ///< what is long covers what expires with it
  double signed_strike = 0;          ///< negative for puts, so that the lower one protects more
  double coins = 0;                  ///< > 0

  std::pair<std::uint32_t, InstrumentType> series() const { return {underlying, type}; }
  auto operator<=>(const OptionCoins&) const = default;
};

/// The short coins that remain when long coins are matched with as many of them as possible, each
/// long coin with at most one short coin, which does not expire after it and whose signed strike is
/// not below its own.
/// Greedy: shorts by expiry, the latest first, each take the long coins of the highest signed
/// strike that cover it. That is optimal. A long that lives as long as this short lives as long as
/// all that follow, so for these only strikes matter, and of two longs that cover this short the
/// higher one covers no later short that the lower one does not: an optimal matching stays optimal
/// when it uses the higher one here. Nor is a coin worth saving: it covers one coin, now or later.
double uncovered_coins(std::span<const OptionCoins> options) {
  std::map<double, double> available;  // coins by signed strike
  double uncovered = 0;
  for (const OptionCoins& option : options) {
    if (!option.is_short) {
      available[option.signed_strike] += option.coins;
      continue;
    }
    double coins = option.coins;
    while (coins > 0) {
      auto at = available.upper_bound(option.signed_strike);
      if (at == available.begin()) break;
      --at;
      const double covered = std::min(coins, at->second);
      coins -= covered;
      at->second -= covered;
      if (at->second == 0) available.erase(at);
    }
    uncovered += coins;
  }
  return uncovered;
}

}  // namespace

std::vector<double> funding_charges(const ComponentContext& context) {
  const Book& book = context.inputs.book;
  if (!context.config.margin.funding) return std::vector<double>(book.accounts.size());
  const auto notional_of = [&](const Position& position) -> std::optional<PerpetualNotional> {
    const Instrument& i = book.instruments[position.instrument];
    if (i.type != InstrumentType::perpetual) return std::nullopt;
    const double size = position.quantity.contracts() * i.multiplier;
    return PerpetualNotional{i.underlying,
                             i.settlement == Settlement::inverse ? size : size * i.mark_price};
  };
  // One rate rules the perpetuals of an underlying, so that what they hold is netted: a net long
  // loses where longs pay, a net short where shorts do.
  const auto charge = [&](std::span<const PerpetualNotional> notionals) {
    const std::optional<FundingRates>& rates = context.inputs.funding[notionals[0].underlying];
    SHORTFALL_ASSERT(rates.has_value());
    double net_usd = 0;
    for (const PerpetualNotional& notional : notionals) net_usd += notional.usd;
    const double paid_daily_usd =
        net_usd > 0 ? net_usd * rates->long_pays : -net_usd * rates->short_pays;
    return paid_daily_usd * context.config.risk.horizon_days;
  };
  return sum_over_series<PerpetualNotional>(book, notional_of, charge);
}

std::vector<double> short_option_minimums(const ComponentContext& context) {
  const Book& book = context.inputs.book;
  const auto coins_of = [&](const Position& position) -> std::optional<OptionCoins> {
    const Instrument& i = book.instruments[position.instrument];
    const bool is_call = i.type == InstrumentType::call;
    if (!is_call && i.type != InstrumentType::put) return std::nullopt;
    const double coins = position.quantity.contracts() * i.multiplier;
    return OptionCoins{i.underlying,
                       i.type,
                       -i.expiry,
                       coins < 0,
                       is_call ? i.strike : -i.strike,
                       coins < 0 ? -coins : coins};
  };
  const double rate = context.config.margin.short_option_minimum_rate.value_or(0);
  const auto charge = [&](std::span<const OptionCoins> options) {
    return rate * (book.underlyings[options[0].underlying].spot_usd * uncovered_coins(options));
  };
  return sum_over_series<OptionCoins>(book, coins_of, charge);
}

}  // namespace shortfall
