#include "instrument_name.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <vector>

#include "text.hpp"

namespace shortfall::exchange {
namespace {

using Kind = InstrumentName::Kind;

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_code(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return is_upper(c) || is_digit(c); });
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::optional<unsigned> parse_digits(std::string_view text) {
  unsigned value = 0;
  const char* const end = text.data() + text.size();
  if (!std::ranges::all_of(text, is_digit)) return std::nullopt;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

/// 6FEB26: 08:00 UTC of that day.
std::optional<std::int64_t> parse_expiry(std::string_view text) {
  constexpr std::array<std::string_view, 12> months = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                                       "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
  constexpr std::int64_t eight_hours = 8 * 3600;
  if (text.size() < 6 || text.size() > 7) return std::nullopt;
  const auto day = parse_digits(text.substr(0, text.size() - 5));
  const auto month = std::ranges::find(months, text.substr(text.size() - 5, 3));
  const auto year = parse_digits(text.substr(text.size() - 2));
  if (!day || month == months.end() || !year) return std::nullopt;
  const std::chrono::year_month_day date(
      std::chrono::year(static_cast<int>(2000 + *year)),
      std::chrono::month(static_cast<unsigned>(month - months.begin()) + 1),
      std::chrono::day(*day));
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count() +
         eight_hours;
}

/// 95000 or 0d625: a point would end the name where it is a topic.
std::optional<double> parse_strike(std::string_view text) {
  std::string decimal(text);
  std::ranges::replace(decimal, 'd', '.');
  if (!std::ranges::all_of(decimal, [](char c) { return is_digit(c) || c == '.'; }))
    return std::nullopt;
  const std::optional<double> strike = parse_real(decimal);
  return strike && *strike > 0 ? strike : std::nullopt;
}

/// What stands after the pair.
bool read_terms(const std::vector<std::string_view>& parts, InstrumentName& name) {
  if (parts.size() == 2 && parts[1] == "PERPETUAL") {
    name.kind = Kind::perpetual;
    return true;
  }
  // Legs of several expiries make names of many parts.
  if (parts.size() > 2 && parts[1].size() > 1 && parts[1] != "PERPETUAL" &&
      std::ranges::all_of(parts[1], is_upper)) {
    name.kind = Kind::combination;
    return true;
  }
  const std::optional<std::int64_t> expiry = parse_expiry(parts[1]);
  if (!expiry) return false;
  name.expiry = *expiry;
  name.kind = Kind::future;
  if (parts.size() == 2) return true;
  if (parts.size() != 4 || (parts[3] != "C" && parts[3] != "P")) return false;
  const std::optional<double> strike = parse_strike(parts[2]);
  if (!strike) return false;
  name.strike = *strike;
  name.kind = parts[3] == "C" ? Kind::call : Kind::put;
  return true;
}

}  // namespace

std::optional<InstrumentName> parse_instrument_name(std::string_view text) {
  constexpr std::size_t name_bytes_max = 256;
  if (text.size() > name_bytes_max) return std::nullopt;
  const std::vector<std::string_view> parts = split(text, '-');
  const std::vector<std::string_view> pair = split(parts[0], '_');
  if (pair.size() > 2 || !std::ranges::all_of(pair, is_code)) return std::nullopt;
  InstrumentName name;
  name.base = pair[0];
  if (pair.size() == 2) name.quote = pair[1];
  if (parts.size() == 1) return pair.size() == 2 ? std::optional(name) : std::nullopt;
  return read_terms(parts, name) ? std::optional(name) : std::nullopt;
}

}  // namespace shortfall::exchange
