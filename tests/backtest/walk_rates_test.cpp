// The whole walk tested: how often a right model is rejected whose parameters are not known but
// estimated from a window, as they always are.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "fmt/format.h"
#include "host/backtest/evaluation.hpp"
#include "host/backtest/walk.hpp"
#include "tests/calibrate/simulated.hpp"

namespace shortfall::backtest {
namespace {

constexpr std::size_t past_count = 1000, date_count = 500;

bool is_long() { return std::getenv("SHORTFALL_LONG_TESTS") != nullptr; }

/// A coin with a daily deviation of 4 %, t with 5 degrees of freedom; after the past its deviation
/// is `factor` times that.
FactorChanges history(double factor, std::uint32_t seed) {
  Draws draws(seed);
  Eigen::MatrixXd rows(past_count + date_count, 1);
  for (Eigen::Index t = 0; t < rows.rows(); ++t)
    rows(t, 0) = 0.04 * (t < static_cast<Eigen::Index>(past_count) ? 1 : factor) * draws.mixing(5) *
                 draws.normal();
  return changes_of(rows);
}

struct Setting {
  std::size_t window_count;
  bool is_calibrated_once = false;
  double factor = 1;
};

/// Rejections, of histories, by test and level.
struct Counts {
  std::size_t history_count = 0;
  std::map<std::string, std::size_t> rejections;
  std::size_t any = 0;

  double rate(const std::string& name) const {
    const auto found = rejections.find(name);
    return found == rejections.end()
               ? 0
               : static_cast<double>(found->second) / static_cast<double>(history_count);
  }
};

Counts count_rejections(const Setting& setting, std::size_t history_count, std::uint32_t seed) {
  WalkSettings settings;
  settings.from = 86'400 * static_cast<std::int64_t>(past_count + 1);
  settings.to = 86'400 * static_cast<std::int64_t>(past_count + date_count);
  settings.window_count = setting.window_count;
  if (setting.is_calibrated_once) settings.calibration_date = settings.from - 86'400;
  settings.path_count = 20'000;
  const std::vector<HeldBook> books = {{"long", {{"A", 1000}}}};
  Counts counts;
  counts.history_count = history_count;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < history_count; ++i) {
    const auto history_seed = seed + static_cast<std::uint32_t>(i);
    settings.seed = history_seed;
    Walk walk;
    try {
      walk = walk_history(history(setting.factor, history_seed), {}, books, settings);
    } catch (const InputError&) {
      ++refused;
      --counts.history_count;
      continue;
    }
    bool is_rejected = false;
    for (const Evaluation& evaluation : evaluate(walk, 999, history_seed)) {
      for (const std::string& test : evaluation.rejected_by())
        ++counts.rejections[fmt::format("{} {}", test, evaluation.confidence_level)];
      is_rejected = is_rejected || !evaluation.rejected_by().empty();
    }
    counts.any += is_rejected;
  }
  for (const auto& [name, count] : counts.rejections)
    std::printf("  %s: %.3f\n", name.c_str(), counts.rate(name));
  std::printf("  any: %zu of %zu, refused %zu\n", counts.any, counts.history_count, refused);
  std::fflush(stdout);
  return counts;
}

TEST(WalkRates, X) {
  const std::size_t n = is_long() ? 1000 : 20;
  for (const std::size_t window : {250u, 500u, 1000u}) {
    std::printf("window %zu\n", window);
    count_rejections({window}, n, 1);
  }
  std::printf("twice\n");
  count_rejections({1000, true, 2}, n, 1);
}

}  // namespace
}  // namespace shortfall::backtest
