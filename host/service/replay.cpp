#include "replay.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "ledger_rows.hpp"
#include "run/margin_run.hpp"
#include "shortfall/report.hpp"
#include "venue_state.hpp"

namespace shortfall::service {
namespace {

/// A folder that is gone with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "shortfall-replay-XXXXXX").string();
    if (!::mkdtemp(name.data()))
      throw OperatingError(fmt::format("cannot create a folder like {}", name));
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The configuration of a generation, reading the stored files.
RunConfig restore(const std::vector<InputFileCopy>& files, const std::filesystem::path& folder) {
  std::map<std::string, std::filesystem::path> by_role;
  for (const InputFileCopy& file : files) {
    const std::filesystem::path path = folder / (file.role + ".file");
    std::ofstream(path, std::ios::binary) << file.bytes;
    by_role[file.role] = path;
  }
  RunConfig config = load_config(by_role.at("configuration"));
  InputFiles& inputs = config.inputs;
  inputs.underlyings = by_role.at("underlyings");
  inputs.instruments = by_role.at("instruments");
  inputs.positions = by_role.at("positions");
  inputs.covariance = by_role.at("covariance");
  if (inputs.accounts) inputs.accounts = by_role.at("accounts");
  if (inputs.collateral) inputs.collateral = by_role.at("collateral");
  MarginConfig& margin = config.margin;
  if (margin.liquidity) margin.liquidity->file = by_role.at("liquidity");
  if (margin.funding) margin.funding->file = by_role.at("funding");
  if (margin.stress && margin.stress->file) margin.stress->file = by_role.at("stress");
  if (margin.procyclicality) margin.procyclicality->covariance = by_role.at("stressed_covariance");
  return config;
}

[[noreturn]] void throw_no_entry(std::uint64_t sequence, const std::string& why) {
  throw InputError({{"command line", 0, fmt::format("run {} {}", sequence, why)}}, 0);
}

}  // namespace

Replay replay_run(const std::filesystem::path& state, std::uint64_t sequence,
                  const ComputeConfig& compute) {
  const StateStore store = StateStore::open(state);
  const std::optional<StoredRun> stored = store.run(sequence);
  if (!stored)
    throw_no_entry(sequence, fmt::format("is not in the ledger, which has runs 1 to {}",
                                         store.run_sequence()));
  const RunEntry& entry = stored->entry;
  if (entry.failure)
    throw_no_entry(sequence, fmt::format("failed and has no margins: {}", *entry.failure));
  const TemporaryFolder folder;
  RunConfig config = restore(store.inputs(entry.inputs_generation), folder.path());
  config.compute = compute;
  config.risk.path_count = entry.path_count;
  config.risk.seed = entry.seed;
  config.risk.is_automatic = false;
  LiveBook book = book_at(store, config, entry.market_sequence, entry.position_sequence);
  const std::vector<MarginRow> want = store.margins(sequence);
  Replay replay{*stored, version(), "", want.size(), {}};
  std::vector<std::uint32_t> accounts;
  for (const MarginRow& row : want) {
    // One that changes opened and closed again holds nothing.
    if (!book.find_account(row.account))
      book.apply(std::vector<PositionChange>{
          {row.account, book.inputs().book.instruments.front().name, {}}});
    accounts.push_back(*book.find_account(row.account));
  }
  RunBackends backends(compute);
  std::vector<std::string> warnings;
  const Progress silent;
  MarginRun run(book.config(), backends, silent, warnings);
  BaseRun base = run.plan(inputs_of_accounts(book.inputs(), accounts));
  replay.plan_hash = base.revaluations.front().plan.hash;
  run.simulate(base);
  std::map<std::string, std::string> got;
  for (MarginRow& row : rows_of(run.margins(base), config.margin))
    got.emplace(std::move(row.account), std::move(row.csv_row));
  for (const MarginRow& row : want)
    if (const auto at = got.find(row.account); at == got.end() || at->second != row.csv_row)
      replay.differing_accounts.push_back(row.account);
  return replay;
}

}  // namespace shortfall::service
