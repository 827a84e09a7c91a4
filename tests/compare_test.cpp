// The comparison of schemes: its expected shortfalls are those of runs.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "demo_run.hpp"
#include "shortfall/compare.hpp"

namespace shortfall {
namespace {

/// The demonstration book with every account in one mode.
std::vector<AccountMargin> margins_in(MarginMode mode, DemoRun& demo) {
  RunConfig config = demo.config();
  RunInputs inputs = load_inputs(config);
  for (Account& account : inputs.book.accounts) account.mode = mode;
  const Plan plan = build_plan(config, inputs);
  const Tails tails = make_backend(config.compute)->simulate(plan, {0, config.risk.path_count}, {});
  return compute_margins(plan, inputs.book, tails, config.margin);
}

TEST(Compare, ShortfallsAreThoseOfRuns) {
  DemoRun demo("multiplier = 1.25\n");
  const Comparison comparison = compare(demo.config());
  const auto margins = demo.margins(), portfolio = margins_in(MarginMode::portfolio, demo),
             cross = margins_in(MarginMode::cross, demo),
             isolated = margins_in(MarginMode::isolated, demo);
  ASSERT_EQ(comparison.accounts.size(), margins.size());
  for (std::size_t a = 0; a < margins.size(); ++a) {
    const AccountComparison& row = comparison.accounts[a];
    SCOPED_TRACE(row.account);
    EXPECT_EQ(row.account, margins[a].account);
    EXPECT_EQ(row.mode, margins[a].mode);
    EXPECT_EQ(row.gross_notional_usd, margins[a].gross_notional_usd);
    EXPECT_EQ(row.margin_usd, margins[a].margin_usd);
    EXPECT_EQ(row.portfolio_usd, portfolio[a].margin_usd);
    EXPECT_EQ(row.cross_usd, cross[a].margin_usd);
    // Losses of one contract are rounded at other places than those of many.
    EXPECT_NEAR(row.isolated_usd, isolated[a].margin_usd, 1e-6 * row.gross_notional_usd);
    EXPECT_GT(row.isolated_usd, 0);
    // Without offsets it is never cheaper (subadditivity), but for the rounding of losses.
    EXPECT_GE(row.cross_usd, row.portfolio_usd - 1e-6 * row.gross_notional_usd);
    EXPECT_GE(row.isolated_usd, row.cross_usd - 1e-6 * row.gross_notional_usd);
  }
}

TEST(Compare, MarginHasEveryComponentAndTheSchemesNone) {
  DemoRun plain(""), full(every_component);
  const Comparison without = compare(plain.config()), with = compare(full.config());
  const std::vector<AccountMargin> margins = full.margins();
  for (std::size_t a = 0; a < margins.size(); ++a) {
    EXPECT_EQ(with.accounts[a].margin_usd, margins[a].margin_usd);
    EXPECT_GT(with.accounts[a].margin_usd, without.accounts[a].margin_usd);
    EXPECT_EQ(with.accounts[a].span_usd, without.accounts[a].span_usd);
    EXPECT_EQ(with.accounts[a].portfolio_margin_usd, without.accounts[a].portfolio_margin_usd);
  }
}

TEST(Compare, BytesDoNotDependOnTheMachine) {
  DemoRun demo("");
  const std::string want = format_comparison(compare(demo.config()));
  EXPECT_EQ(want.substr(0, want.find('\n')),
            "account,mode,gross_notional,margin,es_portfolio,es_cross,es_isolated,span,"
            "portfolio_margin");
  for (const InstructionSet isa : usable_instruction_sets())
    for (const std::uint32_t threads : {1u, 3u}) {
      demo.config().compute.instruction_set = isa;
      demo.config().compute.thread_count = threads;
      EXPECT_EQ(format_comparison(compare(demo.config())), want) << to_string(isa) << threads;
    }
}

TEST(Compare, WorstOfNowAndHorizonAndCollateralThatIsSimulated) {
  DemoRun demo("[margin.collateral]\nsimulate = true\n");
  demo.config().risk.revalue_at = RevalueAt::worst;
  const Comparison comparison = compare(demo.config());
  const std::vector<AccountMargin> margins = demo.margins();
  for (std::size_t a = 0; a < margins.size(); ++a) {
    const AccountComparison& row = comparison.accounts[a];
    EXPECT_EQ(row.margin_usd, margins[a].margin_usd) << row.account;
    const double of_mode = row.mode == MarginMode::portfolio ? row.portfolio_usd
                           : row.mode == MarginMode::cross   ? row.cross_usd
                                                             : row.margin_usd;
    EXPECT_EQ(of_mode, row.margin_usd) << row.account;
  }
}

}  // namespace
}  // namespace shortfall
