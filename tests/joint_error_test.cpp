// The error of accounts of several margin groups, which share paths.
#include "host/joint_error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "books.hpp"
#include "demo_run.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

/// From every loss of the paths, by the formula of the mean of what is averaged.
TEST(JointError, IsThatOfEveryPath) {
  DemoRun demo("", 1, 4000);
  RunConfig config = demo.config();
  config.risk.confidence_level = 0.975;  // k = 100
  RunInputs inputs = load_inputs(config);
  for (Account& account : inputs.book.accounts) account.mode = MarginMode::isolated;
  const Plan plan = build_plan(config, inputs);
  const auto backend = make_backend(config.compute);
  const std::vector<AccountMargin> margins =
      compute_margins(plan, inputs.book, backend->simulate(plan, {0, plan.path_count}, {}), {});
  const std::size_t n = plan.path_count;
  const PathTrace trace = trace_paths(plan, 0, static_cast<std::uint32_t>(n));
  int several = 0;
  for (std::size_t a = 0; a < margins.size(); ++a) {
    std::vector<double> e(n);
    for (std::uint32_t g = plan.accounts[a].group_begin; g < plan.accounts[a].group_end; ++g) {
      std::vector<double> losses;
      for (std::size_t p = 0; p < n; ++p)
        losses.push_back(std::ldexp(static_cast<double>(trace.losses[g * n + p]),
                                    plan.groups[g].scale_exponent));
      std::vector<double> sorted = losses;
      std::nth_element(sorted.begin(), sorted.begin() + 100, sorted.end(), std::greater<>());
      for (std::size_t p = 0; p < n; ++p) e[p] += std::max(0.0, losses[p] - sorted[100]);
    }
    double sum = 0, square = 0;
    for (const double x : e) {
      sum += x;
      square += x * x;
    }
    const double want = std::sqrt(square - sum * sum / static_cast<double>(n)) / 100;
    EXPECT_NEAR(margins[a].standard_error_usd, want, 1e-6 * want) << margins[a].account;
    several += plan.accounts[a].group_end - plan.accounts[a].group_begin > 1;
  }
  EXPECT_GT(several, 50);
}

/// Both ways to add up by path: many excesses for so many paths, and few.
TEST(JointError, HasTheSameBitsEitherWay) {
  std::mt19937 random(5);
  std::vector<std::vector<std::uint64_t>> tails(20);
  for (std::vector<std::uint64_t>& keys : tails) {
    for (std::uint32_t j = 0; j < 50; ++j)
      keys.push_back(core::tail_key(1 + static_cast<float>(random() % 99991) / 99991.0f,
                                    (j * 16 + random() % 16)));
    keys.push_back(core::tail_key(0.9f, 999));
  }
  JointError joint;
  const auto error = [&](std::uint64_t path_count, std::uint32_t scramblings) {
    for (std::size_t t = 0; t < tails.size(); ++t) joint.add(tails[t], t % 3 == 2 ? -0.3 : 1.7);
    return joint.take({50, 50, 51}, path_count, scramblings);
  };
  // A thousand excesses: an array for 1,000 paths, a sort for 100,000. The paths without any are in
  // (sum e)^2 / N alone, and not at all with scramblings.
  EXPECT_EQ(error(1'000, 8), error(100'000, 8));
  EXPECT_NEAR(error(1'000, 1) / error(100'000, 1), 1, 0.2);
  EXPECT_EQ(error(1'000, 1), error(1'000, 1));
}

/// Two coins in cross mode, long or short each, against the spread over seeds. Errors that are
/// added are sqrt 2 too large where the coins are independent.
TEST(JointError, IsTheSpreadOverSeeds) {
  constexpr int seed_count = 400;
  for (const Sampler sampler : {Sampler::philox, Sampler::sobol})
    for (const double correlation : {0.0, 0.9, -0.9}) {
      SCOPED_TRACE(fmt::format("{} {}", to_string(sampler), correlation));
      MemoryBook made(16384);
      made.config.risk.sampler = sampler;
      made.config.risk.confidence_level = 0.9;
      const std::uint32_t account = made.add_account(MarginMode::cross);
      for (const double deviation : {0.03, 0.036}) {
        const std::uint32_t coin = made.add_underlying(100);
        made.add_factor(coin, FactorKind::spot, deviation);
        made.hold(
            account,
            made.add({"", InstrumentType::perpetual, Settlement::linear, coin, 0, 0, 1, 0, 0}), 1);
      }
      made.correlate(0, 1, correlation);
      double sum = 0, square = 0, reported = 0, added = 0;
      for (int seed = 0; seed < seed_count; ++seed) {
        made.config.risk.seed = static_cast<std::uint64_t>(seed);
        const Plan plan = made.plan();
        ASSERT_EQ(plan.groups.size(), 2u);
        const Tails tails = simulate(made.config, plan, {0, plan.path_count});
        const AccountMargin margin = compute_margins(plan, made.book(), tails, {}).front();
        sum += margin.expected_shortfall_usd;
        square += margin.expected_shortfall_usd * margin.expected_shortfall_usd;
        reported += margin.standard_error_usd * margin.standard_error_usd / seed_count;
        double errors = 0;
        for (const GroupRisk& risk : group_risks(plan, tails)) errors += risk.standard_error_usd;
        added += errors * errors / seed_count;
      }
      const double found = (square - sum * sum / seed_count) / (seed_count - 1);
      // 399 found / variance is chi-square: its standard deviation is a share of 0.071. Under Sobol
      // the few outermost points make it wider.
      EXPECT_NEAR(reported / found, 1, 0.29);
      if (correlation <= 0) {
        EXPECT_GT(added / found, 1.4);
      }
    }
}

}  // namespace
}  // namespace shortfall
