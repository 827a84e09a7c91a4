#include "backtest_command.hpp"

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>

#include "backtest_config.hpp"
#include "backtest_report.hpp"
#include "fmt/format.h"
#include "input/date.hpp"
#include "output/atomic_file.hpp"
#include "output/sha256.hpp"
#include "program/commands.hpp"
#include "program/terminal.hpp"
#include "shortfall/report.hpp"
#include "walk_csv.hpp"

namespace shortfall {
namespace {

using namespace backtest;

MethodResult result_of(const BacktestConfig& config, CalibrationMethod method,
                       const calibration::ReadHistory& history, const std::vector<HeldBook>& books,
                       const WalkProgress& progress) {
  const auto start = std::chrono::steady_clock::now();
  WalkSettings settings = config.walk;
  settings.calibration.method = method;
  MethodResult result;
  result.method = to_string(method);
  result.walk = walk_history(history.changes, history.levels, books, settings, progress);
  result.evaluations =
      evaluate(result.walk, config.history_count, settings.seed, [] { throw_if_interrupted(); });
  // Most of the memory, and nothing reads them any more.
  for (BookSeries& series : result.walk.books) series.worst_losses_usd = {};
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::string changes_of(std::size_t window_count) {
  return window_count == 0 ? "all changes before a date"
                           : fmt::format("the {} changes before a date", window_count);
}

/// What it takes to do this again.
std::vector<Fact> facts_of(const BacktestConfig& config, const std::vector<MethodResult>& results) {
  const WalkSettings& walk = config.walk;
  const auto hashed = [](const std::filesystem::path& file) {
    return fmt::format("{}, sha256 {}", file.string(), sha256_of_file(file));
  };
  std::vector<Fact> facts = {{"program", fmt::format("shortfall {}", version())},
                             {"configuration", hashed(config.file)}};
  for (const calibration::HistorySource& source : config.sources)
    facts.emplace_back("history", hashed(source.file));
  facts.emplace_back("losses", fmt::format("of intervals that end from {} to {}",
                                           format_date(walk.from), format_date(walk.to)));
  facts.emplace_back("calibrated on",
                     walk.calibration_date
                         ? fmt::format("the past of {}, once", format_date(*walk.calibration_date))
                         : changes_of(walk.window_count));
  facts.emplace_back("distribution",
                     walk.distribution == Distribution::gaussian ? std::string("Gaussian")
                     : walk.degrees_of_freedom
                         ? fmt::format("Student t, {} degrees of freedom", *walk.degrees_of_freedom)
                         : std::string("Student t, degrees of freedom of each calibration"));
  facts.emplace_back("paths", fmt::format("{} a date, seed {}", walk.path_count, walk.seed));
  facts.emplace_back("simulated histories", fmt::format("{}, for Z1 and Z2", config.history_count));
  for (const MethodResult& result : results)
    facts.emplace_back("time of " + result.method, fmt::format("{:.1f} s", result.seconds));
  return facts;
}

/// Of all or of none.
void write_results(const BacktestConfig& config, const std::vector<MethodResult>& results) {
  create_directory_for(config.out);
  std::list<AtomicFile> files;
  for (std::size_t i = 0; i < results.size(); ++i)
    write_walk(results[i].walk, files.emplace_back(csv_path(config, config.methods[i])));
  files.emplace_back(config.out / html_name).write(format_html(facts_of(config, results), results));
  for (AtomicFile& file : files) file.sync();
  for (AtomicFile& file : files) file.publish();
}

std::size_t date_count(const WalkSettings& walk, const FactorChanges& changes) {
  return static_cast<std::size_t>(
      std::count_if(changes.times.begin(), changes.times.end(),
                    [&](std::int64_t time) { return time >= walk.from && time <= walk.to; }));
}

void backtest_command(const std::filesystem::path& file) {
  const BacktestConfig config = load_backtest_config(file);
  catch_interrupts();
  calibration::HistoryWindow window;
  window.to = config.walk.to;
  window.gap_days_max = config.gap_days_max;
  const calibration::ReadHistory history = calibration::read_history(config.sources, window);
  const std::vector<HeldBook> books = books_of(config, history.changes);
  std::vector<MethodResult> results;
  {
    const std::size_t dates = date_count(config.walk, history.changes);
    ProgressBar bar(dates * config.methods.size(), false, "dates");
    for (const CalibrationMethod method : config.methods)
      results.push_back(result_of(config, method, history, books, [&](std::size_t dates_done) {
        throw_if_interrupted();
        bar.update(dates * results.size() + dates_done);
      }));
  }
  write_results(config, results);
  print(format_backtest(results) + fmt::format("written to {}\n", config.out.string()));
}

}  // namespace

void add_backtest(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "backtest",
      "Walks a history of prices: at each date calibrates on the past alone, forecasts value at\n"
      "risk and expected shortfall of books, and tests them against the losses that\n"
      "followed. Writes a CSV per method, and report.html.");
  const auto file = std::make_shared<std::string>();
  command->add_option("CONFIG", *file, "Backtest (TOML)")->required();
  command->callback([file] { backtest_command(*file); });
}

}  // namespace shortfall
