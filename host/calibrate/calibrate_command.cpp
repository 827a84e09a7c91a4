#include "calibrate_command.hpp"

#include <chrono>
#include <memory>

#include "calibrate_report.hpp"
#include "program/commands.hpp"

namespace shortfall {
namespace {

using namespace calibration;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void calibrate_command(const CalibrateArguments& arguments) {
  CalibrateOutcome outcome;
  outcome.config = load_calibrate_config(arguments);
  catch_interrupts();
  const CalibrateConfig& config = outcome.config;
  outcome.history = read_history(config.sources, config.window);
  const FactorChanges& changes = outcome.history.changes;
  const auto start = std::chrono::steady_clock::now();
  if (config.stressed) {
    outcome.stressed = find_stressed_window(config, changes, outcome.history.window,
                                            [](std::size_t) { throw_if_interrupted(); });
    outcome.model = outcome.stressed->model;
    outcome.rows = outcome.stressed->worst.rows;
  } else {
    outcome.rows = outcome.history.window;
    outcome.model =
        build_model(changes, outcome.rows, config.settings, {config.factors, config.fills});
  }
  outcome.seconds = seconds_since(start);
  write_outcome(outcome);
  print(format_outcome(outcome));
}

}  // namespace

void add_calibrate(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "calibrate",
      "Estimates covariance.csv, and degrees of freedom, from histories of prices and other\n"
      "factors. Options take the place of the file's keys; without a file they have to name\n"
      "the prices. Writes FILE and a report beside it.");
  const auto typed = std::make_shared<CalibrateArguments>();
  // CLI11 has no difference between an empty text and none.
  const CLI::Validator something(
      [](const std::string& text) { return text.empty() ? "must not be empty" : std::string(); },
      "");
  const auto option = [&](const char* name, std::string& value, const char* help,
                          const char* type) {
    command->add_option(name, value, help)->type_name(type)->check(something);
  };
  option("CONFIG", typed->config, "Calibration (TOML)", "");
  option("--prices", typed->prices, "History of prices (CSV): date, then a column per coin",
         "FILE");
  option("--columns", typed->columns, "Columns of it: BTC,ETH or price=BTC; all without it",
         "LIST");
  option("--method", typed->method, "sample (the default), ewma, ledoit_wolf or garch", "M");
  option("--correlations", typed->correlations, "Of garch: dcc (the default) or ewma", "C");
  option("--horizon-days", typed->horizon_days, "What the covariance is stated for; 1", "D");
  option("--half-life", typed->half_life, "Of exponential weights, in days; 30", "D");
  option("--from", typed->from, "First date of the window; the first there is", "DATE");
  option("--to", typed->to, "Last date of the window; the last there is", "DATE");
  option("--min-observations", typed->min_observations,
         "Least changes of a series and of a pair; 100, and 250 for garch", "N");
  option("--method-weight", typed->method_weight,
         "Weight of the method; the rest is the sample covariance of all history", "W");
  command->add_flag("--no-degrees-of-freedom", typed->has_no_degrees_of_freedom,
                    "Only the covariance");
  option("--stressed", typed->book,
         "Searches the window that is worst for this book (a run configuration)", "CONFIG");
  option("--window-days", typed->window_days, "Length of that window; 250", "D");
  option("--out", typed->out, "The covariance to write", "FILE");
  option("--moves", typed->moves,
         "Also writes the factors' moves in the window, for historical scenarios", "FILE");
  command->callback([typed] { calibrate_command(*typed); });
}

}  // namespace shortfall
