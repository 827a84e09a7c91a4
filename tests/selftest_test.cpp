// The self-test: its frozen hashes on every instruction set, what its book covers, and
// that a single bit that differs is seen, in the right stage.
#include "shortfall/selftest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>

#include "host/cpu/cpu_backend.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

ComputeConfig cpu(InstructionSet instruction_set, std::uint32_t thread_count = 1) {
  ComputeConfig config;
  config.backend = BackendChoice::cpu;
  config.instruction_set = instruction_set;
  config.thread_count = thread_count;
  return config;
}

void expect_equal(Backend& backend) {
  const SelftestResult result = selftest(backend);
  EXPECT_EQ(result.stages.size(), 9u);
  EXPECT_TRUE(result.is_equal());
  for (const SelftestStage& stage : result.stages)
    EXPECT_EQ(stage.hash, stage.expected_hash) << stage.name << " on " << result.backend.device;
}

TEST(Selftest, CpuInstructionSets) {
  for (const InstructionSet isa : usable_instruction_sets())
    for (const std::uint32_t threads : {1u, 3u}) {
      SCOPED_TRACE(to_string(isa));
      expect_equal(*make_backend(cpu(isa, threads)));
    }
}

/// The CPU, with something done to what it computes.
class TouchedBackend final : public Backend {
 public:
  BackendDescription describe(const Plan& plan) const override { return cpu_->describe(plan); }
  std::uint64_t bytes_needed(const Plan& plan) const override { return cpu_->bytes_needed(plan); }
  Tails simulate(const Plan& plan, PathRange range, const Progress& progress) override {
    seen = plan;
    Tails tails = cpu_->simulate(plan, range, progress);
    if (touch_tails) touch_tails(tails);
    return tails;
  }
  void replay(const Plan& plan, std::span<const std::uint32_t> paths,
              const UseValues& use) override {
    cpu_->replay(plan, paths, use);
  }
  PathTrace trace(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count) override {
    PathTrace trace = cpu_->trace(plan, first_path, path_count);
    if (touch_trace) touch_trace(trace);
    return trace;
  }

  std::optional<Plan> seen;
  std::function<void(PathTrace&)> touch_trace;
  std::function<void(Tails&)> touch_tails;

 private:
  std::unique_ptr<Backend> cpu_ = make_backend(cpu(InstructionSet::automatic));
};

std::vector<std::string> stages_that_differ(TouchedBackend& backend) {
  std::vector<std::string> names;
  for (const SelftestStage& stage : selftest(backend).stages)
    if (!stage.is_equal()) names.push_back(stage.name);
  return names;
}

/// One bit of the middle element.
template <class T>
void flip_lowest_bit(std::vector<T>& values) {
  reinterpret_cast<unsigned char*>(&values[values.size() / 2])[0] ^= 1;
}

TEST(Selftest, OneBitIsSeenInItsStage) {
  using Names = std::vector<std::string>;
  const std::map<std::string, std::function<void(PathTrace&)>> rows = {
      {"normals", [](PathTrace& t) { flip_lowest_bit(t.normals); }},
      {"mixing", [](PathTrace& t) { flip_lowest_bit(t.mixing); }},
      {"factors", [](PathTrace& t) { flip_lowest_bit(t.factors); }},
      {"states", [](PathTrace& t) { flip_lowest_bit(t.states); }},
      {"values", [](PathTrace& t) { flip_lowest_bit(t.values); }},
      {"losses", [](PathTrace& t) { flip_lowest_bit(t.losses); }}};
  for (const auto& [stage, touch] : rows) {
    TouchedBackend backend;
    backend.touch_trace = touch;
    EXPECT_EQ(stages_that_differ(backend), Names{stage});
  }
  TouchedBackend backend;
  // Another path, at the same loss: a tail that differs where no margin does.
  backend.touch_tails = [](Tails& tails) { tails.keys[1] ^= 1; };
  EXPECT_EQ(stages_that_differ(backend), Names{"tails"});
  // Another loss, by more than a sum rounds away.
  backend.touch_tails = [](Tails& tails) { tails.keys[1] ^= std::uint64_t{1} << 50; };
  EXPECT_EQ(stages_that_differ(backend), (Names{"tails", "margin.csv"}));
}

TEST(Selftest, OrderOfATailIsNoDifference) {
  TouchedBackend backend;
  backend.touch_tails = [](Tails& tails) {
    std::reverse(tails.keys.begin(),
                 tails.keys.begin() + static_cast<std::ptrdiff_t>(tails.count) - 1);
  };
  EXPECT_EQ(stages_that_differ(backend), std::vector<std::string>());
}

TEST(Selftest, BookCoversEveryPath) {
  TouchedBackend backend;
  selftest(backend);
  const Plan& plan = *backend.seen;
  EXPECT_TRUE(plan.model.is_student_t);
  EXPECT_NE(plan.path_count % 64, 0u);
  EXPECT_GT(plan.listing_places.back(), core::superblock_instrument_count);
  const auto strike_cells = [&](auto&& is_such) {
    return std::count_if(plan.strike_cells.begin(), plan.strike_cells.end(), is_such);
  };
  EXPECT_GT(strike_cells([](const core::StrikeCell& c) {
              return c.call != core::none && c.put != core::none;
            }),
            0);
  EXPECT_GT(strike_cells([](const core::StrikeCell& c) { return c.put == core::none; }), 0);
  EXPECT_GT(strike_cells([](const core::StrikeCell& c) { return c.call == core::none; }), 0);
  EXPECT_GT(strike_cells([](const core::StrikeCell& c) { return c.twin_is_call == 0; }), 0);
  for (const bool is_call : {true, false})
    for (const bool is_twin_call : {true, false})
      EXPECT_TRUE(std::any_of(
          plan.settled_cells.begin(), plan.settled_cells.end(), [&](const core::SettledCell& c) {
            return (c.is_call == 1) == is_call && (c.twin_is_call == 1) == is_twin_call;
          }));
  EXPECT_GT(plan.linear_cells.size(), 20u);
  for (const core::StateKind kind :
       {core::StateKind::log, core::StateKind::expm1, core::StateKind::exp})
    EXPECT_TRUE(std::any_of(plan.state_rows.begin(), plan.state_rows.end(),
                            [&](const core::StateRow& row) { return row.kind == kind; }));
  std::map<std::uint64_t, int> groups_by_size;
  for (std::size_t g = 0; g < plan.groups.size(); ++g)
    ++groups_by_size[plan.group_begin[g + 1] - plan.group_begin[g]];
  EXPECT_GE(groups_by_size[1], 32);
  EXPECT_EQ(groups_by_size[plan.instruments.size()], 7);
  EXPECT_GT(groups_by_size.size(), 20u);
  for (const MarginMode mode : {MarginMode::portfolio, MarginMode::cross, MarginMode::isolated})
    EXPECT_TRUE(std::any_of(plan.accounts.begin(), plan.accounts.end(), [&](const auto& account) {
      return account.mode == mode &&
             account.group_end - account.group_begin > (mode == MarginMode::portfolio ? 0u : 2u);
    }));
}

}  // namespace
}  // namespace shortfall
