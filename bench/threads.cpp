#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <thread>

#include "sections.hpp"

namespace shortfall::bench {
namespace {

/// Two cores of this process and what else ran while the best time was measured.
struct Pair {
  std::array<int, 2> cores;
  double best_seconds = 1e300, others = 0;

  std::vector<int> first(std::size_t count) const {
    return {cores.begin(), cores.begin() + static_cast<std::ptrdiff_t>(count)};
  }

  /// The least of three times by the clock on the wall, on the first `count` cores.
  double seconds(std::size_t count, const std::function<void()>& work) {
    double least = 1e300;
    pin_to(first(count));
    for (int i = 0; i < 3; ++i) {
      const ProcessorTimes before = ProcessorTimes::now();
      work();
      const ProcessorTimes after = ProcessorTimes::now();
      least = std::min(least, after.wall - before.wall);
      if (after.wall - before.wall >= best_seconds) continue;
      best_seconds = after.wall - before.wall;
      others = cores_used_by_others(before, after);
    }
    pin_to(first(1));
    return least;
  }
};

constexpr const char* numbers[] = {"one", "two"};

void add_job(Suite& suite, const Job& job, const Usable& set, const Pair& cores,
             std::uint32_t count) {
  ComputeConfig compute = job.config.compute;
  compute.instruction_set = set.instruction_set;
  compute.thread_count = count;
  const std::shared_ptr<Backend> backend = make_backend(compute);
  const auto pair = std::make_shared<Pair>(cores);
  const auto margins = std::make_shared<std::vector<AccountMargin>>();
  Row row{.stage = fmt::format("threads.{}", numbers[count - 1]), .job = job.name, .item = "path"};
  if (count == 2) row.baselines = {{"one thread", {{row_name("threads.one", job.name)}}}};
  row.whole = static_cast<double>(job.plan.path_count);
  const std::size_t index = suite.rows().size();
  suite.add_timed(
      std::move(row), static_cast<double>(job.plan.path_count),
      [=, &job] {
        return pair->seconds(count, [&] {
          const Tails tails = backend->simulate(job.plan, {0, job.plan.path_count}, {});
          *margins = compute_margins(job.plan, job.inputs.book, tails, job.config.margin);
        });
      },
      [=, &suite] {
        suite.rows()[index].note = fmt::format(
            "by the clock on the wall; meanwhile others kept {:.2f} cores busy", pair->others);
        return hash_text(format_margins(*margins));
      });
}

void add_fma(Suite& suite, const Usable& set, const Pair& cores, std::uint32_t count) {
  const std::uint64_t steps = suite.is_quick() ? 20'000 : 4'000'000;
  const auto pair = std::make_shared<Pair>(cores);
  const auto sums = std::make_shared<std::array<float, 2>>();
  Row row{.stage = fmt::format("threads.fma.{}", numbers[count - 1]), .item = "FLOP"};
  if (count == 2) row.baselines = {{"one thread", {{"threads.fma.one"}}}};
  const auto fma = set.own->fma_float;
  const auto work = [=] {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < count; ++t)
      threads.emplace_back([=] {
        pin_to({pair->cores[t]});
        (*sums)[t] = fma(steps);
      });
  };
  const std::size_t index = suite.rows().size();
  suite.add_timed(
      std::move(row), 2.0 * static_cast<double>(steps) * fma_chains * set.own->float_lanes * count,
      [=] { return pair->seconds(count, work); },
      [=, &suite] {
        suite.rows()[index].note = fmt::format(
            "by the clock on the wall; meanwhile others kept {:.2f} cores busy", pair->others);
        return hash_array(sums->data(), 1);
      });
}

}  // namespace

void add_threads(Suite& suite, const Usable& set, const Job& job, const Conditions& conditions) {
  const std::vector<int>& usable = conditions.processor.cores;
  const auto other = std::find_if(usable.begin(), usable.end(),
                                  [&](int core) { return core != conditions.pinned_core; });
  if (conditions.pinned_core < 0 || other == usable.end()) {
    suite.skip({.stage = "threads"}, "this process may use one core only");
    return;
  }
  const Pair pair{{conditions.pinned_core, *other}};
  for (const std::uint32_t count : {1u, 2u}) {
    add_job(suite, job, set, pair, count);
    add_fma(suite, set, pair, count);
  }
}

}  // namespace shortfall::bench
