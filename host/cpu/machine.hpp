// What this machine is: cores, caches, instruction sets, floating-point environment.
#pragma once

#include <cstdint>
#include <string>

namespace shortfall {

/// Cores that this process may run on.
std::uint32_t usable_cores();
std::uint64_t second_level_cache_bytes();
std::uint64_t machine_memory_bytes();
std::string processor_name();

/// Stops the process unless the calling thread rounds to nearest and keeps denormals.
void assert_ieee_environment();

}  // namespace shortfall
