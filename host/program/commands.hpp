// The program's commands: each function adds one to the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "shortfall/config.hpp"
#include "shortfall/scheduler.hpp"

namespace shortfall {

void add_run(CLI::App& app);
void add_check(CLI::App& app);
void add_explain(CLI::App& app);
void add_what_if(CLI::App& app);
void add_compare(CLI::App& app);
void add_generate(CLI::App& app);
void add_selftest(CLI::App& app);

/// A configuration and what the command line says in place of it.
struct ConfigArguments {
  std::string file, backend;
  RunOverrides overrides;

  RunConfig load();
};
/// CONFIG, --paths, --seed, --threads, --backend.
void add_config(CLI::App& command, ConfigArguments& arguments);

/// Digits only: CLI11 reads an empty text as no value at all and -1 as 2^64 - 1.
const CLI::Validator& whole_number();
BackendChoice parse_backend(const std::string& name);

/// Standard output that is full or closed must not look like success.
void print(const std::string& text);

/// From now on an interrupt is heard by throw_if_interrupted; a second one kills.
void catch_interrupts();
void throw_if_interrupted();

}  // namespace shortfall
