// Who holds what on a synthetic venue, drawn at random.
#include <algorithm>
#include <cmath>

#include "generate_venue.hpp"
#include "model/canonical_math.hpp"

namespace shortfall::synthetic {
namespace {

/// `count` distinct numbers of [begin, end), each set as likely, ascending (Floyd's algorithm,
/// Bentley 1987, "Programming pearls: a sample of brilliance").
std::vector<std::uint32_t> sample(std::uint32_t begin, std::uint32_t end, std::uint32_t count,
                                  Random& random) {
  std::vector<std::uint32_t> chosen;
  chosen.reserve(count);
  for (std::uint32_t last = end - count; last < end; ++last) {
    const std::uint32_t drawn = begin + random.below(last - begin + 1);
    const auto at = std::lower_bound(chosen.begin(), chosen.end(), drawn);
    if (at == chosen.end() || *at != drawn) {
      chosen.insert(at, drawn);
    } else {
      chosen.push_back(last);  // the largest so far
    }
  }
  return chosen;
}

/// Long or short, log-uniform between the two sizes.
double draw_contracts(const Market& market, const Instrument& instrument, double low_usd,
                      double high_usd, Random& random) {
  const double spread = canonical::log(high_usd / low_usd);
  const double notional_usd = low_usd * canonical::exp(spread * random.uniform());
  const double contracts = contracts_of(market, instrument, notional_usd);
  return random.chance(0.5) ? contracts : -contracts;
}

Holdings draw_holdings(const Market& market, const std::vector<std::uint32_t>& instruments,
                       Random& random) {
  Holdings holdings;
  holdings.reserve(instruments.size());
  for (const std::uint32_t i : instruments) {
    holdings.push_back({i, draw_contracts(market, market.instruments[i], 1e3, 1e5, random)});
  }
  return holdings;
}

/// 2 to 40 instruments, mostly few; seven clients in ten trade one coin only.
Holdings client_holdings(const Market& market, Random& random) {
  std::uint32_t begin = 0;
  auto end = static_cast<std::uint32_t>(market.instruments.size());
  if (random.chance(0.7)) {
    const Coin& coin = market.coins[random.below(static_cast<std::uint32_t>(market.coins.size()))];
    begin = coin.instrument_begin;
    end = coin.instrument_end;
  }
  const double u = random.uniform();
  const std::uint32_t count = 2 + static_cast<std::uint32_t>(39.0 * u * u * u);
  return draw_holdings(market, sample(begin, end, std::min(count, end - begin), random), random);
}

/// One client in ten is margined per underlying, one per instrument.
MarginMode client_mode(std::uint32_t index) {
  if (index % 10 == 3) return MarginMode::cross;
  if (index % 10 == 7) return MarginMode::isolated;
  return MarginMode::portfolio;
}

}  // namespace

double round_contracts(double contracts) {
  const double size = std::fabs(contracts);
  const int decimals = size >= 100.0 ? 0 : size >= 10.0 ? 1 : size >= 1.0 ? 2 : 3;
  const double rounded = std::max(round_to(size, decimals), 0.001);
  return contracts < 0.0 ? -rounded : rounded;
}

double contracts_of(const Market& market, const Instrument& instrument, double notional_usd) {
  const bool is_usd =
      instrument.settlement == Settlement::inverse &&
      (instrument.type == InstrumentType::future || instrument.type == InstrumentType::perpetual);
  const double unit_usd = is_usd ? 1.0 : market.coins[instrument.underlying].spot_usd;
  return round_contracts(notional_usd / (instrument.multiplier * unit_usd));
}

Holdings market_maker_holdings(const Market& market, Random& random) {
  Holdings holdings;
  for (const Coin& coin : market.coins) {
    double coins = 0.0;
    const std::uint32_t perpetual = coin.instrument_begin;
    for (std::uint32_t i = perpetual + 1; i < coin.instrument_end; ++i) {
      if (!random.chance(0.9)) continue;
      const Instrument& instrument = market.instruments[i];
      const double contracts = draw_contracts(market, instrument, 1e4, 1e6, random);
      holdings.push_back({i, contracts});
      coins += contracts * delta_coins(market, instrument);
    }
    const double hedge = -coins / delta_coins(market, market.instruments[perpetual]);
    holdings.push_back({perpetual, round_contracts(hedge)});
  }
  return holdings;
}

void AccountFiles::add(const Market& market, const std::string& name, MarginMode mode,
                       const Holdings& holdings) {
  accounts.print("{},{}\n", name, to_string(mode));
  for (const Holding& holding : holdings) {
    positions.print("{},{},{}\n", name, market.instruments[holding.instrument].name,
                    holding.contracts);
  }
}

void write_venue_accounts(const Market& market, std::uint32_t account_count, Random& random,
                          AccountFiles& files) {
  const std::uint32_t market_maker_count = std::clamp<std::uint32_t>(account_count / 100, 1, 100);
  for (std::uint32_t i = 1; i <= market_maker_count; ++i) {
    files.add(market, fmt::format("market-maker-{:03}", i), MarginMode::portfolio,
              market_maker_holdings(market, random));
  }
  for (std::uint32_t i = 1; i <= account_count - market_maker_count; ++i) {
    files.add(market, fmt::format("client-{:06}", i), client_mode(i),
              client_holdings(market, random));
  }
}

void write_canonical_accounts(const Market& market, Random& random, AccountFiles& files) {
  const auto instrument_count = static_cast<std::uint32_t>(market.instruments.size());
  struct Kind {
    const char* name;
    std::uint32_t account_count, position_count;
  };
  const Kind kinds[] = {
      {"market-maker", 10, instrument_count}, {"fund", 90, 200}, {"client", 900, 30}};
  for (const Kind& kind : kinds) {
    for (std::uint32_t i = 1; i <= kind.account_count; ++i) {
      const auto instruments = sample(0, instrument_count, kind.position_count, random);
      files.add(market, fmt::format("{}-{:03}", kind.name, i), MarginMode::portfolio,
                draw_holdings(market, instruments, random));
    }
  }
}

}  // namespace shortfall::synthetic
