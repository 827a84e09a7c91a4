// Inputs of a run as they concern one account.
#pragma once

#include <cstdint>
#include <string>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"

namespace shortfall {

/// The inputs with the positions and the collateral of one account alone. The listing stays, and
/// with it every bit of the account's margin.
RunInputs inputs_of_account(const RunInputs& inputs, std::uint32_t account);

/// The same, loaded, for an account by name. Throws InputError where there is none, naming close
/// ones, or where it holds nothing.
RunInputs load_account(const RunConfig& config, const std::string& account);

/// That it holds nothing, in the words of load_account.
[[noreturn]] void throw_empty(const RunConfig& config, const std::string& account);

}  // namespace shortfall
