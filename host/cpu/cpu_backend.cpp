#include "cpu_backend.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "fmt/format.h"
#include "group_bundles.hpp"
#include "machine.hpp"
#include "tail_filter.hpp"

namespace shortfall {
namespace {

constexpr std::uint64_t row_paths = core::row_path_count;

std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

struct RowBytes {
  std::size_t normals, mixing, factors, states, values, losses;
  explicit RowBytes(const core::PlanArrays& plan, std::uint32_t row_count)
      : normals((plan.factor_count + 3) / 4 * 4 * row_paths * sizeof(double)),
        mixing(row_paths * sizeof(double)),
        factors(plan.factor_count * row_paths * sizeof(double)),
        states(plan.state_row_count * row_paths * sizeof(float)),
        values(plan.instrument_count * row_paths * row_count * sizeof(float)),
        losses(shared_group_count * row_paths * sizeof(float)) {}
  std::size_t total() const {
    return aligned(normals) + aligned(mixing) + aligned(factors) + aligned(states) +
           aligned(values) + aligned(losses);
  }
};

/// One call of simulate.
class Simulation {
 public:
  Simulation(const Plan& plan, PathRange range, const CpuLoops& loops, std::uint32_t thread_count,
             std::uint32_t tile_path_count, const Progress& progress)
      : plan_(plan),
        arrays_(plan.arrays()),
        range_(range),
        loops_(loops),
        thread_count_(thread_count),
        tile_rows_(tile_path_count / core::row_path_count),
        progress_(progress),
        bundles_(bundle_groups(plan)) {
    for (std::uint32_t t = 0; t < thread_count; ++t) buffers_.emplace_back(arrays_, tile_rows_);
  }

  /// Paths [begin, end) of the range through `filter`.
  void run(TailFilter& filter, std::uint64_t begin, std::uint64_t end, const GroupBundles& bundles,
           const std::vector<std::uint32_t>* slot_of_group) {
    const std::uint64_t tile_paths = tile_rows_ * row_paths;
    std::atomic<std::uint64_t> next{begin};
    on_threads(thread_count_, [&](std::uint32_t thread) {
      assert_ieee_environment();
      for (;;) {
        const std::uint64_t first = next.fetch_add(tile_paths);
        if (first >= end || filter.bad_path() != TailFilter::no_path) return;
        const std::uint64_t last = std::min(first + tile_paths, end);
        tile(filter, buffers_[thread], first, last, bundles, slot_of_group);
        try {
          report(last - first);
        } catch (...) {  // the caller wants to stop: no more tiles for anyone
          next = end;
          throw;
        }
      }
    });
  }

  Tails simulate() {
    const std::uint64_t path_count = range_.end - range_.begin;
    const std::uint64_t keep = std::min(plan_.tail.count, path_count);
    TailFilter filter(arrays_.group_count, keep, thread_count_ > 1);
    for (std::uint64_t done = 0; done < path_count;) {
      const std::uint64_t next = core::next_pilot(done, path_count);
      run(filter, range_.begin + done, range_.begin + next, bundles_, nullptr);
      done = next;
      if (done < path_count) refine(filter, done, path_count);
    }
    throw_if_bad(filter);
    redo_missing(filter);
    Tails tails{path_count, keep, filter.take()};
    sort_if_weighted(plan_, tails);
    return tails;
  }

 private:
  void refine(TailFilter& filter, std::uint64_t done, std::uint64_t path_count) {
    const std::uint64_t rank = core::threshold_rank(filter.keep_count(), done, path_count);
    std::atomic<std::uint32_t> next{0};
    on_threads(thread_count_, [&](std::uint32_t) {
      constexpr std::uint32_t batch = 64;
      for (std::uint32_t g; (g = next.fetch_add(batch)) < arrays_.group_count;)
        for (std::uint32_t i = g; i < std::min(g + batch, arrays_.group_count); ++i)
          filter.refine(i, rank);
    });
  }

