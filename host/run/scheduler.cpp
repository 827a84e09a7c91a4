#include "shortfall/scheduler.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "fmt/format.h"
#include "margin_run.hpp"
#include "precision.hpp"
#include "rounds.hpp"

namespace shortfall {
namespace {

/// A contiguous part of the paths on one backend, and what came of it: tails or a failure.
struct Part {
  Backend* backend;
  PathRange paths;
  Tails tails;
  std::exception_ptr failure;
};

/// What `progress` throws in parts that another's failure has made useless.
class Abandoned : public OperatingError {
 public:
  Abandoned() : OperatingError("another part of the paths failed") {}
};

/// Simulates parts at the same time and adds up their progress.
class ParallelParts {
 public:
  ParallelParts(const Plan& plan, const Progress& progress, std::uint64_t paths_done_before,
                std::vector<Part>& parts)
      : plan_(plan),
        progress_(progress),
        paths_done_before_(paths_done_before),
        parts_(parts),
        paths_done_(parts.size()),
        live_count_(parts.size()) {}

  void run() {
    std::vector<std::jthread> threads;
    try {
      for (std::size_t i = 1; i < parts_.size(); ++i) threads.emplace_back([this, i] { run(i); });
    } catch (const std::system_error& error) {
      abandon_from(0);
      throw OperatingError(fmt::format("cannot start a thread per device ({})", error.what()));
    }
    run(0);
  }

 private:
  void run(std::size_t i) {
    Part& part = parts_[i];
    try {
      part.tails = part.backend->simulate(plan_, part.paths,
                                          [this, i](std::uint64_t done) { report(i, done); });
    } catch (const DeviceError&) {  // the others' results are of use all the same
      part.failure = std::current_exception();
    } catch (const LossError&) {  // parts before this one may have a lower such path
      part.failure = std::current_exception();
      abandon_from(i + 1);
    } catch (...) {
      part.failure = std::current_exception();
      abandon_from(0);
    }
  }

  void report(std::size_t i, std::uint64_t paths_done) {
    const std::lock_guard lock(mutex_);
    if (i >= live_count_) throw Abandoned();
    paths_done_[i] = paths_done;
    if (!progress_) return;
    std::uint64_t sum = paths_done_before_;
    for (const std::uint64_t done : paths_done_) sum += done;
    progress_(sum);
  }

  void abandon_from(std::size_t i) {
    const std::lock_guard lock(mutex_);
    live_count_ = std::min(live_count_, i);
  }

