// The plan: everything a backend needs, in flat arrays, frozen and hashed. It is the last place
// with strings, dates and maps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"
#include "shortfall/core/plan_arrays.hpp"
#include "shortfall/factor_model.hpp"

namespace shortfall {

/// The part of an account that is margined on its own: all of it (portfolio), one underlying
/// (cross) or one instrument (isolated).
struct MarginGroup {
  std::uint32_t account = 0;
  std::int32_t scale_exponent = 0;  ///< USD = loss * 2^scale_exponent
  double gross_notional_usd = 0;
};

/// Where the tail of N paths begins. `count` entries are kept: the floor(k) worst and the next one,
/// whose loss is the value at risk.
struct TailSize {
  double k = 0;             ///< (1 - confidence_level) * path_count, snapped to a near integer
  std::uint64_t whole = 0;  ///< floor(k)
  std::uint64_t count = 0;  ///< min(whole + 1, path_count); all paths where they have weights
};

/// Methodology, section 4. k < 1 is the caller's to refuse.
TailSize tail_size(std::uint64_t path_count, double confidence_level);

struct Plan {
  std::uint64_t seed = 0;
  std::uint64_t path_count = 0;
  double confidence_level = 0;
  TailSize tail;
  /// Sobol only: core::PlanArrays. With Philox 1 and empty. Where there are several scramblings the
  /// standard error comes from their spread.
  std::uint32_t scrambling_count = 1;
  std::vector<std::uint32_t> sobol_directions;
  std::vector<std::uint32_t> sobol_keys;

  FactorModel model;
  std::vector<core::StateRow> state_rows;
  std::vector<core::StrikeCell> strike_cells;
  std::vector<core::SettledCell> settled_cells;
  std::vector<core::LinearCell> linear_cells;
  /// Priced instruments in canonical order: index into Book::instruments.
  std::vector<std::uint32_t> instruments;
  /// Place of each priced instrument in the listing, which decides its block. Blocks count listed
  /// instruments, held or not, so that an account's margin does not depend on what others hold.
  std::vector<std::uint32_t> listing_places;
  std::vector<core::Holding> holdings;
  std::vector<std::uint64_t> group_begin;
  std::vector<MarginGroup> groups;

  /// Per account of the book, for the report.
  struct AccountSummary {
    MarginMode mode = MarginMode::portfolio;
    std::uint32_t position_count = 0;
    double gross_notional_usd = 0;
    std::uint32_t group_begin = 0, group_end = 0;  ///< its margin groups
  };
  std::vector<AccountSummary> accounts;

  std::string hash;  ///< SHA-256 of the numbers above, lower-case hex

  /// The bits of Holding that end sums, for a holding of one priced instrument before another.
  std::uint32_t sum_ends(std::uint32_t instrument, std::uint32_t next) const {
    const auto differ = [&](std::uint32_t size) {
      return next == core::none || listing_places[instrument] / size != listing_places[next] / size;
    };
    return (differ(core::block_instrument_count) ? core::Holding::last_of_block : 0u) |
           (differ(core::superblock_instrument_count) ? core::Holding::last_of_superblock : 0u);
  }

  bool is_sobol() const { return !sobol_directions.empty(); }
  bool is_weighted() const { return !model.weights.empty(); }
  double weight(std::uint32_t path) const { return is_weighted() ? model.weights[path] : 1.0; }
  std::uint32_t dimension_count() const {
    return model.factor_count + (model.is_student_t ? 1u : 0u);
  }

  core::PlanArrays arrays() const;
};

/// Which entries of a margin group's tail count, and how much. The first `whole` do in full, each
/// its path's weight; the next, whose loss is the value at risk, as much as is left of tail.k.
struct TailCut {
  std::uint64_t whole = 0;
  double boundary_weight = 0;
};

/// `keys` is the group's tail, worst first where paths have weights: `whole` is the greatest number
/// of entries with weights of tail.k or less in all. At least one counts in full.
TailCut tail_cut(const Plan& plan, const std::uint64_t* keys);

/// Builds the plan. Problems with the combination of inputs (an expiry not after as_of is the
/// loader's; a held underlying without a spot factor, k < 1, ... are found here) throw InputError.
Plan build_plan(const RunConfig& config, const RunInputs& inputs);

/// The same with another factor model of the same factors. revalue_at is horizon or now.
Plan build_plan(const RunConfig& config, const RunInputs& inputs, FactorModel model);

}  // namespace shortfall
