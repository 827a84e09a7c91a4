#include "store_schema.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

namespace shortfall::service {
namespace {

// A quantity is two words of 64 bits (Quantity). `kind` of a mark: 0 spot_usd of an underlying,
// 1 mark_price and 2 mark_iv of an instrument. An update whose `keyframe` is its own number has a
// mark for every name known, the unchanged ones as is_carried, so that the market at a number is
// that of the keyframe with the marks since. Counts and seeds are unsigned words of the same bits.
constexpr const char* tables = R"sql(
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE contents (sha256 TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE inputs (sequence INTEGER PRIMARY KEY) STRICT;
CREATE TABLE input_files (
  sequence INTEGER NOT NULL REFERENCES inputs,
  ordinal INTEGER NOT NULL,
  role TEXT NOT NULL,
  name TEXT NOT NULL,
  sha256 TEXT NOT NULL REFERENCES contents,
  PRIMARY KEY (sequence, ordinal)) STRICT, WITHOUT ROWID;

CREATE TABLE market_updates (
  sequence INTEGER PRIMARY KEY,
  as_of INTEGER NOT NULL,
  keyframe INTEGER NOT NULL) STRICT;
CREATE TABLE marks (
  sequence INTEGER NOT NULL REFERENCES market_updates,
  kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
  name INTEGER NOT NULL REFERENCES names,
  value REAL NOT NULL,
  is_carried INTEGER NOT NULL,
  PRIMARY KEY (sequence, kind, name)) STRICT, WITHOUT ROWID;
CREATE TABLE current_marks (
  kind INTEGER NOT NULL,
  name INTEGER NOT NULL REFERENCES names,
  value REAL NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;

CREATE TABLE batches (sequence INTEGER PRIMARY KEY, client_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE position_changes (
  sequence INTEGER NOT NULL REFERENCES batches,
  ordinal INTEGER NOT NULL,
  account INTEGER NOT NULL REFERENCES names,
  instrument INTEGER NOT NULL REFERENCES names,
  low INTEGER NOT NULL,
  high INTEGER NOT NULL,
  PRIMARY KEY (sequence, ordinal)) STRICT, WITHOUT ROWID;
CREATE TABLE current_positions (
  account INTEGER NOT NULL REFERENCES names,
  instrument INTEGER NOT NULL REFERENCES names,
  low INTEGER NOT NULL,
  high INTEGER NOT NULL,
  PRIMARY KEY (account, instrument)) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  sequence INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('full', 'partial')),
  inputs INTEGER NOT NULL REFERENCES inputs,
  market INTEGER REFERENCES market_updates,
  positions INTEGER REFERENCES batches,
  as_of INTEGER NOT NULL,
  seed INTEGER NOT NULL,
  path_count INTEGER NOT NULL,
  sampler TEXT NOT NULL,
  plan_hash TEXT NOT NULL,
  program_version TEXT NOT NULL,
  began_at_ms INTEGER NOT NULL,
  ended_at_ms INTEGER NOT NULL,
  failure TEXT) STRICT;
CREATE TABLE margins (
  run INTEGER NOT NULL REFERENCES runs,
  ordinal INTEGER NOT NULL,
  account INTEGER NOT NULL REFERENCES names,
  csv_row TEXT NOT NULL,
  PRIMARY KEY (run, ordinal)) STRICT, WITHOUT ROWID;
)sql";

constexpr const char* append_only_tables[] = {
    "names", "contents", "inputs",           "input_files", "market_updates",
    "marks", "batches",  "position_changes", "runs",        "margins"};
constexpr const char* numbered_tables[] = {"inputs", "market_updates", "batches", "runs"};

std::string triggers() {
  std::string sql;
  for (const char* const table : append_only_tables) {
    for (const char* const change : {"UPDATE", "DELETE"}) {
      sql += fmt::format(
          "CREATE TRIGGER {0}_no_{1} BEFORE {1} ON {0} "
          "BEGIN SELECT RAISE(ABORT, '{0} is append-only'); END;\n",
          table, change);
    }
  }
  for (const char* const table : numbered_tables) {
    sql += fmt::format(
        "CREATE TRIGGER {0}_no_gap BEFORE INSERT ON {0} "
        "WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM {0}) "
        "BEGIN SELECT RAISE(ABORT, '{0} are numbered without gaps'); END;\n",
        table);
  }
  return sql;
}

/// So that the names in a directory survive a crash of the machine.
void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a directory that can be written but not read
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0) throw store_error(error, directory);
}