  void tile(TailFilter& filter, RowBuffers& row, std::uint64_t first, std::uint64_t last,
            const GroupBundles& bundles, const std::vector<std::uint32_t>* slot_of_group) {
    const std::size_t stride = arrays_.instrument_count * row_paths;
    bool is_tame[max_tile_rows];
    for (std::uint32_t r = 0; r < tile_rows_ && first + r * row_paths < last; ++r)
      is_tame[r] =
          revalue_row(loops_, arrays_, first + r * row_paths, row, row.values + r * stride);
    const auto each_row = [&](auto&& use) {
      for (std::uint32_t r = 0; r < tile_rows_ && first + r * row_paths < last; ++r) {
        const std::uint64_t path = first + r * row_paths;
        const std::uint64_t valid = last - path >= row_paths ? ~0ull : (1ull << (last - path)) - 1;
        use(path, valid, row.values + r * stride, is_tame[r]);
      }
    };
    const std::vector<std::uint32_t>& alone = bundles.single;
    const auto slot_of = [&](std::uint32_t g) { return slot_of_group ? (*slot_of_group)[g] : g; };
    for (std::size_t at = 0; at < alone.size(); ++at) {
      // With thousands of groups their buffers are in memory; four groups take as long as a fetch.
      if (at + 4 < alone.size()) filter.prefetch(slot_of(alone[at + 4]));
      each_row([&](std::uint64_t path, std::uint64_t valid, const float* values, bool tame) {
        single(filter, alone[at], slot_of(alone[at]), path, valid, values, tame, row.losses);
      });
    }
    for (const GroupBundles::Shared& bundle : bundles.shared)
      each_row([&](std::uint64_t path, std::uint64_t valid, const float* values, bool tame) {
        bundled(filter, bundle, path, valid, values, tame, row.losses, loops_.aggregate_shared);
      });
    for (const GroupBundles::Dense& bundle : bundles.dense)
      each_row([&](std::uint64_t path, std::uint64_t valid, const float* values, bool tame) {
        bundled(filter, bundle, path, valid, values, tame, row.losses, loops_.aggregate_dense);
      });
  }

  void single(TailFilter& filter, std::uint32_t group, std::uint32_t slot, std::uint64_t path,
              std::uint64_t valid, const float* values, bool is_tame, float* losses) {
    const float threshold = filter.threshold(slot, static_cast<std::uint32_t>(path));
    const core::Holding* const first = arrays_.holdings + arrays_.group_begin[group];
    std::uint64_t mask =
        loops_.aggregate(first, arrays_.group_begin[group + 1] - arrays_.group_begin[group], values,
                         threshold, losses);
    // An infinite gain passes every threshold unseen: where the market is that wild, look at all.
    if (!is_tame) mask = ~0ull;
    if (mask &= valid) filter.offer(slot, mask, losses, path);
  }

  /// A bundle of groups, summed together by `aggregate`.
  template <class Bundle, class Aggregate>
  void bundled(TailFilter& filter, const Bundle& bundle, std::uint64_t path, std::uint64_t valid,
               const float* values, bool is_tame, float* losses, Aggregate aggregate) {
    if (!is_tame) {  // zero weights times infinity would be NaN
      for (const std::uint32_t group : bundle.groups)
        single(filter, group, group, path, valid, values, is_tame, losses);
      return;
    }
    float thresholds[shared_group_count];
    std::uint64_t masks[shared_group_count];
    std::fill_n(thresholds, dense_group_count, std::numeric_limits<float>::infinity());
    for (std::size_t g = 0; g < bundle.groups.size(); ++g)
      thresholds[g] = filter.threshold(bundle.groups[g], static_cast<std::uint32_t>(path));
    aggregate(bundle.view(), values, thresholds, losses, masks);
    for (std::size_t g = 0; g < bundle.groups.size(); ++g)
      if (masks[g] & valid)
        filter.offer(bundle.groups[g], masks[g] & valid, losses + g * row_paths, path);
  }

