// A TOML file as a whole.
#pragma once

#include <toml++/toml.h>

#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "shortfall/error.hpp"

namespace shortfall {

/// Parses a file of at most 1 MiB; empty where a problem was reported. `what` it should be is named
/// where it is too large: "a run configuration".
std::optional<toml::table> read_toml(const std::filesystem::path& file, std::string_view what,
                                     Problems& problems);

/// Reports every table and key at the top of the document that is not among `known`.
void report_unknown_tables(const toml::table& document, const std::filesystem::path& file,
                           std::string_view what, std::span<const std::string_view> known,
                           Problems& problems);

}  // namespace shortfall
