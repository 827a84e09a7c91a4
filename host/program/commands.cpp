#include "commands.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "fmt/format.h"
#include "generate/generate.hpp"
#include "run/job_scheduler.hpp"
#include "shortfall/shortfall.hpp"
#include "terminal.hpp"

namespace shortfall {
namespace {

std::atomic<int> interrupting_signal{0};

void on_signal(int signal) { interrupting_signal = signal; }

struct RunArguments {
  ConfigArguments config;
  std::string directory;
  std::optional<std::string> sampled_account;
  bool has_attribution = false, is_quiet = false;
};

/// --importance: one account in place of the book, in a file of its own.
void importance_command(const RunArguments& arguments, const RunConfig& config) {
  ImportanceEstimate estimate;
  {
    ProgressBar bar(config.risk.path_count, arguments.is_quiet);
    estimate = sample_importance(config, *arguments.sampled_account, [&](std::uint64_t paths_done) {
      throw_if_interrupted();
      bar.update(paths_done);
    });
  }
  write_importance(arguments.directory, estimate);
  if (!arguments.is_quiet) print(format_importance_table(estimate, arguments.directory));
}

void run_command(RunArguments& arguments) {
  if (arguments.has_attribution) arguments.config.overrides.attribution = true;
  const RunConfig config = arguments.config.load();
  catch_interrupts();
  if (arguments.sampled_account) return importance_command(arguments, config);
  RunResult result;
  {
    // Rounds that double have no end to draw.
    ProgressBar bar(config.risk.path_count, arguments.is_quiet || config.risk.is_automatic);
    JobScheduler scheduler;
    const Work work = [&](const Checkpoint& checkpoint) {
      result = run(config, [&](std::uint64_t paths_done) {
        checkpoint();
        throw_if_interrupted();
        bar.update(paths_done);
      });
    };
    scheduler.submit(JobClass::full, JobScheduler::Clock::now(), work)->wait();
  }
  write_report(arguments.directory, result.margins, result.record, result.attribution);
  if (!arguments.is_quiet) print(format_summary(result, arguments.directory));
}

}  // namespace

RunConfig ConfigArguments::load() {
  if (!backend.empty()) overrides.backend = parse_backend(backend);
  return load_config(file, overrides);
}

void add_config(CLI::App& command, ConfigArguments& arguments) {
  command.add_option("CONFIG", arguments.file, "Run configuration (TOML)")->required();
  command
      .add_option("--paths", arguments.overrides.path_count,
                  "Number of paths, instead of risk.paths")
      ->type_name("N")
      ->check(whole_number());
  command.add_option("--seed", arguments.overrides.seed, "Seed, instead of risk.seed")
      ->type_name("S")
      ->check(whole_number());
  command
      .add_option("--threads", arguments.overrides.thread_count,
                  "CPU threads, instead of compute.threads; 0: one per core")
      ->type_name("T")
      ->check(whole_number());
  command
      .add_option("--backend", arguments.backend, "auto, cpu or cuda, instead of compute.backend")
      ->type_name("B")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
}

const CLI::Validator& whole_number() {
  static const CLI::Validator validator(
      [](const std::string& text) {
        const bool is_whole = text.find_first_not_of("0123456789") == std::string::npos;
        return text.empty() || !is_whole ? std::string("needs a whole number, 0 or more")
                                         : std::string();
      },
      "");
  return validator;
}

BackendChoice parse_backend(const std::string& name) {
  if (name == "cpu") return BackendChoice::cpu;
  if (name == "cuda") return BackendChoice::cuda;
  return BackendChoice::automatic;
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw OperatingError("cannot write to standard output");
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void throw_if_interrupted() {
  if (interrupting_signal) throw OperatingError("interrupted: nothing was written");
}

void add_run(CLI::App& app) {
  CLI::App* const run = app.add_subcommand(
      "run",
      "Revalues the book on every path and writes DIR/margin.csv and DIR/run.json.\n\n"
      "margin.csv has the same bytes for the same inputs and seed, whatever the backend,\n"
      "instruction set, number of threads or tile. Each file is complete or absent.");
  const auto arguments = std::make_shared<RunArguments>();
  add_config(*run, arguments->config);
  run->add_option("--out", arguments->directory, "Directory of the results; created if missing")
      ->required()
      ->type_name("DIR");
  CLI::Option* const attribution = run->add_flag(
      "--attribution", arguments->has_attribution,
      "Also writes DIR/attribution.csv: what each position adds to the expected shortfall");
  run->add_option("--importance", arguments->sampled_account,
                  "Only this account, by importance sampling: a tenth of the error from as many\n"
                  "paths. Writes DIR/importance.csv and nothing else")
      ->type_name("A")
      ->excludes(attribution);
  run->add_flag("--quiet", arguments->is_quiet, "No progress bar and no table");
  run->callback([arguments] { run_command(*arguments); });
}

void add_check(CLI::App& app) {
  CLI::App* const check = app.add_subcommand(
      "check",
      "Reads and validates every input and prints what the run would do: instruments,\n"
      "accounts, factors, memory and estimated time. Writes nothing.");
  const auto config = std::make_shared<std::string>();
  check->add_option("CONFIG", *config, "Run configuration (TOML)")->required();
  check->callback([config] { print(describe_run(load_config(*config))); });
}

namespace {

struct GenerateArguments {
  GenerateOptions options;
  std::string directory, preset = "venue";
};

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

}  // namespace

void add_generate(CLI::App& app) {
  CLI::App* const generate = app.add_subcommand(
      "generate",
      "Writes a synthetic market-maker venue in the file formats.\n\n"
      "Preset demo is the book in configs/demo; canonical is the job that performance is\n"
      "measured on; venue (the default) takes the sizes below.");
  const auto arguments = std::make_shared<GenerateArguments>();
  generate->add_option("--preset", arguments->preset, "venue, demo or canonical")
      ->check(CLI::IsMember({"venue", "demo", "canonical"}));
  const auto size = [&](const char* name, std::optional<std::uint32_t>& value, const char* help) {
    generate->add_option(name, value, help)->type_name("N")->check(whole_number());
  };
  size("--instruments", arguments->options.instruments, "Listed instruments");
  size("--accounts", arguments->options.accounts, "Accounts");
  size("--underlyings", arguments->options.underlyings, "Underlyings");
  size("--factors", arguments->options.factors, "Risk factors");
  generate->add_option("--seed", arguments->options.seed, "Seed of the generator")
      ->type_name("S")
      ->check(whole_number());
  generate->add_option("--out", arguments->directory, "Directory to write; created if missing")
      ->required()
      ->type_name("DIR");
  generate->callback([arguments] {
    using Preset = GenerateOptions::Preset;
    arguments->options.preset = arguments->preset == "demo"        ? Preset::demo
                                : arguments->preset == "canonical" ? Preset::canonical
                                                                   : Preset::venue;
    shortfall::generate(arguments->options, arguments->directory);
    print(fmt::format("wrote {0}: run it with  shortfall run {0}/run.toml --out DIR\n",
                      arguments->directory));
  });
}

void add_selftest(CLI::App& app) {
  CLI::App* const selftest = app.add_subcommand(
      "selftest",
      "Computes a built-in book and prints a hash per stage, which is the same on every\n"
      "machine, backend and device. Exit status 1 where one differs.");
  const auto options = std::make_shared<SelftestOptions>();
  selftest->add_option("--backend", options->backend, "auto (the default), cpu or cuda")
      ->type_name("B")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  selftest
      ->add_option("--device", options->device, "CUDA device by number; without it, all of them")
      ->type_name("N")
      ->check(whole_number() & CLI::Range(0, 1023));
  selftest->callback([options] { selftest_command(*options); });
}

}  // namespace shortfall
