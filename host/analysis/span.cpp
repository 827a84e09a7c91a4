#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "schemes.hpp"
#include "shortfall/schemes.hpp"

namespace shortfall {
namespace {

constexpr std::size_t scenario_count = 16;
constexpr double fall_most = 0.95;

using Scan = std::array<double, scenario_count>;

/// A scenario in terms of what it does to an instrument's marks.
struct ScanMove {
  double price_return = 0;
  double volatility_factor = 1;
  double weight = 1;
};

std::array<ScanMove, scenario_count> scan_moves(const SpanParameters& parameters,
                                                const SpanParameters::Ranges& ranges) {
  std::array<ScanMove, scenario_count> moves;
  std::size_t count = 0;
  for (const int thirds : {0, 1, -1, 2, -2, 3, -3})
    for (const double volatility : {ranges.volatility, -ranges.volatility})
      moves[count++] = {ranges.price * thirds / 3, 1 + volatility, 1};
  const double extreme = parameters.extreme_multiple * ranges.price;
  moves[count++] = {extreme, 1, parameters.extreme_share};
  moves[count++] = {-std::min(extreme, fall_most), 1, parameters.extreme_share};
  return moves;
}

/// Weighted P&L per unit, USD. The least volatility is that of every mark.
Scan scan(const Instrument& instrument, double spot_usd, std::int64_t as_of,
          const std::array<ScanMove, scenario_count>& moves) {
  const MarkedInstrument marked(instrument, spot_usd, as_of);
  Scan pnl;
  for (std::size_t s = 0; s < scenario_count; ++s)
    pnl[s] = moves[s].weight *
             marked.pnl_usd({moves[s].price_return,
                             std::max(instrument.mark_iv * moves[s].volatility_factor, 0.01)});
  return pnl;
}

}  // namespace

std::vector<double> span_margins(const SpanParameters& parameters, const Book& book,
                                 std::int64_t as_of) {
  std::vector<std::array<ScanMove, scenario_count>> moves;
  for (const auto& ranges : in_order_of(book, parameters.by_underlying, parameters.ranges, "span"))
    moves.push_back(scan_moves(parameters, ranges));
  std::unordered_map<std::uint32_t, Scan> scans;  // of the instruments that are held
  std::vector<double> margins(book.accounts.size());
  auto p = book.positions.begin();
  for (std::uint32_t a = 0; a < margins.size(); ++a) {
    std::map<std::uint32_t, Scan> pnl_usd;  // by underlying
    for (; p != book.positions.end() && p->account == a; ++p) {
      if (p->quantity.is_zero()) continue;
      const Instrument& i = book.instruments[p->instrument];
      const double spot_usd = book.underlyings[i.underlying].spot_usd;
      const auto [found, is_new] = scans.try_emplace(p->instrument);
      if (is_new) found->second = scan(i, spot_usd, as_of, moves[i.underlying]);
      const double units = units_of(i, p->quantity.contracts());
      Scan& sums = pnl_usd[i.underlying];
      for (std::size_t s = 0; s < scenario_count; ++s) sums[s] += units * found->second[s];
    }
    for (const auto& [underlying, sums] : pnl_usd) margins[a] += worst_loss(sums, book.accounts[a]);
  }
  SHORTFALL_ASSERT(p == book.positions.end());
  return margins;
}

}  // namespace shortfall
