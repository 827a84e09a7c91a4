// The names that the values of an enumeration have in files.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "shortfall/error.hpp"
#include "text.hpp"

namespace shortfall {

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
