// A call less a put is a forward: hedged books lose nothing but rounding on any path.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "books.hpp"

namespace shortfall {
namespace {

struct ParityCase {
  const char* name;
  Settlement settlement;
  std::int64_t expiry_hours;
};

void PrintTo(const ParityCase& parity, std::ostream* out) { *out << parity.name; }

class Parity : public testing::TestWithParam<ParityCase> {};

/// An account per strike, forward and volatility, each long a call, short a put and short the
/// forward.
MemoryBook make_hedged(const ParityCase& parity) {
  using enum InstrumentType;
  MemoryBook made;
  constexpr double spot_usd = 97'531.25;
  const std::uint32_t coin = made.add_underlying(spot_usd);
  made.add_factor(coin, FactorKind::spot, 0.5);
  made.add_factor(coin, FactorKind::vol, 0.5, 30);
  made.add_factor(coin, FactorKind::skew, 0.2);
  made.add_factor(coin, FactorKind::basis, 0.05);
  const std::uint32_t spot_coin = made.add({"", spot, Settlement::linear, coin});
  const std::int64_t expiry = made.config.as_of + parity.expiry_hours * hour_seconds;
  for (const double forward_ratio : {0.97, 1.0, 1.04}) {
    const double forward = spot_usd * forward_ratio;
    const std::uint32_t dated =
        made.add({"", future, parity.settlement, coin, expiry, 0, 1, forward, 0});
    for (const double strike_ratio : {0.3, 0.8, 1.0, 1.04, 1.3, 3.0}) {
      for (const double volatility : {0.1, 0.7, 3.0}) {
        const double strike = spot_usd * strike_ratio;
        const auto add = [&](InstrumentType type) {
          return made.add(
              {"", type, parity.settlement, coin, expiry, strike, 1, forward, volatility});
        };
        constexpr double size = 1.37;
        const std::uint32_t account = made.add_account();
        made.hold(account, add(call), size);
        made.hold(account, add(put), -size);
        if (parity.settlement == Settlement::linear) {
          made.hold(account, dated, -size);
          continue;
        }
        // (F - K) / F in coin: K USD of the inverse future, and 1 - K/F0 coins that it lacks.
        made.hold(account, dated, -size * strike);
        made.hold(account, spot_coin, -size * (1 - strike / forward));
      }
    }
  }
  return made;
}

// 2^-24 is one rounding of a value as large as S1/S0, and no position is more than half of the
// gross: the values of the call and of what hedges it, a weight, and the joining of their sums.
constexpr double roundings_max = 2;

TEST_P(Parity, HedgedBooksLoseNothingButRounding) {
  const ParityCase& parity = GetParam();
  MemoryBook made = make_hedged(parity);
  const Plan plan = made.plan();
  const PathTrace trace = trace_paths(plan, 0, 4'096);
  const std::vector<double> ratios = spot_ratios(plan, made.inputs, trace);
  double worst = 0;
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const double gross =
        std::ldexp(plan.groups[g].gross_notional_usd, -plan.groups[g].scale_exponent);
    for (std::size_t p = 0; p < trace.path_count; ++p) {
      const std::size_t cell = g * trace.path_count + p;
      const double loss = std::abs(static_cast<double>(trace.losses[cell]));
      worst = std::max(worst, std::ldexp(loss, 24) / (ratios[cell] * gross));
    }
  }
  fmt::print("{}: at most {:.2f} roundings of the gross\n", parity.name, worst);
  EXPECT_LE(worst, roundings_max);
}

INSTANTIATE_TEST_SUITE_P(Books, Parity,
                         testing::Values(ParityCase{"linear, 1 year", Settlement::linear, 365 * 24},
                                         ParityCase{"linear, 2 days", Settlement::linear, 48},
                                         ParityCase{"linear, settled", Settlement::linear, 12},
                                         ParityCase{"inverse, 1 year", Settlement::inverse,
                                                    365 * 24},
                                         ParityCase{"inverse, 2 days", Settlement::inverse, 48},
                                         ParityCase{"inverse, settled", Settlement::inverse, 12}));

}  // namespace
}  // namespace shortfall
