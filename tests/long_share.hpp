// How much of the long tests' work to do.
#pragma once

#include <cstdlib>
#include <string_view>

namespace shortfall {

/// With SHORTFALL_LONG_TESTS=1 the share of it that `dev` asks for, all by default; else 0.
inline double long_share() {
  const char* const is_long = std::getenv("SHORTFALL_LONG_TESTS");
  if (is_long == nullptr || std::string_view(is_long) != "1") return 0;
  const char* const share = std::getenv("SHORTFALL_LONG_SHARE");
  return share ? std::atof(share) : 1;
}

}  // namespace shortfall
