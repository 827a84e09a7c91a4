// What `shortfall explain` prints.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>

#include "fmt/format.h"
#include "model/canonical_math.hpp"
#include "shortfall/attribution.hpp"
#include "terminal.hpp"

namespace shortfall {
namespace {

constexpr std::size_t line_width = 100;

double magnitude(double x) { return x < 0 ? -x : x; }

/// Pieces and commas, on as many lines as they need, each behind `indent` blanks.
std::string wrapped(const std::vector<std::string>& pieces, std::size_t indent) {
  const std::string margin(indent, ' ');
  std::string out, line = margin;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string piece = pieces[i] + (i + 1 < pieces.size() ? "," : "");
    if (line.size() > indent && line.size() + 1 + piece.size() > line_width) {
      out += line + '\n';
      line = margin;
    }
    line += (line.size() > indent ? " " : "") + piece;
  }
  return out + line + '\n';
}

std::string format_header(const Explanation& e) {
  const AccountMargin& m = e.margin;
  const RiskConfig& risk = e.config.risk;
  std::string out = fmt::format("{}, {} margin: {} USD\n", clip(m.account, 60), to_string(m.mode),
                                format_usd(m.margin_usd));
  out +=
      fmt::format("  expected shortfall  {} +- {} ({:g} % over {:g} day{}, {} paths)\n",
                  format_usd(m.expected_shortfall_usd), format_usd(m.standard_error_usd),
                  100 * risk.confidence_level, risk.horizon_days, risk.horizon_days == 1 ? "" : "s",
                  format_usd(static_cast<double>(risk.path_count)));
  out += fmt::format("  value at risk       {}\n", format_usd(m.value_at_risk_usd));
  out +=
      fmt::format("  gross notional      {} in {} position{}\n", format_usd(m.gross_notional_usd),
                  m.position_count, m.position_count == 1 ? "" : "s");
  return out;
}

/// Nothing where the margin has no component but the base.
std::string format_components(const Explanation& e) {
  const MarginComponents& c = e.margin.components;
  if (!e.config.margin.has_components()) return {};
  std::string out = fmt::format("\n{:<44} {:>16}\n", "margin component", "USD");
  const auto row = [&](const std::string& name, double usd) {
    if (usd != 0) out += fmt::format("{:<44} {:>16}\n", name, format_usd(usd));
  };
  row("base", c.base);
  row("dependence", c.dependence);
  row("concentration", c.concentration);
  row("liquidity", c.liquidity);
  row(fmt::format("stress ({})", clip(e.margin.worst_scenario, 34)), c.stress);
  row("procyclicality", c.procyclicality);
  row("funding", c.funding);
  row("short option minimum", c.short_option_minimum);
  row("floor", c.floor);
  return out;
}

/// A row of the tables of shares; a share of what is not above zero has no meaning.
std::string share_row(const Explanation& e, const std::string& name, const std::string& quantity,
                      double usd) {
  const double shortfall = e.margin.expected_shortfall_usd;
  const std::string share = shortfall > 0 ? fmt::format("{:.1f} %", 100 * usd / shortfall) : "";
  return fmt::format("{:<44} {:>16} {:>16} {:>10}\n", clip(name, 44), quantity, format_usd(usd),
                     share);
}

std::string title(const char* name, const char* quantity) {
  return fmt::format("\n{:<44} {:>16} {:>16} {:>10}\n", name, quantity, "component ES", "share");
}

using Sums = std::map<std::string, double>;

Sums by_underlying(const Attribution& attribution) {
  Sums sums;
  for (const PositionShortfall& p : attribution.positions)
    sums[attribution.instruments[p.instrument].underlying] += p.expected_shortfall_usd;
  return sums;
}

/// Names of the sums, the largest first.
std::vector<std::string> largest_first(const Sums& sums) {
  std::vector<std::string> names;
  for (const auto& [name, usd] : sums) names.push_back(name);
  std::ranges::stable_sort(names, std::ranges::greater(),
                           [&](const std::string& name) { return sums.at(name); });
  return names;
}

std::string format_underlyings(const Explanation& e, const Sums& sums) {
  std::string out = title("underlying", "");
  for (const std::string& name : largest_first(sums)) out += share_row(e, name, "", sums.at(name));
  return out;
}

/// The ten that add most, the rest in one line, and the five that take most away.
std::string format_positions(const Explanation& e) {
  constexpr std::size_t most_adding = 10, most_offsetting = 5;
  const std::vector<PositionShortfall>& positions = e.attribution.positions;
  std::vector<std::size_t> order(positions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::size_t p) { return positions[p].expected_shortfall_usd; });
  const auto adding = static_cast<std::size_t>(std::ranges::count_if(
      positions, [](const PositionShortfall& p) { return p.expected_shortfall_usd >= 0; }));
  const std::size_t first = std::min(most_adding, adding);
  const std::size_t last = positions.size() - std::min(most_offsetting, positions.size() - adding);
  std::string out = title("position", "quantity");
  const auto row = [&](std::size_t i) {
    const PositionShortfall& p = positions[order[i]];
    out += share_row(e, e.attribution.instruments[p.instrument].name,
                     fmt::format("{:.10g}", p.quantity), p.expected_shortfall_usd);
  };
  for (std::size_t i = 0; i < first; ++i) row(i);
  double rest = 0;
  for (std::size_t i = first; i < last; ++i) rest += positions[order[i]].expected_shortfall_usd;
  if (last > first)
    out += share_row(
        e, fmt::format("{} more position{}", last - first, last - first > 1 ? "s" : ""), "", rest);
  for (std::size_t i = last; i < positions.size(); ++i) row(i);
  const double rounding = e.attribution.accounts.front().rounding_usd;
  if (rounding != 0) out += fmt::format("{:<44} {:>16} {:>16.2g}\n", "rounding", "", rounding);
  return out;
}

