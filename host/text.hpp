// Text as it stands in input files and in messages about them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

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

}  // namespace shortfall
