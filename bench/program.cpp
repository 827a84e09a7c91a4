#include "program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "shortfall/error.hpp"
#include "subprocess.hpp"

namespace shortfall::bench {
namespace {

struct Run {
  Finished finished;
  nlohmann::json record;  ///< run.json
};

Run run(const BookFile& book, std::uint64_t path_count, const std::filesystem::path& directory) {
  const std::filesystem::path out = directory / "run";
  Run run;
  run.finished =
      Command{{SHORTFALL_PROGRAM, "run", book.config, "--out", out, "--quiet", "--threads", "1",
               "--backend", "cpu", "--paths", std::to_string(path_count)}}
          .run();
  if (run.finished.status != 0)
    throw OperatingError(fmt::format("{} run {} --paths {} ended with status {}: {}",
                                     SHORTFALL_PROGRAM, book.config.string(), path_count,
                                     run.finished.status, run.finished.errors));
  std::ifstream(out / "run.json") >> run.record;
  return run;
}

PeakMemory measure_memory(const BookFile& book, std::uint64_t path_count,
                          const std::filesystem::path& directory) {
  const Run one = run(book, path_count, directory);
  const double confidence = one.record.at("configuration").at("risk").at("confidence");
  return {.book = book.name,
          .path_count = path_count,
          .group_count = one.record.at("counts").at("margin_groups"),
          .tail_size = (1 - confidence) * static_cast<double>(path_count),
          .bytes = one.finished.peak_bytes};
}

StartUp measure_start_up(const BookFile& book, std::uint64_t path_count, int repetitions,
                         const std::filesystem::path& directory) {
  StartUp least{book.name, path_count, 1e300, 1e300, 1e300, 1e300, 1e300};
  for (int i = 0; i < repetitions; ++i) {
    const Run one = run(book, path_count, directory);
    if (one.finished.wall_seconds >= least.process) continue;
    const auto& seconds = one.record.at("seconds");
    least.process = one.finished.wall_seconds;
    least.load = seconds.at("load");
    least.plan = seconds.at("plan");
    least.simulate = seconds.at("simulate");
    least.margin = seconds.at("margin");
  }
  return least;
}

}  // namespace

ProgramRuns run_program(const std::vector<BookFile>& books, bool is_quick,
                        const std::filesystem::path& directory) {
  ProgramRuns runs;
  std::vector<std::uint64_t> path_counts = {100'000, 1'000'000, 10'000'000};
  if (is_quick) path_counts = {1'000, 10'000};
  const BookFile demo{"demo", SHORTFALL_SOURCE_DIR "/configs/demo/run.toml"};
  for (const BookFile& book : {demo, books.front()})
    for (const std::uint64_t path_count : path_counts)
      runs.memory.push_back(measure_memory(book, path_count, directory));
  for (const std::uint64_t path_count : {100u, 1'000u, 10'000u})
    runs.start_up.push_back(
        measure_start_up(books.back(), path_count, is_quick ? 1 : 15, directory));
  return runs;
}

}  // namespace shortfall::bench
