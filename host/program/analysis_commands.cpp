// Commands that say why a margin is what it is, what a trade would do to it, and what others
// charge.
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "shortfall/attribution.hpp"
#include "shortfall/compare.hpp"
#include "shortfall/whatif.hpp"
#include "terminal.hpp"
#include "whatif_command.hpp"

namespace shortfall {
namespace {

struct AccountArguments {
  ConfigArguments config;
  std::string account;
};

void add_account(CLI::App& command, std::string& account) {
  command.add_option("--account", account, "Account of positions.csv")->required()->type_name("A");
}

/// A bar on the way, and an end on interrupt.
template <class Work>
auto with_progress(const RunConfig& config, Work work) {
  catch_interrupts();
  ProgressBar bar(config.risk.path_count, false);
  return work([&](std::uint64_t paths_done) {
    throw_if_interrupted();
    bar.update(paths_done);
  });
}

void explain_command(AccountArguments& arguments) {
  const RunConfig config = arguments.config.load();
  print(format_explanation(with_progress(config, [&](const Progress& progress) {
    return explain(config, arguments.account, progress);
  })));
}

struct WhatIfArguments {
  AccountArguments of;
  std::vector<std::string> trades;
  bool may_open = false, is_interactive = false, is_base_only = false;
};

void what_if_command(WhatIfArguments& arguments) {
  if (arguments.trades.empty() == !arguments.is_interactive)
    throw InputError(
        {{"command line", 0,
          arguments.is_interactive
              ? "--interactive reads trades from standard input: leave --trade out"
              : "name a trade with --trade INSTRUMENT:QUANTITY, or use --interactive"}},
        0);
  WhatIfQuery query{arguments.of.account, {}, arguments.may_open};
  for (const std::string& trade : arguments.trades) query.trades.push_back(parse_trade(trade));
  const RunConfig config = arguments.of.config.load();
  if (arguments.is_interactive) {
    WhatIfSession session(config);
    const int refused = answer_queries(session, query.account, query.may_open,
                                       arguments.is_base_only, std::cin, std::cout, std::cerr);
    if (refused > 0)
      throw InputError({{"standard input", 0, std::to_string(refused) + " refused"}}, 0);
    return;
  }
  const WhatIf answer = with_progress(
      config, [&](const Progress& progress) { return what_if(config, query, progress); });
  print(format_what_if(answer, config.margin));
}

struct CompareArguments {
  ConfigArguments config;
  std::string directory, span, portfolio_margin;
};

void compare_command(CompareArguments& arguments) {
  const RunConfig config = arguments.config.load();
  SchemeParameters schemes;
  if (!arguments.span.empty()) schemes.span = load_span_parameters(arguments.span);
  if (!arguments.portfolio_margin.empty())
    schemes.portfolio_margin = load_portfolio_margin_parameters(arguments.portfolio_margin);
  const Comparison comparison = with_progress(
      config, [&](const Progress& progress) { return compare(config, schemes, progress); });
  if (!arguments.directory.empty()) write_comparison(arguments.directory, comparison);
  print(format_comparison_table(comparison));
}

}  // namespace

void add_explain(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "explain",
      "Prints why an account's margin is what it is: its components, what each position adds\n"
      "to the expected shortfall, and the ten worst paths with their factor moves.");
  const auto arguments = std::make_shared<AccountArguments>();
  add_config(*command, arguments->config);
  add_account(*command, arguments->account);
  command->callback([arguments] { explain_command(*arguments); });
}

void add_what_if(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "whatif",
      "Prints an account's margin before and after trades, by component, with the bits of full\n"
      "runs without and with them. Writes nothing.");
  const auto arguments = std::make_shared<WhatIfArguments>();
  add_config(*command, arguments->of.config);
  add_account(*command, arguments->of.account);
  command
      ->add_option("--trade", arguments->trades,
                   "INSTRUMENT:QUANTITY, signed contracts; again for each leg")
      ->type_name("I:Q")
      ->allow_extra_args(false);
  command->add_flag("--open", arguments->may_open, "Opens the account where there is none");
  command->add_flag("--interactive", arguments->is_interactive,
                    "Loads once, then answers lines of trades from standard input");
  command->add_flag("--base-only", arguments->is_base_only,
                    "With --interactive: the base component alone, at once");
  command->callback([arguments] { what_if_command(*arguments); });
}

void add_compare(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "compare",
      "Prints each account's margin under several schemes on the same marks: expected shortfall\n"
      "in portfolio, cross and isolated mode, a scan like SPAN's, and a portfolio margin like\n"
      "Deribit's. With --out also writes DIR/compare.csv.");
  const auto arguments = std::make_shared<CompareArguments>();
  add_config(*command, arguments->config);
  command->add_option("--out", arguments->directory, "Directory of compare.csv; created if missing")
      ->type_name("DIR");
  command
      ->add_option("--span", arguments->span,
                   "Parameters of the scan (TOML), instead of those in configs/schemes/span.toml")
      ->type_name("FILE");
  command
      ->add_option("--portfolio-margin", arguments->portfolio_margin,
                   "Parameters of the portfolio margin (TOML), instead of those in\n"
                   "configs/schemes/portfolio_margin.toml")
      ->type_name("FILE");
  command->callback([arguments] { compare_command(*arguments); });
}

}  // namespace shortfall
