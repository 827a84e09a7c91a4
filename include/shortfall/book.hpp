// What is held: underlyings, instruments, accounts and net positions, resolved and validated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shortfall/config.hpp"
#include "shortfall/error.hpp"
#include "shortfall/factor_model.hpp"

namespace shortfall {

enum class InstrumentType : std::uint8_t { call, put, future, perpetual, spot };
enum class Settlement : std::uint8_t { linear, inverse };
enum class MarginMode : std::uint8_t { portfolio, cross, isolated };

struct Underlying {
  std::string name;
  double spot_usd = 0;  ///< index price in USD per coin, > 0
};

struct Instrument {
  std::string name;
  InstrumentType type = InstrumentType::spot;
  Settlement settlement = Settlement::linear;
  std::uint32_t underlying = 0;  ///< index into Book::underlyings
  std::int64_t expiry = 0;       ///< seconds since the epoch; 0 for perpetual and spot
  double strike = 0;             ///< USD per coin; options only
  double multiplier = 1;         ///< coins per contract, or USD (inverse future and perpetual)
  double mark_price = 0;         ///< USD per coin; options: the forward; the spot where left empty
  double mark_iv = 0;            ///< decimal, options only
};

/// A signed number of contracts in units of 10^-12, so that sums are exact in any order.
/// Two words rather than __int128, which would pad a position to 32 bytes.
struct Quantity {
  std::uint64_t low = 0;
  std::int64_t high = 0;

  static constexpr double units_per_contract = 1e12;

  __extension__ typedef __int128 Units;
  static Quantity from_units(Units units) {
    return {static_cast<std::uint64_t>(units), static_cast<std::int64_t>(units >> 64)};
  }
  Units units() const { return (static_cast<Units>(high) << 64) | low; }
  bool is_zero() const { return low == 0 && high == 0; }
  /// Contracts, rounded once to the nearest double and once by the division.
  double contracts() const { return static_cast<double>(units()) / units_per_contract; }
};

/// Net position: at most one per (account, instrument). A zero quantity may be present.
struct Position {
  std::uint32_t account = 0;     ///< index into Book::accounts
  std::uint32_t instrument = 0;  ///< index into Book::instruments
  Quantity quantity;
};
static_assert(sizeof(Position) == 24);

struct Account {
  std::string name;
  MarginMode mode = MarginMode::portfolio;
};

struct Collateral {
  static constexpr std::uint32_t usd = 0xffffffffu;
  std::string account;
  std::uint32_t asset = usd;  ///< index into Book::underlyings, or `usd`
  double amount = 0;
};

struct Book {
  std::vector<Underlying> underlyings;  ///< in the order of the file
  std::vector<Instrument> instruments;  ///< in the order of the file
  std::vector<Account> accounts;        ///< in the order of first appearance in positions.csv
  std::vector<Position> positions;      ///< sorted by (account, instrument), netted
  std::vector<Collateral> collateral;
};

/// A row of liquidity.csv: what closing out in an underlying costs.
struct LiquidityTerms {
  double daily_volume_usd = 0;             ///< > 0
  double half_spread_bps = 0;              ///< >= 0
  double impact = 0;                       ///< >= 0, of a day's volatility for a day's volume
  double vol_spread = 0;                   ///< >= 0, decimal
  std::optional<double> liquidation_days;  ///< at least the horizon; empty: the horizon
};

/// A row of funding.csv: stressed daily rates of an underlying's perpetuals, >= 0.
struct FundingRates {
  double long_pays = 0, short_pays = 0;
};

/// A scenario of stress.csv: moves of factors, in the factors' own units; what it does not name
/// stays.
struct StressScenario {
  std::string name;
  double weight = 1;
  std::vector<std::pair<std::uint32_t, double>> shocks;  ///< (factor, move), each factor once
};

/// Everything that a run reads. What the [margin] tables ask for beyond the book is empty where
/// they do not; liquidity and funding are by underlying, and complete where they are needed.
struct RunInputs {
  Book book;
  Covariance covariance;
  std::vector<std::optional<LiquidityTerms>> liquidity;
  std::vector<std::optional<FundingRates>> funding;
  std::vector<StressScenario> scenarios;
  std::optional<Covariance> stressed_covariance;
  std::vector<Account> listed_accounts;  ///< of accounts.csv, whether they hold anything or not
};

/// Reads and validates every input file of a configuration. Throws InputError with the problems of
/// all files together.
RunInputs load_inputs(const RunConfig& config);

const char* to_string(InstrumentType value);
const char* to_string(Settlement value);
const char* to_string(MarginMode value);

}  // namespace shortfall
