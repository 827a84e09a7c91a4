// The standard error of an account with several margin groups: against every loss, and against the
// spread over seeds.
#include "host/margin/joint_error.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "books.hpp"
#include "host/model/confidence_interval.hpp"
#include "host/run/margin_run.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

TEST(JointError, ByHand) {
  // After: losses 5, 3 and 1, the value at risk, on paths 1, 2, 3: excesses 4 and 2. Before, in
  // units of half a dollar: 8, 4 and 2 on paths 1, 4, 0: excesses 3 and 1 dollars. So s is 1, 2 and
  // -1 on paths 1, 2 and 4 of eight: se^2 = (6 - 2^2 / 8) / 2^2.
  const std::uint64_t after[] = {core::tail_key(3, 2), core::tail_key(5, 1), core::tail_key(1, 3)};
  const std::uint64_t before[] = {core::tail_key(8, 1), core::tail_key(4, 4), core::tail_key(2, 0)};
  JointError difference;
  difference.add(after, 1);
  difference.add(before, -0.5);
  EXPECT_DOUBLE_EQ(difference.standard_error({2, 2, 3}, 8), std::sqrt(5.5 / 4));
  // Two scramblings, even paths and odd: 2 - 1 and 1. Their mean of 1 has no spread.
  difference.add(after, 1);
  difference.add(before, -0.5);
  EXPECT_EQ(difference.standard_error({2, 2, 3}, 8, 2), 0);
  // After alone: 2 on even paths and 4 on odd. Estimates 2/2 and 4/2 times two: (1 + 1) / (2 * 1).
  difference.add(after, 1);
  EXPECT_DOUBLE_EQ(difference.standard_error({2, 2, 3}, 8, 2), 1);
}

std::vector<std::uint64_t> random_tail(std::mt19937& random, std::uint64_t whole,
                                       std::uint64_t path_count) {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t j = 0; j < whole; ++j)  // strata, so that no path is twice in a tail
    keys.push_back(core::tail_key(
        1 + static_cast<float>(random() % 4096) / 4096.0f,
        static_cast<std::uint32_t>(path_count / whole * j + random() % (path_count / whole))));
  std::shuffle(keys.begin(), keys.end(), random);
  keys.push_back(core::tail_key(0.5f, 0));
  return keys;
}

TEST(JointError, OfOneTailItsStandardError) {
  constexpr std::uint64_t whole = 50, path_count = 1000;
  std::mt19937 random(3);
  const std::vector<std::uint64_t> keys = random_tail(random, whole, path_count);
  JointError difference;
  difference.add(keys, 3);
  const TailSize tail{50, whole, whole + 1};
  const double want = core::tail_statistics(keys.data(), whole, 50, 0.95).standard_error /
                      std::pow(2.0, core::fixed_point_bits);
  // The same sums in another order.
  EXPECT_NEAR(difference.standard_error(tail, path_count), 3 * want, 1e-12 * want);
}

/// From the sums by path.
double error_of(const std::map<std::uint64_t, double>& by_path, double k, std::uint64_t path_count,
                std::uint32_t scrambling_count) {
  double sum = 0, square = 0;
  std::vector<double> estimates(scrambling_count);
  for (const auto& [path, s] : by_path) {
    sum += s;
    square += s * s;
    estimates[path % scrambling_count] += s * scrambling_count / k;
  }
  if (scrambling_count == 1)
    return std::sqrt(square - sum * sum / static_cast<double>(path_count)) / k;
  double spread = 0;
  for (const double estimate : estimates) spread += std::pow(estimate - sum / k, 2);
  return std::sqrt(spread / (scrambling_count * (scrambling_count - 1.0)));
}

/// Path numbers of one to three digits of the sort, and shared paths in all of them.
TEST(JointError, AddsUpByPath) {
  std::mt19937 random(5);
  JointError joint;
  for (const std::uint64_t path_count : {1ull << 10, 1ull << 20, 1ull << 32})
    for (const std::uint32_t scrambling_count : {1u, 16u}) {
      constexpr std::uint64_t whole = 512;
      std::map<std::uint64_t, double> by_path;
      std::vector<std::uint64_t> keys;
      for (int t = 0; t < 5; ++t) {
        if (t % 2 == 0) keys = random_tail(random, whole, path_count);  // else the same paths
        const double usd = 1 + t;
        joint.add(keys, usd);
        for (std::uint64_t j = 0; j < whole; ++j)
          by_path[core::tail_path(keys[j])] +=
              usd * (static_cast<double>(core::tail_loss(keys[j])) - 0.5);
      }
      const double want = error_of(by_path, whole, path_count, scrambling_count);
      EXPECT_NEAR(joint.standard_error({whole, whole, whole + 1}, path_count, scrambling_count),
                  want, 1e-12 * want);
    }
}

