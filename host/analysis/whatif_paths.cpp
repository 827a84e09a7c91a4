#include "whatif_paths.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <vector>

#include "cpu/cpu_backend.hpp"
#include "cpu/machine.hpp"
#include "fmt/format.h"

namespace shortfall {

using core::row_path_count;

struct HeldPaths::Revaluation {
  core::PlanArrays arrays;
  const float* before;
  std::span<float* const> losses;
  std::vector<std::uint32_t> groups;  ///< which of the plan's: one per group of the filter
  const Progress& progress;
  std::mutex progress_mutex;
  std::uint64_t paths_done = 0;
};

void HeldPaths::Free::operator()(double* p) const { std::free(p); }

HeldPaths::HeldPaths(const Plan& plan, const ComputeConfig& compute, const Progress& progress)
    : loops_(cpu_loops(compute.instruction_set)),
      thread_count_(compute.thread_count ? compute.thread_count : usable_cores()),
      factor_count_(plan.model.factor_count),
      path_count_(plan.path_count),
      row_count_((plan.path_count + row_path_count - 1) / row_path_count) {
  // Linux would grant the memory and kill the process once it is touched.
  if (bytes() <= machine_memory_bytes())
    moves_.reset(static_cast<double*>(std::aligned_alloc(64, bytes())));
  if (!moves_)
    throw OperatingError(
        fmt::format("out of memory: the moves of {} factors on {} paths take {:.1f} GB; use fewer "
                    "paths",
                    factor_count_, path_count_, static_cast<double>(bytes()) * 1e-9));
  draw(plan, progress);
}

void HeldPaths::draw(const Plan& plan, const Progress& progress) {
  const core::PlanArrays arrays = plan.arrays();
  std::atomic<std::uint64_t> next{0};
  std::mutex progress_mutex;
  std::uint64_t done = 0;
  on_threads(thread_count_, [&](std::uint32_t) {
    assert_ieee_environment();
    constexpr std::uint64_t batch = 256;
    RowBuffers buffers(arrays, 1);
    for (std::uint64_t first; (first = next.fetch_add(batch)) < row_count_;) {
      const std::uint64_t last = std::min(first + batch, row_count_);
      for (std::uint64_t r = first; r < last; ++r) {
        move_factors(loops_, arrays, r * row_path_count, buffers);
        std::copy_n(buffers.factors, row_doubles(), moves_.get() + r * row_doubles());
      }
      if (!progress) continue;
      const std::lock_guard lock(progress_mutex);
      done = std::min(done + (last - first) * row_path_count, path_count_);
      progress(done);
    }
  });
}

Tails HeldPaths::tails(const Plan& plan, const float* before, std::span<float* const> losses,
                       const Progress& progress) const {
  const auto group_count = static_cast<std::uint32_t>(plan.groups.size());
  SHORTFALL_ASSERT(plan.model.factor_count == factor_count_ && plan.path_count == path_count_ &&
                   (losses.empty() || losses.size() == group_count));
  Revaluation revaluation{plan.arrays(), before, losses, {}, progress, {}};
  revaluation.groups.resize(group_count);
  std::iota(revaluation.groups.begin(), revaluation.groups.end(), 0u);
  const std::uint64_t keep = plan.tail.count;
  TailFilter filter(group_count, keep, thread_count_ > 1);
  for (std::uint64_t done = 0; done < path_count_;) {
    const std::uint64_t next = core::next_pilot(done, path_count_);
    run(revaluation, filter, {done, next});
    done = next;
    if (done == path_count_) break;
    for (std::uint32_t g = 0; g < group_count; ++g)
      filter.refine(g, core::threshold_rank(keep, done, path_count_));
  }
  redo_missing(revaluation, filter);
  Tails tails{path_count_, keep, filter.take()};
  sort_if_weighted(plan, tails);
  return tails;
}

/// Groups whose pilot was not like the rest: once more, below its threshold.
void HeldPaths::redo_missing(Revaluation& revaluation, TailFilter& filter) const {
  const auto is_complete = [&](std::uint32_t g) { return filter.missing(g) == 0; };
  std::erase_if(revaluation.groups, is_complete);
  const auto count = static_cast<std::uint32_t>(revaluation.groups.size());
  if (count == 0) return;
  TailFilter below(count, filter.keep_count(), thread_count_ > 1);
  for (std::uint32_t i = 0; i < count; ++i)
    below.set_ceiling(i, filter.refined_floor(revaluation.groups[i]));
  run(revaluation, below, {0, path_count_});
  for (std::uint32_t i = 0; i < count; ++i) filter.absorb(revaluation.groups[i], below, i);
}

void HeldPaths::run(Revaluation& revaluation, TailFilter& filter, PathRange paths) const {
  constexpr std::uint64_t batch = 8 * row_path_count;
  const std::uint64_t batch_count = (paths.end - paths.begin + batch - 1) / batch;
  std::atomic<std::uint64_t> next{paths.begin};
  const auto report = [&](std::uint64_t path_count) {
    if (!revaluation.progress) return;
    const std::lock_guard lock(revaluation.progress_mutex);
    revaluation.paths_done = std::min(revaluation.paths_done + path_count, path_count_);
    try {
      revaluation.progress(revaluation.paths_done);
    } catch (...) {  // the caller wants to stop: nothing more for anyone
      next = paths.end;
      throw;
    }
  };
  on_threads(static_cast<std::uint32_t>(std::min<std::uint64_t>(thread_count_, batch_count)),
             [&](std::uint32_t) {
               assert_ieee_environment();
               core::PlanArrays sizes = revaluation.arrays;
               ++sizes.instrument_count;  // the row of what was before
               RowBuffers buffers(sizes, 1);
               for (std::uint64_t first; (first = next.fetch_add(batch)) < paths.end;) {
                 if (filter.bad_path() != TailFilter::no_path) return;
                 const std::uint64_t last = std::min(first + batch, paths.end);
                 for (std::uint64_t path = first; path < last; path += row_path_count)
                   row(revaluation, buffers, filter, path);
                 report(last - first);
               }
             });
  if (filter.bad_path() != TailFilter::no_path) throw LossError(0, filter.bad_path(), core::none);
}

void HeldPaths::row(const Revaluation& revaluation, RowBuffers& buffers, TailFilter& filter,
                    std::uint64_t first_path) const {
  const core::PlanArrays& arrays = revaluation.arrays;
  const double* const moves = moves_.get() + first_path / row_path_count * row_doubles();
  const bool is_tame = loops_.market_states(arrays, moves, buffers.states);
  loops_.revalue(arrays, buffers.states, buffers.values);
  if (revaluation.before)
    std::copy_n(revaluation.before + first_path, row_path_count,
                buffers.values + std::size_t{arrays.instrument_count} * row_path_count);
  const std::uint64_t left = path_count_ - first_path;
  const std::uint64_t valid = left < row_path_count ? (1ull << left) - 1 : ~0ull;
  for (std::uint32_t i = 0; i < revaluation.groups.size(); ++i) {
    const std::uint32_t g = revaluation.groups[i];
    float* const losses = revaluation.losses.empty() || !revaluation.losses[g]
                              ? buffers.losses
                              : revaluation.losses[g] + first_path;
    const std::uint64_t begin = arrays.group_begin[g], end = arrays.group_begin[g + 1];
    std::uint64_t mask =
        loops_.aggregate(arrays.holdings + begin, end - begin, buffers.values,
                         filter.threshold(i, static_cast<std::uint32_t>(first_path)), losses);
    // An infinite gain passes every threshold unseen: where the market is that wild, look at all.
    if (!is_tame) mask = ~0ull;
    if (mask &= valid) filter.offer(i, mask, losses, first_path);
  }
}

}  // namespace shortfall
