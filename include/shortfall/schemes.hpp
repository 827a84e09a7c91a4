// Margin schemes of others, on the same positions and the same marks, to compare with: scenario
// margins, which revalue a book under a few moves of price and volatility instead of many paths.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "shortfall/book.hpp"

namespace shortfall {

/// A scan like that of SPAN (Chicago Mercantile Exchange 1988): per underlying the worst of 16
/// scenarios: price unchanged, and a third, two thirds and all of a range up and down, each with
/// volatility up and down; and an extreme move up and down of which only a share counts. Worst
/// losses of underlyings are added: no offsets.
struct SpanParameters {
  struct Ranges {
    double price = 0.16;      ///< simple return; (0, 0.95]
    double volatility = 0.3;  ///< relative; (0, 0.95]
  };
  Ranges ranges;                                ///< of underlyings that are not named
  std::map<std::string, Ranges> by_underlying;  ///< by name
  double extreme_multiple = 3;  ///< of the price range; [1, 20]; a fall stops at 95 %
  double extreme_share = 0.33;  ///< of the extreme loss that counts; (0, 1]
};

/// A portfolio margin like Deribit's segregated one (S:PM), per underlying and settlement currency:
/// worst of a matrix of price and volatility moves and of an extended table of far moves, plus a
/// shock of large deltas and one of the delta of each expiry.
struct PortfolioMarginParameters {
  struct Pair {  ///< of an underlying
    double price_range = 0.16;
    double volatility_up = 0.5, volatility_down = 0.25;  ///< relative, of 30 days
    double short_term_vega_power = 0.3;                  ///< below 30 days
    double long_term_vega_power = 0.13;
    double volatility_up_least = 0.5;  ///< annual: where volatility goes up it is at least this
    double extended_table_factor = 1;
    double delta_threshold_usd = 20e6;  ///< deltas beyond it are shocked
    double delta_increment = 0.00005;   ///< rate per coin beyond the threshold
    double delta_shock_most = 0.1;      ///< most of that rate
  };
  struct Currency {  ///< in which a book settles
    double extended_dampener_usd = 100e3;
    double annualised_move_risk = 0.075;
    double annualised_move_least = 0.01;
  };
  Pair pair;                                    ///< of underlyings that are not named
  std::map<std::string, Pair> by_underlying;    ///< by name
  Currency inverse;                             ///< settled in the coin
  Currency linear = {25e3, 0.1, 0.01};          ///< settled in USD
  double maintenance_factor = 0.8;
};

/// What one underlying and settlement of an account is charged, in the settlement currency (coins,
/// or USD).
struct PortfolioMargin {
  static constexpr std::size_t price_count = 9, volatility_count = 3, extended_count = 8;
  std::uint32_t underlying = 0;
  Settlement settlement = Settlement::linear;
  /// P&L, price-major from the lowest; volatility down, same, up.
  std::array<double, price_count * volatility_count> matrix{};
  std::array<double, extended_count> extended{};  ///< after factor and dampener
  double worst_loss = 0;    ///< of both, >= 0, rounded to 9 decimals
  double delta_shock = 0, roll_shock = 0;
  double initial_margin = 0, maintenance_margin = 0;
  double usd_per_unit = 1;  ///< of the settlement currency
};

/// USD per account of the book. `as_of` in seconds since the epoch, before every expiry.
std::vector<double> span_margins(const SpanParameters& parameters, const Book& book,
                                 std::int64_t as_of);

/// Per account of the book, ascending by (underlying, settlement).
std::vector<std::vector<PortfolioMargin>> portfolio_margins(
    const PortfolioMarginParameters& parameters, const Book& book, std::int64_t as_of);

/// The files in configs/schemes/ hold the defaults above. Throw InputError with every problem.
SpanParameters load_span_parameters(const std::filesystem::path& file);
PortfolioMarginParameters load_portfolio_margin_parameters(const std::filesystem::path& file);

}  // namespace shortfall
