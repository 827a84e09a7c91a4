// Which of the records of an instrument count.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "chain.hpp"
#include "instrument_name.hpp"
#include "market_record.hpp"

namespace shortfall::exchange {

/// The records of one instrument.
struct Candidate {
  InstrumentName name;
  const MarketRecord* listing = nullptr;   ///< of get_instruments
  std::vector<const MarketRecord*> marks;  ///< the nearest to as_of first; may be empty
  bool is_closed = false;                  ///< not open for trading

  struct Found {
    double value;
    const MarketRecord* record;
  };
  /// The number of the first record that has one, its listing last.
  std::optional<Found> find(Field field) const;
  /// The record that problems of the instrument are reported at.
  const MarketRecord& first() const { return marks.empty() ? *listing : *marks.front(); }
};

struct Selection {
  std::int64_t as_of = 0;
  std::map<std::string, Candidate> candidates;  ///< by name
};

/// Leaves out what is none of an option, future or perpetual in a coin and USD, what is not among
/// the underlyings asked for, and marks that are too far from as_of; of the records of an
/// instrument puts the nearest first. Reports names that are none and records that contradict each
/// other. The records outlive the selection.
Selection select_records(const std::vector<MarketRecord>& records, const ImportOptions& options,
                         ImportedChain& chain, Problems& problems);

}  // namespace shortfall::exchange
