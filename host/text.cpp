#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace shortfall {
namespace {

constexpr std::size_t name_bytes_max = 256;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Bytes of the code point that `text`, not empty, begins with; 0 where it is not UTF-8.
std::size_t code_point_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t count = lead < 0xc2   ? 0
                            : lead < 0xe0 ? 2
                            : lead < 0xf0 ? 3
                            : lead < 0xf5 ? 4
                                          : 0;
  if (count == 0 || text.size() < count) return 0;
  for (std::size_t i = 1; i < count; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const bool is_overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool is_surrogate = lead == 0xed && byte(1) >= 0xa0;
  const bool is_too_large = lead == 0xf4 && byte(1) >= 0x90;
  return is_overlong || is_surrogate || is_too_large ? 0 : count;
}

/// C0, DEL and C1 (U+0080 to U+009F).
bool is_control(std::string_view code_point) {
  const auto lead = static_cast<unsigned char>(code_point[0]);
  if (code_point.size() == 1) return lead < 0x20 || lead == 0x7f;
  return lead == 0xc2 && static_cast<unsigned char>(code_point[1]) < 0xa0;
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr std::size_t shown_bytes_max = 60;
  std::string result = "\"";
  std::size_t i = 0;
  while (i < text.size() && i < shown_bytes_max) {
    const std::size_t bytes = code_point_bytes(text.substr(i));
    const std::string_view shown = text.substr(i, std::max<std::size_t>(bytes, 1));
    if (bytes == 0 || is_control(shown)) {
      for (char c : shown) result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += shown;
    }
    i += shown.size();
  }
  return result + (i < text.size() ? "...\"" : "\"");
}

std::string join(std::span<const std::string_view> words, std::string_view separator) {
  std::string result;
  for (std::string_view word : words) {
    if (!result.empty()) result += separator;
    result += word;
  }
  return result;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t bytes = code_point_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

std::string name_problem(std::string_view text) {
  if (text.empty()) return "is empty; give it a name";
  if (text.size() > name_bytes_max) {
    return fmt::format("{} has {} bytes; a name has at most {}", in_quotes(text), text.size(),
                       name_bytes_max);
  }
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t bytes = code_point_bytes(rest);
    if (bytes == 0 || is_control(rest.substr(0, bytes))) {
      return fmt::format("{} holds a control character; remove it", in_quotes(text));
    }
    rest.remove_prefix(bytes);
  }
  return {};
}

std::string underlying_name_problem(std::string_view text) {
  if (text.empty() || text.size() > name_bytes_max) return name_problem(text);
  const bool is_valid = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  if (is_valid) return {};
  return fmt::format("{} is no underlying's name; use letters, digits, '_' and '-' only",
                     in_quotes(text));
}

std::optional<double> parse_real(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace shortfall
