// JSON of strangers: bounded in depth, with each member once.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace shortfall {

inline constexpr std::size_t json_depth_max = 16;

class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws a JsonError with the place of what is no JSON (RFC 8259, UTF-8), of a member that is
/// there twice, a number that no double holds, or more than `json_depth_max` levels.
nlohmann::json parse_strict_json(const std::string& text);

/// A pointer (RFC 6901) to a member of what `parent` points to.
std::string json_pointer(std::string_view parent, std::string_view member);
std::string json_pointer(std::string_view parent, std::size_t index);

}  // namespace shortfall
