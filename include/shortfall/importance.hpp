// One account's expected shortfall by importance sampling: a tenth of its error from as many paths.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "shortfall/backend.hpp"
#include "shortfall/book.hpp"
#include "shortfall/config.hpp"

namespace shortfall {

/// USD, as in AccountMargin, of margin groups that are each sampled for themselves.
struct ImportanceEstimate {
  std::string account;
  MarginMode mode = MarginMode::portfolio;
  std::uint32_t position_count = 0, group_count = 0;
  double gross_notional_usd = 0;
  double value_at_risk_usd = 0, expected_shortfall_usd = 0;
  double standard_error_usd = 0;  ///< groups have seeds of their own: a root of squares
  double confidence_low_usd = 0, confidence_high_usd = 0;
  double base_usd = 0;                                 ///< MarginComponents::base
  std::uint64_t path_count = 0, pilot_path_count = 0;  ///< of each group
  /// (sum w)^2 / sum w^2 over the paths of the tail: equally many plain paths of the tail would
  /// have equal weights. The smallest of the groups.
  double effective_tail_count = 0;
  double variance_ratio = 1;  ///< estimated: the variance with as many plain paths, over this one
  std::vector<std::string> warnings;
};

/// Draws risk.path_count paths, nine tenths of them from a density fitted to a plain simulation
/// before, of a tail of about 330 paths. docs/methodology.md, section 5. Throws InputError where
/// the account is unknown or holds nothing, or the configuration asks for another sampler;
/// OperatingError where fewer than 100 effective paths reach the tail.
ImportanceEstimate sample_importance(const RunConfig& config, const std::string& account,
                                     const Progress& progress = {});

/// The same for inputs in memory, whose book has that account alone.
ImportanceEstimate sample_importance(const RunConfig& config, const RunInputs& inputs,
                                     const Progress& progress = {});

/// The text of importance.csv: byte-identical for equal inputs, seed and release.
std::string format_importance(const ImportanceEstimate& estimate);
/// Writes importance.csv to `directory`, which is created: complete or not at all.
void write_importance(const std::filesystem::path& directory, const ImportanceEstimate& estimate);

}  // namespace shortfall
