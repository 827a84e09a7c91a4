// The only writer: margin.csv, attribution.csv and run.json, each complete or absent.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shortfall/attribution.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/config.hpp"
#include "shortfall/margin.hpp"

namespace shortfall {

/// Version of the release.
const char* version();

/// Some of the paths, and what computed them.
struct PathShare {
  PathRange paths;
  BackendDescription backend;
};

/// What may be said of results that a GPU computed, until a real device has run the tests.
inline constexpr const char* cuda_contract = "CUDA: equal under PTX emulation";

/// Everything run.json says.
struct RunRecord {
  RunConfig config;
  std::uint64_t path_count = 0;  ///< that the results come from
  std::string plan_hash;
  std::vector<PathShare> shares;  ///< of all paths, ascending; at least one
  std::vector<std::pair<std::string, double>> seconds_by_stage;  ///< in the order they ran
  std::vector<std::string> warnings;
  double tail_floor = 0;  ///< student_t only
  /// paths = "auto" only: the paths of each round, the last of which is reported, and the accounts
  /// that did not get as precise as was asked for.
  std::vector<std::uint64_t> rounds;
  std::vector<std::string> imprecise_accounts;
  std::size_t instrument_count = 0, position_count = 0, account_count = 0, group_count = 0;
  std::uint32_t factor_count = 0;
};

/// Whether any of the paths were computed on a GPU.
bool ran_on_cuda(const RunRecord& record);

/// The text of margin.csv: byte-identical for equal inputs, seed and release. Columns after the
/// first eight are there where the configuration asks for them.
std::string format_margins(const std::vector<AccountMargin>& margins,
                           const MarginConfig& config = {});

/// The text of attribution.csv, byte-identical likewise: a row per position, and per account that
/// has any a last row for what the rounding of losses leaves.
std::string format_attribution(const Attribution& attribution);

/// Writes the files to `directory`, which is created: each is written beside, synced and renamed,
/// run.json last. Without an attribution that of an earlier run is removed before run.json is
/// renamed, so that an interruption shows in hashes that do not match. Throws OperatingError,
/// leaving an earlier result untouched.
void write_report(const std::filesystem::path& directory, const std::vector<AccountMargin>& margins,
                  const RunRecord& record,
                  const std::optional<Attribution>& attribution = std::nullopt);

}  // namespace shortfall