/// Three coins, the first two of which move together; calls that lose with time, held and sold, in
/// accounts of every mode.
MemoryBook small_book(Sampler sampler) {
  constexpr std::uint64_t path_count = 4096;
  MemoryBook made(path_count);
  made.config.risk.sampler = sampler;
  made.config.risk.confidence_level = 0.95;
  std::vector<std::uint32_t> instruments;
  for (int u = 0; u < 3; ++u) {
    const std::uint32_t coin = made.add_underlying(100 + u);
    made.add_factor(coin, FactorKind::spot, 0.03);
    instruments.push_back(made.add({"", InstrumentType::perpetual, Settlement::linear, coin}));
    instruments.push_back(made.add({"", InstrumentType::call, Settlement::linear, coin,
                                    made.config.as_of + 5 * day_seconds, 100, 1, 0, 0.8}));
  }
  made.correlate(0, 1, 0.7);
  for (const MarginMode mode : {MarginMode::portfolio, MarginMode::cross, MarginMode::isolated,
                                MarginMode::cross, MarginMode::isolated, MarginMode::isolated}) {
    const std::uint32_t account = made.add_account(mode);
    for (std::uint32_t i = 0; i < instruments.size(); ++i)
      if (account < 5 || i == 0)  // the last account has one group
        made.hold(account, instruments[i], (i + account) % 2 ? -1.0 - i : 2.0 + account);
  }
  return made;
}

struct EveryLoss {
  Plan plan;
  PathTrace trace;

  explicit EveryLoss(Plan of) : plan(std::move(of)) {
    trace = trace_paths(plan, 0, static_cast<std::uint32_t>(plan.path_count));
  }
  std::vector<double> usd(std::uint32_t group) const {
    std::vector<double> losses;
    for (std::uint64_t p = 0; p < plan.path_count; ++p)
      losses.push_back(std::ldexp(static_cast<double>(trace.losses[group * plan.path_count + p]),
                                  plan.groups[group].scale_exponent));
    return losses;
  }
};

/// Of an account of several groups, each at the one of several revaluations that it takes.
double error_from_losses(const std::vector<EveryLoss>& revaluations,
                         const std::vector<std::uint32_t>& revaluation_of, std::size_t account) {
  const Plan& plan = revaluations.front().plan;
  std::map<std::uint64_t, double> by_path;
  for (std::uint32_t g = plan.accounts[account].group_begin; g < plan.accounts[account].group_end;
       ++g) {
    const std::vector<double> losses = revaluations[revaluation_of[g]].usd(g);
    const double value_at_risk = reference::tail_risk(losses, plan.confidence_level).value_at_risk;
    for (std::uint64_t p = 0; p < plan.path_count; ++p)
      by_path[p] += std::max(0.0, losses[p] - value_at_risk);
  }
  return error_of(by_path, plan.tail.k, plan.path_count, plan.scrambling_count);
}

class AccountErrors : public testing::TestWithParam<Sampler> {};

TEST_P(AccountErrors, AreThoseOfEveryLoss) {
  MemoryBook made = small_book(GetParam());
  const std::vector<AccountMargin> margins = margins_of(made);
  const std::vector<EveryLoss> losses{EveryLoss(made.plan())};
  const Plan& plan = losses.front().plan;
  const Tails tails = simulate(made.config, plan, {0, plan.path_count});
  const std::vector<GroupRisk> risks = group_risks(plan, tails);
  const std::vector<std::uint32_t> first(plan.groups.size());
  for (std::size_t a = 0; a < margins.size(); ++a) {
    SCOPED_TRACE(a);
    const Plan::AccountSummary& account = plan.accounts[a];
    const double error = margins[a].standard_error_usd;
    EXPECT_EQ(margins[a].confidence_high_usd,
              margins[a].expected_shortfall_usd + interval_quantile(plan.scrambling_count) * error);
    if (account.group_end - account.group_begin == 1) {
      EXPECT_EQ(error, risks[account.group_begin].standard_error_usd);
      continue;
    }
    const double want = error_from_losses(losses, first, a);
    EXPECT_NEAR(error, want, 1e-12 * want);  // the same losses; sums in another order
    double sum = 0;
    for (std::uint32_t g = account.group_begin; g < account.group_end; ++g)
      sum += risks[g].standard_error_usd;
    EXPECT_LT(error, 0.95 * sum);
  }
  for (const std::uint32_t thread_count : {1u, 3u, 8u}) {
    const std::vector<double> errors_usd = account_errors_usd(
        plan, risks, [&](std::uint32_t g) { return std::span(tails.group(g), tails.count); },
        thread_count);
    for (std::size_t a = 0; a < margins.size(); ++a)
      EXPECT_EQ(errors_usd[a], margins[a].standard_error_usd);
  }
}

