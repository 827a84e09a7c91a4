// Views as the JSON of openapi.json. Money is numbers in USD, quantities exact decimal texts, times
// RFC 3339 in UTC.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "venue.hpp"

namespace shortfall::service {

using Json = nlohmann::ordered_json;

Json json_of(const AccountView& account, const MarginConfig& config);
Json json_of(const AccountDetail& detail, const RunConfig& config);
Json json_of(const WhatIfView& view, const WhatIfQuery& query, const RunConfig& config);
Json json_of(const RunView& run);
Json json_of(const EngineView& engine, std::size_t stream_count, std::size_t stream_limit);

/// Payloads of events, one line each.
std::string margin_event(std::span<const AccountView> accounts, const MarginConfig& config);
std::string status_event(const AccountView& account, std::optional<AccountStatus> previous);
std::string market_event(const Venue::MarketAccepted& market);
std::string run_event(const RunView& run);

/// "-12.5": the shortest decimal text of a quantity, exact.
std::string text_of(Quantity quantity);

}  // namespace shortfall::service
