// The tables of a configuration that name histories: [prices] and [histories.NAME].
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "history.hpp"
#include "input/toml_section.hpp"

namespace shortfall::calibration {

/// In the order of the file, [prices] first; what is absent is left out. Problems are reported.
std::vector<HistorySource> read_history_tables(const toml::table& document,
                                               const std::filesystem::path& file,
                                               Problems& problems);

/// A date or a date-time; empty where it is absent or none, which is reported.
std::optional<std::int64_t> read_time(TomlSection& section, const char* key);

/// The tables inside the table `name`, each with its own name.
std::vector<std::pair<std::string, TomlSection>> tables_of(const toml::table& document,
                                                           const char* name,
                                                           const std::filesystem::path& file,
                                                           Problems& problems);

/// A result must not replace what it is made from.
void check_not_inputs(const std::vector<std::filesystem::path>& results,
                      const std::vector<std::filesystem::path>& inputs, const std::string& where,
                      Problems& problems);

}  // namespace shortfall::calibration
