#include <limits>

#include "database.hpp"
#include "store.hpp"

namespace shortfall::service {
namespace {

std::optional<std::uint64_t> unless_zero(std::uint64_t sequence) {
  return sequence == 0 ? std::nullopt : std::optional(sequence);
}

const char* name_of(RunKind kind) { return kind == RunKind::full ? "full" : "partial"; }

RunEntry entry_of(const Query& row) {
  RunEntry entry;
  entry.kind = row.text(1) == name_of(RunKind::full) ? RunKind::full : RunKind::partial;
  entry.inputs_generation = row.unsigned_integer(2);
  entry.market_sequence = row.unsigned_integer(3);
  entry.position_sequence = row.unsigned_integer(4);
  entry.as_of = row.integer(5);
  entry.seed = row.unsigned_integer(6);
  entry.path_count = row.unsigned_integer(7);
  entry.sampler = row.text(8);
  entry.plan_hash = row.text(9);
  entry.program_version = row.text(10);
  entry.began_at_ms = row.integer(11);
  entry.ended_at_ms = row.integer(12);
  if (!row.is_null(13)) entry.failure = row.text(13);
  return entry;
}

}  // namespace

std::uint64_t StateStore::run_sequence() const {
  return static_cast<std::uint64_t>(database_->integer("SELECT max(sequence) FROM runs"));
}

std::uint64_t StateStore::append_run(const RunEntry& entry, std::span<const MarginRow> margins) {
  SHORTFALL_ASSERT(!entry.failure || margins.empty());
  SHORTFALL_ASSERT(entry.inputs_generation >= 1 && entry.inputs_generation <= inputs_generation());
  SHORTFALL_ASSERT(entry.market_sequence <= market_sequence());
  SHORTFALL_ASSERT(entry.position_sequence <= position_sequence());
  Transaction transaction(*database_);
  const std::uint64_t sequence = run_sequence() + 1;
  database_->run("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", sequence,
                 std::string_view(name_of(entry.kind)), entry.inputs_generation,
                 unless_zero(entry.market_sequence), unless_zero(entry.position_sequence),
                 entry.as_of, entry.seed, entry.path_count, entry.sampler, entry.plan_hash,
                 entry.program_version, entry.began_at_ms, entry.ended_at_ms, entry.failure);
  std::size_t ordinal = 0;
  for (const MarginRow& margin : margins) {
    const std::int64_t account = intern(margin.account, "margins of a run");
    database_->run("INSERT INTO margins VALUES (?, ?, ?, ?)", sequence, ordinal++, account,
                   margin.csv_row);
  }
  transaction.commit();
  return sequence;
}

std::vector<StoredRun> StateStore::select_runs(std::uint64_t sequence_max,
                                               std::size_t count_max) const {
  std::vector<StoredRun> runs;
  Query row = database_->query(
      "SELECT sequence, kind, inputs, market, positions, as_of, seed, path_count, sampler, "
      "plan_hash, program_version, began_at_ms, ended_at_ms, failure "
      "FROM runs WHERE sequence <= ? ORDER BY sequence DESC LIMIT ?",
      sequence_max, count_max);
  while (row.next()) runs.push_back({row.unsigned_integer(0), entry_of(row), {}});
  for (StoredRun& run : runs) run.input_hashes = input_hashes(run.entry.inputs_generation);
  return runs;
}

std::vector<StoredRun> StateStore::runs(std::size_t count_max) const {
  return select_runs(run_sequence(), count_max);
}

std::optional<StoredRun> StateStore::run(std::uint64_t sequence) const {
  if (sequence == 0 || sequence > run_sequence()) return std::nullopt;
  return std::move(select_runs(sequence, 1).at(0));
}

std::vector<MarginRow> StateStore::margins(std::uint64_t run) const {
  std::vector<MarginRow> margins;
  Query row = database_->query(
      "SELECT names.name, csv_row FROM margins JOIN names ON names.id = account "
      "WHERE run = ? ORDER BY ordinal",
      run);
  while (row.next()) margins.push_back({std::string(row.text(0)), std::string(row.text(1))});
  return margins;
}

}  // namespace shortfall::service
