// What requests ask, from their bodies and queries. Bodies that are no JSON are a Refusal (400);
// what is JSON and not what the route takes is an InputError with every problem, each with a JSON
// pointer as its file.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shortfall/whatif.hpp"
#include "store.hpp"

namespace shortfall::service {

MarketUpdate parse_market(const std::string& body);

struct PositionBatch {
  std::string client_id;
  std::vector<PositionChange> changes;
};
PositionBatch parse_positions(const std::string& body);

struct WhatIfRequest {
  WhatIfQuery query;
  bool is_exact = false;  ///< asks for the bits of runs
};
WhatIfRequest parse_what_if(const std::string& body);

/// The accounts of a partial run; empty for a full one.
std::vector<std::string> parse_run(const std::string& body);

/// Text of a path or query with its %XX decoded; empty where one is malformed, or is no UTF-8.
/// `is_query`: a plus is a blank.
std::optional<std::string> decode_percent(std::string_view text, bool is_query);

enum class AccountSort {
  margin_ratio,
  account,
  margin,
  equity,
  margin_excess,
  expected_shortfall,
  gross_notional,
  positions,
  staleness
};

struct AccountsQuery {
  std::size_t limit = 100, offset = 0;
  AccountSort sort = AccountSort::margin_ratio;
  bool is_descending = true;
  std::optional<std::string> status;  ///< ok, call, liquidate, none
  std::string search;
};

struct InstrumentsQuery {
  std::size_t limit = 20;
  std::string search;
};

struct RunsQuery {
  std::size_t limit = 50;
};

/// Of what follows the question mark. Throw a Refusal (400) with every problem.
AccountsQuery parse_accounts_query(std::string_view query);
InstrumentsQuery parse_instruments_query(std::string_view query);
RunsQuery parse_runs_query(std::string_view query);
/// A route that takes no parameters.
void require_no_query(std::string_view query);

/// Whether each word of `search` is part of the name; case of ASCII letters is ignored.
bool matches(std::string_view name, std::string_view search);

}  // namespace shortfall::service
