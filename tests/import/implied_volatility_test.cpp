#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "host/import/implied_volatility.hpp"
#include "tests/import/import_files.hpp"

namespace shortfall::exchange {
namespace {

TEST(ImpliedVolatility, AtTheMoneyClosedForm) {
  // N(v/2) - N(-v/2) = erf(v / sqrt(8)).
  for (const double volatility : {0.02, 0.4, 3.0}) {
    const RelativeOption option{true, 1, 0.25};
    EXPECT_NEAR(black_premium(option, volatility), std::erf(volatility * 0.5 / std::sqrt(8.0)),
                2e-16);
  }
}

TEST(ImpliedVolatility, GivesTheMarkBack) {
  int solved_count = 0;
  for (const bool is_call : {true, false})
    for (const double years : {1e-5, 1e-3, 0.01, 0.2, 1.0, 5.0})
      for (double log_strike = -3; log_strike <= 3.01; log_strike += 0.25)
        for (const double volatility : {0.011, 0.05, 0.3, 0.8, 2.5, 9.9}) {
          const RelativeOption option{is_call, std::exp(log_strike), years};
          const double premium = black_premium(option, volatility);
          const double intrinsic = std::max(0.0, (is_call ? 1 : -1) * (1 - option.strike));
          const std::optional<double> found = implied_volatility(option, premium);
          // What rounding leaves above the intrinsic value, or below the bound, may be nothing.
          if (!found) {
            const double bound = is_call ? 1 : option.strike;
            EXPECT_LT(std::min(premium - intrinsic, bound - premium),
                      1e-13 * std::max(1.0, option.strike))
                << option.strike << ' ' << years << ' ' << volatility;
            continue;
          }
          ++solved_count;
          // Rounding of the premium and of its inverse: some ulps of the larger of F and K.
          EXPECT_NEAR(black_premium(option, *found), premium, 2e-15 * std::max(1.0, option.strike))
              << option.strike << ' ' << years << ' ' << volatility;
        }
  EXPECT_GT(solved_count, 850) << "of 1,800";
}

TEST(ImpliedVolatility, IsFoundWhereThePriceIsTiny) {
  // Far out of the money: 1e-40 of the forward still has a volatility, to 1e-9 of it.
  const RelativeOption option{true, 2.0, 0.01};
  const double premium = black_premium(option, 0.5);
  ASSERT_LT(premium, 1e-40);
  ASSERT_GT(premium, 0);
  EXPECT_NEAR(implied_volatility(option, premium).value(), 0.5, 5e-10);
}

TEST(ImpliedVolatility, IsEmptyWhereNoneGivesThePremium) {
  const RelativeOption call{true, 0.75, 0.1}, put{false, 0.75, 0.1};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double premium : {0.25, 0.05, 0.0, -1.0, 1.0, 1.5, nan})
    EXPECT_FALSE(implied_volatility(call, premium)) << premium;
  for (const double premium : {0.0, -1e-9, 0.75, 2.0})
    EXPECT_FALSE(implied_volatility(put, premium)) << premium;
  const RelativeOption at_the_money{true, 1, 0.1};
  EXPECT_FALSE(implied_volatility(at_the_money, 0.5 * black_premium(at_the_money, 0.01)));
  EXPECT_FALSE(implied_volatility(at_the_money, 1.0001 * black_premium(at_the_money, 10)));
}

TEST(Reimply, SolvesFromTheMarkAndKeepsThePublishedWhereItCannot) {
  const double years = (71 * 86'400 - 5'400) / (365.0 * 86'400);
  const double premium = black_premium({true, 95000.0 / 97000, years}, 0.45);
  ImportFiles files;
  files.add("a.json",
            envelope({call_summary().with("mark_price", fmt::format("{}", premium)),
                      option_summary("BTC-27MAR26-90000-C", "BTC-27MAR26", 97000, 0.01, 41),
                      option_summary("BTC-27MAR26-900000-C", "BTC-27MAR26", 97000, 0, 90),
                      option_summary("BTC-16JAN26-60000-P", "SYN.BTC-16JAN26", 96000, 1e-9, 80),
                      option_summary("BTC-27MAR26-91000-C", "BTC-27MAR26", 97000, 0.001, 0)}));
  files.options.reimplies = true;
  const ImportedChain chain = files.import();
  EXPECT_NEAR(find(chain, "BTC-27MAR26-95000-C").terms.mark_iv, 0.45, 1e-13);
  EXPECT_DOUBLE_EQ(find(chain, "BTC-27MAR26-90000-C").terms.mark_iv, 0.41) << "below intrinsic";
  EXPECT_DOUBLE_EQ(find(chain, "BTC-27MAR26-900000-C").terms.mark_iv, 0.9) << "a mark of 0";
  EXPECT_DOUBLE_EQ(find(chain, "BTC-16JAN26-60000-P").terms.mark_iv, 0.8) << "insensitive";
  EXPECT_EQ(count_of(chain.remarks, "outside what a volatility can give: the published"), 2u);
  EXPECT_EQ(count_of(chain.remarks, "insensitive"), 1u);
  EXPECT_EQ(count_of(chain.left_out, "none in [0.01, 10] published"), 1u);
  EXPECT_THROW(find(chain, "BTC-27MAR26-91000-C"), std::out_of_range);
}

}  // namespace
}  // namespace shortfall::exchange
