// The program: `shortfall run`, `check`, `generate`, `selftest`, `info`.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>

#include "fmt/format.h"
#include "generate.hpp"
#include "shortfall/shortfall.hpp"
#include "terminal.hpp"

namespace {

using namespace shortfall;

constexpr int exit_failed = 1, exit_bad_input = 2;

std::atomic<int> interrupting_signal{0};

void on_signal(int signal) { interrupting_signal = signal; }

/// Until the results are written, an interrupt ends the run at the next tile.
void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second one kills
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

/// Standard output that is full or closed must not look like success.
void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw OperatingError("cannot write to standard output");
}

/// CLI11 reads an empty text as no value at all and -1 as 2^64 - 1.
const CLI::Validator number(
    [](const std::string& text) {
      const bool is_whole = text.find_first_not_of("0123456789") == std::string::npos;
      return text.empty() || !is_whole ? std::string("needs a whole number, 0 or more")
                                       : std::string();
    },
    "");

struct RunOptions {
  std::string config, directory, backend;
  RunOverrides overrides;
  bool is_quiet = false;
};

BackendChoice parse_backend(const std::string& name) {
  if (name == "cpu") return BackendChoice::cpu;
  if (name == "cuda") return BackendChoice::cuda;
  return BackendChoice::automatic;
}

void run_command(RunOptions& options) {
  if (!options.backend.empty()) options.overrides.backend = parse_backend(options.backend);
  const RunConfig config = load_config(options.config, options.overrides);
  catch_interrupts();
  RunResult result;
  {
    ProgressBar bar(config.risk.path_count, options.is_quiet);
    result = run(config, [&](std::uint64_t paths_done) {
      if (interrupting_signal) throw OperatingError("interrupted: nothing was written");
      bar.update(paths_done);
    });
  }
  write_report(options.directory, result.margins, result.record);
  if (!options.is_quiet) print(format_summary(result, options.directory));
}

void add_run(CLI::App& app, RunOptions& options) {
  CLI::App* const run = app.add_subcommand(
      "run",
      "Revalues the book on every path and writes DIR/margin.csv and DIR/run.json.\n\n"
      "margin.csv has the same bytes for the same inputs and seed, whatever the backend,\n"
      "instruction set, number of threads or tile. Each file is complete or absent.");
  run->add_option("CONFIG", options.config, "Run configuration (TOML)")->required();
  run->add_option("--out", options.directory, "Directory of the results; created if missing")
      ->required()
      ->type_name("DIR");
  run->add_option("--paths", options.overrides.path_count, "Number of paths, instead of risk.paths")
      ->type_name("N")
      ->check(number);
  run->add_option("--seed", options.overrides.seed, "Seed, instead of risk.seed")
      ->type_name("S")
      ->check(number);
  run->add_option("--threads", options.overrides.thread_count,
                  "CPU threads, instead of compute.threads; 0: one per core")
      ->type_name("T")
      ->check(number);
  run->add_option("--backend", options.backend, "auto, cpu or cuda, instead of compute.backend")
      ->type_name("B")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  run->add_flag("--quiet", options.is_quiet, "No progress bar and no table");
  run->callback([&options] { run_command(options); });
}

void add_check(CLI::App& app, std::string& config) {
  CLI::App* const check = app.add_subcommand(
      "check",
      "Reads and validates every input and prints what the run would do: instruments,\n"
      "accounts, factors, memory and estimated time. Writes nothing.");
  check->add_option("CONFIG", config, "Run configuration (TOML)")->required();
  check->callback([&config] { print(describe_run(load_config(config))); });
}

struct GenerateArguments {
  GenerateOptions options;
  std::string directory, preset = "venue";
};

void add_generate(CLI::App& app, GenerateArguments& arguments) {
  CLI::App* const generate = app.add_subcommand(
      "generate",
      "Writes a synthetic market-maker venue in the file formats.\n\n"
      "Preset demo is the book in configs/demo; canonical is the job that performance is\n"
      "measured on; venue (the default) takes the sizes below.");
  generate->add_option("--preset", arguments.preset, "venue, demo or canonical")
      ->check(CLI::IsMember({"venue", "demo", "canonical"}));
  const auto size = [&](const char* name, std::optional<std::uint32_t>& value, const char* help) {
    generate->add_option(name, value, help)->type_name("N")->check(number);
  };
  size("--instruments", arguments.options.instruments, "Listed instruments");
  size("--accounts", arguments.options.accounts, "Accounts");
  size("--underlyings", arguments.options.underlyings, "Underlyings");
  size("--factors", arguments.options.factors, "Risk factors");
  generate->add_option("--seed", arguments.options.seed, "Seed of the generator")
      ->type_name("S")
      ->check(number);
  generate->add_option("--out", arguments.directory, "Directory to write; created if missing")
      ->required()
      ->type_name("DIR");
  generate->callback([&arguments] {
    using Preset = GenerateOptions::Preset;
    arguments.options.preset = arguments.preset == "demo"        ? Preset::demo
                               : arguments.preset == "canonical" ? Preset::canonical
                                                                 : Preset::venue;
    shortfall::generate(arguments.options, arguments.directory);
    print(fmt::format("wrote {0}: run it with  shortfall run {0}/run.toml --out DIR\n",
                      arguments.directory));
  });
}

struct SelftestOptions {
  std::string backend;
  std::optional<std::uint32_t> device;
};

void selftest_command(const SelftestOptions& options) {
  ComputeConfig compute;
  compute.backend = parse_backend(options.backend);
  if (options.device) {
    compute.devices = {static_cast<int>(*options.device)};
    if (options.backend.empty()) compute.backend = BackendChoice::cuda;
  }
  print(describe_program());
  bool is_equal = true;
  for (const std::unique_ptr<Backend>& backend : make_backends(compute)) {
    const SelftestResult result = selftest(*backend);
    print(format_selftest(result));
    is_equal = is_equal && result.is_equal();
  }
  if (!is_equal)
    throw OperatingError(
        "a stage differs from what this release computes everywhere else: margins of that backend "
        "are not to be trusted; please report it with all of this output");
}

void add_selftest(CLI::App& app, SelftestOptions& options) {
  CLI::App* const selftest = app.add_subcommand(
      "selftest",
      "Computes a built-in book and prints a hash per stage, which is the same on every\n"
      "machine, backend and device. Exit status 1 where one differs.");
  selftest->add_option("--backend", options.backend, "auto (the default), cpu or cuda")
      ->type_name("B")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  selftest->add_option("--device", options.device, "CUDA device by number; without it, all of them")
      ->type_name("N")
      ->check(number & CLI::Range(0, 1023));
  selftest->callback([&options] { selftest_command(options); });
}

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
  RunOptions run_options;
  std::string check_config;
  GenerateArguments generate_arguments;
  SelftestOptions selftest_options;
  add_run(app, run_options);
  add_check(app, check_config);
  add_generate(app, generate_arguments);
  add_selftest(app, selftest_options);
  app.add_subcommand("info", "Prints the version, instruction sets, CUDA build and devices.")
      ->callback([] { print(describe_program()); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    if (argc < 2 || !app.get_subcommands().empty()) return app.exit(error), exit_bad_input;
    std::fputs(fmt::format("unknown command \"{}\": use run, check, generate, selftest or info\n"
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
