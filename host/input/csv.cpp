#include "csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "text.hpp"

namespace shortfall {
namespace {

constexpr std::size_t piece_bytes = std::size_t{1} << 18;

/// True for text of bytes 0x01 to 0x7f, which nearly every line is.
bool is_ascii_text(std::string_view text) {
  unsigned bits = 0;
  for (unsigned char c : text) bits |= c | (c - 1u);
  return (bits & 0x80u) == 0;
}

}  // namespace

CsvFile::CsvFile(const std::filesystem::path& file, Problems& problems)
    : name_(file.string()), problems_(problems), file_(file, problems) {
  is_complete_ = file_.is_open();
  if (!is_complete_) return;
  buffer_.resize(line_bytes_max + piece_bytes);
  refill();
  if (std::string_view(buffer_.data(), end_).substr(0, 3) == "\xef\xbb\xbf") begin_ = 3;
}

bool CsvFile::refill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  bytes_before_buffer_ += begin_;
  end_ -= begin_;
  begin_ = 0;
  const std::size_t count =
      file_.read(buffer_.data() + end_, std::min(piece_bytes, buffer_.size() - end_));
  end_ += count;
  return count > 0;
}

std::optional<CsvFile::Line> CsvFile::read_line() {
  char* newline = nullptr;
  bool is_last = false;
  while (true) {
    newline = static_cast<char*>(std::memchr(buffer_.data() + begin_, '\n', end_ - begin_));
    if (newline || is_last || end_ - begin_ > line_bytes_max) break;
    is_last = !refill();
  }
  if (is_last && begin_ == end_) return std::nullopt;
  Line line{buffer_.data() + begin_, newline ? newline : buffer_.data() + end_};
  begin_ = static_cast<std::size_t>(line.end - buffer_.data()) + (newline ? 1 : 0);
  ++line_;
  if (line.text().size() > line_bytes_max) {
    is_complete_ = false;
    report("line is longer than 1 MiB; end every row with a line break");
    return std::nullopt;
  }
  if (line.end != line.begin && line.end[-1] == '\r') --line.end;
  return line;
}

bool CsvFile::next() {
  if (!file_.is_open()) return false;
  while (const std::optional<Line> line = read_line()) {
    if (line->begin == line->end) {
      if (blank_line_ == 0) blank_line_ = line_;
      continue;
    }
    if (blank_line_ != 0) {
      problems_.add(name_, blank_line_, "is blank; remove blank lines between rows");
      blank_line_ = 0;
    }
    if (!is_ascii_text(line->text()) &&
        (!is_utf8(line->text()) || line->text().find('\0') != std::string_view::npos)) {
      is_complete_ = false;
      report("holds bytes that are not UTF-8 text; save the file as comma-separated UTF-8");
      return false;
    }
    if (split(*line)) return true;
    is_complete_ = false;
  }
  return false;
}

bool CsvFile::split(Line line) {
  fields_.clear();
  char* cursor = line.begin;
  while (true) {
    if (cursor != line.end && *cursor == '"') {
      if (!split_quoted(cursor, line.end)) return false;
    } else {
      char* const begin = cursor;
      while (cursor != line.end && *cursor != ',' && *cursor != '"') ++cursor;
      if (cursor != line.end && *cursor == '"') {
        report("has a quote inside an unquoted field; quote the whole field and double the quote");
        return false;
      }
      fields_.emplace_back(begin, static_cast<std::size_t>(cursor - begin));
    }
    if (cursor == line.end) return true;
    ++cursor;
  }
}

/// Undoubles quotes in place.
bool CsvFile::split_quoted(char*& cursor, char* end) {
  char* const begin = ++cursor;
  char* out = begin;
  while (cursor != end && (*cursor != '"' || (cursor + 1 != end && cursor[1] == '"'))) {
    if (*cursor == '"') ++cursor;
    *out++ = *cursor++;
  }
  if (cursor == end) {
    report("has a quoted field without its closing quote; a field ends on the line it began on");
    return false;
  }
  ++cursor;
  if (cursor != end && *cursor != ',') {
    report("has text after a closing quote; put a comma there or double the quote");
    return false;
  }
  fields_.emplace_back(begin, static_cast<std::size_t>(out - begin));
  return true;
}

CsvTable::CsvTable(const std::filesystem::path& file, std::vector<std::string_view> columns,
                   Problems& problems, std::size_t optional_count)
    : file_(file, problems), columns_(std::move(columns)), optional_count_(optional_count) {
  has_header_ = read_header();
}

std::string CsvTable::column_list() const { return join(columns_, ","); }

bool CsvTable::read_header() {
  const bool was_readable = file_.is_complete();
  if (!file_.next()) {
    if (was_readable && file_.is_complete()) {
      file_.report_file(fmt::format("is empty; begin it with the header {}", column_list()));
    }
    return false;
  }
  const std::vector<std::string_view>& header = file_.fields();
  if (header.size() == 1 && columns_.size() > 1) {
    const std::size_t delimiter = header[0].find_first_of(";\t|");
    if (delimiter != std::string_view::npos) {
      file_.report(fmt::format("columns are separated by {}; separate them by commas",
                               in_quotes(header[0].substr(delimiter, 1))));
      return false;
    }
  }
  bool is_valid = true;
  header_count_ = header.size();
  position_.assign(columns_.size(), absent);
  for (std::size_t i = 0; i < header.size(); ++i) {
    const auto column = std::find(columns_.begin(), columns_.end(), header[i]);
    if (column == columns_.end()) {
      file_.report(fmt::format("unknown column {}; the columns are {}", in_quotes(header[i]),
                               column_list()));
      is_valid = false;
      continue;
    }
    std::size_t& position = position_[static_cast<std::size_t>(column - columns_.begin())];
    if (position != absent) {
      file_.report(fmt::format("duplicate column {}; remove one", in_quotes(header[i])));
      is_valid = false;
    }
    position = i;
  }
  for (std::size_t i = 0; i < columns_.size() - optional_count_; ++i) {
    if (position_[i] != absent) continue;
    file_.report(fmt::format("missing column {}; the columns are {}", in_quotes(columns_[i]),
                             column_list()));
    is_valid = false;
  }
  return is_valid;
}

bool CsvTable::next() {
  if (!has_header_) return false;
  while (file_.next()) {
    has_rows_ = true;
    if (file_.fields().size() == header_count_) return true;
    file_.report(
        fmt::format("has {} fields; the header has {}", file_.fields().size(), header_count_));
    has_skipped_rows_ = true;
  }
  return false;
}

void CsvTable::report(std::size_t column, const std::string& message) {
  file_.report(fmt::format("{} {}", columns_[column], message));
}

void CsvTable::require_rows() {
  if (!has_rows_ && is_complete()) {
    file_.report_file("has a header but no rows; add at least one row");
  }
}

std::optional<double> CsvTable::real(std::size_t column) {
  const std::string_view text = (*this)[column];
  const std::optional<double> value = parse_real(text);
  if (!value) {
    report(column, text.empty() ? "is empty; write a decimal number"
                                : fmt::format("{} is not a finite decimal number; write one like "
                                              "-1234.5 or 1e-3",
                                              in_quotes(text)));
  }
  return value;
}

std::optional<double> CsvTable::positive(std::size_t column) {
  const std::optional<double> value = real(column);
  if (!value || (*value >= 1e-12 && *value <= 1e15)) return value;
  report(column, *value <= 0 ? fmt::format("{} must be greater than 0", *value)
                             : fmt::format("{} is outside [1e-12, 1e15]; check its unit", *value));
  return std::nullopt;
}

}  // namespace shortfall
