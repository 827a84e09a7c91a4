#include "fmt/format.h"
#include "shortfall/importance.hpp"
#include "terminal.hpp"

namespace shortfall {

std::string format_importance_table(const ImportanceEstimate& e, const std::string& directory) {
  const auto row = [](const char* name, const std::string& text) {
    return fmt::format("{:<32} {:>16}\n", name, text);
  };
  std::string out =
      fmt::format("account {}, {}, {} positions\n", e.account, to_string(e.mode), e.position_count);
  out += row("value at risk (USD)", format_usd(e.value_at_risk_usd));
  out += row("expected shortfall", format_usd(e.expected_shortfall_usd));
  out += row("standard error", format_usd(e.standard_error_usd));
  out += row("95 % interval from", format_usd(e.confidence_low_usd));
  out += row("to", format_usd(e.confidence_high_usd));
  out += row("margin component base", format_usd(e.base_usd));
  out += row("paths", format_usd(static_cast<double>(e.path_count)));
  out += row("of the tail, effectively", format_usd(e.effective_tail_count));
  out += fmt::format("as precise as {:.3g} times as many plain paths\n", e.variance_ratio);
  if (e.group_count > 1)
    out += fmt::format("{} margin groups, each sampled with as many paths\n", e.group_count);
  for (const std::string& warning : e.warnings) out += fmt::format("warning: {}\n", warning);
  return out + fmt::format("results: {}/importance.csv\n", directory);
}

}  // namespace shortfall
