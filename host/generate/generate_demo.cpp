// The accounts of the demonstration book, each named for the strategy that it holds.
#include <algorithm>
#include <cmath>
#include <set>

#include "generate_venue.hpp"

namespace shortfall::synthetic {
namespace {

/// Draws the terms of one strategy on one coin. Every account of a kind has its ordinal, from 0,
/// which decides its coin and, where there are two, its variant.
class Trade {
 public:
  Trade(const Market& market, Random& random, std::uint32_t ordinal)
      : market_(market),
        random_(random),
        ordinal_(ordinal),
        coin_(market.coins[ordinal % market.coins.size()]),
        notional_usd_(round_to(random.between(20.0, 400.0), 0) * 1e3) {
    for (std::uint32_t i = coin_.instrument_begin; i < coin_.instrument_end; ++i) {
      if (market_.instruments[i].type == InstrumentType::future) futures_.push_back(i);
    }
  }

  Holdings covered_call() {
    const std::uint32_t call = option(InstrumentType::call, middle_expiry(), between(1.05, 1.15));
    const double contracts = size(call);
    return {{spot(), contracts * at(call).multiplier}, {call, -contracts}};
  }

  Holdings protective_put() {
    const std::uint32_t put = option(InstrumentType::put, middle_expiry(), between(0.85, 0.95));
    const double contracts = size(put);
    return {{spot(), contracts * at(put).multiplier}, {put, contracts}};
  }

  Holdings straddle(double sign) {
    const std::int64_t expiry = any_expiry();
    const std::uint32_t call = option(InstrumentType::call, expiry, 1.0);
    const double contracts = sign * size(call);
    return {{call, contracts}, {option(InstrumentType::put, expiry, 1.0), contracts}};
  }

  Holdings strangle(double sign) {
    const std::int64_t expiry = middle_expiry();
    const std::uint32_t call = option(InstrumentType::call, expiry, between(1.08, 1.15));
    const double contracts = sign * size(call);
    const std::uint32_t put = option(InstrumentType::put, expiry, between(0.85, 0.92));
    return {{call, contracts}, {put, contracts}};
  }

  /// An option sold (even ordinals bought) against the perpetual or the future of its expiry.
  Holdings delta_neutral() {
    const InstrumentType type = random_.chance(0.5) ? InstrumentType::call : InstrumentType::put;
    const std::size_t expiry = 1 + random_.below(static_cast<std::uint32_t>(futures_.size()) - 1);
    const std::uint32_t sold = option(type, at(futures_[expiry]).expiry, between(0.93, 1.07));
    const double contracts = ordinal_ % 2 == 0 ? size(sold) : -size(sold);
    const std::uint32_t hedge = random_.chance(0.5) ? perpetual() : futures_[expiry];
    return {{sold, contracts},
            {hedge, round_contracts(-contracts * delta_coins(market_, at(sold)) /
                                    delta_coins(market_, at(hedge)))}};
  }

  /// Short the near option, long the far one, both at the strike nearest the forward that both
  /// list.
  Holdings calendar() {
    const InstrumentType type = random_.chance(0.5) ? InstrumentType::call : InstrumentType::put;
    const std::size_t near = 1 + random_.below(static_cast<std::uint32_t>(futures_.size()) - 2);
    const std::int64_t near_expiry = at(futures_[near]).expiry;
    const std::int64_t far_expiry = at(futures_[near + 1]).expiry;
    const std::set<double> near_strikes = strikes(type, near_expiry);
    std::set<double> shared;
    for (const double strike : strikes(type, far_expiry)) {
      if (near_strikes.contains(strike)) shared.insert(strike);
    }
    SHORTFALL_ASSERT(!shared.empty());
    const double strike = nearest(shared, coin_.spot_usd);
    const std::uint32_t sold = option_at(type, near_expiry, strike);
    const double contracts = size(sold);
    return {{sold, -contracts}, {option_at(type, far_expiry, strike), contracts}};
  }

  /// Long the coin, or a dated future every other time, short the perpetual for the same delta.
  Holdings basis_trade() {
    const std::uint32_t future =
        futures_[1 + random_.below(static_cast<std::uint32_t>(futures_.size()) - 1)];
    const std::uint32_t bought = ordinal_ % 2 == 0 ? spot() : future;
    const double contracts = size(bought);
    return {{bought, contracts},
            {perpetual(), round_contracts(-contracts * delta_coins(market_, at(bought)) /
                                          delta_coins(market_, at(perpetual())))}};
  }

 private:
  const Instrument& at(std::uint32_t index) const { return market_.instruments[index]; }
  double between(double low, double high) { return random_.between(low, high); }
  double size(std::uint32_t index) const { return contracts_of(market_, at(index), notional_usd_); }
  std::uint32_t perpetual() const { return coin_.instrument_begin; }
  std::uint32_t spot() const { return coin_.instrument_begin + 1; }

  std::int64_t any_expiry() {
    return at(futures_[random_.below(static_cast<std::uint32_t>(futures_.size()))]).expiry;
  }
  /// Not the first, which is within the horizon, nor the last.
  std::int64_t middle_expiry() {
    return at(futures_[1 + random_.below(static_cast<std::uint32_t>(futures_.size()) - 2)]).expiry;
  }

  std::set<double> strikes(InstrumentType type, std::int64_t expiry) const {
    std::set<double> result;
    for (std::uint32_t i = coin_.instrument_begin; i < coin_.instrument_end; ++i) {
      if (at(i).type == type && at(i).expiry == expiry) result.insert(at(i).strike);
    }
    return result;
  }

  static double nearest(const std::set<double>& strikes, double price) {
    return *std::min_element(strikes.begin(), strikes.end(), [price](double a, double b) {
      return std::fabs(a - price) < std::fabs(b - price);
    });
  }

