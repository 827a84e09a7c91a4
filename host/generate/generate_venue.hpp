// The parts of a synthetic venue: what trades, how it moves, who holds it, and the files it goes
// to. Every number comes from + - * / sqrt and the canonical elementary functions, so that the
// files have the same bytes on every machine.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "output/atomic_file.hpp"
#include "shortfall/book.hpp"

namespace shortfall::synthetic {

/// The standard fixes the sequence of the engine, but not those of its distributions: the scaling
/// is our own.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }  ///< in [0, 1)
  double between(double low, double high) { return low + (high - low) * uniform(); }
  std::uint32_t below(std::uint32_t count) { return static_cast<std::uint32_t>(uniform() * count); }
  bool chance(double probability) { return uniform() < probability; }

 private:
  std::mt19937_64 engine_;
};

/// Nearest decimal with so many fractional digits; its shortest form then has no more digits.
double round_to(double value, int decimals);

struct Coin {
  std::string name;
  double spot_usd = 0;
  double annual_volatility = 0;
  double annual_carry = 0;    ///< of dated futures and option forwards over the index
  double market_loading = 0;  ///< correlation of the index with the market driver
  Settlement settlement = Settlement::inverse;
  std::uint32_t instrument_begin = 0, instrument_end = 0;  ///< its instruments
};

/// A risk factor as a sum of independent drivers of unit variance: those of the whole market, those
/// of its coin, and one of its own that makes up the variance.
struct DrivenFactor {
  std::string name = {};
  std::uint32_t coin = 0;
  double standard_deviation = 0;  ///< over one day
  double market = 0, market_volatility = 0;
  double coin_spot = 0, coin_volatility = 0, coin_term = 0;
};

/// Covariance of two different factors, or the variance where they are one. Gram matrix plus a
/// positive diagonal, hence positive definite.
double covariance(const DrivenFactor& a, const DrivenFactor& b);

struct Market {
  std::int64_t as_of = 0;  ///< seconds since the epoch
  std::vector<Coin> coins;
  std::vector<Instrument> instruments;  ///< by coin, then expiry, then strike
  std::vector<DrivenFactor> factors;    ///< by coin
};

struct MarketLayout {
  std::uint32_t instrument_count = 0, coin_count = 0, factor_count = 0;
  std::vector<int> expiry_days;       ///< after as_of, ascending
  bool has_spot_and_futures = true;   ///< beside the perpetual and the options
  bool has_linear_settlement = true;  ///< on every third coin
};

Market make_market(const MarketLayout& layout, Random& random);

/// Change of a contract's USD value, in coins, as the index moves.
double delta_coins(const Market& market, const Instrument& instrument);

struct Holding {
  std::uint32_t instrument = 0;  ///< index into Market::instruments
  double contracts = 0;
};
using Holdings = std::vector<Holding>;

/// To a lot of 1, 0.1, 0.01 or 0.001 contracts, the larger the size the coarser; never zero.
double round_contracts(double contracts);

/// Contracts on that many USD of the underlying, rounded to a lot.
double contracts_of(const Market& market, const Instrument& instrument, double notional_usd);

/// Both sides of most of the chain, each coin's delta hedged with its perpetual.
Holdings market_maker_holdings(const Market& market, Random& random);

/// Where accounts go, one by one: a large venue does not fit in memory.
struct AccountFiles {
  AtomicFile& accounts;
  AtomicFile& positions;
  void add(const Market& market, const std::string& name, MarginMode mode,
           const Holdings& holdings);
};

void write_venue_accounts(const Market& market, std::uint32_t account_count, Random& random,
                          AccountFiles& files);
void write_canonical_accounts(const Market& market, Random& random, AccountFiles& files);
void write_demo_accounts(const Market& market, Random& random, AccountFiles& files);

/// README.md of the demonstration book.
std::string demo_readme(const Market& market, std::uint64_t seed);

}  // namespace shortfall::synthetic