/// Where each group takes the worse of now and horizon, so does what it adds on a path.
TEST_P(AccountErrors, JoinTheRevaluationsThatGroupsTake) {
  MemoryBook made = small_book(GetParam());
  made.sort_positions();
  made.config.risk.revalue_at = RevalueAt::worst;
  RunBackends backends(made.config.compute);
  std::vector<std::string> warnings;
  MarginRun run(made.config, backends, {}, warnings);
  BaseRun base = run.plan_simulated(made.inputs);
  run.simulate(base);
  std::vector<EveryLoss> losses;
  for (const SimulatedPlan& revaluation : base.revaluations) losses.emplace_back(revaluation.plan);
  ASSERT_EQ(losses.size(), 2u);
  const Plan& plan = losses.front().plan;
  bool has_both = false;
  for (std::size_t a = 0; a < plan.accounts.size(); ++a) {
    const Plan::AccountSummary& account = plan.accounts[a];
    if (account.group_end - account.group_begin == 1) continue;
    const double want = error_from_losses(losses, base.revaluation_of, a);
    EXPECT_NEAR(base.errors_usd[a], want, 1e-12 * want);
    for (std::uint32_t g = account.group_begin + 1; g < account.group_end; ++g)
      has_both |= base.revaluation_of[g] != base.revaluation_of[account.group_begin];
  }
  EXPECT_TRUE(has_both);
}

/// Coins that move apart: errors that add up as if they moved together are twice too large.
TEST_P(AccountErrors, AreTheSpreadOverSeeds) {
  constexpr int seed_count = 1024, coin_count = 4;
  for (const MarginMode mode : {MarginMode::cross, MarginMode::isolated}) {
    MemoryBook made(8192);
    made.config.risk.sampler = GetParam();
    made.config.risk.confidence_level = 0.95;
    const std::uint32_t account = made.add_account(mode);
    for (int u = 0; u < coin_count; ++u) {
      const std::uint32_t coin = made.add_underlying(100);
      made.add_factor(coin, FactorKind::spot, 0.03);
      made.hold(account, made.add({"", InstrumentType::perpetual, Settlement::linear, coin}),
                u % 2 ? 1 : -1);
    }
    double sum = 0, square = 0, variance = 0, variance_of_sum = 0;
    for (int seed = 0; seed < seed_count; ++seed) {
      made.config.risk.seed = static_cast<std::uint64_t>(seed);
      const Plan plan = made.plan();
      const Tails tails = simulate(made.config, plan, {0, plan.path_count});
      const AccountMargin margin = compute_margins(plan, made.book(), tails, {}).front();
      sum += margin.expected_shortfall_usd;
      square += std::pow(margin.expected_shortfall_usd, 2);
      variance += std::pow(margin.standard_error_usd, 2) / seed_count;
      double of_groups = 0;
      for (const GroupRisk& risk : group_risks(plan, tails)) of_groups += risk.standard_error_usd;
      variance_of_sum += of_groups * of_groups / seed_count;
    }
    const double spread = (square - sum * sum / seed_count) / (seed_count - 1);
    fmt::print("{}: variance reported / found {:.3f}, of the sum of errors {:.3f}\n",
               to_string(mode), variance / spread, variance_of_sum / spread);
    // 1023 spread / variance is chi-square with 1023 degrees of freedom: four standard deviations.
    const double tolerance = 4 * std::sqrt(2.0 / (seed_count - 1));
    EXPECT_NEAR(spread / variance, 1, tolerance);
    EXPECT_LT(spread / variance_of_sum, 1 - tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(, AccountErrors, testing::Values(Sampler::philox, Sampler::sobol),
                         [](const auto& row) { return std::string(to_string(row.param)); });

}  // namespace
}  // namespace shortfall
