#include "store.hpp"

#include <fmt/format.h>

#include <utility>

#include "database.hpp"
#include "output/sha256.hpp"
#include "store_schema.hpp"
#include "text.hpp"

namespace shortfall::service {
namespace {

std::string sha256_of(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish_hex();
}

/// SQLite keeps up to 1e9 bytes in a row.
constexpr std::size_t content_bytes_max = std::size_t{900} << 20;

}  // namespace

StateStore::StateStore(DirectoryLock lock, std::unique_ptr<Database> database)
    : lock_(std::move(lock)), database_(std::move(database)) {}
StateStore::StateStore(StateStore&&) noexcept = default;
StateStore::~StateStore() = default;

StateStore StateStore::open(const std::filesystem::path& directory) {
  DirectoryLock lock(directory);
  auto database = open_store_database(directory);
  return StateStore(std::move(lock), std::move(database));
}

std::int64_t StateStore::intern(std::string_view name, const char* what) {
  {
    Query found = database_->query("SELECT id FROM names WHERE name = ?", name);
    if (found.next()) return found.integer(0);
  }
  const std::string problem = name_problem(name);
  if (!problem.empty()) refuse(what, problem);
  Query added = database_->query("INSERT INTO names (name) VALUES (?) RETURNING id", name);
  SHORTFALL_ASSERT(added.next());
  const std::int64_t id = added.integer(0);
  added.next();  // what RETURNING inserts is complete when it is done
  return id;
}

std::string StateStore::name(std::int64_t id) const {
  Query row = database_->query("SELECT name FROM names WHERE id = ?", id);
  if (!row.next()) fail_check("a name is missing");
  return std::string(row.text(0));
}

std::uint64_t StateStore::inputs_generation() const {
  return static_cast<std::uint64_t>(database_->integer("SELECT max(sequence) FROM inputs"));
}

std::uint64_t StateStore::adopt(std::span<const InputFileCopy> files) {
  Transaction transaction(*database_);
  const std::uint64_t generation = inputs_generation() + 1;
  database_->run("INSERT INTO inputs VALUES (?)", generation);
  std::size_t ordinal = 0;
  for (const InputFileCopy& file : files) {
    if (file.bytes.size() > content_bytes_max)
      refuse(file.name.c_str(),
             "is larger than 900 MiB, which is what a state directory can keep "
             "of a file: leave out what no run needs");
    const std::string sha256 = sha256_of(file.bytes);
    if (database_->integer("SELECT count(*) FROM contents WHERE sha256 = ?", sha256) == 0)
      database_->run("INSERT INTO contents VALUES (?, ?)", sha256, Blob{file.bytes});
    database_->run("INSERT INTO input_files VALUES (?, ?, ?, ?, ?)", generation, ordinal++,
                   file.role, file.name, sha256);
  }
  transaction.commit();
  return generation;
}

std::vector<InputHash> StateStore::input_hashes(std::uint64_t generation) const {
  SHORTFALL_ASSERT(generation >= 1 && generation <= inputs_generation());
  std::vector<InputHash> hashes;
  Query file = database_->query(
      "SELECT role, name, sha256 FROM input_files WHERE sequence = ? ORDER BY ordinal", generation);
  while (file.next())
    hashes.push_back(
        {std::string(file.text(0)), std::string(file.text(1)), std::string(file.text(2))});
  return hashes;
}

std::vector<InputFileCopy> StateStore::inputs(std::uint64_t generation) const {
  std::vector<InputFileCopy> files;
  for (InputHash& hash : input_hashes(generation)) {
    Query content = database_->query("SELECT bytes FROM contents WHERE sha256 = ?", hash.sha256);
    if (!content.next() || sha256_of(content.blob(0)) != hash.sha256)
      fail_check(fmt::format("the copy of {} does not have its SHA-256", in_quotes(hash.name)));
    files.push_back({std::move(hash.role), std::move(hash.name), std::string(content.blob(0))});
  }
  return files;
}

void StateStore::fail_check(const std::string& detail) const {
  throw store_error(StoreFault::corrupt, database_->file(), detail);
}

GroupCommit::GroupCommit(StateStore& store) {
  SHORTFALL_ASSERT(!store.database_->in_transaction());
  transaction_ = std::make_unique<Transaction>(*store.database_);
}
GroupCommit::~GroupCommit() = default;
void GroupCommit::commit() { transaction_->commit(); }

}  // namespace shortfall::service
