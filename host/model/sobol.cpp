#include "sobol.hpp"

#include <bit>
#include <boost/random/detail/sobol_table.hpp>

#include "shortfall/core/philox.hpp"
#include "shortfall/core/sobol.hpp"
#include "shortfall/error.hpp"

namespace shortfall {
namespace {

using Table = boost::random::detail::qrng_tables::sobol;
constexpr std::uint32_t bit_count = core::sobol_bit_count;

/// The numbers m_j of a dimension beyond the first, from a primitive polynomial and the first few
/// of them (Bratley and Fox 1988, "Algorithm 659", section 2).
void extend(std::uint32_t dimension, std::uint32_t* m) {
  const std::uint32_t polynomial = Table::polynomial(dimension - 1);
  const auto degree = static_cast<std::uint32_t>(std::bit_width(polynomial)) - 1;
  for (std::uint32_t j = 0; j < degree; ++j) m[j] = Table::minit(dimension - 1, j);
  for (std::uint32_t j = degree; j < bit_count; ++j) {
    m[j] = m[j - degree] ^ (m[j - degree] << degree);
    for (std::uint32_t k = 1; k < degree; ++k)
      if ((polynomial >> (degree - k)) & 1u) m[j] ^= m[j - k] << k;
  }
}

}  // namespace

std::uint32_t sobol_dimension_max() { return Table::max_dimension; }

std::vector<std::uint32_t> sobol_directions(std::uint32_t dimension_count) {
  SHORTFALL_ASSERT(dimension_count <= sobol_dimension_max());
  std::vector<std::uint32_t> directions(std::size_t{dimension_count} * bit_count, 1);
  for (std::uint32_t d = 0; d < dimension_count; ++d) {
    std::uint32_t* const of_dimension = directions.data() + std::size_t{d} * bit_count;
    if (d > 0) extend(d, of_dimension);
    for (std::uint32_t j = 0; j < bit_count; ++j)
      of_dimension[j] = core::reverse_bits(of_dimension[j] << (bit_count - 1 - j));
  }
  return directions;
}

std::vector<std::uint32_t> scrambling_keys(std::uint64_t seed, std::uint32_t scrambling_count,
                                           std::uint32_t dimension_count) {
  constexpr std::uint32_t stream = 2;  // 0 and 1 are the draws of the Philox sampler
  std::vector<std::uint32_t> keys;
  keys.reserve(std::size_t{scrambling_count} * dimension_count);
  for (std::uint32_t d = 0; d < dimension_count; ++d)
    for (std::uint32_t s = 0; s < scrambling_count; ++s)
      keys.push_back(core::philox4x32(seed, d, stream, s, 0).word[0]);
  return keys;
}

}  // namespace shortfall
