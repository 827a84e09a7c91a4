#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <utility>

#include "model/canonical_math.hpp"
#include "schemes.hpp"
#include "shortfall/schemes.hpp"

namespace shortfall {
namespace {

using Parameters = PortfolioMarginParameters;
constexpr std::size_t price_count = PortfolioMargin::price_count;
constexpr std::size_t volatility_count = PortfolioMargin::volatility_count;
constexpr std::size_t extended_count = PortfolioMargin::extended_count;

double magnitude(double x) { return x < 0 ? -x : x; }

/// Above 2^51 units doubles of this size have no tenth decimal to speak of.
double rounded_to_9_decimals(double x) {
  const double units = x * 1e9;
  return units < 0x1p51 ? canonical::rint(units) / 1e9 : x;
}

/// Where the matrix ends on the side of a far move.
double edge_of(double far_move, double price_range) {
  return far_move < 0 ? -price_range : price_range;
}

/// Of an option's volatility: down, same, up.
std::array<double, volatility_count> moved_volatilities(const Parameters::Pair& pair,
                                                        double volatility, double days) {
  const double d = std::max(days, 1.0);
  const double power = d < 30 ? pair.short_term_vega_power : pair.long_term_vega_power;
  const double tenor = canonical::exp(power * canonical::log(30 / d));
  return {std::max(volatility * (1 - tenor * pair.volatility_down), 0.01), volatility,
          std::max(volatility * (1 + tenor * pair.volatility_up), pair.volatility_up_least)};
}

/// An instrument per unit.
struct Shocked {
  std::array<double, price_count * volatility_count> matrix;
  std::array<double, extended_count> extended;  ///< after the factor
  double delta_coins = 0;
};

/// What far moves count: losses linear in the price, in USD or in coins, come to those at the edge
/// of the matrix.
double far_weight(const Parameters::Pair& pair, Settlement settlement, double move) {
  const double weight = pair.extended_table_factor * pair.price_range / magnitude(move);
  if (settlement == Settlement::linear) return weight;
  return weight * ((1 + move) / (1 + edge_of(move, pair.price_range)));
}

Shocked shocked(const Instrument& instrument, double spot_usd, std::int64_t as_of,
                const Parameters::Pair& pair) {
  const MarkedInstrument marked(instrument, spot_usd, as_of);
  const auto volatilities = moved_volatilities(pair, instrument.mark_iv, marked.days());
  Shocked result;
  for (std::size_t price = 0; price < price_count; ++price) {
    const double move = pair.price_range * (static_cast<double>(price) - 4) / 4;
    for (std::size_t v = 0; v < volatility_count; ++v)
      result.matrix[price * volatility_count + v] = marked.pnl({move, volatilities[v]});
  }
  for (std::size_t e = 0; e < extended_count; ++e) {
    const double move = PortfolioMargin::extended_moves[e];
    result.extended[e] =
        marked.pnl({move, volatilities.back()}) * far_weight(pair, instrument.settlement, move);
  }
  result.delta_coins = marked.delta_coins();
  return result;
}

/// What an account holds in one underlying and settlement currency.
struct Part {
  PortfolioMargin margin;
  double bought_delta_coins = 0;                         ///< of options bought
  double other_delta_coins = 0;                          ///< of all else
  std::map<std::int64_t, double> delta_coins_by_expiry;  ///< perpetuals at 0; no spot

