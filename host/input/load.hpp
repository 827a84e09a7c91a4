// The loaders of the input files, one per meaning. Each reports everything wrong with its file.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "csv.hpp"
#include "name_table.hpp"
#include "shortfall/book.hpp"
#include "text.hpp"

namespace shortfall {

void load_instruments(const RunConfig& config, const NameTable<Underlying>& underlyings,
                      NameTable<Instrument>& instruments, Problems& problems);

/// Fills the accounts and the netted positions of the book. Returns, per instrument, the line of
/// its first position; 0 where it has none.
std::vector<std::size_t> load_positions(const std::filesystem::path& file,
                                        const NameTable<Instrument>& instruments, Book& book,
                                        Problems& problems);

/// The first record of a file with a column per factor. Reports what is wrong with it, then false.
bool read_factor_header(CsvFile& file, std::string_view first_column,
                        const NameTable<Underlying>& underlyings, std::vector<Factor>& factors);

/// Reads the part of a factor's name after "<underlying>." into kind and tenor; false where it is
/// none.
bool parse_factor_kind(std::string_view text, Factor& factor);

void load_covariance(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                     Covariance& covariance, Problems& problems);

/// Exact: a multiple of 1e-12 below 1e18 in magnitude, in units of 1e-12. Otherwise empty, with the
/// reason and the remedy.
std::optional<Quantity::Units> parse_quantity(std::string_view text, std::string_view& reason);

/// The field as a value of an enumeration; reports what is none.
template <typename Enum, std::size_t count>
std::optional<Enum> choice(CsvTable& table, std::size_t column,
                           const Choice<Enum> (&choices)[count]) {
  const std::optional<Enum> value = find_choice(choices, table[column]);
  if (!value) table.report(column, choice_problem(choices, table[column]));
  return value;
}

/// Enters the rows of a file by name, which has to be valid and new.
template <typename Named>
class UniqueRows {
 public:
  using NameRule = std::string (*)(std::string_view);
  UniqueRows(NameTable<Named>& names, NameRule name_problem)
      : names_(names), name_problem_(name_problem) {}

  /// The entry of the row, or null where its name is wrong, which is reported.
  Named* enter(CsvTable& table, std::size_t column) {
    if (std::string problem = name_problem_(table[column]); !problem.empty()) {
      table.report(column, problem);
      names_.mark_incomplete();
      return nullptr;
    }
    const auto [index, is_new] = names_.insert(table[column]);
    if (!is_new) {
      table.report(column, fmt::format("{} is a duplicate of line {}; remove one of them",
                                       in_quotes(table[column]), lines_[index]));
      return nullptr;
    }
    lines_.push_back(table.line());
    return &names_.entries()[index];
  }

 private:
  NameTable<Named>& names_;
  NameRule name_problem_;
  std::vector<std::size_t> lines_;
};

}  // namespace shortfall
