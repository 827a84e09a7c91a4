#include "import_command.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "chain_files.hpp"
#include "fmt/format.h"
#include "market_record.hpp"
#include "program/commands.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

using exchange::ImportOptions;

struct ImportArguments {
  std::vector<std::string> files, spots;
  std::string venue, map, as_of, directory;
  std::uint32_t age_seconds_max = 600;
  ImportOptions options;
  bool overwrites = false, is_quiet = false;
};

/// Fills what the command line gives as text.
void parse_arguments(ImportArguments& arguments) {
  Problems problems;
  ImportOptions& options = arguments.options;
  options.files.assign(arguments.files.begin(), arguments.files.end());
  if (!arguments.map.empty()) options.map = arguments.map;
  options.age_seconds_max = arguments.age_seconds_max;
  for (const std::string& spot : arguments.spots) {
    const std::size_t equals = spot.find('=');
    const std::string name = spot.substr(0, equals);
    const std::optional<double> price =
        equals == std::string::npos ? std::nullopt : parse_real(spot.substr(equals + 1));
    const bool is_coin = !name.empty() && std::ranges::all_of(name, [](char c) {
      return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    });
    if (!is_coin || !price || !(*price >= 1e-12 && *price <= 1e15))
      problems.add("command line", 0,
                   fmt::format("--spot {} is no coin with its index; write one like BTC=96650",
                               in_quotes(spot)));
    else if (!options.spots_usd.emplace(name, *price).second)
      problems.add("command line", 0,
                   fmt::format("--spot gives {} twice; remove one", in_quotes(name)));
  }
  if (!arguments.as_of.empty()) {
    options.as_of = parse_date_time(arguments.as_of);
    if (!options.as_of || !exchange::is_market_time(*options.as_of * 1000))
      problems.add("command line", 0,
                   fmt::format("--as-of {} is no time from 2010 to 2100; write one like "
                               "2026-01-15T09:21:30Z",
                               in_quotes(arguments.as_of)));
  }
  problems.throw_if_any();
}

void import_command(ImportArguments& arguments) {
  parse_arguments(arguments);
  const exchange::ImportedChain chain = exchange::import_chain(arguments.options);
  const std::string report = exchange::format_import(chain);
  exchange::write_chain(exchange::format_chain(chain), arguments.directory, arguments.overwrites);
  if (arguments.is_quiet) return;
  print(report + fmt::format("\nwrote underlyings.csv, instruments.csv and run.toml to {}\n"
                             "before a run, add positions.csv and covariance.csv there\n",
                             arguments.directory));
}

}  // namespace

void add_import(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "import",
      "Makes underlyings.csv, instruments.csv and run.toml of what a venue publishes. Deribit:\n"
      "saved responses of get_book_summary_by_currency, get_instruments and ticker, or a CSV\n"
      "chain with a map of its columns. Prints what it left out, violations of static arbitrage,\n"
      "and how far Black-76 is from the marks.");
  const auto arguments = std::make_shared<ImportArguments>();
  command->add_option("VENUE", arguments->venue, "Whose layouts the files have")
      ->required()
      ->check(CLI::IsMember({"deribit"}));
  command->add_option("FILE", arguments->files, "JSON or CSV; several are merged by instrument")
      ->required();
  command->add_option("--out", arguments->directory, "Directory to write; created if missing")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--map", arguments->map,
                   "Which column of a CSV chain is what (TOML), as in configs/import")
      ->type_name("MAP");
  command->add_flag("--reimply", arguments->options.reimplies,
                    "Solves volatilities from marks and forwards, in place of the published");
  command
      ->add_option("--underlying", arguments->options.underlyings, "Only this coin; again for each")
      ->type_name("COIN")
      ->take_all()
      ->allow_extra_args(false);
  command
      ->add_option(
          "--spot", arguments->spots,
          "A coin's index in USD: instead of the files', or to list a coin without instruments")
      ->type_name("COIN=PRICE")
      ->take_all()
      ->allow_extra_args(false);
  command
      ->add_option("--as-of", arguments->as_of,
                   "Time of valuation; without it, that of the latest mark")
      ->type_name("TIME");
  command
      ->add_option("--max-age", arguments->age_seconds_max,
                   "Marks farther than this from it are left out (600 seconds)")
      ->type_name("SECONDS")
      ->check(whole_number());
  command->add_flag("--overwrite", arguments->overwrites,
                    "Replaces files of DIR that differ from what is written");
  command->add_flag("--quiet", arguments->is_quiet, "Prints nothing");
  command->callback([arguments] { import_command(*arguments); });
}

}  // namespace shortfall
