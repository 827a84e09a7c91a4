// Rounds that simulate new paths only: what they join is a run of all paths.
#include "host/run/rounds.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "books.hpp"
#include "demo_run.hpp"
#include "host/run/margin_run.hpp"

namespace shortfall {
namespace {

struct Call {
  PathRange paths;
  std::size_t group_count;
};

/// The CPU; as a miser it keeps little more of a part than a run of that part would.
class Recorder final : public Backend {
 public:
  Recorder(const ComputeConfig& config, bool is_miser, std::vector<Call>& calls)
      : cpu_(make_backend(config)), is_miser_(is_miser), calls_(calls) {}

  BackendDescription describe(const Plan& plan) const override { return cpu_->describe(plan); }
  std::uint64_t bytes_needed(const Plan& plan) const override { return cpu_->bytes_needed(plan); }
  Tails simulate(const Plan& plan, PathRange range, const Progress& progress) override {
    calls_.push_back({range, plan.groups.size()});
    Plan less = plan;
    if (is_miser_) {
      const TailSize tail = tail_size(range.end - range.begin, plan.confidence_level);
      const auto more = static_cast<std::uint64_t>(0.7 * std::sqrt(tail.k));
      less.tail.count = std::min(less.tail.count, tail.count + more);
    }
    return cpu_->simulate(less, range, progress);
  }
  void replay(const Plan& plan, std::span<const std::uint32_t> paths,
              const UseValues& use) override {
    cpu_->replay(plan, paths, use);
  }
  PathTrace trace(const Plan& plan, std::uint64_t first_path, std::uint32_t count) override {
    return cpu_->trace(plan, first_path, count);
  }

 private:
  std::unique_ptr<Backend> cpu_;
  bool is_miser_;
  std::vector<Call>& calls_;
};

RunBackends recorded(const ComputeConfig& config, bool is_miser, std::vector<Call>& calls) {
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::make_unique<Recorder>(config, is_miser, calls));
  return {std::move(backends), {}};
}

constexpr std::uint64_t first_path_count = 4096, last_path_count = 65536;

/// Rounds of a book beside runs with as many paths.
class Beside {
 public:
  Beside(RunConfig config, RunInputs as_read, bool is_miser)
      : config_(std::move(config)),
        as_read_(std::move(as_read)),
        backends_(recorded(config_.compute, is_miser, calls)),
        honest_(config_.compute),
        run_(config_, backends_, progress_, warnings_),
        alone_(config_, honest_, progress_, warnings_) {}

  void round(std::uint64_t path_count) {
    config_.risk.path_count = path_count;
    base = run_.plan(as_read_);
    run_.simulate(base, rounds_);
    whole = alone_.plan(as_read_);
    alone_.simulate(whole);
  }
  void complete() { run_.complete(base, rounds_); }

  void expect_same_risks() const {
    ASSERT_EQ(base.risks.size(), whole.risks.size());
    for (std::size_t g = 0; g < whole.risks.size(); ++g) {
      EXPECT_EQ(base.risks[g].value_at_risk_usd, whole.risks[g].value_at_risk_usd);
      EXPECT_EQ(base.risks[g].expected_shortfall_usd, whole.risks[g].expected_shortfall_usd);
      EXPECT_EQ(base.risks[g].standard_error_usd, whole.risks[g].standard_error_usd);
    }
    EXPECT_EQ(base.errors_usd, whole.errors_usd);
    EXPECT_EQ(base.revaluation_of, whole.revaluation_of);
  }

  /// Groups whose tails have other keys.
  std::size_t different_count() const {
    std::size_t count = 0;
    for (std::size_t r = 0; r < whole.revaluations.size(); ++r)
      for (std::uint32_t g = 0; g < whole.risks.size(); ++g)
        count += sorted(base.revaluations[r].tails, g) != sorted(whole.revaluations[r].tails, g);
    return count;
  }

  std::vector<Call> calls;
  BaseRun base, whole;

 private:
  static std::vector<std::uint64_t> sorted(const Tails& tails, std::uint32_t group) {
    std::vector<std::uint64_t> keys(tails.group(group), tails.group(group) + tails.count);
    EXPECT_EQ(keys.back(), std::ranges::min(keys));
    std::ranges::sort(keys);
    return keys;
  }