  const Plan& plan_;
  const Progress& progress_;
  const std::uint64_t paths_done_before_;
  std::vector<Part>& parts_;
  std::mutex mutex_;
  std::vector<std::uint64_t> paths_done_;  ///< by part
  std::size_t live_count_;                 ///< parts from here on are to stop
};

/// Equal parts, one per backend, none of them empty.
std::vector<Part> split(PathRange paths, const std::vector<Backend*>& backends) {
  const std::uint64_t path_count = paths.end - paths.begin, backend_count = backends.size();
  std::vector<Part> parts;
  for (std::uint64_t b = 0; b < backend_count; ++b) {
    const PathRange part{paths.begin + path_count * b / backend_count,
                         paths.begin + path_count * (b + 1) / backend_count};
    if (part.begin != part.end) parts.push_back({backends[b], part, {}, {}});
  }
  return parts;
}

/// The failure that no other backend can make good, of the lowest paths, if there is one.
void throw_if_final(const std::vector<Part>& parts) {
  for (const Part& part : parts) {
    if (!part.failure) continue;
    try {
      std::rethrow_exception(part.failure);
    } catch (const DeviceError&) {
    } catch (const Abandoned&) {
    }
  }
}

/// The paths that a device lost, and its words: which device, why, which paths.
struct LostPart {
  PathRange paths;
  std::string text;
};

std::string text_of(const std::exception_ptr& device_error) {
  try {
    std::rethrow_exception(device_error);
  } catch (const DeviceError& error) {
    return error.what();
  }
}

[[noreturn]] void throw_lost(const std::vector<LostPart>& lost) {
  std::string text;
  for (const LostPart& part : lost) text += part.text + "; ";
  throw DeviceError(text + "no device is left: fallback = \"cpu\" lets the CPU redo such paths",
                    lost.back().paths);
}

std::string warning_of(const LostPart& part, const std::vector<PathShare>& shares) {
  std::vector<std::string> names;
  for (const PathShare& share : shares) {
    if (share.paths.end <= part.paths.begin || share.paths.begin >= part.paths.end) continue;
    const std::string name = fmt::format("{}, {}", share.backend.name, share.backend.device);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return fmt::format("{}, and were redone on {}", part.text, fmt::join(names, "; "));
}

}  // namespace

Simulated simulate_on(const std::vector<std::unique_ptr<Backend>>& backends, const Plan& plan,
                      const Progress& progress, const MakeFallback& make_fallback,
                      std::optional<PathRange> paths) {
  const PathRange all = paths.value_or(PathRange{0, plan.path_count});
  std::vector<Backend*> able;
  for (const std::unique_ptr<Backend>& backend : backends) able.push_back(backend.get());
  std::unique_ptr<Backend> fallback;
  std::vector<LostPart> lost;
  std::vector<PathRange> to_do{all};
  Simulated result;
  while (!to_do.empty()) {
    if (able.empty()) {
      if (fallback || !make_fallback) throw_lost(lost);
      fallback = make_fallback();
      able.push_back(fallback.get());
    }
    std::vector<Part> parts = split(to_do.back(), able);
    to_do.pop_back();
    ParallelParts(plan, progress, all.begin + result.tails.path_count, parts).run();
    throw_if_final(parts);
    for (Part& part : parts) {
      if (part.failure) {
        lost.push_back({part.paths, text_of(part.failure)});
        to_do.push_back(part.paths);
        std::erase(able, part.backend);
        for (std::size_t b = 0; b < backends.size(); ++b)
          if (backends[b].get() == part.backend) result.failed.push_back(b);
        continue;
      }
      const bool is_first = result.shares.empty();
      result.tails = is_first ? std::move(part.tails) : merge(plan, result.tails, part.tails);
      result.shares.push_back({part.paths, part.backend->describe(plan)});
    }
  }
  std::sort(result.shares.begin(), result.shares.end(),
            [](const PathShare& a, const PathShare& b) { return a.paths.begin < b.paths.begin; });
  for (const LostPart& part : lost) result.warnings.push_back(warning_of(part, result.shares));
  return result;
}

namespace {

/// Wall time since the last call.
class Stopwatch {
 public:
  double lap_seconds() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void describe_plan(const Plan& plan, RunRecord& record) {
  record.path_count = plan.path_count;
  record.plan_hash = plan.hash;
  record.tail_floor = plan.model.tail_floor;
  record.instrument_count = plan.instruments.size();
  record.position_count = plan.holdings.size();
  record.account_count = plan.accounts.size();
  record.group_count = plan.groups.size();
  record.factor_count = plan.model.factor_count;
}

/// Doubles the paths until the accounts are precise or there are no more paths, and leaves the
/// configuration and the simulation of the last round, which is that of a run with that many paths.
/// Only an attribution asks which paths have a loss.
void simulate_until_precise(RunConfig& config, const RunInputs& as_read, MarginRun& run,
                            BaseRun& base, RunRecord& record) {
  std::vector<Rounds> rounds;
  for (;;) {
    record.rounds.push_back(config.risk.path_count);
    run.simulate(base, rounds);
    const Precision precision =
        precision_of(config.risk, account_margins(base.revaluations.front().plan, base.inputs.book,
                                                  base.risks, base.errors_usd, config.margin));
    record.imprecise_accounts = precision.imprecise_accounts;
    if (precision.is_reached || 2 * config.risk.path_count > config.risk.path_count_max) break;
    config.risk.path_count *= 2;
    base = run.plan(as_read);
  }
  if (config.output.has_attribution) run.complete(base, rounds);
}

/// Each once.
void remove_repetitions(std::vector<std::string>& warnings) {
  std::vector<std::string> distinct;
  for (std::string& warning : warnings)
    if (std::ranges::find(distinct, warning) == distinct.end())
      distinct.push_back(std::move(warning));
  warnings = std::move(distinct);
}

}  // namespace

RunResult run(const RunConfig& config, const Progress& progress) {
  RunResult result;
  RunRecord& record = result.record;
  Stopwatch stopwatch;
  const auto finish = [&](const char* stage) {
    record.seconds_by_stage.emplace_back(stage, stopwatch.lap_seconds());
  };
  RunBackends backends(config.compute);
  RunConfig round = config;
  round.risk.is_automatic = false;
  MarginRun margin_run(round, backends, progress, record.warnings);
  const RunInputs as_read = load_inputs(config);
  if (config.risk.is_automatic) require_accounts(config, as_read.book);
  finish("load");
  BaseRun base = margin_run.plan(as_read);
  finish("plan");
  if (config.risk.is_automatic)
    simulate_until_precise(round, as_read, margin_run, base, record);
  else
    margin_run.simulate(base);
  remove_repetitions(record.warnings);
  finish("simulate");
  result.margins = margin_run.margins(base);
  finish("margin");
  if (config.output.has_attribution) {
    result.attribution = margin_run.attribute(base, result.margins);
    finish("attribution");
  }
  record.config = config;
  record.shares = std::move(base.shares);
  describe_plan(base.revaluations.front().plan, record);
  return result;
}

RunResult run(const std::filesystem::path& config_file) { return run(load_config(config_file)); }

}  // namespace shortfall
