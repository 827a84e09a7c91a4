// Text as it stands in input files and in messages about them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "shortfall/error.hpp"

namespace shortfall {

/// The text in double quotes for a message: cut to 60 bytes, with control characters and bytes that
/// are not UTF-8 written as \xNN, so that a message is always one short line.
std::string in_quotes(std::string_view text);

std::string join(std::span<const std::string_view> words, std::string_view separator);

/// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

/// Why a text is no name of an account or instrument, with the remedy; empty when it is one: 1 to
/// 256 bytes of UTF-8 without control characters.
std::string name_problem(std::string_view text);

/// Likewise for an underlying: 1 to 256 of [A-Za-z0-9_-].
std::string underlying_name_problem(std::string_view text);

/// A finite decimal that is the whole text: no leading '+', blanks, separators, hex, inf or nan.
std::optional<double> parse_real(std::string_view text);

/// A value of an enumeration and its name in files.
template <typename Enum>
struct Choice {
  const char* name;
  Enum value;
};

template <typename Enum, std::size_t count>
std::optional<Enum> find_choice(const Choice<Enum> (&choices)[count], std::string_view name) {
  for (const Choice<Enum>& choice : choices) {
    if (name == choice.name) return choice.value;
  }
  return std::nullopt;
}

template <typename Enum, std::size_t count>
const char* name_of(const Choice<Enum> (&choices)[count], Enum value) {
  for (const Choice<Enum>& choice : choices) {
    if (choice.value == value) return choice.name;
  }
  SHORTFALL_ASSERT(!"every value of the enumeration has a name");
  return "";
}

/// `is "cal"; write one of call, put`: what to say of a text that is none of the choices.
template <typename Enum, std::size_t count>
std::string choice_problem(const Choice<Enum> (&choices)[count], std::string_view text) {
  std::string names;
  for (const Choice<Enum>& choice : choices) {
    names += (names.empty() ? "" : ", ") + std::string(choice.name);
  }
  return "is " + in_quotes(text) + "; write one of " + names;
}

}  // namespace shortfall
