#include "date.hpp"

#include "shortfall/config.hpp"

namespace shortfall {

std::optional<std::int64_t> parse_date(std::string_view text) {
  if (text.size() == 10) return parse_date_time(std::string(text) + "T00:00:00Z");
  return parse_date_time(text);
}

std::string format_date(std::int64_t seconds) {
  const std::string text = format_date_time(seconds);
  return text.ends_with("T00:00:00Z") ? text.substr(0, 10) : text;
}

}  // namespace shortfall
