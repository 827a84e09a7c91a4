// Margin schemes of others, on the same positions and the same marks, to compare with: scenario
// margins, which revalue a book under a few moves of price and volatility instead of many paths.
// docs/methodology.md, section 10.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "shortfall/book.hpp"

namespace shortfall {

/// A scan like that of SPAN (Chicago Mercantile Exchange 1988): per underlying the worst of 16
/// scenarios: price unchanged, and a third, two thirds and all of a range up and down, each with
/// volatility up and down; and an extreme move up and down, volatility unchanged, of which only a
/// share counts. Worst losses of underlyings are added: no offsets.
struct SpanParameters {
  struct Ranges {
    double price = 0.16;      ///< simple return; (0, 0.95]
    double volatility = 0.3;  ///< relative; [0, 0.95]
  };
  Ranges ranges = {};                                ///< of underlyings that are not named
  std::map<std::string, Ranges> by_underlying = {};  ///< by name
  double extreme_multiple = 3;  ///< of the price range; [1, 20]; a fall is <= 95 %
  double extreme_share = 0.33;  ///< of the extreme P&L that counts; (0, 1]
};

/// A portfolio margin like Deribit's segregated one (S:PM), per underlying and settlement currency:
/// worst of a matrix of price and volatility moves and of an extended table of far moves, plus a
/// shock of large deltas and one of the delta of each expiry. The defaults are those of BTC in the
/// example response of private/pme/simulate in the venue's API documentation.
struct PortfolioMarginParameters {
  struct Pair {                          ///< an underlying
    double price_range = 0.16;           ///< simple return; (0, 0.95]
    double volatility_up = 0.5;          ///< relative, of a 30-day volatility; [0, 10]
    double volatility_down = 0.25;       ///< likewise; [0, 0.95]
    double short_term_vega_power = 0.3;  ///< below 30 days; [0, 1]
    double long_term_vega_power = 0.13;  ///< from 30 days; [0, 1]
    double volatility_up_least = 0.5;    ///< annual; volatility that goes up is at least this
    double extended_table_factor = 1;    ///< of P&L in the extended table; [0, 10]
    double delta_threshold_usd = 20e6;   ///< deltas beyond it are shocked; >= 0
    double delta_increment_per_coin = 0.00005;  ///< rate per coin beyond the threshold; [0, 1]
    double delta_shock_most = 0.1;              ///< most of that rate; [0, 1]
  };
  struct Currency {                        ///< a settlement currency
    double extended_dampener_usd = 100e3;  ///< per price range beyond the first; >= 0
    double annualised_move_risk = 0.075;   ///< rate of the roll shock; [0, 1]
    double annualised_move_least = 0.01;   ///< of the delta of an expiry; [0, 1]
  };
  Pair pair = {};                                  ///< of underlyings that are not named
  std::map<std::string, Pair> by_underlying = {};  ///< by name
  Currency inverse = {};                           ///< settled in the coin
  Currency linear = {25e3, 0.1, 0.01};             ///< settled in USD
  double maintenance_factor = 0.8;                 ///< of the initial margin; (0, 1]
};

/// What one underlying and settlement of an account is charged, in the settlement currency (coins,
/// or USD).
struct PortfolioMargin {
  static constexpr std::size_t price_count = 9, volatility_count = 3, extended_count = 8;
  /// The moves of the extended table: simple returns.
  static constexpr std::array<double, extended_count> extended_moves{-0.66, -0.33, 0.5, 1,
                                                                     2,     3,     4,   5};

  std::uint32_t underlying = 0;  ///< index into Book::underlyings
  Settlement settlement = Settlement::linear;
  /// P&L, price-major from the lowest; volatility down, same, up.
  std::array<double, price_count * volatility_count> matrix{};
  std::array<double, extended_count> extended{};  ///< P&L after factor and dampener
  double worst_loss = 0;                          ///< of both, >= 0, rounded to 9 decimals
  double delta_shock = 0, roll_shock = 0;
  double initial_margin = 0, maintenance_margin = 0;
  double usd_per_unit = 1;  ///< of the settlement currency
};

/// USD per account of the book; `as_of` in seconds since the epoch, before every expiry. Throws
/// InputError where the parameters name an underlying that the book does not have, OperatingError
/// where a loss is not finite.
std::vector<double> span_margins(const SpanParameters& parameters, const Book& book,
                                 std::int64_t as_of);

/// Per account of the book, ascending by (underlying, settlement). Otherwise as above.
std::vector<std::vector<PortfolioMargin>> portfolio_margins(
    const PortfolioMarginParameters& parameters, const Book& book, std::int64_t as_of);

/// The files in configs/schemes/ hold the defaults above, which a key that is absent has too.
/// Throw InputError with every problem.
SpanParameters load_span_parameters(const std::filesystem::path& file);
PortfolioMarginParameters load_portfolio_margin_parameters(const std::filesystem::path& file);

}  // namespace shortfall
