// Comma-separated input as formats.md has it: RFC 4180 quoting within a line, LF or CRLF, an
// optional byte-order mark, blank lines at the end. Read in pieces, so that memory does not grow
// with a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "input_file.hpp"
#include "shortfall/error.hpp"

namespace shortfall {

/// The records of a file. What is wrong with the text itself is reported here.
class CsvFile {
 public:
  static constexpr std::size_t line_bytes_max = std::size_t{1} << 20;

  CsvFile(const std::filesystem::path& file, Problems& problems);

  /// Reads the next record. False at the end, and where the rest is not worth reading: a line that
  /// is too long or is no text. Not to be called again then.
  bool next();

  /// Of the last record; valid until the next one.
  const std::vector<std::string_view>& fields() const { return fields_; }
  std::size_t line() const { return line_; }

  /// False once a line could not be read.
  bool is_complete() const { return is_complete_; }
  std::uint64_t byte_count() const { return file_.byte_count(); }
  std::uint64_t bytes_read() const { return bytes_before_buffer_ + begin_; }

  /// Reports a problem of the last record, of the file as a whole, or of an earlier line.
  void report(std::string message) { report_at(line_, std::move(message)); }
  void report_file(std::string message) { report_at(0, std::move(message)); }
  void report_at(std::size_t line, std::string message) {
    problems_.add(name_, line, std::move(message));
  }

 private:
  struct Line {
    char* begin;
    char* end;
    std::string_view text() const { return {begin, static_cast<std::size_t>(end - begin)}; }
  };

  std::optional<Line> read_line();
  bool refill();
  bool split(Line line);
  bool split_quoted(char*& cursor, char* end);

  std::string name_;
  Problems& problems_;
  InputFile file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what of the buffer is still to be read
  std::uint64_t bytes_before_buffer_ = 0;
  std::size_t line_ = 0, blank_line_ = 0;
  std::vector<std::string_view> fields_;
  bool is_complete_ = true;
};

/// A file whose header names the given columns, in any order.
class CsvTable {
 public:
  /// Reads the header and reports what is wrong with it; then there are no rows. The last
  /// `optional_count` columns may be absent: then their fields are empty.
  CsvTable(const std::filesystem::path& file, std::vector<std::string_view> columns,
           Problems& problems, std::size_t optional_count = 0);

  /// Reads the next row that has as many fields as the header.
  bool next();

  std::string_view operator[](std::size_t column) const {
    return position_[column] == absent ? std::string_view() : file_.fields()[position_[column]];
  }

  /// The field as a number; reports what is none.
  std::optional<double> real(std::size_t column);
  /// Likewise a price or size, which has to be positive and of a magnitude that later arithmetic
  /// cannot overflow on: [1e-12, 1e15].
  std::optional<double> positive(std::size_t column);

  /// Reports "<column> <message>" for the row.
  void report(std::size_t column, const std::string& message);
  /// Reports a file without rows, unless something else is wrong with it.
  void require_rows();

  CsvFile& file() { return file_; }
  std::size_t line() const { return file_.line(); }
  /// False where rows may be missing because they could not be read.
  bool is_complete() const { return has_header_ && file_.is_complete() && !has_skipped_rows_; }

 private:
  static constexpr std::size_t absent = static_cast<std::size_t>(-1);

  bool read_header();
  std::string column_list() const;

  CsvFile file_;
  std::vector<std::string_view> columns_;
  std::size_t optional_count_, header_count_ = 0;
  std::vector<std::size_t> position_;  // of each column in the file, or `absent`
  bool has_header_ = false, has_rows_ = false, has_skipped_rows_ = false;
};

}  // namespace shortfall
