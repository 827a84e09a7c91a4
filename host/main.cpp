// The program: its commands, and the exit status of what went wrong.
#include <csignal>
#include <cstdio>
#include <new>

#include "backtest/backtest_command.hpp"
#include "calibrate/calibrate_command.hpp"
#include "fmt/format.h"
#include "import/import_command.hpp"
#include "program/commands.hpp"
#include "program/terminal.hpp"
#include "service/replay_command.hpp"
#include "service/serve_command.hpp"
#include "shortfall/shortfall.hpp"

namespace {

using namespace shortfall;

constexpr int exit_failed = 1, exit_bad_input = 2;

int run_program(int argc, char** argv) {
  CLI::App app(
      "shortfall: expected-shortfall margin for crypto-derivatives accounts, by full\n"
      "revaluation of every option, perpetual and future on correlated Monte Carlo paths.");
  app.name("shortfall");
  app.set_version_flag("--version", version());
  app.require_subcommand(1);
  app.footer(
      "Exit status: 0 done; 1 the run failed; 2 the input or the command line is wrong, with\n"
      "one line per problem on standard error. With 1 and 2 nothing is written.\n"
      "Example: shortfall run configs/demo/run.toml --out out/demo\n");
  add_run(app);
  add_check(app);
  add_explain(app);
  add_what_if(app);
  add_compare(app);
  add_import(app);
  add_calibrate(app);
  add_backtest(app);
  add_serve(app);
  add_replay(app);
  add_generate(app);
  add_selftest(app);
  app.add_subcommand("info", "Prints the version, instruction sets, CUDA build and devices.")
      ->callback([] { print(describe_program()); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    if (argc < 2 || !app.get_subcommands().empty()) return app.exit(error), exit_bad_input;
    std::fputs(
        fmt::format(
            "unknown command \"{}\": use run, check, explain, whatif, compare, import, calibrate, "
            "backtest, serve, replay, generate, selftest or info\n"
            "Run with --help for more information.\n",
            argv[1])
            .c_str(),
        stderr);
    return exit_bad_input;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_bad_input;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is an error to report, like a full disk
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run_program(argc, argv);
  } catch (const InputError& error) {
    std::fputs(fmt::format("{}\n", error.what()).c_str(), stderr);
    return exit_bad_input;
  } catch (const OperatingError& error) {
    std::fputs(fmt::format("shortfall: {}\n", error.what()).c_str(), stderr);
  } catch (const std::bad_alloc&) {
    std::fputs("shortfall: out of memory: `shortfall check` prints what a run needs\n", stderr);
  }
  return exit_failed;
}
