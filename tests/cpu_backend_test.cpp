// The CPU backend on hostile losses: its own flow of pilots, thresholds, threads and redone groups,
// with losses that a test chooses for each path, against a plain sort. And losses that no margin
// can be made of, from a whole run.
#include "host/cpu/cpu_backend.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "host/cpu/tail_filter.hpp"
#include "shortfall/shortfall.hpp"
#include "shortfall/trace.hpp"
#include "tests/temporary_book.hpp"

namespace shortfall {
namespace {

using Keys = std::vector<std::uint64_t>;
using Losses = std::vector<float>;  // of every path
constexpr std::size_t row = core::row_path_count;

/// What the scripted loops below give as values: losses of each group, for path 0 and up. A table
/// of functions has nowhere else to look.
const std::vector<Losses>* scripted_losses = nullptr;

/// Real aggregation, after values that are minus the scripted losses: group g holds one of
/// instrument g.
CpuLoops scripted_loops(InstructionSet isa) {
  CpuLoops loops = cpu_loops(isa);
  loops.name = "scripted";
  loops.draw = [](const core::PlanArrays&, std::uint64_t first_path, double* normals, double*) {
    normals[0] = static_cast<double>(first_path);
  };
  loops.correlate = [](const core::PlanArrays&, const double* normals, const double*,
                       double* factors) { factors[0] = normals[0]; };
  loops.market_states = [](const core::PlanArrays&, const double* factors, float* states) {
    const auto first_path = static_cast<std::size_t>(factors[0]);
    bool is_tame = true;
    for (std::size_t g = 0; g < scripted_losses->size(); ++g)
      for (std::size_t p = 0; p < row; ++p) {
        const Losses& losses = (*scripted_losses)[g];
        const float loss = first_path + p < losses.size() ? losses[first_path + p] : 0.0f;
        states[g * row + p] = -loss;
        is_tame = is_tame && std::isfinite(loss);
      }
    return is_tame;
  };
  loops.revalue = [](const core::PlanArrays& plan, const float* states, float* values) {
    std::copy_n(states, plan.instrument_count * row, values);
  };
  return loops;
}

/// Group g holds one of instrument g and nothing else. With the real loops every loss is zero.
Plan scripted_plan(std::size_t group_count, std::uint64_t path_count, double confidence_level) {
  Plan plan;
  plan.path_count = path_count;
  plan.confidence_level = confidence_level;
  plan.tail = tail_size(path_count, confidence_level);
  plan.model.factor_count = 1;
  plan.model.loading = {0.0};
  plan.model.column_count = {1};
  plan.state_rows.resize(group_count);
  plan.groups.resize(group_count);
  for (std::uint32_t g = 0; g < group_count; ++g) {
    plan.linear_cells.push_back({g, g, g, 0.0f, 0.0f, 0.0f});
    plan.instruments.push_back(g);
    plan.listing_places.push_back(g);
    plan.holdings.push_back({g | plan.sum_ends(g, core::none), 1.0f});
    plan.group_begin.push_back(g);
  }
  plan.group_begin.push_back(group_count);
  return plan;
}

TEST(CpuBackend, RefusesAPlanLargerThanTheMachine) {
  const Plan plan = scripted_plan(1u << 16, std::uint64_t{1} << 32, 0.5);
  try {
    make_cpu_backend({})->simulate(plan, {0, 64}, {});
    FAIL();
  } catch (const OperatingError& error) {
    EXPECT_NE(std::string(error.what()).find("use fewer paths"), std::string::npos) << error.what();
  }
}

Losses losses_of(std::size_t count, const std::function<float(std::size_t)>& loss) {
  Losses losses(count);
  for (std::size_t p = 0; p < count; ++p) losses[p] = loss(p);
  return losses;
}

std::vector<Losses> hostile_losses(std::size_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto at = [](std::size_t p) { return static_cast<float>(p); };
  return {
      losses_of(n, [](std::size_t) { return 0.125f; }),
      losses_of(n, [](std::size_t) { return 0.0f; }),
      losses_of(n, [&](std::size_t) { return random() % 100 < 91 ? -0.25f : normal(random); }),
      losses_of(n, at),                                     // each a new maximum
      losses_of(n, [&](std::size_t p) { return -at(p); }),  // each a new minimum
      losses_of(n, [&](std::size_t p) { return p < n / 2 ? -9.0f : normal(random); }),
      losses_of(n,
                [&](std::size_t p) { return p < n / 8 ? 9.0f + normal(random) : normal(random); }),
      // Fewer above the pilot's threshold than are needed: redone.
      losses_of(n, [&](std::size_t p) { return p < n / 8 && p % 4 ? 9.0f : -at(p % 97); }),
      losses_of(n, [&](std::size_t p) { return p < n / 8 ? at(p % 50) : -at(p % 13); }),
      losses_of(n, [](std::size_t p) { return p % 2 ? 3e38f : -3e38f; }),
      losses_of(n, [](std::size_t p) { return p % 3 ? 1e-45f : -1e-45f; }),
      losses_of(n, [&](std::size_t) { return normal(random); }),
  };
}

Keys sorted(Keys keys) {
  std::sort(keys.begin(), keys.end(), std::greater<>());
  return keys;
}

void expect_worst(const Tails& tails, const std::vector<Losses>& losses, PathRange range) {
  ASSERT_EQ(tails.path_count, range.end - range.begin);
  for (std::size_t g = 0; g < losses.size(); ++g) {
    Keys want;
    for (std::uint64_t p = range.begin; p < range.end; ++p)
      want.push_back(core::tail_key(losses[g][p] + 0.0f, static_cast<std::uint32_t>(p)));
    want = sorted(want);
    want.resize(tails.count);
    EXPECT_EQ(sorted({tails.group(g), tails.group(g) + tails.count}), want) << "group " << g;
    EXPECT_EQ(tails.group(g)[tails.count - 1], want.back()) << "the least is last, group " << g;
  }
}

struct Shape {
  std::uint64_t path_count;
  double confidence_level;
};

TEST(CpuBackend, HostileLossesAgainstAPlainSort) {
  const Shape shapes[] = {{8192, 0.99}, {20'011, 0.95}, {5000, 0.5}, {1000, 0.999}};
  for (const auto& [path_count, confidence_level] : shapes) {
    const std::vector<Losses> losses = hostile_losses(path_count);
    scripted_losses = &losses;
    const Plan plan = scripted_plan(losses.size(), path_count, confidence_level);
    for (const InstructionSet isa : usable_instruction_sets())
      for (const std::uint32_t threads : {1u, 3u})
        for (const std::uint32_t tile : {64u, 256u}) {
          SCOPED_TRACE(testing::Message() << path_count << " paths, " << to_string(isa) << ", "
                                          << threads << " threads, tile " << tile);
          ComputeConfig config;
          config.thread_count = threads;
          config.tile_path_count = tile;
          const CpuLoops loops = scripted_loops(isa);
          const PathRange all{0, path_count};
          expect_worst(make_cpu_backend(config, loops)->simulate(plan, all, {}), losses, all);
        }
  }
}

TEST(CpuBackend, PilotThatMisleadsIsRedone) {
  // Proves that the rows above reach the second pass: its paths are drawn twice.
  constexpr std::uint64_t path_count = 8192;
  static std::uint64_t rows_drawn;
  const auto rows_of = [&](const Losses& losses) {
    const std::vector<Losses> one = {losses};
    scripted_losses = &one;
    CpuLoops loops = scripted_loops(InstructionSet::generic);
    static auto real_revalue = loops.revalue;
    loops.revalue = [](const core::PlanArrays& plan, const float* states, float* values) {
      ++rows_drawn;
      real_revalue(plan, states, values);
    };
    rows_drawn = 0;
    ComputeConfig config;
    config.thread_count = 1;
    const Plan plan = scripted_plan(1, path_count, 0.9);
    expect_worst(make_cpu_backend(config, loops)->simulate(plan, {0, path_count}, {}), one,
                 {0, path_count});
    return rows_drawn;
  };
  const auto descending = [](std::size_t p) { return -static_cast<float>(p); };
  EXPECT_EQ(rows_of(losses_of(path_count, descending)), 2 * path_count / row);
  EXPECT_EQ(rows_of(Losses(path_count, 1.0f)), path_count / row);
}

TEST(CpuBackend, RangesSmallerThanARowOrThanTheTail) {
  constexpr std::uint64_t path_count = 4000;
  const std::vector<Losses> losses = hostile_losses(path_count);
  scripted_losses = &losses;
  const Plan plan = scripted_plan(losses.size(), path_count, 0.95);  // 201 are kept
  const CpuLoops loops = scripted_loops(InstructionSet::automatic);
  for (const std::uint32_t threads : {1u, 4u}) {
    ComputeConfig config;
    config.thread_count = threads;
    const auto backend = make_cpu_backend(config, loops);
    const PathRange ranges[] = {{0, 1},   {0, 63},    {1, 2},       {17, 80},     {63, 65},
                                {5, 205}, {100, 301}, {3999, 4000}, {3000, 4000}, {64, 3777}};
    for (const PathRange range : ranges) {
      SCOPED_TRACE(testing::Message() << range.begin << " to " << range.end);
      expect_worst(backend->simulate(plan, range, {}), losses, range);
    }
    Tails merged = backend->simulate(plan, {0, 1}, {});
    std::uint64_t begin = 1;
    for (const std::uint64_t end : {50ull, 51ull, 180ull, 200ull, 203ull, 2500ull, 4000ull}) {
      merged = merge(plan, backend->simulate(plan, {begin, end}, {}), merged);
      begin = end;
    }
    expect_worst(merged, losses, {0, path_count});
  }
}

TEST(CpuBackend, OneLossThatIsNotFiniteFailsTheRun) {
  constexpr std::uint64_t path_count = 8192;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()})
    for (const std::uint64_t path : {0ull, 1000ull, 8191ull})
      for (const std::uint32_t threads : {1u, 4u}) {
        std::vector<Losses> losses(
            3, losses_of(path_count, [](std::size_t p) { return static_cast<float>(p % 101); }));
        losses[1][path] = bad;
        if (path < 8000) losses[2][8000] = bad;
        scripted_losses = &losses;
        ComputeConfig config;
        config.thread_count = threads;
        const CpuLoops loops = scripted_loops(InstructionSet::automatic);
        const auto backend = make_cpu_backend(config, loops);
        Plan plan = scripted_plan(losses.size(), path_count, 0.99);
        try {
          backend->simulate(plan, {0, path_count}, {});
          ADD_FAILURE() << bad << " on path " << path << " became a tail";
        } catch (const LossError& error) {
          EXPECT_EQ(error.path, path) << bad;
        }
      }
}

/// A book whose prices leave the range of float on some paths: the daily deviation is 40, so that
/// e^x overflows on about one path in 36 and vanishes on as many.
std::string failure_of(const std::string& position, std::uint32_t thread_count) {
  TemporaryBook book;
  book.write("positions.csv", "account,instrument,quantity\nann,ETH-PERP,0.001\n" + position);
  book.write("covariance.csv", "factor,BTC.spot,ETH.spot\nBTC.spot,1600,0\nETH.spot,0,1e-4\n");
  RunConfig config = load_config(book.path("run.toml"));
  config.risk.path_count = 10'000;
  config.compute.backend = BackendChoice::cpu;
  config.compute.thread_count = thread_count;
  try {
    run(config);
    return "no failure";
  } catch (const OperatingError& error) {
    return error.what();
  }
}

TEST(CpuBackend, OverflowingMarketNamesAccountPathAndInstrument) {
  struct Row {
    const char* position;  // gains overflow as losses do
    const char* instrument;
  };
  const Row rows[] = {{"zoe,BTC-C,1\n", "BTC-C"},
                      {"zoe,BTC-C,-1\n", "BTC-C"},
                      {"zoe,BTC-F,5\n", "BTC-F"},
                      {"zoe,BTC-F,-5\n", "BTC-F"}};
  for (const Row& row_of_table : rows) {
    const std::string failure = failure_of(row_of_table.position, 1);
    EXPECT_TRUE(failure.starts_with("account zoe: ")) << failure;
    EXPECT_NE(failure.find(" path "), std::string::npos) << failure;
    EXPECT_NE(failure.find(std::string("instrument ") + row_of_table.instrument), std::string::npos)
        << failure;
    for (const std::uint32_t threads : {2u, 5u})
      EXPECT_EQ(failure_of(row_of_table.position, threads), failure);
  }
}

TEST(CpuBackend, OverflowIsBlamedOnTheFirstSuchPath) {
  TemporaryBook book;
  book.write("positions.csv", "account,instrument,quantity\nzoe,BTC-C,-1\n");
  book.write("covariance.csv", "factor,BTC.spot\nBTC.spot,1600\n");
  RunConfig config = load_config(book.path("run.toml"));
  config.risk.path_count = 4096;
  const Plan plan = build_plan(config, load_inputs(config));
  const PathTrace trace = trace_paths(plan, 0, 4096);
  std::uint64_t first = 0;
  while (std::isfinite(trace.losses[first])) ++first;
  for (const InstructionSet isa : usable_instruction_sets()) {
    config.compute.instruction_set = isa;
    try {
      make_cpu_backend(config.compute)->simulate(plan, {0, plan.path_count}, {});
      ADD_FAILURE() << "no error";
    } catch (const LossError& error) {
      EXPECT_EQ(error.path, first) << to_string(isa);
      EXPECT_EQ(error.group, 0u);
      EXPECT_EQ(error.instrument, 0u);
    }
  }
}

}  // namespace
}  // namespace shortfall