  std::uint32_t option_at(InstrumentType type, std::int64_t expiry, double strike) const {
    std::uint32_t i = coin_.instrument_begin;
    while (at(i).type != type || at(i).expiry != expiry || at(i).strike != strike) ++i;
    return i;
  }

  /// The option struck nearest to that multiple of the index.
  std::uint32_t option(InstrumentType type, std::int64_t expiry, double moneyness) const {
    return option_at(type, expiry, nearest(strikes(type, expiry), coin_.spot_usd * moneyness));
  }

  const Market& market_;
  Random& random_;
  std::uint32_t ordinal_;
  const Coin& coin_;
  double notional_usd_;
  std::vector<std::uint32_t> futures_;  ///< by expiry
};

struct Strategy {
  const char* name;
  std::uint32_t account_count;
  Holdings (*hold)(const Market& market, Random& random, std::uint32_t ordinal);
  const char* description;
};

template <Holdings (Trade::*trade)()>
Holdings hold(const Market& market, Random& random, std::uint32_t ordinal) {
  return (Trade(market, random, ordinal).*trade)();
}

template <Holdings (Trade::*trade)(double), int sign>
Holdings hold_side(const Market& market, Random& random, std::uint32_t ordinal) {
  return (Trade(market, random, ordinal).*trade)(sign);
}

Holdings hold_chain(const Market& market, Random& random, std::uint32_t) {
  return market_maker_holdings(market, random);
}

constexpr Strategy strategies[] = {
    {"covered-call", 14, hold<&Trade::covered_call>,
     "coins, and a call sold on each of them, 5 to 15 % out of the money"},
    {"protective-put", 12, hold<&Trade::protective_put>,
     "coins, and a put bought on each of them, 5 to 15 % out of the money"},
    {"long-straddle", 7, hold_side<&Trade::straddle, 1>,
     "a call and a put bought at the strike nearest the index"},
    {"short-straddle", 7, hold_side<&Trade::straddle, -1>, "the same sold"},
    {"long-strangle", 7, hold_side<&Trade::strangle, 1>,
     "a call and a put bought, each 8 to 15 % out of the money"},
    {"short-strangle", 7, hold_side<&Trade::strangle, -1>, "the same sold"},
    {"delta-neutral", 16, hold<&Trade::delta_neutral>,
     "an option, bought or sold, and its Black-76 delta against it in perpetuals or futures"},
    {"calendar", 12, hold<&Trade::calendar>,
     "an option sold and the one of the next expiry and equal strike bought"},
    {"basis-trade", 14, hold<&Trade::basis_trade>,
     "coins or a dated future bought, the perpetual sold for the same delta"},
    {"market-maker", 4, hold_chain,
     "both sides of nine tenths of the chain, each coin's delta hedged with its perpetual"},
};

/// A few accounts in the modes other than portfolio, market makers apart.
MarginMode demo_mode(std::uint32_t account_index) {
  if (account_index % 12 == 5) return MarginMode::cross;
  if (account_index % 12 == 11) return MarginMode::isolated;
  return MarginMode::portfolio;
}

}  // namespace

void write_demo_accounts(const Market& market, Random& random, AccountFiles& files) {
  std::uint32_t account_index = 0;
  for (const Strategy& strategy : strategies) {
    for (std::uint32_t ordinal = 0; ordinal < strategy.account_count; ++ordinal) {
      files.add(market, fmt::format("{}-{:02}", strategy.name, ordinal + 1),
                demo_mode(account_index++), strategy.hold(market, random, ordinal));
    }
  }
}

std::string demo_readme(const Market& market, std::uint64_t seed) {
  std::string coins;
  for (const Coin& coin : market.coins) {
    coins += fmt::format("- {}, {} USD, settled {}\n", coin.name, coin.spot_usd,
                         coin.settlement == Settlement::linear
                             ? "in USD (linear)"
                             : "in the coin (inverse); its spot is linear");
  }
  std::string rows;
  std::uint32_t account_count = 0;
  for (const Strategy& strategy : strategies) {
    rows += fmt::format("| {}-01 to {:02} | {} |\n", strategy.name, strategy.account_count,
                        strategy.description);
    account_count += strategy.account_count;
  }
  return fmt::format(
      "# Demonstration book\n\n"
      "Synthetic: no price, volatility, covariance or account here is anybody's. All of it, this\n"
      "page included, is the output of\n\n"
      "    shortfall generate --preset demo --seed {} --out configs/demo\n\n"
      "which writes the same bytes on every machine. To run it:\n\n"
      "    shortfall run configs/demo/run.toml --out results\n\n"
      "## What trades\n\n"
      "{} instruments on {} underlyings: for each its spot, its perpetual, and futures and "
      "options\n"
      "of five expiries. The first expires within the horizon of one day, so that its options and\n"
      "futures settle on the index.\n\n"
      "{}\n"
      "Volatilities have a smile, steeper for puts, and a rising term structure; forwards have a\n"
      "carry. The {} factors are, for each underlying, the index, volatility at four tenors, "
      "skew,\n"
      "basis, and the perpetual's premium. Indices are correlated by 0.75 to 0.83 and fall when\n"
      "volatility rises. Moves are Student t with five degrees of freedom.\n\n"
      "## Who holds it\n\n"
      "{} accounts. `accounts.csv` says which are margined as one portfolio, per underlying\n"
      "(`cross`) or per instrument (`isolated`).\n\n"
      "| accounts | hold |\n"
      "| --- | --- |\n"
      "{}",
      seed, market.instruments.size(), market.coins.size(), coins, market.factors.size(),
      account_count, rows);
}

}  // namespace shortfall::synthetic
