// shortfall_bench: measures every stage, its limits and its baselines in one run on one core.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <deque>
#include <exception>
#include <string_view>

#include "sections.hpp"
#include "table.hpp"

namespace shortfall::bench {
namespace {

constexpr const char* usage =
    R"(usage: shortfall_bench [--quick] [--strict] [--record] [--table_out=FILE] [--benchmark_...]

Measures every stage of the engine, what the machine allows and the baselines, pinned to one core,
and prints one table. Then what is to be reached, and every ratio that fell by more than 5 % against
bench/ratios.json, where that is of this kind of processor. Where SHORTFALL_SHARED names the folder
of the real book, that is measured too. SHORTFALL_BENCH_PYTHON names a Python that has numpy and
scipy (python3).

  --quick            everything tiny: shows that the benchmarks work, not how fast it is
  --strict           exit status 1 where a ratio fell by more than 5 %
  --record           writes this run's ratios to bench/ratios.json
  --table_out=FILE   everything as JSON (bench.json beside the program)
  --benchmark_...    Google Benchmark's own: --benchmark_filter=PATTERN chooses rows by name,
                     --benchmark_out=FILE writes its JSON, --benchmark_repetitions=N (5)

Exit status: 0 done; 1 a result is wrong, or --strict found a fall; 2 wrong command line.
)";

#if defined(NDEBUG) && defined(__OPTIMIZE__)
constexpr bool is_optimised = true;
#else
constexpr bool is_optimised = false;
#endif

/// The last core that this process may use: the first tends to serve the system's interrupts.
int pin_to_one_core(const Processor& processor) {
  if (processor.cores.empty()) return -1;
  return pin_to({processor.cores.back()}) ? processor.cores.back() : -1;
}

struct Options {
  bool is_quick = false, is_strict = false, is_record = false, is_filtered = false;
  std::filesystem::path table_file;
  std::vector<std::string> for_google_benchmark;

  Options(int argc, char** argv) {
    const std::filesystem::path program = argv[0];
    table_file = program.parent_path() / "bench.json";
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    for (const std::string& argument : arguments) {
      constexpr std::string_view table = "--table_out=";
      if (argument.starts_with("--benchmark_filter") || argument.starts_with("--benchmark_list"))
        is_filtered = true;
      if (argument == "--quick")
        is_quick = true;
      else if (argument == "--strict")
        is_strict = true;
      else if (argument == "--record")
        is_record = true;
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

/// Registers every row. What rows refer to is in `jobs`.
void add_rows(Suite& suite, const std::vector<Usable>& sets, const std::deque<Job>& jobs,
              const Job& filter, const Conditions& conditions,
              const std::filesystem::path& directory) {
  const Job& canonical = jobs.front();
  add_limits(suite, sets, conditions.processor);
  add_normals(suite, sets);
  add_filter(suite, sets, filter);
  for (const Job& job : jobs) {
    add_stages(suite, sets, job);
    add_baselines(suite, job);
  }
  if (jobs.size() == 1) suite.skip({.stage = "job", .job = "real"}, "SHORTFALL_SHARED is not set");
  add_quantlib(suite, canonical);
  add_numpy(suite, canonical, directory);
  add_threads(suite, sets.back(), canonical, conditions);
  add_preparation(suite, canonical, directory);
}

constexpr const char* ratios_file = SHORTFALL_SOURCE_DIR "/bench/ratios.json";

Comparison compare_with(const Ratios& recorded, const Suite& suite, const Options& options,
                        const Conditions& conditions) {
  if (options.is_quick) return {.against = "a quick run is not compared"};
  const Ratios now{conditions.processor.kind(), conditions.revision, measured_ratios(suite)};
  if (options.is_record) write_ratios(now, ratios_file);
  return compare(now, recorded);
}

int run(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]) == "--help") return fmt::print("{}", usage), 0;
  Options options(argc, argv);
  if (!options.initialize()) return 2;
  if (options.is_record && (options.is_quick || options.is_filtered)) {
    fmt::print(stderr, "shortfall_bench: --record takes a full run\n");
    return 2;
  }

  const Ratios recorded = read_ratios(ratios_file);
  const TemporaryDirectory directory;
  std::vector<BookFile> books = {{"canonical", generate_canonical(directory.path())}};
  if (const char* const shared = std::getenv("SHORTFALL_SHARED"))
    books.push_back({"real", real_config(shared)});

  Suite suite(options.is_quick);
  Report report{suite, {}, {}, {}, {}};
  Conditions& conditions = report.conditions;
  conditions.processor = read_processor();
  conditions.pinned_core = pin_to_one_core(conditions.processor);
  conditions.load_before = load_average();
  conditions.revision = git_revision();
  const ProcessorTimes before = ProcessorTimes::now();
  // First: a new process has the peak of its parent until it has more.
  if (!options.is_filtered) report.runs = run_program(books, options.is_quick, directory.path());

  const std::vector<Usable> sets = usable();
  const Job filter = filter_job(options.is_quick);
  std::deque<Job> jobs;
  for (const BookFile& book : books)
    jobs.push_back(load_job(book.name, book.config, options.is_quick));
  add_rows(suite, sets, jobs, filter, conditions, directory.path());
  Collector collector(suite);
  benchmark::RunSpecifiedBenchmarks(&collector);
  suite.compare_hashes();

  const ProcessorTimes after = ProcessorTimes::now();
  conditions.cores_of_others = cores_used_by_others(before, after);
  conditions.stolen_share = (after.stolen - before.stolen) / (after.wall - before.wall);
  conditions.load_after = load_average();
  report.targets = find_targets(suite, report.runs, sets.back().name);
  report.comparison = compare_with(recorded, suite, options, conditions);
  fmt::print("{}", format_report(report));
  write_json(report, options.table_file);
  fmt::print("\nalso as JSON: {}\n", options.table_file.string());
  for (const Row& row : suite.rows())
    if (!row.failure.empty()) return 1;
  return options.is_strict && !report.comparison.falls.empty() ? 1 : 0;
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
