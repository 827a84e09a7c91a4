// Sobol points, scrambled: points of a digital net, addressed by their number.
#pragma once

#include "shortfall/core/portable.hpp"

namespace shortfall::core {

inline constexpr std::uint32_t sobol_bit_count = 32;

/// The bits of a word in the opposite order.
SHORTFALL_CORE std::uint32_t reverse_bits(std::uint32_t x) {
  x = ((x >> 1) & 0x55555555u) | ((x & 0x55555555u) << 1);
  x = ((x >> 2) & 0x33333333u) | ((x & 0x33333333u) << 2);
  x = ((x >> 4) & 0x0f0f0f0fu) | ((x & 0x0f0f0f0fu) << 4);
  x = ((x >> 8) & 0x00ff00ffu) | ((x & 0x00ff00ffu) << 8);
  return (x >> 16) | (x << 16);
}

/// Owen's nested uniform scrambling (1995) of a coordinate whose bits are reversed, by a hash: each
/// operation lets bit j depend on the bits below it alone, which are the leading digits, so that
/// the permutation of a digit is chosen by the digits before it (Laine and Karras 2011,
/// "Stratified sampling for stochastic transparency", with the constants of Vegdahl 2021; Burley
/// 2020, "Practical hash-based Owen scrambling"). Returns the word in its usual order.
SHORTFALL_CORE std::uint32_t owen_scrambled(std::uint32_t reversed, std::uint32_t key) {
  std::uint32_t x = reversed;
  x ^= x * 0x3d20adeau;
  x += key;
  x *= (key >> 16) | 1u;
  x ^= x * 0x05526c56u;
  x ^= x * 0x53a22864u;
  return reverse_bits(x);
}

/// Coordinate of point `index` in a dimension, its bits reversed: the sum modulo 2 of the
/// direction numbers (bits reversed, sobol_bit_count of them) of the bits that are set. Not in Gray
/// code, which would only order the points of each power of two differently.
SHORTFALL_CORE std::uint32_t sobol_reversed(const std::uint32_t* directions, std::uint32_t index) {
  std::uint32_t x = 0;
  for (std::uint32_t bit = 0; bit < sobol_bit_count; ++bit)
    x ^= directions[bit] & (0u - ((index >> bit) & 1u));
  return x;
}

}  // namespace shortfall::core
