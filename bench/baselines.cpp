#include <fmt/format.h>

#include <memory>

#include "cpu/cpu_backend.hpp"
#include "naive.hpp"
#include "sections.hpp"
#include "slice.hpp"

namespace shortfall::bench {
namespace {

/// Some paths of the job: the time is linear in them, there is nothing else to it.
struct Work {
  Slice slice;
  std::vector<double> losses;
};

void add_naive(Suite& suite, const Job& job, const char* stage, const char* what,
               std::uint32_t path_count, std::function<void(Work&)> run) {
  // At 99 % the tail of so few paths would be empty.
  const auto work = std::make_shared<Work>(Work{Slice(job, path_count, 0.9), {}});
  const auto positions = static_cast<double>(job.plan.holdings.size());
  suite.add(
      {.stage = stage,
       .job = job.name,
       .item = "revaluation",
       .whole = positions * static_cast<double>(job.plan.path_count),
       .note = fmt::format("{}; time extrapolated from {} paths, without draws and tails", what,
                           path_count)},
      positions * path_count, [=] { run(*work); },
      [=] {
        work->slice.check_losses(work->losses);
        return hash_array(work->losses.data(), work->losses.size());
      });
}

void add_naive(Suite& suite, const Job& job) {
  // Each position costs some preparation, which more paths make invisible.
  add_naive(suite, job, "baseline.naive",
            "double, erfc, each position of each account from the formulas",
            suite.is_quick() ? 64 : 512, [&job](Work& work) {
              work.losses = naive::plain_losses(job.config, job.inputs, work.slice.moves(),
                                                work.slice.path_count());
            });
  const auto engine = std::make_shared<naive::Engine>(plain::Book(job.config, job.inputs));
  add_naive(suite, job, "baseline.hoisted", "the same, exponentials once per path and expiry", 64,
            [=](Work& work) {
              work.losses = engine->losses(work.slice.moves(), work.slice.path_count());
            });
}

/// What one margin group holds, as a plan of its own over the job's market states.
struct OwnCells {
  std::vector<core::StrikeCell> strikes;
  std::vector<core::SettledCell> settled;
  std::vector<core::LinearCell> linear;

  OwnCells(const core::PlanArrays& plan, std::uint32_t group) {
    std::vector<bool> is_held(plan.instrument_count);
    for (std::uint64_t h = plan.group_begin[group]; h < plan.group_begin[group + 1]; ++h)
      is_held[plan.holdings[h].instrument & core::Holding::index_mask] = true;
    for (std::uint32_t c = 0; c < plan.strike_cell_count; ++c) {
      core::StrikeCell cell = plan.strike_cells[c];
      for (std::uint32_t* const side : {&cell.call, &cell.put})
        if (*side != core::none && !is_held[*side]) *side = core::none;
      if (cell.call != core::none || cell.put != core::none) strikes.push_back(cell);
    }
    for (std::uint32_t c = 0; c < plan.settled_cell_count; ++c)
      if (is_held[plan.settled_cells[c].instrument]) settled.push_back(plan.settled_cells[c]);
    for (std::uint32_t c = 0; c < plan.linear_cell_count; ++c)
      if (is_held[plan.linear_cells[c].instrument]) linear.push_back(plan.linear_cells[c]);
  }

  core::PlanArrays view(core::PlanArrays plan) const {
    plan.strike_cells = strikes.data();
    plan.strike_cell_count = static_cast<std::uint32_t>(strikes.size());
    plan.settled_cells = settled.data();
    plan.settled_cell_count = static_cast<std::uint32_t>(settled.size());
    plan.linear_cells = linear.data();
    plan.linear_cell_count = static_cast<std::uint32_t>(linear.size());
    return plan;
  }
};

void add_per_account(Suite& suite, const Job& job) {
  const std::uint32_t path_count = suite.is_quick() ? 64 : 256;
  struct State {
    core::PlanArrays plan;
    RowBuffers row;
    std::vector<OwnCells> groups;
    std::vector<float> losses;
  };
  const core::PlanArrays plan = job.plan.arrays();
  const auto state = std::make_shared<State>(State{plan, RowBuffers(plan, 1), {}, {}});
  for (std::uint32_t g = 0; g < plan.group_count; ++g) state->groups.emplace_back(plan, g);
  state->losses.resize(std::size_t{plan.group_count} * core::row_path_count);
  const auto work = [=] {
    const CpuLoops& loops = cpu_loops(InstructionSet::automatic);
    const RowBuffers& row = state->row;
    for (std::uint32_t path = 0; path < path_count; path += core::row_path_count) {
      loops.draw(plan, path, row.normals, row.mixing);
      loops.correlate(plan, row.normals, row.mixing, row.factors);
      loops.market_states(plan, row.factors, row.states);
      for (std::uint32_t g = 0; g < plan.group_count; ++g) {
        loops.revalue(state->groups[g].view(plan), row.states, row.values);
        const std::uint64_t begin = plan.group_begin[g];
        loops.aggregate(plan.holdings + begin, plan.group_begin[g + 1] - begin, row.values, 0.0f,
                        state->losses.data() + std::size_t{g} * core::row_path_count);
      }
    }
  };
  suite.add({.stage = "baseline.per_account",
             .job = job.name,
             .item = "revaluation",
             .whole = static_cast<double>(job.plan.holdings.size() * job.plan.path_count),
             .note = fmt::format("the engine's own vector loops, for each account; time "
                                 "extrapolated from {} paths, without tails",
                                 path_count)},
            static_cast<double>(job.plan.holdings.size()) * path_count, work, [=, &job] {
              const PathTrace trace =
                  trace_paths(job.plan, path_count - core::row_path_count, core::row_path_count);
              if (trace.losses != state->losses)
                throw OperatingError("losses differ from the engine's");
              return hash_array(state->losses.data(), state->losses.size());
            });
}

}  // namespace

void add_baselines(Suite& suite, const Job& job) {
  add_naive(suite, job);
  add_per_account(suite, job);
}

}  // namespace shortfall::bench
