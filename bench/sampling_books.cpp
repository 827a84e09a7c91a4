#include "sampling_books.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "generate/generate_venue.hpp"

namespace shortfall::bench {
namespace {

using synthetic::Coin;
using synthetic::Holdings;
using synthetic::Market;

/// The demonstration market: BTC and ETH settled in coins, SOL in USD.
Market demo_market() {
  synthetic::Random random(1);
  return synthetic::make_market({.instrument_count = 291,
                                 .coin_count = 3,
                                 .factor_count = 24,
                                 .expiry_days = {1, 7, 28, 84, 175}},
                                random);
}

/// "BTC.vol.30d" is the volatility of 30 days of BTC.
Factor factor_of(const synthetic::DrivenFactor& driven) {
  const std::string kind = driven.name.substr(driven.name.find('.') + 1);
  Factor factor{driven.name, driven.coin, FactorKind::vol, 0};
  if (kind.starts_with("vol."))
    factor.tenor_days = static_cast<std::uint32_t>(std::stoul(kind.substr(4)));
  else
    factor.kind = kind == "spot"    ? FactorKind::spot
                  : kind == "skew"  ? FactorKind::skew
                  : kind == "basis" ? FactorKind::basis
                                    : FactorKind::perp;
  return factor;
}

RunInputs inputs_of(const Market& market) {
  RunInputs inputs;
  for (const Coin& coin : market.coins)
    inputs.book.underlyings.push_back({coin.name, coin.spot_usd});
  inputs.book.instruments = market.instruments;
  for (const synthetic::DrivenFactor& a : market.factors) {
    inputs.covariance.factors.push_back(factor_of(a));
    for (const synthetic::DrivenFactor& b : market.factors)
      inputs.covariance.matrix.push_back(synthetic::covariance(a, b));
  }
  return inputs;
}

/// Writes the ten books as accounts. Sizes are USD of the underlying.
class BookWriter {
 public:
  BookWriter(const Market& market, Book& book) : market_(market), book_(book) {}

  void write_all();

 private:
  static constexpr double size_usd = 1e5;

  /// `make` adds to the holdings what the book has in one coin.
  template <class Make>
  void write(const char* name, Make make) {
    Holdings holdings;
    for (const Coin& coin : market_.coins) make(coin, holdings);
    write(name, holdings);
  }
  void write(const char* name, const Holdings& holdings);

  const Instrument& at(std::uint32_t i) const { return market_.instruments[i]; }
  void trade(Holdings& holdings, std::uint32_t instrument, double usd) const {
    holdings.push_back(
        {instrument, std::copysign(1.0, usd) *
                         synthetic::contracts_of(market_, at(instrument), std::abs(usd))});
  }
  std::uint32_t delta_one(const Coin& coin, InstrumentType type, std::size_t ordinal = 0) const {
    for (std::uint32_t i = coin.instrument_begin; i < coin.instrument_end; ++i)
      if (at(i).type == type && ordinal-- == 0) return i;
    SHORTFALL_ASSERT(false);
    return 0;
  }
  /// Of the expiry of that future, the strike nearest to a multiple of the forward.
  std::uint32_t option(const Coin& coin, InstrumentType type, std::size_t expiry,
                       double moneyness) const;
  void hedge(const Coin& coin, Holdings& holdings) const;
  void strangle(const Coin& coin, Holdings& holdings, double usd) const {
    trade(holdings, option(coin, InstrumentType::call, 2, 1.12), usd);
    trade(holdings, option(coin, InstrumentType::put, 2, 0.88), usd);
  }
  /// Options all over the chain, most of them on one side, and the perpetual against their delta.
  void market_maker(const Coin& coin, Holdings& holdings, double long_share) {
    for (std::uint32_t i = coin.instrument_begin; i < coin.instrument_end; ++i)
      if (at(i).strike > 0 && random_.chance(0.6))
        trade(holdings, i,
              (random_.chance(long_share) ? 1 : -1) * random_.between(0.1, 1) * size_usd);
    hedge(coin, holdings);
  }

