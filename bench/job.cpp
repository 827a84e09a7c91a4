#include "job.hpp"

#include <stdlib.h>

#include <fmt/format.h>

#include <fstream>
#include <system_error>
#include <utility>

#include "generate/generate.hpp"

namespace shortfall::bench {
namespace {

RunConfig on_one_thread(RunConfig config) {
  config.compute.backend = BackendChoice::cpu;
  config.compute.thread_count = 1;
  return config;
}

/// Enough paths for a tail and a few tiles.
RunOverrides overrides(bool is_quick) {
  RunOverrides overrides;
  if (is_quick) overrides.path_count = 2048;
  return overrides;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "shortfall-bench-XXXXXX").string();
  if (!mkdtemp(name.data())) throw OperatingError("cannot make a temporary directory: " + name);
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Job::Job(std::string job_name, const RunConfig& run_config)
    : Job(std::move(job_name), run_config, load_inputs(run_config)) {}

Job::Job(std::string job_name, const RunConfig& run_config, RunInputs run_inputs)
    : name(std::move(job_name)),
      config(on_one_thread(run_config)),
      inputs(std::move(run_inputs)),
      plan(build_plan(config, inputs)) {}

std::unique_ptr<Backend> Job::backend(InstructionSet instruction_set) const {
  ComputeConfig compute = config.compute;
  compute.instruction_set = instruction_set;
  return make_backend(compute);
}

std::uint32_t Job::tile_rows() const {
  return make_backend(config.compute)->describe(plan).tile_path_count / core::row_path_count;
}

std::filesystem::path generate_canonical(const std::filesystem::path& directory) {
  GenerateOptions options;
  options.preset = GenerateOptions::Preset::canonical;
  generate(options, directory);
  return directory / "run.toml";
}

std::filesystem::path real_config(const std::filesystem::path& shared) {
  return shared / "books/deribit_2026-01-15/run.toml";
}

Job load_job(std::string name, const std::filesystem::path& config, bool is_quick) {
  return Job(std::move(name), load_config(config, overrides(is_quick)));
}

Job filter_job(bool is_quick) {
  RunConfig config;
  config.risk.path_count = is_quick ? 2048 : 102'400;
  RunInputs inputs;
  inputs.covariance.factors = {{"BTC.spot", 0, FactorKind::spot, 0}};
  inputs.covariance.matrix = {4e-4};
  inputs.book.underlyings = {{"BTC", 1e5}};
  Instrument spot;
  spot.name = "BTC";
  spot.mark_price = 1e5;
  inputs.book.instruments = {spot};
  for (std::uint32_t a = 0; a < 1000; ++a) {
    inputs.book.accounts.push_back({fmt::format("account-{}", a), MarginMode::portfolio});
    inputs.book.positions.push_back(
        {a, 0, Quantity::from_units(a % 2 ? 1'000'000'000'000 : -1'000'000'000'000)});
  }
  return Job("", config, std::move(inputs));
}

RunConfig with_many_positions(const Job& job, std::size_t position_count,
                              const std::filesystem::path& directory) {
  RunConfig config = job.config;
  config.inputs.positions = directory / "many-positions.csv";
  config.inputs.accounts.reset();
  config.inputs.collateral.reset();
  std::ofstream out(config.inputs.positions);
  out << "account,instrument,quantity\n";
  const std::vector<Instrument>& instruments = job.inputs.book.instruments;
  constexpr std::size_t per_account = 25;
  for (std::size_t i = 0; i < position_count; ++i)
    out << fmt::format("account-{:07d},{},{}.{:02d}\n", i / per_account,
                       instruments[(i * 7) % instruments.size()].name, i % 90 + 1, i % 100);
  if (!out.flush()) throw OperatingError("cannot write " + config.inputs.positions.string());
  return config;
}

}  // namespace shortfall::bench
