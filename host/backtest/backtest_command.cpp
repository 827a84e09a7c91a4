#include "backtest_command.hpp"

#include <chrono>
#include <memory>

#include "atomic_file.hpp"
#include "backtest_config.hpp"
#include "backtest_report.hpp"
#include "commands.hpp"
#include "fmt/format.h"
#include "walk_csv.hpp"

namespace shortfall {
namespace {

using namespace backtest;

MethodResult result_of(const BacktestConfig& config, CalibrationMethod method,
                       const FactorChanges& changes, const std::vector<LinearBook>& books) {
  const auto start = std::chrono::steady_clock::now();
  WalkSettings settings = config.walk;
  settings.calibration.method = method;
  MethodResult result;
  result.method = to_string(method);
  result.walk = walk_history(changes, books, settings);
  result.evaluations = evaluate(result.walk, config.history_count, settings.seed);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

void backtest_command(const std::filesystem::path& file) {
  const BacktestConfig config = load_backtest_config(file);
  const FactorChanges changes = calibration::read_history({config.prices}, {}).changes;
  const std::vector<LinearBook> books = books_of(config, changes);
  std::vector<MethodResult> results;
  for (const CalibrationMethod method : config.methods)
    results.push_back(result_of(config, method, changes, books));
  create_directory_for(config.out);
  for (std::size_t i = 0; i < results.size(); ++i)
    write_walk(results[i].walk, csv_path(config, config.methods[i]));
  AtomicFile html(config.out / html_name);
  html.write(format_html(results));
  html.publish();
  print(format_backtest(results) + fmt::format("written to {}\n", config.out.string()));
}

}  // namespace

void add_backtest(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "backtest",
      "Walks a history of prices: at each date calibrates on the past alone, forecasts value at\n"
      "risk and expected shortfall of linear books, and tests them against the losses that\n"
      "followed. Writes a CSV per method, and report.html.");
  const auto file = std::make_shared<std::string>();
  command->add_option("CONFIG", *file, "Backtest (TOML)")->required();
  command->callback([file] { backtest_command(*file); });
}

}  // namespace shortfall
