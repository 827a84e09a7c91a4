#include "replay_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "program/commands.hpp"
#include "replay.hpp"

namespace shortfall {
namespace {

struct ReplayArguments {
  std::string state, backend;
  std::uint64_t run = 0;
  ComputeConfig compute;
};

void replay_command(ReplayArguments& arguments) {
  arguments.compute.backend = parse_backend(arguments.backend);
  const service::Replay replay =
      service::replay_run(arguments.state, arguments.run, arguments.compute);
  const service::RunEntry& entry = replay.run.entry;
  std::string text = fmt::format(
      "run {}: {} paths, seed {}, market update {}, position batch {}, as of {}\n"
      "computed by release {}, replayed by {}\n",
      arguments.run, entry.path_count, entry.seed, entry.market_sequence, entry.position_sequence,
      format_date_time(entry.as_of), entry.program_version, replay.program_version);
  const std::size_t differing = replay.differing_accounts.size();
  text += replay.is_equal()
              ? fmt::format("equal: plan hash and the bytes of {} margins\n", replay.account_count)
              : fmt::format("NOT EQUAL: plan hash {}, {} of {} margins differ\n",
                            replay.plan_hash == entry.plan_hash ? "equal" : "differs", differing,
                            replay.account_count);
  for (std::size_t i = 0; i < std::min<std::size_t>(differing, 20); ++i)
    text += fmt::format("  {}\n", replay.differing_accounts[i]);
  print(text);
  if (!replay.is_equal())
    throw OperatingError(fmt::format("run {} is not what its inputs give", arguments.run));
}

}  // namespace

void add_replay(CLI::App& app) {
  CLI::App* const command = app.add_subcommand(
      "replay",
      "Computes an entry of a state directory's ledger again from what is stored there, and\n"
      "compares bytes. Exit status 1 where they differ. Not while `serve` uses the directory.");
  const auto arguments = std::make_shared<ReplayArguments>();
  command->add_option("--state", arguments->state, "State directory of `serve`")
      ->required()
      ->type_name("DIR");
  command->add_option("RUN", arguments->run, "Sequence number in the ledger")
      ->required()
      ->check(whole_number());
  command->add_option("--threads", arguments->compute.thread_count, "CPU threads; 0: one per core")
      ->type_name("T")
      ->check(whole_number());
  command->add_option("--backend", arguments->backend, "auto (the default), cpu or cuda")
      ->type_name("B")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command->callback([arguments] { replay_command(*arguments); });
}

}  // namespace shortfall
