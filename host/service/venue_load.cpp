// From a configuration and a state directory to a venue's book, and the ledger's runs again.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "output/sha256.hpp"
#include "text.hpp"
#include "venue_state.hpp"

namespace shortfall::service {
namespace {

InputFileCopy copy_of(const char* role, const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  InputFileCopy copy{role, file.generic_string(), {std::istreambuf_iterator<char>(stream), {}}};
  if (!stream && !stream.eof()) throw OperatingError(fmt::format("cannot read {}", file.string()));
  return copy;
}

std::string hash_of(const std::string& bytes) {
  Sha256 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.finish_hex();
}

/// That the files are those of the state, name by name.
void require_stored(const std::vector<InputHash>& stored, const std::vector<InputFileCopy>& files,
                    const std::filesystem::path& config) {
  Problems problems;
  for (const InputFileCopy& file : files) {
    const auto at = std::ranges::find(stored, file.role, &InputHash::role);
    if (at == stored.end() || at->sha256 != hash_of(file.bytes))
      problems.add(file.name, 0,
                   fmt::format("is not the {} file that the state directory was made with; give "
                               "it back, or add --adopt to go on with this one",
                               file.role));
  }
  for (const InputHash& hash : stored)
    if (std::ranges::none_of(files, [&](const auto& file) { return file.role == hash.role; }))
      problems.add(config.string(), 0,
                   fmt::format("names no {} file, and the state directory was made with one; give "
                               "it back, or add --adopt to go on without",
                               hash.role));
  problems.throw_if_any();
}

/// Positions of the files and all that was added to them; of what cannot be held any more, which
/// adopted files can bring about, every problem.
void add_positions(LiveBook& book, const std::vector<NetPosition>& positions) {
  std::vector<PositionChange> changes;
  for (const NetPosition& p : positions) changes.push_back({p.account, p.instrument, p.quantity});
  book.check(changes);
  book.apply(changes);
}

}  // namespace

std::vector<InputFileCopy> read_input_files(const RunConfig& config) {
  const InputFiles& inputs = config.inputs;
  std::vector<InputFileCopy> files = {
      copy_of("configuration", config.file), copy_of("underlyings", inputs.underlyings),
      copy_of("instruments", inputs.instruments), copy_of("positions", inputs.positions),
      copy_of("covariance", inputs.covariance)};
  const MarginConfig& margin = config.margin;
  if (inputs.accounts) files.push_back(copy_of("accounts", *inputs.accounts));
  if (inputs.collateral) files.push_back(copy_of("collateral", *inputs.collateral));
  if (margin.liquidity) files.push_back(copy_of("liquidity", margin.liquidity->file));
  if (margin.funding) files.push_back(copy_of("funding", margin.funding->file));
  if (margin.stress && margin.stress->file)
    files.push_back(copy_of("stress", *margin.stress->file));
  if (margin.procyclicality)
    files.push_back(copy_of("stressed_covariance", margin.procyclicality->covariance));
  return files;
}

LiveBook book_at(const StateStore& store, const RunConfig& config, std::uint64_t market_sequence,
                 std::uint64_t position_sequence) {
  LiveBook book(config, load_inputs(config));
  add_positions(book, store.positions_at(position_sequence));
  if (market_sequence == 0) return book;
  return std::move(book.after(store.market_at(market_sequence)).book);
}

void Venue::load() {
  const std::vector<InputFileCopy> files = read_input_files(config_);
  LiveBook as_read(config_, load_inputs(config_));  // with every problem of the files, before more
  if (store_.inputs_generation() == 0)
    store_.adopt(files);
  else
    try {
      require_stored(store_.input_hashes(store_.inputs_generation()), files, config_.file);
    } catch (const InputError&) {
      if (!options_.adopts_new_inputs) throw;
      book_at(store_, config_, store_.market_sequence(), store_.position_sequence());
      store_.adopt(files);
    }
  inputs_generation_ = store_.inputs_generation();
  input_hashes_ = store_.input_hashes(inputs_generation_);
  market_sequence_ = store_.market_sequence();
  position_sequence_ = store_.position_sequence();
  run_sequence_ = store_.run_sequence();
  book_ =
      std::make_unique<LiveBook>(book_at(store_, config_, market_sequence_, position_sequence_));
  accounts_.resize(book_->inputs().book.accounts.size());
}

}  // namespace shortfall::service
