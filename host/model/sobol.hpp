// The tables of the Sobol sampler: direction numbers, and the keys of its scramblings.
#pragma once

#include <cstdint>
#include <vector>

namespace shortfall {

/// Dimensions that there are direction numbers for.
std::uint32_t sobol_dimension_max();

/// core::sobol_bit_count direction numbers per dimension, their bits reversed: those of Joe and Kuo
/// (2008, "Constructing Sobol sequences with better two-dimensional projections"), from Boost's
/// table; the first dimension is van der Corput's sequence.
std::vector<std::uint32_t> sobol_directions(std::uint32_t dimension_count);

/// A key per dimension and scrambling, dimension-major: word 0 of Philox at (dimension, stream 2,
/// scrambling) under the seed.
std::vector<std::uint32_t> scrambling_keys(std::uint64_t seed, std::uint32_t scrambling_count,
                                           std::uint32_t dimension_count);

}  // namespace shortfall
