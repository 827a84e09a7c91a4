// What a misspelt name may have meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace shortfall {

/// At most three of the candidates that begin with the name or are a few letters away from it, the
/// closest first, in quotes and with commas; empty where none is close.
std::string close_names(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace shortfall
