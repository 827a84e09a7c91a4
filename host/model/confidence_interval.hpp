// How far a standard error reaches.
#pragma once

#include <cstdint>

namespace shortfall {

inline constexpr std::uint32_t scrambling_count_max = 64;

/// Half of a 95 % confidence interval in standard errors: Student's t with one degree of freedom
/// less than there are scramblings, whose spread the error comes from; the normal's for one, where
/// it comes from thousands of paths. Exact to the last digit of a double.
double interval_quantile(std::uint32_t scrambling_count);

}  // namespace shortfall
