#include "csv_text.hpp"

#include <charconv>

#include "shortfall/error.hpp"

namespace shortfall {

void append_number(std::string& out, double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value == 0 ? 0.0 : value);
  SHORTFALL_ASSERT(error == std::errc());
  out.append(text, end);
}

void append_field(std::string& out, const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace shortfall
