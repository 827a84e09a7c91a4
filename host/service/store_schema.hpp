// The tables of a state directory, and how its database is created and opened.
#pragma once

#include <filesystem>
#include <memory>

#include "database.hpp"

namespace shortfall::service {

inline constexpr int store_application_id = 0x53464c4c;  // "SFLL"
inline constexpr int store_schema_version = 1;

/// Opens DIRECTORY/state.db, which is created, complete or not at all, where there is none. The
/// directory has to be locked. Throws StoreError.
std::unique_ptr<Database> open_store_database(const std::filesystem::path& directory);

}  // namespace shortfall::service
