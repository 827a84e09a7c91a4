// What a file says about an instrument, before it is known what of it is used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shortfall/error.hpp"

namespace shortfall::exchange {

/// Numbers of a record, as they stand in the file but for `mark_iv`, which is a decimal.
enum class Field : std::size_t {
  mark_price,      ///< options: coins, or USD where linear; futures and perpetuals: USD per coin
  mark_iv,         ///< annual
  forward,         ///< USD per coin, of an option's expiry
  index_price,     ///< USD per coin
  delivery_price,  ///< what it would be delivered at now: the index, but for the last half hour
  contract_size,
  strike
};
inline constexpr std::size_t field_count = 7;

/// What the members or columns are called, for messages.
struct FieldNames {
  std::array<std::string, field_count> numbers;
  std::string instrument, timestamp, expiry, forward_name, underlying, option_type;
  const std::string& operator[](Field field) const {
    return numbers[static_cast<std::size_t>(field)];
  }
};

/// get_instruments; get_book_summary_by_currency; ticker; a row of a CSV chain.
enum class Source { listing, summary, ticker, table };

struct MarketRecord {
  Source source = Source::table;
  std::string file;
  std::size_t line = 0;  ///< 0 in JSON, where `pointer` says the place
  std::string pointer;   ///< RFC 6901
  std::shared_ptr<const FieldNames> names;

  std::string instrument;
  std::optional<std::int64_t> time_ms;  ///< since the epoch
  std::optional<std::int64_t> expiry;   ///< seconds since the epoch
  std::array<std::optional<double>, field_count> numbers;
  std::string forward_name;  ///< "BTC-27MAR26", "SYN.BTC-6FEB26", "index_price"; empty where absent
  std::string underlying, option_type;  ///< empty where absent
  bool is_open = true;

  const std::optional<double>& operator[](Field field) const {
    return numbers[static_cast<std::size_t>(field)];
  }
  std::optional<double>& operator[](Field field) {
    return numbers[static_cast<std::size_t>(field)];
  }
  bool has_equal_values(const MarketRecord& other) const;
  /// "chain.csv:12" or "summary.json /result/3", for another record's message.
  std::string place() const;
  /// Reports "<name> <message>" in the place of the record; `name` may be empty.
  void report(Problems& problems, const std::string& name, const std::string& message) const;
};

/// Reads the files, each of which is JSON as Deribit's API returns it or, where `map` names one, a
/// CSV chain with that map of its columns (docs/formats.md). Reports what cannot be read.
std::vector<MarketRecord> read_market_records(const std::vector<std::filesystem::path>& files,
                                              const std::optional<std::filesystem::path>& map,
                                              Problems& problems);

/// What the two kinds of file add to `records`.
void read_deribit_json(const std::filesystem::path& file, std::vector<MarketRecord>& records,
                       Problems& problems);

/// Which column of a CSV chain is what.
struct ColumnMap {
  enum class TimeFormat { iso_8601, seconds, milliseconds };
  std::shared_ptr<const FieldNames> names;  ///< empty where there is no such column
  TimeFormat timestamp = TimeFormat::iso_8601, expiry = TimeFormat::iso_8601;
  double mark_iv_unit = 1;  ///< 0.01 for per cent
};
std::optional<ColumnMap> load_column_map(const std::filesystem::path& file, Problems& problems);
void read_chain_table(const std::filesystem::path& file, const ColumnMap& map,
                      std::vector<MarketRecord>& records, Problems& problems);

/// Whether a time is one of a market that has been: from 2010 to 2100.
bool is_market_time(std::int64_t time_ms);

}  // namespace shortfall::exchange