/// Beside its place, with a journal that is gone when it is closed, then renamed: a state.db is
/// complete.
void create(const std::filesystem::path& file) {
  const std::filesystem::path unfinished = file.string() + ".new";
  for (const char* const suffix : {"", "-journal"}) {
    const std::filesystem::path rest = unfinished.string() + suffix;
    if (::unlink(rest.c_str()) != 0 && errno != ENOENT) throw store_error(errno, rest);
  }
  {
    Database database(unfinished, true);
    Transaction transaction(database);
    database.execute(tables);
    database.execute(triggers().c_str());
    database.execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                                 store_application_id, store_schema_version)
                         .c_str());
    transaction.commit();
  }
  if (::rename(unfinished.c_str(), file.c_str()) != 0) throw store_error(errno, file);
  const std::filesystem::path directory = file.parent_path();
  sync_directory(directory);
  sync_directory(std::filesystem::absolute(directory).lexically_normal() / "..");
}

void check_origin(Database& database) {
  const std::int64_t application = database.integer("PRAGMA application_id");
  const std::int64_t version = database.integer("PRAGMA user_version");
  if (application != store_application_id)
    throw store_error(
        StoreFault::foreign, database.file(),
        fmt::format("its application_id is {:#x}, not {:#x}", application, store_application_id));
  if (version > store_schema_version)
    throw store_error(StoreFault::newer, database.file(),
                      fmt::format("its tables are version {}, this program knows up to {}", version,
                                  store_schema_version));
  if (version != store_schema_version)
    throw store_error(StoreFault::corrupt, database.file(),
                      fmt::format("its tables are version {}", version));
}

/// About 0.2 s: a ledger grows by gigabytes, and starting may not take longer with it.
constexpr std::uintmax_t whole_check_bytes_max = std::uintmax_t{64} << 20;
constexpr const char* tables_that_starting_reads[] = {"names", "inputs", "input_files",
                                                      "current_marks", "current_positions"};

/// Of a larger file, the rest is left to StateStore::check_all and to whoever reads it.
void check_structure(Database& database) {
  const auto check = [&](const std::string& pragma) {
    Query result = database.query(pragma);
    if (result.next() && result.text(0) != "ok")
      throw store_error(StoreFault::corrupt, database.file(), std::string(result.text(0)));
  };
  if (std::filesystem::file_size(database.file()) <= whole_check_bytes_max)
    return check("PRAGMA quick_check(1)");
  for (const char* const table : tables_that_starting_reads)
    check(fmt::format("PRAGMA quick_check({})", table));
}

}  // namespace

std::unique_ptr<Database> open_store_database(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "state.db";
  if (!std::filesystem::exists(std::filesystem::symlink_status(file))) {
    if (std::filesystem::exists(file.string() + "-wal"))
      throw store_error(StoreFault::corrupt, file, "it is missing, but not its state.db-wal");
    create(file);
  }
  auto database = std::make_unique<Database>(file, false);
  check_origin(*database);
  database->execute(
      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON;"
      "PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864");
  SHORTFALL_ASSERT(database->integer("PRAGMA synchronous") == 2);
  SHORTFALL_ASSERT(database->integer("PRAGMA foreign_keys") == 1);
  std::string mode;
  {
    Query journal = database->query("PRAGMA journal_mode = WAL");
    if (journal.next()) mode = journal.text(0);
  }
  if (mode != "wal")
    throw store_error(StoreFault::failed, file,
                      "its file system has no shared memory for a write-ahead log");
  check_structure(*database);
  return database;
}

}  // namespace shortfall::service
