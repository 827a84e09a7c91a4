#include "machine.hpp"

#include <sched.h>
#include <unistd.h>

#include <cfenv>
#include <fstream>
#include <thread>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "shortfall/error.hpp"

namespace shortfall {

std::uint32_t usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return static_cast<std::uint32_t>(CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::uint64_t second_level_cache_bytes() {
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? static_cast<std::uint64_t>(bytes) : 1u << 20;
}

std::uint64_t machine_memory_bytes() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

void assert_ieee_environment() {
  SHORTFALL_ASSERT(std::fegetround() == FE_TONEAREST);
#if defined(__SSE2__)
  constexpr unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
  SHORTFALL_ASSERT((_mm_getcsr() & (flush_to_zero | denormals_are_zero)) == 0);
#endif
}

}  // namespace shortfall
