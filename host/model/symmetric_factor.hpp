// Factorisations of a symmetric matrix in a written order of + - * / sqrt. A library's would have
// other bits on another processor: Eigen blocks by the cache sizes that it finds.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace shortfall {

enum class Pivoting { none, diagonal };

/// L, row-major, with L L^T = A for a symmetric `matrix` A of n rows, by the outer-product Cholesky
/// algorithm (Golub and Van Loan 2013, algorithms 4.2.2 and 4.2.4).
/// A pivot is safely positive if more than 2^-40 of its diagonal entry is left of it.
/// - none: L is lower triangular. Empty where a pivot is not safely positive, except that a row of
///   zeros is legal.
/// - diagonal: the pivot with the greatest share left comes first (ties: the lower row), until none
///   is safely positive; then every |entry| left must be within 2^-38 sqrt(a_ii a_jj), so that A is
///   positive semi-definite to rounding. Empty otherwise. L has as many non-zero columns as A has
///   rank.
std::optional<std::vector<double>> cholesky(const std::vector<double>& matrix, std::size_t n,
                                            Pivoting pivoting);

struct EigenDecomposition {
  std::vector<double> values;   ///< n, descending
  std::vector<double> vectors;  ///< row k is the vector of values[k]; its entry of greatest
                                ///< magnitude (ties: the first) is positive
};

/// The largest matrix that a run decomposes: 10 s.
inline constexpr std::size_t decomposition_size_max = 1000;

/// Cyclic Jacobi by rows (Golub and Van Loan 2013, section 8.5): absolute errors of order
/// n 2^-53 times the greatest |eigenvalue|. About 30 n^3 multiplications.
EigenDecomposition decompose(const std::vector<double>& matrix, std::size_t n);

}  // namespace shortfall