  /// Groups whose pilot was not like the rest: their paths once more, below the threshold.
  void redo_missing(TailFilter& filter) {
    GroupBundles again;
    for (std::uint32_t g = 0; g < arrays_.group_count; ++g)
      if (filter.missing(g)) again.single.push_back(g);
    if (again.single.empty()) return;
    std::vector<std::uint32_t> slot_of_group(arrays_.group_count);
    TailFilter below(static_cast<std::uint32_t>(again.single.size()), filter.keep_count(),
                     thread_count_ > 1);
    for (std::uint32_t slot = 0; slot < again.single.size(); ++slot) {
      slot_of_group[again.single[slot]] = slot;
      below.set_ceiling(slot, filter.refined_floor(again.single[slot]));
    }
    is_redoing_ = true;
    run(below, range_.begin, range_.end, again, &slot_of_group);
    throw_if_bad(below);
    for (std::uint32_t slot = 0; slot < again.single.size(); ++slot)
      filter.absorb(again.single[slot], below, slot);
  }

  void throw_if_bad(const TailFilter& filter) const {
    if (filter.bad_path() != TailFilter::no_path) throw_loss_error(plan_, filter.bad_path());
  }

  void report(std::uint64_t paths) {
    if (!progress_) return;
    const std::lock_guard lock(progress_mutex_);
    if (!is_redoing_) done_ += paths;
    progress_(done_);
  }

  const Plan& plan_;
  const core::PlanArrays arrays_;
  const PathRange range_;
  const CpuLoops& loops_;
  const std::uint32_t thread_count_, tile_rows_;
  const Progress& progress_;
  const GroupBundles bundles_;
  std::vector<RowBuffers> buffers_;
  std::mutex progress_mutex_;
  std::uint64_t done_ = 0;
  bool is_redoing_ = false;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(const ComputeConfig& config, const CpuLoops& loops)
      : loops_(loops),
        thread_count_(config.thread_count ? config.thread_count : usable_cores()),
        tile_path_count_(config.tile_path_count) {}

  BackendDescription describe(const Plan& plan) const override {
    return {"cpu", processor_name(), loops_.name, thread_count_, tile_paths(plan)};
  }

  std::uint64_t bytes_needed(const Plan& plan) const override {
    const core::PlanArrays arrays = plan.arrays();
    const std::uint64_t entries = TailFilter::capacity(plan.tail.count) * arrays.group_count;
    return entries * sizeof(std::uint64_t) +
           thread_count_ * RowBuffers::bytes(arrays, tile_paths(plan) / core::row_path_count);
  }

  Tails simulate(const Plan& plan, PathRange range, const Progress& progress) override {
    SHORTFALL_ASSERT(range.begin < range.end && range.end <= plan.path_count);
    // Linux would grant the memory and kill the process once it is touched.
    if (bytes_needed(plan) > machine_memory_bytes()) throw_too_large(plan);
    try {
      return Simulation(plan, range, loops_, thread_count_, tile_paths(plan), progress).simulate();
    } catch (const std::bad_alloc&) {
      throw_too_large(plan);
    }
  }

  void replay(const Plan& plan, std::span<const std::uint32_t> paths,
              const UseValues& use) override {
    // As many at a time as a third-level cache holds.
    const std::uint64_t row_bytes =
        std::max<std::uint64_t>(1, plan.instruments.size()) * row_paths * sizeof(float);
    const std::size_t part =
        std::clamp<std::uint64_t>((8u << 20) / row_bytes, 1, max_tile_rows) * row_paths;
    PathValues values;
    for (std::size_t first = 0; first < paths.size(); first += part) {
      replay_paths(plan, paths.subspan(first, std::min(part, paths.size() - first)), loops_,
                   thread_count_, values);
      use(first, values);
    }
  }

  PathTrace trace(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count) override {
    return trace_paths(plan, first_path, path_count, loops_);
  }

 private:
  [[noreturn]] void throw_too_large(const Plan& plan) const {
    throw OperatingError(fmt::format(
        "out of memory: {} paths with {} margin groups need {:.1f} GB, most of it for the {} worst "
        "paths of each group; use fewer paths, a higher confidence or fewer threads",
        plan.path_count, plan.groups.size(), static_cast<double>(bytes_needed(plan)) * 1e-9,
        plan.tail.count));
  }

