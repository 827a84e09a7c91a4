#include <algorithm>
#include <set>

#include "chain_checks.hpp"
#include "chain_files.hpp"
#include "fmt/format.h"
#include "shortfall/config.hpp"

namespace shortfall::exchange {
namespace {

struct Counts {
  std::size_t options = 0, futures = 0, perpetuals = 0;
  std::set<std::int64_t> expiries;
};

std::string format_counts(const ImportedChain& chain) {
  std::vector<Counts> all(chain.underlyings.size());
  for (const ListedInstrument& listed : chain.instruments) {
    Counts& counts = all[listed.terms.underlying];
    const bool is_future = listed.terms.type == InstrumentType::future;
    const bool is_perpetual = listed.terms.type == InstrumentType::perpetual;
    ++(is_future ? counts.futures : is_perpetual ? counts.perpetuals : counts.options);
    if (!is_future && !is_perpetual) counts.expiries.insert(listed.terms.expiry);
  }
  std::string out = fmt::format("{:<12}{:>14}{:>10}{:>10}{:>10}{:>12}\n", "underlying",
                                "index (USD)", "options", "expiries", "futures", "perpetuals");
  for (std::size_t i = 0; i < all.size(); ++i)
    out += fmt::format("{:<12}{:>14}{:>10}{:>10}{:>10}{:>12}\n", chain.underlyings[i].name,
                       chain.underlyings[i].spot_usd, all[i].options, all[i].expiries.size(),
                       all[i].futures, all[i].perpetuals);
  return out;
}

std::string format_tally(const char* title, const Tally& tally) {
  if (tally.lines().empty()) return {};
  std::string out = fmt::format("\n{}\n", title);
  for (const Tally::Line& line : tally.lines()) {
    out += fmt::format("{:>8}  {}\n", line.count, line.what);
    out += fmt::format("{:>10}{}{}\n", "", fmt::join(line.examples, ", "),
                       line.count > line.examples.size() ? ", ..." : "");
  }
  return out;
}

std::string format_magnitudes(const std::string& underlying, const char* check, const Magnitudes& m,
                              bool has_tolerance) {
  if (m.count == 0) return {};
  const std::string violations = has_tolerance ? fmt::format("{}", m.violation_count) : "";
  return fmt::format("{:<12}{:<18}{:>6}{:>12}{:>10.1e}{:>10.1e}{:>10.1e}  {}\n", underlying, check,
                     m.count, violations, m.median, m.percentile_99, m.maximum, m.worst);
}

std::string format_checks(const ImportedChain& chain) {
  const std::vector<ChainChecks> all = check_chain(chain);
  std::string rows;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string& name = chain.underlyings[i].name;
    const ChainChecks& checks = all[i];
    rows += format_magnitudes(name, "put-call parity", checks.parity, true);
    rows += format_magnitudes(name, "call monotonicity", checks.monotonicity, true);
    rows += format_magnitudes(name, "butterfly", checks.butterfly, true);
    rows += format_magnitudes(name, chain.is_reimplied ? "Black, re-implied" : "Black-76",
                              checks.black, false);
    if (chain.is_reimplied)
      rows += format_magnitudes(name, "Black, published", checks.published, false);
  }
  if (rows.empty()) return {};
  return fmt::format("\n{:<12}{:<18}{:>6}{:>12}{:>10}{:>10}{:>10}  {}\n", "underlying", "check",
                     "of", "violations", "median", "99 %", "max", "worst") +
         rows +
         fmt::format(
             "in coin, over the forward; violations: parity beyond {:g}, monotonicity {:g}, "
             "butterfly\nbelow a probability of -{:g}\n",
             ChainChecks::parity_tolerance, ChainChecks::monotonicity_tolerance,
             ChainChecks::butterfly_tolerance);
}

}  // namespace

std::string format_import(const ImportedChain& chain) {
  std::string times;
  if (chain.timed_record_count > 0)
    times = fmt::format(" from {} to {}", format_date_time(chain.earliest_ms / 1000),
                        format_date_time(chain.latest_ms / 1000));
  return fmt::format("as of {}: {} marks{}\n\n", format_date_time(chain.as_of), chain.record_count,
                     times) +
         format_counts(chain) + format_tally("left out", chain.left_out) +
         format_tally("remarks", chain.remarks) + format_checks(chain);
}

}  // namespace shortfall::exchange
