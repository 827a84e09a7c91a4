// Synthetic venues in the project's file formats: made-up markets and accounts to try, test and
// measure with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace shortfall {

/// What `shortfall generate` makes. The sizes are of `venue` alone; the other presets fix theirs.
struct GenerateOptions {
  enum class Preset : std::uint8_t {
    venue,     ///< market makers over most of the chain and many small clients
    demo,      ///< configs/demo: about 300 instruments, 100 accounts named for their strategies
    canonical  ///< the job that performance is measured on: 1,000 instruments and accounts
  };
  Preset preset = Preset::venue;
  std::optional<std::uint32_t> instruments = {};  ///< underlyings to 100,000; default 1,000
  std::optional<std::uint32_t> accounts = {};     ///< 1 to 1,000,000; default 1,000
  std::optional<std::uint32_t> underlyings = {};  ///< 1 to 64; default 4
  std::optional<std::uint32_t> factors = {};      ///< underlyings to 6,000; default 16 for each
  std::uint64_t seed = 1;
};

/// Writes run.toml and the files it names to `directory`, which is created, and a README.md with
/// the demonstration book. The bytes depend on the options alone, not on the machine. Each file is
/// written beside and renamed, run.toml last. Throws InputError (file "command line") for sizes
/// that are out of bounds or not the preset's to choose, OperatingError where it cannot write.
void generate(const GenerateOptions& options, const std::filesystem::path& directory);

}  // namespace shortfall
