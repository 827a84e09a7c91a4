// The loaders of the input files, one per meaning. Each reports everything wrong with its file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "name_table.hpp"
#include "shortfall/book.hpp"

namespace shortfall {

void load_instruments(const RunConfig& config, const NameTable<Underlying>& underlyings,
                      NameTable<Instrument>& instruments, Problems& problems);

/// Fills the accounts and the netted positions of the book. Returns, per instrument, the line of
/// its first position; 0 where it has none.
std::vector<std::size_t> load_positions(const std::filesystem::path& file,
                                        const NameTable<Instrument>& instruments, Book& book,
                                        Problems& problems);

void load_covariance(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                     Covariance& covariance, Problems& problems);

/// Exact: a multiple of 1e-12 below 1e18 in magnitude, in units of 1e-12. Otherwise empty, with the
/// reason and the remedy.
std::optional<Quantity::Units> parse_quantity(std::string_view text, std::string_view& reason);

}  // namespace shortfall
