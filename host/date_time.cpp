#include <fmt/format.h>

#include <chrono>
#include <string_view>

#include "shortfall/config.hpp"

namespace shortfall {
namespace {

/// Takes `digits` digits from the front of the text; empty where it has others, or above
/// `greatest`.
std::optional<int> take_number(std::string_view& text, std::size_t digits, int greatest) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  text.remove_prefix(digits);
  if (value > greatest) return std::nullopt;
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

/// Minutes east of Greenwich: "Z", "+01:00" or "-05:30" and nothing after it.
std::optional<int> parse_offset(std::string_view text) {
  if (text == "Z") return 0;
  const bool is_west = take(text, '-');
  if (!is_west && !take(text, '+')) return std::nullopt;
  const std::optional<int> hours = take_number(text, 2, 23);
  if (!hours || !take(text, ':')) return std::nullopt;
  const std::optional<int> minutes = take_number(text, 2, 59);
  if (!minutes || !text.empty()) return std::nullopt;
  return (is_west ? -1 : 1) * (60 * *hours + *minutes);
}

}  // namespace

std::optional<std::int64_t> parse_date_time(std::string_view text) {
  const std::optional<int> year = take_number(text, 4, 9999);
  if (!year || !take(text, '-')) return std::nullopt;
  const std::optional<int> month = take_number(text, 2, 12);
  if (!month || !take(text, '-')) return std::nullopt;
  const std::optional<int> day = take_number(text, 2, 31);
  if (!day || !take(text, 'T')) return std::nullopt;
  const std::optional<int> hour = take_number(text, 2, 23);
  if (!hour || !take(text, ':')) return std::nullopt;
  const std::optional<int> minute = take_number(text, 2, 59);
  if (!minute || !take(text, ':')) return std::nullopt;
  const std::optional<int> second = take_number(text, 2, 59);
  if (!second) return std::nullopt;
  const std::optional<int> offset_minutes = parse_offset(text);
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!offset_minutes || !date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + *hour) * 60 + *minute - *offset_minutes) * 60 + *second;
}

std::string format_date_time(std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

}  // namespace shortfall
