// The methodology in plain double precision: every account x position x path from the formulas,
// with std::exp and std::erfc, sharing no code with the engine. It is what the engine is checked
// against, and the honest baseline of the benchmarks.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"
#include "shortfall/factor_model.hpp"
#include "shortfall/margin.hpp"

namespace shortfall::reference {

/// Factor moves over the horizon: a row per factor of the covariance, a column per path
/// (PathTrace::factors).
struct Scenarios {
  const double* moves = nullptr;
  std::size_t path_count = 0;
};

/// What is margined on its own: an account, or one underlying or one instrument of it.
struct Group {
  static constexpr std::uint32_t all = 0xffffffffu;
  std::uint32_t account = 0;
  std::uint32_t underlying = all;  ///< cross
  std::uint32_t instrument = all;  ///< isolated
  auto operator<=>(const Group&) const = default;
};

struct GroupLosses {
  std::vector<Group> groups;  ///< ascending
  std::vector<double> gross_notional_usd;
  std::size_t path_count = 0;
  std::vector<double> usd;  ///< a row per group

  const double* row(std::size_t group) const { return usd.data() + group * path_count; }
};

enum class Revaluation {
  per_position,   ///< naive: each account values what it holds
  per_instrument  ///< each instrument once: the same numbers up to the order of their sums
};

/// Change of the USD value of one contract on every path: methodology, section 3.
void revalue(const RunConfig& config, const RunInputs& inputs, const Instrument& instrument,
             const Scenarios& scenarios, double* change_usd);

/// The group that a position belongs to.
Group group_of(const Book& book, const Position& position);

/// Losses of every margin group. Positions of quantity zero do not count.
GroupLosses group_losses(const RunConfig& config, const RunInputs& inputs,
                         const Scenarios& scenarios,
                         Revaluation revaluation = Revaluation::per_position);

struct TailRisk {
  double value_at_risk = 0, expected_shortfall = 0, standard_error = 0;
};

/// Methodology, section 4, by a full sort.
TailRisk tail_risk(std::vector<double> losses, double confidence_level);

/// Methodology, section 5, in the book's order.
std::vector<AccountMargin> margins(const RunConfig& config, const Book& book,
                                   const GroupLosses& losses);

}  // namespace shortfall::reference
