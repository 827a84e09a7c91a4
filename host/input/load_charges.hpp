// The loaders of what the [margin] tables charge by underlying. Each reports everything wrong with
// its file.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "name_table.hpp"
#include "shortfall/book.hpp"

namespace shortfall {

/// Reads liquidity.csv: an entry per underlying, empty where it has no row.
void load_liquidity(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                    const RunConfig& config, std::vector<std::optional<LiquidityTerms>>& liquidity,
                    Problems& problems);

/// Reads funding.csv, likewise.
void load_funding(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                  const RunConfig& config, std::vector<std::optional<FundingRates>>& funding,
                  Problems& problems);

/// Reports each underlying that is held, or whose coins are simulated collateral, without a row of
/// the liquidity file, and each whose perpetuals are held without a row of the funding file. For
/// inputs that were read without a problem.
void check_charges_cover(const RunConfig& config, const RunInputs& inputs, Problems& problems);

}  // namespace shortfall
