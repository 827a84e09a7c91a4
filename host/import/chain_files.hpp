// The files that the engine reads.
#pragma once

#include <filesystem>
#include <string>

#include "chain.hpp"

namespace shortfall::exchange {

struct ChainFiles {
  std::string underlyings, instruments, config;
};

/// The texts of underlyings.csv, instruments.csv and run.toml. The latter names a positions.csv and
/// a covariance.csv, which are the user's.
ChainFiles format_chain(const ImportedChain& chain);

/// Writes them to `directory`, which is created: all are written beside, synced, and then renamed,
/// run.toml last. Throws InputError where one is there with another text, unless `overwrites`;
/// OperatingError where one cannot be written.
void write_chain(const ChainFiles& files, const std::filesystem::path& directory, bool overwrites);

/// What was read, left out and found, for people.
std::string format_import(const ImportedChain& chain);

}  // namespace shortfall::exchange
