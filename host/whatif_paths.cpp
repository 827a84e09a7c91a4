#include "whatif_paths.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>

#include "cpu_backend.hpp"
#include "fmt/format.h"
#include "machine.hpp"

namespace shortfall {

using core::row_path_count;

struct HeldPaths::Revaluation {
  core::PlanArrays arrays;
  const float* before;
  float* losses;
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
        loops_.draw(arrays, r * row_path_count, buffers.normals, buffers.mixing);
        loops_.correlate(arrays, buffers.normals, buffers.mixing, moves_.get() + r * row_doubles());
      }
      if (!progress) continue;
      const std::lock_guard lock(progress_mutex);
      done = std::min(done + (last - first) * row_path_count, path_count_);
      progress(done);
    }
  });
}

Tails HeldPaths::tails(const Plan& plan, const float* before, float* losses) const {
  SHORTFALL_ASSERT(plan.groups.size() == 1 && plan.model.factor_count == factor_count_ &&
                   plan.path_count == path_count_);
  const Revaluation revaluation{plan.arrays(), before, losses};
  const std::uint64_t keep = plan.tail.count;
  TailFilter filter(1, keep, thread_count_ > 1);
  const auto throw_if_bad = [](const TailFilter& seen) {
    if (seen.bad_path() != TailFilter::no_path) throw LossError(0, seen.bad_path(), core::none);
  };
  for (std::uint64_t done = 0; done < path_count_;) {
    const std::uint64_t next = core::next_pilot(done, path_count_);
    run(revaluation, filter, done, next);
    done = next;
    if (done < path_count_) filter.refine(0, core::threshold_rank(keep, done, path_count_));
  }
  throw_if_bad(filter);
  if (filter.missing(0)) {  // the pilot was not like the rest: once more, below its threshold
    TailFilter below(1, keep, thread_count_ > 1);
    below.set_ceiling(0, filter.refined_floor(0));
    run(revaluation, below, 0, path_count_);
    throw_if_bad(below);
    filter.absorb(0, below, 0);
  }
  return {path_count_, keep, filter.take()};
}

void HeldPaths::run(const Revaluation& revaluation, TailFilter& filter, std::uint64_t begin_path,
                    std::uint64_t end_path) const {
  constexpr std::uint64_t batch = 64 * row_path_count;
  const std::uint64_t batch_count = (end_path - begin_path + batch - 1) / batch;
  std::atomic<std::uint64_t> next{begin_path};
  on_threads(static_cast<std::uint32_t>(std::min<std::uint64_t>(thread_count_, batch_count)),
             [&](std::uint32_t) {
               assert_ieee_environment();
               core::PlanArrays sizes = revaluation.arrays;
               ++sizes.instrument_count;  // the row of what was before
               RowBuffers buffers(sizes, 1);
               for (std::uint64_t first; (first = next.fetch_add(batch)) < end_path;) {
                 if (filter.bad_path() != TailFilter::no_path) return;
                 for (std::uint64_t path = first; path < std::min(first + batch, end_path);
                      path += row_path_count)
                   row(revaluation, buffers, filter, path);
               }
             });
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
  float* const losses = revaluation.losses ? revaluation.losses + first_path : buffers.losses;
  std::uint64_t mask =
      loops_.aggregate(arrays.holdings, arrays.group_begin[1], buffers.values,
                       filter.threshold(0, static_cast<std::uint32_t>(first_path)), losses);
  // An infinite gain passes every threshold unseen: where the market is that wild, look at all.
  if (!is_tame) mask = ~0ull;
  const std::uint64_t left = path_count_ - first_path;
  if (left < row_path_count) mask &= (1ull << left) - 1;
  if (mask) filter.offer(0, mask, losses, first_path);
}

}  // namespace shortfall
