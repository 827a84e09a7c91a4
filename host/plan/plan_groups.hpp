// How positions become margin groups: their order, weights and scale.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// Canonical order of the listing: it depends on what the instruments are, not on the order of the
/// file, and puts the call and put of a strike side by side.
std::vector<std::uint32_t> listing_order(const std::vector<Instrument>& instruments);

/// USD per unit of the instrument's value: see core/plan_arrays.hpp.
double weight_usd(const Book& book, const Instrument& i, double contracts);

struct HeldPosition {
  std::uint32_t rank = 0;  ///< in the listing
  std::uint32_t underlying = 0;
  std::uint32_t instrument = 0;  ///< priced
  double weight_usd = 0;
};

/// The power of two that brings a group's gross notional into [1, 2), and its inverse.
struct GroupScale {
  double gross_notional_usd;
  std::int32_t exponent;
  double weight_scale;
};
GroupScale group_scale(std::span<const HeldPosition> group);

/// Adds a margin group of positions in the order of the listing.
void add_group(Plan& plan, std::uint32_t account, std::span<const HeldPosition> group);

/// The first margin group of an account's positions, which are in the order of the listing, where
/// underlyings are contiguous; at least one.
std::span<const HeldPosition> first_group(MarginMode mode, std::span<const HeldPosition> held);

}  // namespace shortfall
