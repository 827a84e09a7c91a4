#include "plan_groups.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "shortfall/core/portable.hpp"

namespace shortfall {

using core::none;

std::vector<std::uint32_t> listing_order(const std::vector<Instrument>& instruments) {
  const auto rank = [](const Instrument& i) {
    const bool is_option = i.type == InstrumentType::call || i.type == InstrumentType::put;
    return std::tuple(i.underlying, is_option ? 0 : static_cast<int>(i.type), i.expiry,
                      i.settlement, i.strike, i.mark_price, i.mark_iv, i.type);
  };
  std::vector<std::uint32_t> order(instruments.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto x = rank(instruments[a]), y = rank(instruments[b]);
    return x != y ? x < y : instruments[a].name < instruments[b].name;
  });
  return order;
}

double weight_usd(const Book& book, const Instrument& i, double contracts) {
  const bool is_in_usd = i.settlement == Settlement::inverse &&
                         (i.type == InstrumentType::future || i.type == InstrumentType::perpetual);
  const double size = contracts * i.multiplier;
  return is_in_usd ? size : size * book.underlyings[i.underlying].spot_usd;
}

GroupScale group_scale(std::span<const HeldPosition> group) {
  double gross = 0;
  for (const HeldPosition& p : group) gross += p.weight_usd < 0 ? -p.weight_usd : p.weight_usd;
  const int exponent =
      static_cast<int>((core::bit_cast<std::uint64_t>(gross) >> 52) & 0x7ff) - 1023;
  return {gross, exponent,
          core::bit_cast<double>(static_cast<std::uint64_t>(1023 - exponent) << 52)};
}

void add_group(Plan& plan, std::uint32_t account, std::span<const HeldPosition> group) {
  const GroupScale scale = group_scale(group);
  for (std::size_t h = 0; h < group.size(); ++h) {
    const std::uint32_t next = h + 1 == group.size() ? none : group[h + 1].instrument;
    plan.holdings.push_back({group[h].instrument | plan.sum_ends(group[h].instrument, next),
                             static_cast<float>(group[h].weight_usd * scale.weight_scale)});
  }
  plan.groups.push_back({account, scale.exponent, scale.gross_notional_usd});
  plan.group_begin.push_back(plan.holdings.size());
}

std::span<const HeldPosition> first_group(MarginMode mode, std::span<const HeldPosition> held) {
  if (mode == MarginMode::portfolio) return held;
  if (mode == MarginMode::isolated) return held.first(1);
  const auto end = std::ranges::find_if(
      held, [&](const HeldPosition& p) { return p.underlying != held.front().underlying; });
  return {held.begin(), end};
}

}  // namespace shortfall
