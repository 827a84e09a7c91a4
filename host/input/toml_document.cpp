#include "toml_document.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "input_file.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

/// The text of the file; empty where a problem was reported.
std::optional<std::string> read_text(const std::filesystem::path& file, std::string_view what,
                                     Problems& problems) {
  constexpr std::size_t file_bytes_max = std::size_t{1} << 20;
  // toml++ nests a table per dot of a key and destroys them recursively: a line of a megabyte of
  // dots would overflow the stack.
  constexpr std::size_t line_bytes_max = 4096;
  InputFile input(file, problems);
  if (!input.is_open()) return std::nullopt;
  std::string text(file_bytes_max + 1, '\0');
  text.resize(input.read(text.data(), text.size()));
  if (text.size() > file_bytes_max) {
    problems.add(file.string(), 0, fmt::format("is larger than 1 MiB; give the path of {}", what));
    return std::nullopt;
  }
  std::size_t line = 1;
  for (std::size_t begin = 0; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end - begin > line_bytes_max) {
      problems.add(file.string(), line, "line is longer than 4096 bytes; break it");
      return std::nullopt;
    }
    begin = end + 1;
  }
  return text;
}

}  // namespace

std::optional<toml::table> read_toml(const std::filesystem::path& file, std::string_view what,
                                     Problems& problems) {
  const std::optional<std::string> text = read_text(file, what, problems);
  if (!text) return std::nullopt;
  try {
    return toml::parse(std::string_view(*text), file.string());
  } catch (const toml::parse_error& error) {
    problems.add(file.string(), error.source().begin.line,
                 fmt::format("is not TOML: {}; correct this line", error.description()));
    return std::nullopt;
  }
}

void report_unknown_tables(const toml::table& document, const std::filesystem::path& file,
                           std::string_view what, std::span<const std::string_view> known,
                           Problems& problems) {
  for (const auto& [key, node] : document) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
    problems.add(
        file.string(), key.source().begin.line,
        fmt::format("unknown {} {}; {} has the table{} {}", node.is_table() ? "table" : "key",
                    in_quotes(key.str()), what, known.size() == 1 ? "" : "s", join(known, ", ")));
  }
}

}  // namespace shortfall
