// The whole walk tested: how often it rejects a right model whose parameters are not known but
// estimated from a window, as they always are, and one that is wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "fmt/format.h"
#include "host/backtest/evaluation.hpp"
#include "host/backtest/walk.hpp"
#include "tests/calibrate/simulated.hpp"
#include "tests/long_share.hpp"

namespace shortfall::backtest {
namespace {

/// A fortieth where long tests do not run.
const double share = std::max(0.025, long_share());
const std::size_t date_count = 500, window_count = 250;

/// A coin with a daily deviation of 4 %, t with 5 degrees of freedom; in the dates of the test
/// `factor` times that.
FactorChanges history(double factor, std::uint32_t seed) {
  Draws draws(seed);
  Eigen::MatrixXd rows(window_count + date_count, 1);
  for (Eigen::Index t = 0; t < rows.rows(); ++t)
    rows(t, 0) = 0.04 * (t < static_cast<Eigen::Index>(window_count) ? 1 : factor) *
                 draws.mixing(5) * draws.normal();
  return changes_of(rows);
}

/// Shares of histories, by test and level.
using Rates = std::map<std::string, double>;

std::string text_of(const Rates& rates) {
  std::string text;
  for (const auto& [name, rate] : rates) text += fmt::format("  {}: {:.3f}\n", name, rate);
  return text;
}

Rates rejection_rates(double factor, bool learns, std::size_t count) {
  WalkSettings settings;
  settings.from = 86'400 * static_cast<std::int64_t>(window_count + 1);
  settings.to = 86'400 * static_cast<std::int64_t>(window_count + date_count);
  settings.window_count = window_count;
  if (!learns) settings.calibration_date = settings.from - 86'400;
  settings.path_count = 20'000;
  Rates counts;
  for (std::uint32_t seed = 1; seed <= count; ++seed) {
    settings.seed = seed;
    const Walk walk = walk_history(history(factor, seed), {}, {{"long", {{"A", 1000}}}}, settings);
    for (const Evaluation& evaluation : evaluate(walk, 999, seed)) {
      for (const std::string& test : evaluation.rejected_by())
        ++counts[fmt::format("{} {}", test, evaluation.confidence_level)];
      counts[fmt::format("passes {}", evaluation.confidence_level)] +=
          evaluation.rejected_by().empty();
    }
  }
  for (auto& [name, number] : counts) number /= static_cast<double>(count);
  if (share > 0.025) fmt::print("{}  of {} histories\n", text_of(counts), count);
  return counts;
}

TEST(WalkRates, RightModelsOfEstimatedParameters) {
  const double count = std::round(1000 * share);
  const Rates rates = rejection_rates(1, true, static_cast<std::size_t>(count));
  // Measured are 1 to 8 % of a test, and 83 % pass all five; four standard errors.
  const auto error = [&](double rate) { return 4 * std::sqrt(rate * (1 - rate) / count); };
  for (const auto& [name, rate] : rates)
    if (name.starts_with("passes"))
      EXPECT_GE(rate, 0.83 - error(0.83)) << text_of(rates);
    else
      EXPECT_LE(rate, 0.08 + error(0.08)) << text_of(rates);
}

TEST(WalkRates, TwiceTheVolatilityIsRejectedWhereTheModelDoesNotLearnOfIt) {
  const Rates rates = rejection_rates(2, false, static_cast<std::size_t>(200 * share));
  for (const char* test : {"proportion", "joint", "Z2"})
    for (const char* level : {"0.975", "0.99"})
      EXPECT_GE(rates.at(fmt::format("{} {}", test, level)), 0.95) << text_of(rates);
}

}  // namespace
}  // namespace shortfall::backtest