  RunConfig config_;
  RunInputs as_read_;
  RunBackends backends_, honest_;
  Progress progress_;
  std::vector<std::string> warnings_;
  MarginRun run_, alone_;
  std::vector<Rounds> rounds_;
};

class EveryRound
    : public testing::TestWithParam<std::tuple<Sampler, RevalueAt, std::uint32_t, bool>> {};

TEST_P(EveryRound, IsARunOfItsPaths) {
  const auto [sampler, revalue_at, thread_count, is_miser] = GetParam();
  DemoRun demo("");
  RunConfig config = demo.config();
  config.risk.sampler = sampler;
  config.risk.revalue_at = revalue_at;
  config.compute.thread_count = thread_count;
  Beside beside(config, load_inputs(config), is_miser);
  std::uint64_t done = 0, some_groups_count = 0;
  for (std::uint64_t count = first_path_count; count <= last_path_count; count *= 2) {
    SCOPED_TRACE(count);
    beside.calls.clear();
    beside.round(count);
    beside.expect_same_risks();
    // Who keeps enough simulates the new paths, once per time of revaluation. The miser simulates
    // some groups from the first path.
    const std::size_t group_count = beside.whole.risks.size();
    std::size_t again_count = 0;
    for (const Call& call : beside.calls) {
      EXPECT_EQ(call.paths.end, count);
      if (call.paths.begin == done) {
        EXPECT_EQ(call.group_count, group_count);
      } else {
        EXPECT_EQ(call.paths.begin, 0u);
        ++again_count;
        some_groups_count += call.group_count < group_count;
      }
    }
    EXPECT_EQ(beside.calls.size() - again_count, beside.whole.revaluations.size());
    if (!is_miser || done == 0) {
      EXPECT_EQ(again_count, 0u);
    }
    ASSERT_EQ(beside.base.shares.size(), 1u);
    EXPECT_EQ(beside.base.shares[0].paths.begin, 0u);
    EXPECT_EQ(beside.base.shares[0].paths.end, count);
    done = count;
  }
  EXPECT_EQ(some_groups_count > 0, is_miser);
  beside.complete();
  EXPECT_EQ(beside.different_count(), 0u);
  beside.expect_same_risks();
}

INSTANTIATE_TEST_SUITE_P(, EveryRound,
                         testing::Combine(testing::Values(Sampler::philox, Sampler::sobol),
                                          testing::Values(RevalueAt::horizon, RevalueAt::worst),
                                          testing::Values(1u, 3u), testing::Bool()),
                         [](const auto& row) {
                           return fmt::format("{}_{}_{}_{}", to_string(std::get<0>(row.param)),
                                              to_string(std::get<1>(row.param)),
                                              std::get<2>(row.param),
                                              std::get<3>(row.param) ? "miser" : "enough");
                         });

/// A call that expires worthless on most paths: they all lose its premium, the lowest are the tail,
/// and the first half holds more of those than were kept.
TEST(Rounds, CompleteTheLowestOfManyPathsThatLoseTheSame) {
  for (const Sampler sampler : {Sampler::philox, Sampler::sobol}) {
    MemoryBook made;
    made.config.risk.sampler = sampler;
    const std::uint32_t coin = made.add_underlying(100);
    made.add_factor(coin, FactorKind::spot, 0.03);
    made.add_holder(made.add({"", InstrumentType::call, Settlement::linear, coin,
                              made.config.as_of + hour_seconds, 110, 1, 0, 1.5}),
                    1);
    made.add_holder(made.add({"", InstrumentType::perpetual, Settlement::linear, coin}), 1);
    made.sort_positions();
    Beside beside(made.config, made.inputs, false);
    for (std::uint64_t count = first_path_count; count <= last_path_count; count *= 2) {
      beside.round(count);
      beside.expect_same_risks();
    }
    EXPECT_EQ(beside.different_count(), 1u);
    beside.calls.clear();
    beside.complete();
    EXPECT_EQ(beside.different_count(), 0u);
    ASSERT_EQ(beside.calls.size(), 1u);
    EXPECT_EQ(beside.calls[0].group_count, 1u);
    EXPECT_EQ(beside.calls[0].paths.begin, 0u);
  }
}

}  // namespace
}  // namespace shortfall
