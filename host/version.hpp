#pragma once

namespace shortfall {

/// The version of the release, as CMakeLists.txt states it.
inline const char* version() { return SHORTFALL_VERSION; }

}  // namespace shortfall
