// The mixing variable of the multivariate Student t: one chi-square per path, by its quantile.
#pragma once

#include "shortfall/core/portable.hpp"

namespace shortfall::core {

/// The table of the chi-square quantile W(u), u = (word + 1/2) 2^-32. By symmetry of the words let
/// v = word below 2^31 and its complement above, x = 2 v + 1, so that min(u, 1 - u) = x 2^-33. Each
/// side (0: u < 1/2, 1: above) has 32 octaves of x, each octave 16 equal intervals, each interval
/// the four coefficients of a cubic in the fraction t of the interval, lowest power first.
inline constexpr int mixing_octaves = 32;
inline constexpr int mixing_intervals = 16;
inline constexpr int mixing_table_size = 2 * mixing_octaves * mixing_intervals * 4;

/// W(u) from the table, relative error <= 1e-6.
SHORTFALL_CORE double chi_square_quantile(const double* table, std::uint32_t word) {
  const std::uint32_t side = word >> 31;
  const std::uint32_t v = side ? ~word : word;
  const double x = static_cast<double>(2u * v + 1u);
  const std::uint64_t bits = bit_cast<std::uint64_t>(x);
  const std::uint32_t octave = static_cast<std::uint32_t>(bits >> 52) - 1023u;
  const std::uint32_t interval = static_cast<std::uint32_t>(bits >> 48) & 15u;
  const double t =
      bit_cast<double>(((bits & 0x0000ffffffffffffull) << 4) | 0x3ff0000000000000ull) - 1.0;
  const double* c = table + ((side * mixing_octaves + octave) * mixing_intervals + interval) * 4;
  return ((c[3] * t + c[2]) * t + c[1]) * t + c[0];
}

/// The factor 1 / sqrt(kappa max(W, w0)) that multiplies every factor move of the path.
SHORTFALL_CORE double mixing_factor(const double* table, double floor_w, double kappa,
                                    std::uint32_t word) {
  const double w = max(chi_square_quantile(table, word), floor_w);
#if defined(__CUDA_ARCH__)
  return 1.0 / __dsqrt_rn(kappa * w);
#else
  return 1.0 / __builtin_sqrt(kappa * w);
#endif
}

}  // namespace shortfall::core