  const Market& market_;
  Book& book_;
  synthetic::Random random_{7};
};

std::uint32_t BookWriter::option(const Coin& coin, InstrumentType type, std::size_t expiry,
                                 double moneyness) const {
  const Instrument& future = at(delta_one(coin, InstrumentType::future, expiry));
  const auto distance = [&](std::uint32_t i) {
    return std::abs(at(i).strike - moneyness * future.mark_price);
  };
  std::optional<std::uint32_t> nearest;
  for (std::uint32_t i = coin.instrument_begin; i < coin.instrument_end; ++i)
    if (at(i).type == type && at(i).expiry == future.expiry &&
        (!nearest || distance(i) < distance(*nearest)))
      nearest = i;
  return nearest.value();
}

void BookWriter::hedge(const Coin& coin, Holdings& holdings) const {
  const std::uint32_t perpetual = delta_one(coin, InstrumentType::perpetual);
  double coins = 0;
  for (const auto& [instrument, contracts] : holdings)
    if (instrument >= coin.instrument_begin && instrument < coin.instrument_end)
      coins += contracts * synthetic::delta_coins(market_, at(instrument));
  holdings.push_back({perpetual, -coins / synthetic::delta_coins(market_, at(perpetual))});
}

void BookWriter::write(const char* name, const Holdings& holdings) {
  const auto account = static_cast<std::uint32_t>(book_.accounts.size());
  book_.accounts.push_back({name, MarginMode::portfolio});
  const auto begin = static_cast<std::ptrdiff_t>(book_.positions.size());
  for (const auto& [instrument, contracts] : holdings)
    book_.positions.push_back({account, instrument,
                               Quantity::from_units(static_cast<Quantity::Units>(
                                   std::round(contracts * Quantity::units_per_contract)))});
  std::sort(book_.positions.begin() + begin, book_.positions.end(),
            [](const Position& a, const Position& b) { return a.instrument < b.instrument; });
}

void BookWriter::write_all() {
  using enum InstrumentType;
  write("linear",
        [&](const Coin& coin, Holdings& h) { trade(h, delta_one(coin, perpetual), size_usd); });
  write("short strangles", [&](const Coin& coin, Holdings& h) { strangle(coin, h, -size_usd); });
  write("short at-the-money calls",
        [&](const Coin& coin, Holdings& h) { trade(h, option(coin, call, 2, 1), -size_usd); });
  write("delta-hedged strangles", [&](const Coin& coin, Holdings& h) {
    strangle(coin, h, -size_usd);
    hedge(coin, h);
  });
  write("market maker, short gamma",
        [&](const Coin& coin, Holdings& h) { market_maker(coin, h, 0.25); });
  write("market maker, long gamma",
        [&](const Coin& coin, Holdings& h) { market_maker(coin, h, 0.75); });
  Holdings thirty;
  while (thirty.size() < 30) {
    const std::uint32_t i = random_.below(static_cast<std::uint32_t>(market_.instruments.size()));
    if (std::ranges::find(thirty, i, &synthetic::Holding::instrument) == thirty.end())
      trade(thirty, i, (random_.chance(0.5) ? 1 : -1) * random_.between(0.01, 1) * size_usd);
  }
  write("thirty random positions", thirty);
  write("call spread, sold", [&](const Coin& coin, Holdings& h) {
    trade(h, option(coin, call, 2, 1), -size_usd);
    trade(h, option(coin, call, 2, 1.1), size_usd);
  });
  write("calendar", [&](const Coin& coin, Holdings& h) {
    trade(h, option(coin, call, 1, 1), -size_usd);
    trade(h, option(coin, call, 3, 1), size_usd);
  });
  write("basis", [&](const Coin& coin, Holdings& h) {
    trade(h, delta_one(coin, spot), size_usd);
    trade(h, delta_one(coin, future, 3), -size_usd);
  });
}

}  // namespace

TenBooks ten_books() {
  const Market market = demo_market();
  TenBooks books{inputs_of(market), market.as_of};
  BookWriter(market, books.inputs.book).write_all();
  return books;
}

}  // namespace shortfall::bench