  void add(const Instrument& instrument, double units, const Shocked& unit) {
    for (std::size_t s = 0; s < unit.matrix.size(); ++s) margin.matrix[s] += units * unit.matrix[s];
    for (std::size_t e = 0; e < extended_count; ++e) margin.extended[e] += units * unit.extended[e];
    const double delta = units * unit.delta_coins;
    (is_option(instrument) && units > 0 ? bought_delta_coins : other_delta_coins) += delta;
    // Coins in hand have nothing to roll.
    if (instrument.type != InstrumentType::spot) delta_coins_by_expiry[instrument.expiry] += delta;
  }
};

/// Far moves are less likely the farther they are: the dampener takes from P&L of either sign.
void dampen(const Parameters::Pair& pair, double dampener_usd, double index_usd,
            PortfolioMargin& margin) {
  for (std::size_t e = 0; e < extended_count; ++e) {
    const double move = PortfolioMargin::extended_moves[e];
    double dampener = (std::max(magnitude(move) / pair.price_range, 1.0) - 1) * dampener_usd;
    if (margin.settlement == Settlement::inverse)
      dampener /= (1 + edge_of(move, pair.price_range)) * index_usd;
    double& pnl = margin.extended[e];
    pnl = pnl < 0 ? std::min(pnl + dampener, 0.0) : std::max(pnl - dampener, 0.0);
  }
}

/// Coins.
double delta_shock(const Parameters::Pair& pair, double index_usd, const Part& part) {
  // Options bought may take from the delta of the others but not add to it.
  const double others = part.other_delta_coins, net = part.bought_delta_coins + others;
  const double delta =
      others < 0 ? std::min(std::max(net, others), 0.0) : std::max(std::min(net, others), 0.0);
  const double size = magnitude(delta);
  const double excess = std::max(size - pair.delta_threshold_usd / index_usd, 0.0);
  return std::min(pair.delta_increment_per_coin * excess, pair.delta_shock_most) * size;
}

/// Coins.
double roll_shock(const Parameters::Currency& currency, std::int64_t as_of, const Part& part) {
  double sum = 0;
  for (const auto& [expiry, delta] : part.delta_coins_by_expiry) {
    const double years = expiry == 0 ? 0 : static_cast<double>(expiry - as_of) / (365.0 * 86400.0);
    // At most all of it, which keeps an expiry of thousands of years finite.
    const double move = std::min(canonical::exp(currency.annualised_move_risk * years) - 1, 1.0);
    sum += magnitude(delta) * std::max(currency.annualised_move_least, move);
  }
  return sum;
}

/// Fills in what follows from the sums over positions.
PortfolioMargin charged(const Parameters& parameters, const Parameters::Pair& pair,
                        double index_usd, std::int64_t as_of, const Account& account,
                        const Part& part) {
  PortfolioMargin margin = part.margin;
  const bool is_inverse = margin.settlement == Settlement::inverse;
  const Parameters::Currency& currency = is_inverse ? parameters.inverse : parameters.linear;
  dampen(pair, currency.extended_dampener_usd, index_usd, margin);
  margin.worst_loss = rounded_to_9_decimals(
      std::max(worst_loss(margin.matrix, account), worst_loss(margin.extended, account)));
  const double per_coin = is_inverse ? 1 : index_usd;
  margin.delta_shock = delta_shock(pair, index_usd, part) * per_coin;
  margin.roll_shock = roll_shock(currency, as_of, part) * per_coin;
  margin.initial_margin = margin.worst_loss + margin.delta_shock + margin.roll_shock;
  margin.maintenance_margin = parameters.maintenance_factor * margin.initial_margin;
  margin.usd_per_unit = is_inverse ? index_usd : 1;
  return margin;
}

}  // namespace

std::vector<std::vector<PortfolioMargin>> portfolio_margins(const Parameters& parameters,
                                                            const Book& book, std::int64_t as_of) {
  const std::vector<Parameters::Pair> pairs =
      in_order_of(book, parameters.by_underlying, parameters.pair, "portfolio_margin");
  std::unordered_map<std::uint32_t, Shocked> units;  // of the instruments that are held
  std::vector<std::vector<PortfolioMargin>> margins(book.accounts.size());
  auto p = book.positions.begin();
  for (std::uint32_t a = 0; a < margins.size(); ++a) {
    std::map<std::pair<std::uint32_t, Settlement>, Part> parts;
    for (; p != book.positions.end() && p->account == a; ++p) {
      if (p->quantity.is_zero()) continue;
      const Instrument& i = book.instruments[p->instrument];
      const double spot_usd = book.underlyings[i.underlying].spot_usd;
      const auto [found, is_new] = units.try_emplace(p->instrument);
      if (is_new) found->second = shocked(i, spot_usd, as_of, pairs[i.underlying]);
      Part& part = parts[{i.underlying, i.settlement}];
      part.margin.underlying = i.underlying;
      part.margin.settlement = i.settlement;
      part.add(i, units_of(i, p->quantity.contracts()), found->second);
    }
    for (const auto& [place, part] : parts)
      margins[a].push_back(charged(parameters, pairs[place.first],
                                   book.underlyings[place.first].spot_usd, as_of, book.accounts[a],
                                   part));
  }
  SHORTFALL_ASSERT(p == book.positions.end());
  return margins;
}

}  // namespace shortfall
