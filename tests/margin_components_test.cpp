// The components together: that they add up, what switching one on changes and what it does not,
// and that the bytes of the result depend on nothing but the inputs.
#include <gtest/gtest.h>

#include <algorithm>

#include "demo_run.hpp"

namespace shortfall {
namespace {

TEST(MarginComponents, AddUpAndAreNeverNegative) {
  for (const char* tables : {every_component, "[margin.dependence]\ncombine = \"sum\"\n",
                             "floor = 1e5\n[margin.stress]\n"}) {
    MarginComponents total;
    for (const AccountMargin& margin : DemoRun(tables).margins()) {
      const MarginComponents& c = margin.components;
      for (const double part :
           {c.base, c.dependence, c.concentration, c.uncharged, c.liquidity, c.stress,
            c.procyclicality, c.funding, c.short_option_minimum, c.floor})
        EXPECT_GE(part, 0) << margin.account;
      EXPECT_EQ(margin.margin_usd, c.sum()) << margin.account;
      EXPECT_LE(margin.maintenance_margin_usd, margin.margin_usd) << margin.account;
      total.stress += c.stress;
      total.dependence += c.dependence + c.concentration;
      total.floor += c.floor;
    }
    EXPECT_GT(total.stress + total.dependence, 0) << tables;
    const bool has_floor = std::string(tables).find("floor") != std::string::npos;
    EXPECT_EQ(total.floor > 0, has_floor) << tables;
  }
}

TEST(MarginComponents, EveryComponentIsChargedToSomeone) {
  MarginComponents most;
  for (const AccountMargin& margin : DemoRun(every_component).margins()) {
    const MarginComponents& c = margin.components;
    most.dependence = std::max(most.dependence, c.dependence);
    most.concentration = std::max(most.concentration, c.concentration);
    most.liquidity = std::max(most.liquidity, c.liquidity);
    most.stress = std::max(most.stress, c.stress);
    most.procyclicality = std::max(most.procyclicality, c.procyclicality);
    most.funding = std::max(most.funding, c.funding);
    most.short_option_minimum = std::max(most.short_option_minimum, c.short_option_minimum);
    most.floor = std::max(most.floor, c.floor);
  }
  for (const double part :
       {most.dependence, most.concentration, most.liquidity, most.stress, most.procyclicality,
        most.funding, most.short_option_minimum, most.floor})
    EXPECT_GT(part, 0);
}

TEST(MarginComponents, OffByDefault) {
  const auto plain = DemoRun("multiplier = 1.3\n").margins();
  for (const AccountMargin& margin : plain) {
    EXPECT_EQ(margin.margin_usd, margin.components.base);
    EXPECT_EQ(margin.components.sum(), margin.components.base);
  }
  // Components that need no other simulation leave the first eight columns' risk as it was.
  const auto charged = DemoRun("multiplier = 1.3\n[margin.stress]\n").margins();
  ASSERT_EQ(charged.size(), plain.size());
  for (std::size_t a = 0; a < plain.size(); ++a) {
    EXPECT_EQ(charged[a].expected_shortfall_usd, plain[a].expected_shortfall_usd);
    EXPECT_EQ(charged[a].components.base, plain[a].components.base) << plain[a].account;
  }
}

TEST(MarginComponents, UpliftAddsStandardErrors) {
  const auto margins = DemoRun("multiplier = 2\nsampling_uplift = 3\n").margins();
  for (const AccountMargin& margin : margins) {
    if (margin.mode != MarginMode::portfolio) continue;
    const double want = 2 * (margin.expected_shortfall_usd + 3 * margin.standard_error_usd);
    EXPECT_EQ(margin.components.base, std::max(0.0, want)) << margin.account;
  }
}

TEST(MarginComponents, AccountsOfTwiceTheSize) {
  const char* const tables =
      "[margin.liquidity]\nfile = \"liquidity.csv\"\n[margin.stress]\n[margin.dependence]\n";
  const auto once = DemoRun(tables).margins(), twice = DemoRun(tables, 2).margins();
  ASSERT_EQ(once.size(), twice.size());
  int count = 0;
  for (std::size_t a = 0; a < once.size(); ++a) {
    const MarginComponents &x = once[a].components, &y = twice[a].components;
    EXPECT_EQ(y.base, 2 * x.base) << once[a].account;
    EXPECT_EQ(y.stress, 2 * x.stress) << once[a].account;
    EXPECT_EQ(y.dependence, 2 * x.dependence) << once[a].account;
    // The square root of a delta that is not 0 costs more than twice, vega exactly twice.
    EXPECT_GE(y.liquidity, 2 * x.liquidity * (1 - 1e-12)) << once[a].account;
    count += y.liquidity > 2 * x.liquidity * (1 + 1e-9);
  }
  EXPECT_GT(count, 50);
}

TEST(MarginComponents, WorstIsTheLargerOfNowAndHorizon) {
  const auto with = [](const char* time) {
    DemoRun run("");
    run.config().risk.revalue_at = std::string(time) == "now"       ? RevalueAt::now
                                   : std::string(time) == "horizon" ? RevalueAt::horizon
                                                                    : RevalueAt::worst;
    return run.margins();
  };
  const auto now = with("now"), horizon = with("horizon"), worst = with("worst");
  int now_count = 0, horizon_count = 0;
  for (std::size_t a = 0; a < worst.size(); ++a) {
    if (worst[a].mode != MarginMode::portfolio) continue;
    EXPECT_EQ(worst[a].expected_shortfall_usd,
              std::max(now[a].expected_shortfall_usd, horizon[a].expected_shortfall_usd));
    now_count += now[a].expected_shortfall_usd > horizon[a].expected_shortfall_usd;
    horizon_count += now[a].expected_shortfall_usd < horizon[a].expected_shortfall_usd;
  }
  EXPECT_GT(now_count, 0);
  EXPECT_GT(horizon_count, 0);
}

TEST(MarginComponents, MaintenanceAtAConfidenceOfItsOwn) {
  for (const AccountMargin& margin : DemoRun("maintenance = {confidence = 0.95}\n").margins()) {
    EXPECT_LE(margin.maintenance_margin_usd, margin.margin_usd) << margin.account;
    if (margin.expected_shortfall_usd > 0) {
      EXPECT_GT(margin.margin_usd, margin.maintenance_margin_usd) << margin.account;
    }
  }
}

TEST(MarginComponents, SameBytesWhateverComputes) {
  DemoRun run(every_component);
  run.config().risk.revalue_at = RevalueAt::worst;
  const std::string want = run.text();
  for (const InstructionSet set : usable_instruction_sets())
    for (const std::uint32_t threads : {1u, 3u}) {
      run.config().compute.instruction_set = set;
      run.config().compute.thread_count = threads;
      EXPECT_EQ(run.text(), want) << to_string(set) << ", " << threads << " threads";
    }
}

}  // namespace
}  // namespace shortfall
