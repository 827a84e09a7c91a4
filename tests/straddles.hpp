// Books for the margin schemes, and an independent Black formula by libm.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "books.hpp"
#include "shortfall/schemes.hpp"

namespace shortfall {

/// Margins of the first account.
inline std::vector<PortfolioMargin> first_margins(
    const MemoryBook& book, const PortfolioMarginParameters& parameters = {}) {
  return portfolio_margins(parameters, book.book(), book.config.as_of).front();
}

inline double first_scan(const MemoryBook& book, const SpanParameters& parameters = {}) {
  return span_margins(parameters, book.book(), book.config.as_of).front();
}

/// Black (1976), undiscounted, by libm.
inline double black(bool is_call, double forward, double strike, double v) {
  const auto normal = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  const double d1 = std::log(forward / strike) / v + v / 2, d2 = d1 - v;
  return is_call ? forward * normal(d1) - strike * normal(d2)
                 : strike * normal(-d2) - forward * normal(-d1);
}

/// A call and put of one expiry and settlement, sold or bought.
struct Straddle {
  static constexpr double spot = 2000, forward = 2040, iv = 0.4;
  Settlement settlement = Settlement::linear;
  double days = 40;
  double volatility_down = 0, volatility_up = 0;  ///< as the portfolio margin moves them
  double contracts = -3;
  double strike = 2100;

  MemoryBook book() const {
    MemoryBook book;
    const std::uint32_t underlying = book.add_underlying(spot), account = book.add_account();
    const auto expiry = book.config.as_of + static_cast<std::int64_t>(days * 86400);
    for (const InstrumentType type : {InstrumentType::call, InstrumentType::put})
      book.hold(account,
                book.add({{}, type, settlement, underlying, expiry, strike, 1, forward, iv}),
                contracts);
    return book;
  }

  /// V of both, or V / F where inverse.
  double value(double move, double volatility) const {
    const double moved = forward * (1 + move), v = volatility * std::sqrt(days / 365);
    const double usd = black(true, moved, strike, v) + black(false, moved, strike, v);
    return settlement == Settlement::inverse ? usd / moved : usd;
  }
  double pnl(double move, double volatility) const {
    return contracts * (value(move, volatility) - value(0, iv));
  }
  double pnl_usd(double move, double volatility) const {
    if (settlement == Settlement::linear) return pnl(move, volatility);
    return contracts * (value(move, volatility) * spot * (1 + move) - value(0, iv) * spot);
  }
};

// (30/10)^0.3 = 1.390389, (30/40)^0.13 = 0.963293, (30/1)^0.3 = 2.774195. Volatility goes up by
// 50 % and down by 25 % of that; a rise ends at 50 % or above, a fall at 1 % or above.
inline const Straddle straddles[] = {
    {Settlement::linear, 40, 0.4 * (1 - 0.25 * std::pow(30 / 40.0, 0.13)),
     0.4 * (1 + 0.5 * std::pow(30 / 40.0, 0.13))},
    {Settlement::linear, 10, 0.4 * (1 - 0.25 * std::pow(3, 0.3)),
     0.4 * (1 + 0.5 * std::pow(3, 0.3))},
    {Settlement::inverse, 40, 0.4 * (1 - 0.25 * std::pow(30 / 40.0, 0.13)),
     0.4 * (1 + 0.5 * std::pow(30 / 40.0, 0.13))},
    {Settlement::inverse, 0.5, 0.4 * (1 - 0.25 * std::pow(30, 0.3)),
     0.4 * (1 + 0.5 * std::pow(30, 0.3))},
    // 0.4 (1 + 0.5 (30/1000)^0.13) = 0.527.
    {Settlement::inverse, 1000, 0.4 * (1 - 0.25 * std::pow(0.03, 0.13)),
     0.4 * (1 + 0.5 * std::pow(0.03, 0.13))}};

// Both formulas lose a few ulps of the forward, 2040 USD or 1 coin, where options are deep in the
// money.
inline double black_rounding(Settlement settlement) {
  return settlement == Settlement::linear ? 2e-11 : 1e-14;
}

}  // namespace shortfall
