// An option chain with its futures, as the engine takes it, and what became of what the files said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/error.hpp"

namespace shortfall::exchange {

struct ImportOptions {
  std::vector<std::filesystem::path> files;
  std::optional<std::filesystem::path> map;  ///< of the columns of CSV chains
  std::vector<std::string> underlyings;      ///< the only ones that are taken; empty: all
  std::map<std::string, double> spots_usd;   ///< in place of the files', or of coins without any
  std::optional<std::int64_t> as_of;         ///< seconds since the epoch; empty: the latest mark
  std::int64_t age_seconds_max = 600;        ///< marks farther than this from as_of are left out
  bool reimplies = false;                    ///< volatilities from marks rather than as published
};

/// Instruments by what happened to them, in the order in which it first did.
class Tally {
 public:
  static constexpr std::size_t example_count_max = 3;
  struct Line {
    std::string what;
    std::size_t count = 0;
    std::vector<std::string> examples;
  };
  void add(const std::string& what, const std::string& instrument);
  const std::vector<Line>& lines() const { return lines_; }

 private:
  std::vector<Line> lines_;
};

/// An instrument with its mark.
struct ListedInstrument {
  Instrument terms;               ///< mark_price of an option is the forward
  std::optional<double> premium;  ///< options: mark over the forward, which is the mark in coin
  std::optional<double> published_iv;
};

struct ImportedChain {
  std::int64_t as_of = 0;
  std::size_t record_count = 0, timed_record_count = 0;  ///< the latter with a time
  std::int64_t earliest_ms = 0, latest_ms = 0;           ///< of the records that are used
  std::vector<Underlying> underlyings;                   ///< by name
  /// By underlying; perpetuals, futures by expiry, options by expiry and strike; then by name.
  std::vector<ListedInstrument> instruments;
  Tally left_out, remarks;
  bool is_reimplied = false;
};

/// Reads the files and makes a chain of them. Throws InputError with everything wrong with them.
ImportedChain import_chain(const ImportOptions& options);

/// Seconds over 365 days.
double years_between(std::int64_t as_of, std::int64_t expiry);

}  // namespace shortfall::exchange
