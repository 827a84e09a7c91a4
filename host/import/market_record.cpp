#include "market_record.hpp"

#include <fmt/format.h>

#include "input/input_file.hpp"

namespace shortfall::exchange {
namespace {

enum class Content { none, json, table };

/// What the first bytes look like. A file that cannot be read is reported.
Content content_of(const std::filesystem::path& file, Problems& problems) {
  InputFile input(file, problems);
  if (!input.is_open()) return Content::none;
  std::string head(4096, '\0');
  head.resize(input.read(head.data(), head.size()));
  std::string_view text(head);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    problems.add(file.string(), 0,
                 "is empty; give the JSON that the API returned, or a CSV chain with its --map");
    return Content::none;
  }
  return text[first] == '{' || text[first] == '[' ? Content::json : Content::table;
}

}  // namespace

bool MarketRecord::has_equal_values(const MarketRecord& other) const {
  return numbers == other.numbers && expiry == other.expiry && forward_name == other.forward_name &&
         underlying == other.underlying && option_type == other.option_type &&
         is_open == other.is_open;
}

std::string MarketRecord::place() const {
  return line == 0 ? fmt::format("{} {}", file, pointer) : fmt::format("{}:{}", file, line);
}

void MarketRecord::report(Problems& problems, const std::string& name,
                          const std::string& message) const {
  if (line != 0) {
    problems.add(file, line, name.empty() ? message : name + " " + message);
    return;
  }
  const std::string where = name.empty() ? pointer : pointer + "/" + name;
  const bool is_named = !instrument.empty() && message.find(instrument) == std::string::npos;
  problems.add(file, 0,
               fmt::format("{}{} {}", where.empty() ? "the document" : where,
                           is_named ? " of " + instrument : std::string(), message));
}

bool is_market_time(std::int64_t time_ms) {
  constexpr std::int64_t year_2010_ms = 1'262'304'000'000, year_2100_ms = 4'102'444'800'000;
  return time_ms >= year_2010_ms && time_ms < year_2100_ms;
}

std::vector<MarketRecord> read_market_records(const std::vector<std::filesystem::path>& files,
                                              const std::optional<std::filesystem::path>& map_file,
                                              Problems& problems) {
  std::optional<ColumnMap> map;
  if (map_file) map = load_column_map(*map_file, problems);
  std::vector<MarketRecord> records;
  bool has_table = false, is_complete = true;
  for (const std::filesystem::path& file : files) {
    const Content content = content_of(file, problems);
    is_complete = is_complete && content != Content::none;
    if (content == Content::json) {
      read_deribit_json(file, records, problems);
    } else if (content == Content::table) {
      has_table = true;
      if (map) read_chain_table(file, *map, records, problems);
      if (!map_file)
        problems.add(file.string(), 0,
                     "is no JSON; if it is a CSV chain, say what its columns are with --map, as "
                     "configs/import/deribit_chain.toml does");
    }
  }
  if (map_file && !has_table && is_complete)
    problems.add("command line", 0, "--map is for CSV chains, and no file is one; leave it out");
  return records;
}

}  // namespace shortfall::exchange