  /// As many rows as keep the values of a tile in half of the second-level cache, at most four.
  std::uint32_t tile_paths(const Plan& plan) const {
    if (tile_path_count_) return tile_path_count_;
    const std::uint64_t row_bytes =
        std::max<std::uint64_t>(1, plan.instruments.size()) * row_paths * sizeof(float);
    const std::uint64_t rows = second_level_cache_bytes() / 2 / row_bytes;
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rows, 1, 4) * row_paths);
  }

  const CpuLoops& loops_;
  std::uint32_t thread_count_, tile_path_count_;
};

}  // namespace

void on_threads(std::uint32_t count, const std::function<void(std::uint32_t)>& work) {
  if (count == 1) return work(0);
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto guarded = [&](std::uint32_t thread) {
    try {
      work(thread);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    threads.reserve(count);
    try {
      for (std::uint32_t t = 0; t < count; ++t) threads.emplace_back(guarded, t);
    } catch (const std::system_error& error) {
      throw OperatingError(
          fmt::format("cannot start {} threads ({}): use fewer", count, error.what()));
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void RowBuffers::Free::operator()(void* p) const { std::free(p); }

std::uint64_t RowBuffers::bytes(const core::PlanArrays& plan, std::uint32_t row_count) {
  return RowBytes(plan, row_count).total();
}

RowBuffers::RowBuffers(const core::PlanArrays& plan, std::uint32_t row_count) {
  const RowBytes bytes(plan, row_count);
  storage_.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes.total())));
  if (!storage_) throw std::bad_alloc();
  std::byte* at = storage_.get();
  const auto carve = [&](auto*& array, std::size_t size) {
    array = reinterpret_cast<std::remove_reference_t<decltype(array)>>(at);
    at += aligned(size);
  };
  carve(normals, bytes.normals);
  carve(mixing, bytes.mixing);
  carve(factors, bytes.factors);
  carve(states, bytes.states);
  carve(values, bytes.values);
  carve(losses, bytes.losses);
}

namespace {

/// Column p of the moves from the row of the history that belongs to it.
template <class PathOf>
void take_history(const core::PlanArrays& plan, PathOf path_of, RowBuffers& row) {
  std::fill_n(row.normals, plan.factor_count * row_paths, 0.0);
  std::fill_n(row.mixing, row_paths, 1.0);
  for (std::uint32_t p = 0; p < row_paths; ++p) {
    const std::uint64_t path = path_of(p);
    for (std::size_t f = 0; f < plan.factor_count; ++f)
      row.factors[f * row_paths + p] =
          path < plan.path_count ? plan.history[path * plan.factor_count + f] : 0.0;
  }
}

}  // namespace

void move_factors(const CpuLoops& loops, const core::PlanArrays& plan, std::uint64_t first_path,
                  RowBuffers& row) {
  if (plan.history)
    return take_history(
        plan, [=](std::uint32_t p) { return first_path + p; }, row);
  loops.draw(plan, first_path, row.normals, row.mixing);
  loops.correlate(plan, row.normals, row.mixing, row.factors);
}

void move_factors(const CpuLoops& loops, const core::PlanArrays& plan, const std::uint32_t* paths,
                  RowBuffers& row) {
  if (plan.history)
    return take_history(
        plan, [=](std::uint32_t p) { return std::uint64_t{paths[p]}; }, row);
  loops.draw_listed(plan, paths, row.normals, row.mixing);
  loops.correlate(plan, row.normals, row.mixing, row.factors);
}

bool revalue_row(const CpuLoops& loops, const core::PlanArrays& plan, std::uint64_t first_path,
                 RowBuffers& row, float* values) {
  move_factors(loops, plan, first_path, row);
  const bool is_tame = loops.market_states(plan, row.factors, row.states);
  loops.revalue(plan, row.states, values);
  return is_tame;
}

std::unique_ptr<Backend> make_cpu_backend(const ComputeConfig& config) {
  return make_cpu_backend(config, cpu_loops(config.instruction_set));
}

std::unique_ptr<Backend> make_cpu_backend(const ComputeConfig& config, const CpuLoops& loops) {
  return std::make_unique<CpuBackend>(config, loops);
}

}  // namespace shortfall
