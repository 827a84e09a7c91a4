// SQLite, with its errors as StoreError, its statements kept and reset, its transactions undone
// unless committed.
#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store_error.hpp"

namespace shortfall::service {

/// Bytes to bind as a BLOB, without a copy: they have to live as long as the query.
struct Blob {
  std::string_view bytes;
};

class Database;

/// A prepared statement in use, with its arguments. Back to its database when destroyed.
class Query {
 public:
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();

  /// Steps to the next row. False after the last one.
  bool next();

  /// Columns of the row, from 0. Texts and bytes are valid until the next step.
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::uint64_t unsigned_integer(int column) const {
    return static_cast<std::uint64_t>(integer(column));
  }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  bool is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::string_view text(int column) const;
  std::string_view blob(int column) const;

 private:
  friend class Database;
  template <class... Arguments>
  Query(Database& database, sqlite3_stmt* statement, const Arguments&... arguments)
      : database_(database), statement_(statement) {
    int index = 0;
    (bind(++index, arguments), ...);
  }

  template <std::integral Integer>
  void bind(int index, Integer value) {
    check(sqlite3_bind_int64(statement_, index, static_cast<std::int64_t>(value)));
  }
  template <class Value>
  void bind(int index, const std::optional<Value>& value) {
    if (value) return bind(index, *value);
    check(sqlite3_bind_null(statement_, index));
  }
  void bind(int index, double value) { check(sqlite3_bind_double(statement_, index, value)); }
  void bind(int index, std::string_view text);
  void bind(int index, Blob blob);
  void check(int code) const;

  Database& database_;
  sqlite3_stmt* statement_;
};

/// An open database. For one thread at a time.
class Database {
 public:
  /// Throws StoreError. A database that may only be read is refused.
  Database(const std::filesystem::path& file, bool create);

  const std::filesystem::path& file() const { return file_; }

  /// Statements without rows or arguments.
  void execute(const char* sql);

  /// A statement, with ? for each argument, is prepared once and kept. 64-bit unsigned integers are
  /// stored as the signed ones of the same bits.
  template <class... Arguments>
  Query query(std::string_view sql, const Arguments&... arguments) {
    return Query(*this, prepared(sql), arguments...);
  }

  /// A query for its effect.
  template <class... Arguments>
  void run(std::string_view sql, const Arguments&... arguments) {
    query(sql, arguments...).next();
  }

  /// The first column of the only row.
  template <class... Arguments>
  std::int64_t integer(std::string_view sql, const Arguments&... arguments) {
    Query row = query(sql, arguments...);
    return row.next() ? row.integer(0) : 0;
  }

  bool in_transaction() const { return sqlite3_get_autocommit(connection_.get()) == 0; }

  /// Throws what a result code of SQLite means, with its message.
  [[noreturn]] void fail(int code) const;

 private:
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  sqlite3_stmt* prepared(std::string_view sql);

  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> connection_;
  std::map<std::string, std::unique_ptr<sqlite3_stmt, Close>, std::less<>> statements_;
};

/// Changes that happen together or not at all, on the disk when `commit` returns. Within another
/// transaction, a part of it: undone alone where it is not committed, durable with the whole.
class Transaction {
 public:
  explicit Transaction(Database& database);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool is_part_, is_open_ = true;
};

}  // namespace shortfall::service
