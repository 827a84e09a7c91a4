#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "cpu_backend.hpp"
#include "naive.hpp"
#include "sections.hpp"
#include "shortfall/trace.hpp"

namespace shortfall::bench {
namespace {

/// The bound on the error of a loss, over max(1, S1/S0) and gross notional: docs/methodology.md,
/// section 7.
constexpr double loss_error_max = 1e-6;

/// Throws unless the naive losses of every account are those of the engine.
void compare_losses(const Job& job, const PathTrace& trace, const std::vector<double>& naive) {
  const std::size_t n = trace.path_count, account_count = job.plan.accounts.size();
  std::vector<double> growth(n, 1.0);
  const std::vector<Factor>& factors = job.inputs.covariance.factors;
  for (std::size_t f = 0; f < factors.size(); ++f)
    for (std::size_t p = 0; factors[f].kind == FactorKind::spot && p < n; ++p)
      growth[p] = std::max(growth[p], std::exp(trace.factors[f * n + p]));
  for (std::size_t a = 0; a < account_count; ++a) {
    const Plan::AccountSummary& account = job.plan.accounts[a];
    for (std::size_t p = 0; p < n; ++p) {
      double loss_usd = 0, gross_usd = 0;
      for (std::uint32_t g = account.group_begin; g < account.group_end; ++g) {
        loss_usd += std::ldexp(trace.losses[g * n + p], job.plan.groups[g].scale_exponent);
        gross_usd += job.plan.groups[g].gross_notional_usd;
      }
      const double error = std::fabs(loss_usd - naive[a * n + p]);
      if (!(error <= loss_error_max * growth[p] * gross_usd))
        throw OperatingError(fmt::format("account {}, path {}: loss {} here, {} in the engine",
                                         job.inputs.book.accounts[a].name, p, naive[a * n + p],
                                         loss_usd));
    }
  }
}

/// A few paths of the job: the time is linear in them, there is nothing else to it.
struct Slice {
  PathTrace trace;
  std::vector<double> losses;
  const double* moves() const { return trace.factors.data(); }
};

void add_naive(Suite& suite, const Job& job, const char* stage, const char* what,
               std::function<void(Slice&)> work, std::uint32_t path_count) {
  const auto slice = std::make_shared<Slice>(Slice{trace_paths(job.plan, 0, path_count), {}});
  const auto positions = static_cast<double>(job.plan.holdings.size());
  suite.add(
      {.stage = stage,
       .job = job.name,
       .item = "revaluation",
       .whole = positions * static_cast<double>(job.plan.path_count),
       .note = fmt::format("{}; time extrapolated from {} paths, without draws and tails", what,
                           path_count)},
      positions * path_count, [=] { work(*slice); },
      [=, &job] {
        compare_losses(job, slice->trace, slice->losses);
        return hash_array(slice->losses.data(), slice->losses.size());
      });
}

void add_naive(Suite& suite, const Job& job) {
  add_naive(
      suite, job, "baseline.naive", "double, erfc, each position of each account from the formulas",
      [&job](Slice& slice) {
        slice.losses =
            naive::plain_losses(job.config, job.inputs, slice.moves(), slice.trace.path_count);
      },
      // Each position costs some preparation, which more paths make invisible.
      suite.is_quick() ? 64 : 512);
  const auto engine = std::make_shared<naive::Engine>(job.config, job.inputs);
  add_naive(
      suite, job, "baseline.hoisted", "the same, exponentials once per path and expiry",
      [=](Slice& slice) { slice.losses = engine->losses(slice.moves(), slice.trace.path_count); },
      64);
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
