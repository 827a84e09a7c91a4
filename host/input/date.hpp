// Dates of histories: a day is midnight UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shortfall {

/// "2026-01-15", or a date-time with its zone: seconds since the epoch; empty where it is neither.
std::optional<std::int64_t> parse_date(std::string_view text);

/// "2026-01-15" at midnight, else a date-time.
std::string format_date(std::int64_t seconds);

}  // namespace shortfall