bool is_logarithmic(const std::string& factor) {
  return factor.ends_with(".spot") || factor.find(".vol.") != std::string::npos;
}

/// Spots and volatilities as a per cent change, others as they are.
std::string format_move(const std::string& factor, double move) {
  if (!is_logarithmic(factor)) return fmt::format("{:+.3g}", move);
  return fmt::format("{:+.1f} %", 100 * (canonical::exp(move) - 1));
}

/// The factors beyond two standard deviations, or the three farthest; no more than six.
std::vector<std::string> largest_moves(const Explanation& e, const WorstPath& path) {
  constexpr std::size_t least = 3, most = 6;
  std::vector<double> deviations(e.factors.size());
  std::vector<std::size_t> order;
  for (std::size_t f = 0; f < e.factors.size(); ++f) {
    const double deviation = e.factors[f].standard_deviation;
    if (deviation == 0) continue;
    deviations[f] = path.moves[f] / deviation;
    order.push_back(f);
  }
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::size_t f) { return magnitude(deviations[f]); });
  const auto beyond = static_cast<std::size_t>(
      std::ranges::count_if(deviations, [](double d) { return magnitude(d) > 2; }));
  const std::size_t shown = std::min(beyond ? std::min(beyond, most) : least, order.size());
  std::vector<std::string> moves;
  for (std::size_t i = 0; i < shown; ++i) {
    const FactorMove& factor = e.factors[order[i]];
    moves.push_back(fmt::format("{} {} ({:+.1f} sd)", factor.name,
                                format_move(factor.name, path.moves[order[i]]),
                                deviations[order[i]]));
  }
  if (beyond > shown) moves.push_back(fmt::format("{} more beyond 2 sd", beyond - shown));
  return moves;
}

std::vector<std::string> largest_losses(const Explanation& e, const WorstPath& path) {
  std::vector<std::size_t> order(path.losses_usd.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::size_t p) { return path.losses_usd[p]; });
  std::vector<std::string> losses;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, order.size()); ++i) {
    if (path.losses_usd[order[i]] <= 0) break;
    const PositionShortfall& position = e.attribution.positions[order[i]];
    losses.push_back(fmt::format("{} {}",
                                 clip(e.attribution.instruments[position.instrument].name, 44),
                                 format_usd(path.losses_usd[order[i]])));
  }
  return losses;
}

std::string format_worst_paths(const Explanation& e) {
  std::string out =
      fmt::format("\n{:<14} {:>16}   {}\n", "worst paths", "loss",
                  e.margin.mode == MarginMode::portfolio
                      ? "what loses most, and how far factors move"
                      : "of all positions together; what loses most, how far factors move");
  constexpr std::size_t indent = 34;
  for (const WorstPath& path : e.worst_paths) {
    std::string lines = wrapped(largest_losses(e, path), indent);
    const std::string name = path.date.empty() ? fmt::format("{}", path.path) : path.date;
    lines.replace(0, indent,
                  fmt::format("{:<14} {:>16}   ", clip(name, 14), format_usd(path.loss_usd)));
    out += lines + wrapped(largest_moves(e, path), indent);
  }
  return out;
}

/// Of an underlying its spot and the volatility nearest to 30 days, as the tail has them on
/// average.
std::string mean_moves(const Explanation& e, const std::string& underlying) {
  std::string spot, volatility;
  int nearest = 0;
  for (const FactorMove& factor : e.factors) {
    const std::string vol = underlying + ".vol.";
    if (factor.name == underlying + ".spot") spot = format_move(factor.name, factor.tail_mean);
    if (!factor.name.starts_with(vol)) continue;
    const int days = std::atoi(factor.name.c_str() + vol.size());
    if (!volatility.empty() && std::abs(days - 30) >= std::abs(nearest - 30)) continue;
    nearest = days;
    volatility = format_move(factor.name, factor.tail_mean);
  }
  if (spot.empty()) return {};
  if (volatility.empty()) return fmt::format("{} moves {}", underlying, spot);
  return fmt::format("{} moves {} and its {}-day volatility {}", underlying, spot, nearest,
                     volatility);
}

std::string format_why(const Explanation& e, const Sums& sums) {
  constexpr std::size_t most = 3;
  std::vector<std::string> moves;
  for (const std::string& underlying : largest_first(sums)) {
    if (moves.size() == most) break;
    if (std::string text = mean_moves(e, underlying); !text.empty()) moves.push_back(text);
  }
  if (moves.empty()) return {};
  moves.front() = "On average over the tail " + moves.front();
  moves.back() += ".";
  return "\n" + wrapped(moves, 0);
}

}  // namespace

std::string format_explanation(const Explanation& explanation) {
  const Sums sums = by_underlying(explanation.attribution);
  std::string out = format_header(explanation) + format_components(explanation) +
                    format_underlyings(explanation, sums) + format_positions(explanation) +
                    format_worst_paths(explanation) + format_why(explanation, sums);
  for (const std::string& warning : explanation.warnings) out += "warning: " + warning + "\n";
  return out;
}

}  // namespace shortfall
