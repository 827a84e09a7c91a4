#include "database.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace shortfall::service {
namespace {

constexpr int busy_timeout_ms = 2000;

/// Of a result code of SQLite and the system's error number at that time.
StoreFault fault_of(int code, int error) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return StoreFault::in_use;
    case SQLITE_FULL:
      return StoreFault::full;
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return StoreFault::read_only;
    case SQLITE_CORRUPT:
      return StoreFault::corrupt;
    case SQLITE_NOTADB:
      return StoreFault::foreign;
    case SQLITE_IOERR:
      // A file that ends within a page.
      return code == SQLITE_IOERR_SHORT_READ ? StoreFault::corrupt : fault_of_errno(error);
    case SQLITE_CANTOPEN:
      return fault_of_errno(error);
    default:
      return StoreFault::failed;
  }
}

}  // namespace

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Query::next() {
  errno = 0;  // for Database::fail
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) database_.fail(code);
  return code == SQLITE_ROW;
}

std::string_view Query::text(int column) const {
  const void* const begin = sqlite3_column_text(statement_, column);
  return {static_cast<const char*>(begin),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string_view Query::blob(int column) const {
  const void* const begin = sqlite3_column_blob(statement_, column);
  return {static_cast<const char*>(begin),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void Query::bind(int index, std::string_view text) {
  const char* const begin = text.empty() ? "" : text.data();  // a null pointer would be NULL
  check(sqlite3_bind_text64(statement_, index, begin, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Query::bind(int index, Blob blob) {
  const char* const begin = blob.bytes.empty() ? "" : blob.bytes.data();
  check(sqlite3_bind_blob64(statement_, index, begin, blob.bytes.size(), SQLITE_STATIC));
}

void Query::check(int code) const {
  if (code != SQLITE_OK) database_.fail(code);
}

Database::Database(const std::filesystem::path& file, bool create) : file_(file) {
  sqlite3* connection = nullptr;
  errno = 0;
  const int code = sqlite3_open_v2(
      file.c_str(), &connection,
      SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX, nullptr);
  connection_.reset(connection);
  if (code != SQLITE_OK) fail(code);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, busy_timeout_ms);
  sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // SQLite falls back to reading alone.
  if (sqlite3_db_readonly(connection, "main") == 1)
    throw store_error(StoreFault::read_only, file_, "no permission to write");
}

void Database::execute(const char* sql) {
  errno = 0;
  const int code = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

void Database::fail(int code) const {
  const int error = errno;  // sqlite3_system_errno does not have it of every failure
  const StoreFault fault = fault_of(code, error);
  std::string detail = connection_ ? sqlite3_errmsg(connection_.get()) : sqlite3_errstr(code);
  const int kind = code & 0xff;
  if (error != 0 && (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN))
    detail += fmt::format(", {}", std::strerror(error));
  throw store_error(fault, file_, detail);
}

sqlite3_stmt* Database::prepared(std::string_view sql) {
  auto kept = statements_.find(sql);
  if (kept == statements_.end()) {
    sqlite3_stmt* made = nullptr;
    const int code = sqlite3_prepare_v3(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    if (code != SQLITE_OK) fail(code);
    kept = statements_.emplace(sql, made).first;
  }
  SHORTFALL_ASSERT(sqlite3_stmt_busy(kept->second.get()) == 0);
  return kept->second.get();
}

Transaction::Transaction(Database& database)
    : database_(database), is_part_(database.in_transaction()) {
  database_.run(is_part_ ? "SAVEPOINT part" : "BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  // SQLite may have undone everything already, when it failed.
  if (!is_open_ || !database_.in_transaction()) return;
  try {
    if (is_part_) {
      database_.run("ROLLBACK TO part");
      database_.run("RELEASE part");
    } else {
      database_.run("ROLLBACK");
    }
  } catch (const StoreError&) {  // then SQLite undoes it before anything else, or when next opened
  }
}

void Transaction::commit() {
  if (!database_.in_transaction())
    throw store_error(StoreFault::failed, database_.file(), "an earlier part of it failed");
  database_.run(is_part_ ? "RELEASE part" : "COMMIT");
  is_open_ = false;
}

}  // namespace shortfall::service
