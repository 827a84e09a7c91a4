#include "strict_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "text.hpp"

namespace shortfall {
namespace {

using nlohmann::json;

/// "line 3, column 7" of a byte counted from 1.
std::string place_of(const std::string& text, std::size_t byte) {
  const std::string_view before = std::string_view(text).substr(0, byte == 0 ? 0 : byte - 1);
  const std::size_t line_break = before.rfind('\n');
  const std::size_t column =
      line_break == std::string_view::npos ? before.size() : before.size() - line_break - 1;
  return fmt::format("line {}, column {}", 1 + std::ranges::count(before, '\n'), column + 1);
}

/// Reads without keeping anything, so that what is too deep is never built.
class Strictness : public nlohmann::json_sax<json> {
 public:
  explicit Strictness(const std::string& text) : text_(text) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return enter(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool key(string_t& name) override {
    if (!levels_.back().insert(name).second)
      throw JsonError(fmt::format("the member {} is there twice; write it once", in_quotes(name)));
    return true;
  }

  bool parse_error(std::size_t position, const std::string& last_token,
                   const json::exception& problem) override {
    constexpr int number_overflow = 406;
    if (problem.id == number_overflow)
      throw JsonError(fmt::format("{}: the number {} is too large", place_of(text_, position),
                                  in_quotes(last_token)));
    throw JsonError(text_.empty() ? "it is empty"
                                  : fmt::format("{}: not expected here: {}",
                                                place_of(text_, position), in_quotes(last_token)));
  }

 private:
  bool enter() {
    if (levels_.size() == json_depth_max)
      throw JsonError(fmt::format("it is more than {} levels deep", json_depth_max));
    levels_.emplace_back();
    return true;
  }
  bool leave() {
    levels_.pop_back();
    return true;
  }

  const std::string& text_;
  std::vector<std::set<std::string>> levels_;
};

}  // namespace

json parse_strict_json(const std::string& text) {
  // To the parser a zero byte is the end, whatever follows.
  if (const std::size_t zero = text.find('\0'); zero != std::string::npos)
    throw JsonError(place_of(text, zero + 1) + ": not expected here: a zero byte");
  Strictness strictness(text);
  json::sax_parse(text, &strictness);
  return json::parse(text);
}

std::string json_pointer(std::string_view parent, std::string_view member) {
  std::string pointer(parent);
  pointer += '/';
  for (const char c : member) {
    if (c == '~')
      pointer += "~0";
    else if (c == '/')
      pointer += "~1";
    else
      pointer += c;
  }
  return pointer;
}

std::string json_pointer(std::string_view parent, std::size_t index) {
  return fmt::format("{}/{}", parent, index);
}

}  // namespace shortfall
