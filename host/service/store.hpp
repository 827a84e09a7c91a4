// The state of a venue on disk: inputs, market updates, position changes, and the ledger of runs
// and margins. Everything is appended and nothing is ever changed; what holds now is kept beside,
// so that starting does not read the log.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "directory_lock.hpp"
#include "shortfall/book.hpp"
#include "store_error.hpp"

namespace shortfall::service {

class Database;
class Transaction;

struct InputHash {
  std::string role, name;  ///< "positions", and the file's name as configured
  std::string sha256;      ///< 64 lower-case hexadecimal digits
};

/// A file that runs read, byte for byte.
struct InputFileCopy {
  std::string role, name;
  std::string bytes;
};

struct SpotMark {
  std::string underlying;
  double spot_usd = 0;
};

struct InstrumentMark {
  std::string instrument;
  std::optional<double> mark_price;  ///< USD per coin; empty: as before
  std::optional<double> mark_iv;     ///< decimal; empty: as before
};

struct MarketUpdate {
  std::int64_t as_of = 0;  ///< seconds since the epoch
  std::vector<SpotMark> spots;
  std::vector<InstrumentMark> marks;
};

struct PositionChange {
  std::string account, instrument;
  Quantity change;
};

struct NetPosition {
  std::string account, instrument;
  Quantity quantity;
};

enum class RunKind : std::uint8_t { full, partial };

/// What ran, on what, and how it ended.
struct RunEntry {
  RunKind kind = RunKind::full;
  std::uint64_t inputs_generation = 0;
  std::uint64_t market_sequence = 0;    ///< 0: the files' marks alone
  std::uint64_t position_sequence = 0;  ///< 0: the files' positions alone
  std::int64_t as_of = 0;               ///< seconds since the epoch
  std::uint64_t seed = 0, path_count = 0;
  std::string sampler, plan_hash, program_version;
  /// Milliseconds since the epoch by the wall clock, for people: it may jump. Sequence numbers
  /// alone order runs.
  std::int64_t began_at_ms = 0, ended_at_ms = 0;
  std::optional<std::string> failure;  ///< empty: done
};

struct StoredRun {
  std::uint64_t sequence = 0;
  RunEntry entry;
  std::vector<InputHash> input_hashes;
};

/// An account's row of margin.csv, without the line's end.
struct MarginRow {
  std::string account, csv_row;
};

/// What an append of position changes came to.
struct Accepted {
  std::uint64_t sequence = 0;
  bool is_repeat = false;  ///< accepted before, under this number: nothing has changed
};

/// The store of one state directory, for one thread at a time. Sequence numbers are 1, 2, ... for
/// each of inputs, market updates, position batches and runs; 0 stands for none yet.
///
/// Appends are on the disk when they return, one by one in SQLite's order. Anything can throw
/// StoreError; then the append has not happened, the store can be used on, and it will work again
/// once the cause is removed. (Where the device failed and the process ends at once, the append can
/// still come back with the next start, as one that was never acknowledged.)
///
/// A damaged file is refused when opened as far as starting reads it, up to 64 MiB as a whole;
/// SQLite has no checksums, so that a changed value in it is found by `check_all` alone.
class StateStore {
 public:
  /// Creates the directory where only that is missing. Throws StoreError.
  static StateStore open(const std::filesystem::path& directory);
  StateStore(StateStore&&) noexcept;
  StateStore& operator=(StateStore&&) = delete;
  ~StateStore();

  std::uint64_t inputs_generation() const;
  std::uint64_t market_sequence() const;
  std::uint64_t position_sequence() const;
  std::uint64_t run_sequence() const;

  /// Makes these files the inputs, as a new generation. A file that an earlier generation has too
  /// is stored once. Throws InputError for one larger than 900 MiB.
  std::uint64_t adopt(std::span<const InputFileCopy> files);
  /// Of a generation from 1 to the last, in the order adopted. `inputs` compares the bytes with
  /// their hash; a difference is a StoreError.
  std::vector<InputHash> input_hashes(std::uint64_t generation) const;
  std::vector<InputFileCopy> inputs(std::uint64_t generation) const;

  /// Throws Conflict where as_of is before the last update's, InputError where a name or number is
  /// none or a mark is given twice.
  std::uint64_t append_market(const MarketUpdate& update);
  /// The latest value of every mark in updates 1 to `sequence`, in the order of names, and the last
  /// one's as_of (0 for sequence 0).
  MarketUpdate market_at(std::uint64_t sequence) const;

  /// `client_id` is 1 to 128 printable ASCII characters. Throws Conflict where a batch of other
  /// content has it, InputError where it or a name is none, or a position would exceed 128 bits.
  Accepted append_positions(std::string_view client_id, std::span<const PositionChange> changes);
  /// The batch of that client id, where it was accepted before. Throws as append_positions does.
  std::optional<Accepted> find(std::string_view client_id,
                               std::span<const PositionChange> changes) const {
    return find_batch(client_id, changes);
  }
  /// Sums of the changes in batches 1 to `sequence`, without zeros, in the order of names.
  std::vector<NetPosition> positions_at(std::uint64_t sequence) const;

  /// The margins are by account, each at most once, in the order of the run's margin.csv; none of a
  /// run that failed.
  std::uint64_t append_run(const RunEntry& entry, std::span<const MarginRow> margins);
  std::optional<StoredRun> run(std::uint64_t sequence) const;
  /// Newest first.
  std::vector<StoredRun> runs(std::size_t count_max) const;
  std::vector<MarginRow> margins(std::uint64_t run) const;

  /// Reads everything: the database is sound, inputs have their hashes, and what is kept as current
  /// is what the log adds up to. Throws StoreError (corrupt) that says what is not.
  void check_all() const;

 private:
  friend class GroupCommit;
  StateStore(DirectoryLock lock, std::unique_ptr<Database> database);

  std::string name(std::int64_t id) const;
  /// The id of a name, which is added where it is new. `what` is for the InputError.
  std::int64_t intern(std::string_view name, const char* what);
  std::optional<Accepted> find_batch(std::string_view client_id,
                                     std::span<const PositionChange> changes) const;
  std::vector<NetPosition> sum_of_changes(std::uint64_t sequence) const;
  void add_to_position(std::int64_t account, std::int64_t instrument, Quantity change);
  void set_mark(std::uint64_t sequence, int kind, std::int64_t name, double value,
                std::string_view mark);
  std::vector<StoredRun> select_runs(std::uint64_t sequence_max, std::size_t count_max) const;
  [[noreturn]] void fail_check(const std::string& detail) const;

  DirectoryLock lock_;
  std::unique_ptr<Database> database_;  // closed before the lock is given up
};

/// Makes appends durable together: one wait for the disk instead of one each. None of them may be
/// acknowledged before `commit` has returned; without it, none has happened. An append that throws
/// Conflict or InputError leaves the others as they are; after a StoreError the group is lost.
class GroupCommit {
 public:
  explicit GroupCommit(StateStore& store);
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;
  ~GroupCommit();
  void commit();

 private:
  std::unique_ptr<Transaction> transaction_;
};

}  // namespace shortfall::service
