#include "check.hpp"

#include <algorithm>
#include <chrono>

#include "fmt/format.h"
#include "shortfall/shortfall.hpp"
#include "terminal.hpp"

namespace shortfall {
namespace {

/// Seconds for all paths, from as many as a quarter of a second allows. The shorter runs keep their
/// own shorter tails, or they would be all tail.
double estimated_seconds(Plan plan, double confidence_level, Backend& backend) {
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const std::uint64_t all_paths = plan.path_count;
  for (std::uint64_t paths = 4096;; paths *= 4) {
    plan.path_count = std::min(paths, all_paths);
    plan.tail = tail_size(plan.path_count, confidence_level);
    const auto start = now();
    backend.simulate(plan, {0, plan.path_count}, {});
    const double seconds = std::chrono::duration<double>(now() - start).count();
    if (seconds > 0.06 || plan.path_count == all_paths)
      return seconds * static_cast<double>(all_paths) / static_cast<double>(plan.path_count);
  }
}

std::string count_by_type(const Plan& plan, const Book& book) {
  std::string out;
  for (const auto type : {InstrumentType::call, InstrumentType::put, InstrumentType::future,
                          InstrumentType::perpetual, InstrumentType::spot}) {
    const auto count =
        std::count_if(plan.instruments.begin(), plan.instruments.end(),
                      [&](std::uint32_t i) { return book.instruments[i].type == type; });
    if (count) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, to_string(type));
  }
  return out;
}

}  // namespace

std::string describe_run(const RunConfig& config) {
  const std::unique_ptr<Backend> backend = make_backend(config.compute);
  const RunInputs inputs = load_inputs(config);
  Plan plan = build_plan(config, inputs);
  const Book& book = inputs.book;
  const BackendDescription chosen = backend->describe(plan);
  std::string out = fmt::format("{}: valid\n", config.file.string());
  const auto line = [&](const char* name, const std::string& text) {
    out += fmt::format("  {:<15} {}\n", name, text);
  };
  line("instruments", fmt::format("{} held of {} listed ({})", plan.instruments.size(),
                                  book.instruments.size(), count_by_type(plan, book)));
  line("accounts", fmt::format("{} in {} margin groups, {} positions", book.accounts.size(),
                               plan.groups.size(), plan.holdings.size()));
  line("factors",
       fmt::format("{} over {} underlyings{}", plan.model.factor_count, book.underlyings.size(),
                   plan.model.is_singular ? ", singular covariance" : ""));
  line("model", plan.model.is_student_t
                    ? fmt::format("Student t, {} degrees of freedom, tail floor {:.3g}",
                                  plan.model.degrees_of_freedom, plan.model.tail_floor)
                    : std::string("Gaussian"));
  line("paths", fmt::format("{} (seed {}), {:.6g} in the tail at {}", plan.path_count, plan.seed,
                            plan.tail.k, plan.confidence_level));
  line("plan", plan.hash);
  line("backend", fmt::format("{}, {}, {} threads, tiles of {} paths", chosen.name,
                              chosen.instruction_set, chosen.thread_count, chosen.tile_path_count));
  line("memory", format_bytes(static_cast<double>(backend->bytes_needed(plan))));
  for (const std::string& warning : plan.model.warnings) line("warning", warning);
  line("estimated time",
       format_duration(estimated_seconds(std::move(plan), config.risk.confidence_level, *backend)));
  return out;
}

}  // namespace shortfall
