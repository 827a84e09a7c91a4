// Factor moves that are held: the tails that a backend has, of one group and of many.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <vector>

#include "demo_run.hpp"
#include "host/analysis/whatif_paths.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

TEST(HeldPaths, HaveTheTailsOfTheBackend) {
  // Fewer paths than a pilot takes, no whole number of rows, and several pilots.
  for (const std::uint64_t path_count : {100u, 129u, 5000u, 20'000u})
    for (const std::uint32_t threads : {1u, 3u}) {
      DemoRun demo("", 1, path_count);
      demo.config().compute.thread_count = threads;
      RunInputs inputs = load_inputs(demo.config());
      std::erase_if(inputs.book.positions, [](const Position& p) { return p.account != 99; });
      Plan plan = build_plan(demo.config(), inputs);
      ASSERT_EQ(plan.groups.size(), 1u);
      const HeldPaths paths(plan, demo.config().compute, {});
      EXPECT_EQ(paths.bytes(), (path_count + 63) / 64 * 64 * plan.model.factor_count * 8);
      std::vector<float> losses(paths.float_count());
      const auto sorted = [](std::vector<std::uint64_t> keys) {
        EXPECT_EQ(*std::ranges::min_element(keys), keys.back());
        std::ranges::sort(keys);
        return keys;
      };
      const auto want = make_backend(demo.config().compute)->simulate(plan, {0, path_count}, {});
      float* const row[] = {losses.data()};
      EXPECT_EQ(sorted(paths.tails(plan, nullptr, row).keys), sorted(want.keys));
      const PathTrace trace = trace_paths(plan, 0, static_cast<std::uint32_t>(path_count));
      losses.resize(path_count);
      EXPECT_EQ(losses, trace.losses);
    }
}

TEST(HeldPaths, RevalueManyGroupsAtOnce) {
  constexpr std::uint64_t path_count = 20'000;
  for (const std::uint32_t threads : {1u, 3u}) {
    DemoRun demo("", 1, path_count);
    demo.config().compute.thread_count = threads;
    const Plan plan = build_plan(demo.config(), load_inputs(demo.config()));
    ASSERT_GT(plan.groups.size(), 100u);
    const HeldPaths paths(plan, demo.config().compute, {});
    Tails want = make_backend(demo.config().compute)->simulate(plan, {0, path_count}, {});
    std::vector<std::uint64_t> done;
    Tails got = paths.tails(plan, nullptr, {}, [&](std::uint64_t p) { done.push_back(p); });
    EXPECT_EQ(done.back(), path_count);
    EXPECT_TRUE(std::ranges::is_sorted(done));
    const auto sort_groups = [](Tails& tails) {
      for (auto g = tails.keys.begin(); g != tails.keys.end(); g += std::ptrdiff_t(tails.count))
        std::sort(g, g + std::ptrdiff_t(tails.count));
    };
    sort_groups(want);
    sort_groups(got);
    EXPECT_EQ(got.keys, want.keys);
    int calls = 0;
    const Progress stop = [&](std::uint64_t) {
      if (++calls == 3) throw std::runtime_error("stop");
    };
    EXPECT_THROW(paths.tails(plan, nullptr, {}, stop), std::runtime_error);
    EXPECT_GE(calls, 3);
    EXPECT_LE(calls, 2 + static_cast<int>(threads)) << "each of the others ends what it is at";
  }
}

TEST(HeldPaths, FindATailThatThePilotsMiss) {
  // A group that holds nothing but what was lost before, which is the worse the earlier the path:
  // what the first paths suggest as a threshold is above nearly all others.
  constexpr std::uint64_t path_count = 20'000;
  DemoRun demo("", 1, path_count);
  Plan plan = build_plan(demo.config(), load_inputs(demo.config()));
  const auto row = static_cast<std::uint32_t>(plan.instruments.size());
  plan.holdings = {{row | core::Holding::last_of_block | core::Holding::last_of_superblock, -1.0f}};
  plan.group_begin = {0, 1};
  plan.groups.resize(1);
  const HeldPaths paths(plan, demo.config().compute, {});
  std::vector<float> before(paths.float_count());
  for (std::size_t p = 0; p < before.size(); ++p) before[p] = 1.0f / static_cast<float>(p + 1);
  std::vector<float> losses(paths.float_count());
  float* const rows[] = {losses.data()};
  std::vector<std::uint64_t> keys = paths.tails(plan, before.data(), rows).keys;
  EXPECT_EQ(losses, before);
  std::ranges::sort(keys, std::greater<>());
  ASSERT_EQ(keys.size(), 201u);
  for (std::uint32_t p = 0; p < keys.size(); ++p) EXPECT_EQ(keys[p], core::tail_key(before[p], p));
}

}  // namespace
}  // namespace shortfall
