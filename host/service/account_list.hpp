// Lists of accounts and instruments: filtered, sorted and cut.
#pragma once

#include <span>
#include <vector>

#include "api_json.hpp"
#include "requests.hpp"

namespace shortfall::service {

/// Schema Accounts.
Json list_accounts(std::vector<AccountView> accounts, const AccountsQuery& query,
                   const MarginConfig& config);

/// Schema Instruments. `underlyings` are the names that Instrument::underlying counts.
Json list_instruments(std::vector<Instrument> instruments, std::span<const std::string> underlyings,
                      const InstrumentsQuery& query);

}  // namespace shortfall::service
