// What a run of some accounts reads, and the rows of the ledger that come of it.
#pragma once

#include <cstdint>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/margin.hpp"
#include "store.hpp"

namespace shortfall::service {

/// The inputs with some accounts alone, by index of the book, in that order. The listing stays, and
/// with it every bit of their margins.
RunInputs inputs_of_accounts(const RunInputs& inputs, const std::vector<std::uint32_t>& accounts);

/// The rows of margin.csv, without line breaks.
std::vector<MarginRow> rows_of(const std::vector<AccountMargin>& margins,
                               const MarginConfig& config);

}  // namespace shortfall::service
