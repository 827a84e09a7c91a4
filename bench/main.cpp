// shortfall_bench: measures every stage, its limits and its baselines in one run on one core.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sched.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <deque>
#include <exception>
#include <memory>
#include <string_view>

#include "machine.hpp"
#include "sections.hpp"
#include "table.hpp"

namespace shortfall::bench {
namespace {

constexpr const char* usage =
    "usage: shortfall_bench [--quick] [--table_out=FILE] [--benchmark_...]\n\n"
    "Measures every stage of the engine, what the machine allows and the baselines, pinned to one\n"
    "core, and prints one table. Where SHORTFALL_SHARED names the folder of the real book, that "
    "is\n"
    "measured too.\n\n"
    "  --quick            everything tiny: shows that the benchmarks work, not how fast it is\n"
    "  --table_out=FILE   the table as JSON (bench.json beside the program)\n"
    "  --benchmark_...    Google Benchmark's own: --benchmark_filter=PATTERN chooses rows by "
    "name,\n"
    "                     --benchmark_out=FILE writes its JSON, --benchmark_repetitions=N (5)\n";

#if defined(NDEBUG) && defined(__OPTIMIZE__)
constexpr bool is_optimised = true;
#else
constexpr bool is_optimised = false;
#endif

/// The last core that this process may use: the first tends to serve the system's interrupts.
int pin_to_one_core() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
  int core = CPU_SETSIZE - 1;
  while (core >= 0 && !CPU_ISSET(core, &set)) --core;
  if (core < 0) return -1;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0 ? core : -1;
}

double load_average() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

std::string git_revision() {
  std::string text;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      popen("git -C '" SHORTFALL_SOURCE_DIR "' describe --always --dirty 2>/dev/null", "r"),
      pclose);
  std::array<char, 128> line;
  if (pipe && fgets(line.data(), static_cast<int>(line.size()), pipe.get())) text = line.data();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "unknown" : text;
}

struct Options {
  bool is_quick = false;
  std::filesystem::path table_file;
  std::vector<std::string> for_google_benchmark;

  Options(int argc, char** argv) {
    const std::filesystem::path program = argv[0];
    table_file = program.parent_path() / "bench.json";
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    for (const std::string& argument : arguments) {
      constexpr std::string_view table = "--table_out=";
      if (argument == "--quick")
        is_quick = true;
      else if (argument.starts_with(table))
        table_file = argument.substr(table.size());
      else
        for_google_benchmark.push_back(argument);
    }
    // Ours first: what the user says comes later and wins. Interleaving spreads a disturbance over
    // all rows, so that a row and what it is compared with suffer alike.
    std::vector<std::string> defaults = {
        program.string(), is_quick ? "--benchmark_repetitions=2" : "--benchmark_repetitions=5",
        is_quick ? "--benchmark_min_time=0.001" : "--benchmark_min_time=0.1",
        "--benchmark_enable_random_interleaving=true"};
    for_google_benchmark.insert(for_google_benchmark.begin(), defaults.begin(), defaults.end());
  }

  /// False where Google Benchmark does not know an argument.
  bool initialize() {
    std::vector<char*> arguments;
    for (std::string& argument : for_google_benchmark) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    int count = static_cast<int>(for_google_benchmark.size());
    benchmark::Initialize(&count, arguments.data());
    return !benchmark::ReportUnrecognizedArguments(count, arguments.data());
  }
};

int run(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]) == "--help") return fmt::print("{}", usage), 0;
  Options options(argc, argv);
  if (!options.initialize()) return 2;

  Conditions conditions;
  conditions.pinned_core = pin_to_one_core();
  conditions.processor = processor_name();
  conditions.load_before = load_average();
  conditions.revision = git_revision();

  const TemporaryDirectory directory;
  Suite suite(options.is_quick);
  const std::vector<Usable> sets = usable();
  const Job filter = filter_job(options.is_quick);
  std::deque<Job> jobs;
  jobs.push_back(canonical_job(directory.path(), options.is_quick));
  if (const char* const shared = std::getenv("SHORTFALL_SHARED"))
    jobs.push_back(real_job(shared, options.is_quick));

  add_limits(suite, sets);
  add_normals(suite, sets);
  add_filter(suite, sets, filter);
  for (const Job& job : jobs) {
    add_stages(suite, sets, job);
    add_baselines(suite, job);
  }
  add_preparation(suite, jobs.front(), directory.path());
  if (jobs.size() == 1) suite.skip({.stage = "job", .job = "real"}, "SHORTFALL_SHARED is not set");

  Collector collector(suite);
  benchmark::RunSpecifiedBenchmarks(&collector);
  conditions.load_after = load_average();
  suite.compare_hashes();
  fmt::print("{}", format_table(suite, conditions));
  write_json(suite, conditions, options.table_file);
  fmt::print("\nalso as JSON: {}\n", options.table_file.string());
  for (const Row& row : suite.rows())
    if (!row.failure.empty()) return 1;
  return 0;
}

}  // namespace
}  // namespace shortfall::bench

int main(int argc, char** argv) {
  if (!shortfall::bench::is_optimised) {
    fmt::print(stderr,
               "shortfall_bench: this is a debug build, whose times mean nothing: use "
               "./dev bench, or -DCMAKE_BUILD_TYPE=Release\n");
    return 2;
  }
  try {
    return shortfall::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "shortfall_bench: {}\n", error.what());
    return 1;
  }
}
