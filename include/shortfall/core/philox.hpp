// Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror and Shaw 2011, "Parallel random
// numbers: as easy as 1, 2, 3"). Scenarios are addressed, not streamed.
#pragma once

#include "shortfall/core/portable.hpp"

namespace shortfall::core {

struct PhiloxWords {
  std::uint32_t word[4];
};

/// One block of four words: key = seed (low, high), counter = (block, stream, path low, path high).
/// With stream 0 this is cuRAND's curand_init(seed, path, 4 * block) followed by curand4.
SHORTFALL_CORE PhiloxWords philox4x32(std::uint64_t seed, std::uint32_t block, std::uint32_t stream,
                                      std::uint32_t path_low, std::uint32_t path_high) {
  constexpr std::uint32_t multiplier_0 = 0xD2511F53u, multiplier_1 = 0xCD9E8D57u;
  constexpr std::uint32_t weyl_0 = 0x9E3779B9u, weyl_1 = 0xBB67AE85u;
  std::uint32_t key_0 = static_cast<std::uint32_t>(seed);
  std::uint32_t key_1 = static_cast<std::uint32_t>(seed >> 32);
  std::uint32_t c0 = block, c1 = stream, c2 = path_low, c3 = path_high;
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDA_ARCH__)
#pragma GCC unroll 10
#endif
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = static_cast<std::uint64_t>(multiplier_0) * c0;
    const std::uint64_t product_1 = static_cast<std::uint64_t>(multiplier_1) * c2;
    c0 = static_cast<std::uint32_t>(product_1 >> 32) ^ c1 ^ key_0;
    c1 = static_cast<std::uint32_t>(product_1);
    c2 = static_cast<std::uint32_t>(product_0 >> 32) ^ c3 ^ key_1;
    c3 = static_cast<std::uint32_t>(product_0);
    key_0 += weyl_0;
    key_1 += weyl_1;
  }
  return {{c0, c1, c2, c3}};
}

}  // namespace shortfall::core
