#include "symmetric_factor.hpp"

#include <algorithm>
#include <numeric>

#include "shortfall/error.hpp"

namespace shortfall {
namespace {

constexpr double pivot_share_min = 0x1p-40;
constexpr double residual_share_max = 0x1p-38;
constexpr int sweep_count_max = 60;

double abs(double x) { return x < 0.0 ? -x : x; }

void subtract_multiple(double* __restrict row, const double* __restrict other, double factor,
                       std::size_t begin, std::size_t end) {
  for (std::size_t j = begin; j < end; ++j) row[j] -= factor * other[j];
}

void rotate(double* __restrict row_p, double* __restrict row_q, double cosine, double sine,
            std::size_t n) {
  for (std::size_t k = 0; k < n; ++k) {
    const double p = row_p[k], q = row_q[k];
    row_p[k] = cosine * p - sine * q;
    row_q[k] = sine * p + cosine * q;
  }
}

std::vector<double> transpose(const std::vector<double>& matrix, std::size_t n) {
  std::vector<double> result(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) result[i * n + j] = matrix[j * n + i];
  }
  return result;
}

/// The state of an elimination: what is left of A, and the columns of L so far, as rows.
struct Elimination {
  std::size_t n;
  std::vector<double> residual, columns, diagonal;
  std::vector<char> is_done;

  Elimination(const std::vector<double>& matrix, std::size_t size)
      : n(size), residual(matrix), columns(size * size), diagonal(size), is_done(size) {
    for (std::size_t i = 0; i < n; ++i) diagonal[i] = matrix[i * n + i];
  }

  bool is_safe(std::size_t p) const {
    return residual[p * n + p] > pivot_share_min * diagonal[p] && diagonal[p] > 0.0;
  }

  /// The safe pivot with the greatest share left; n where there is none.
  std::size_t best_pivot() const {
    std::size_t best = n;
    double best_share = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      if (is_done[i] || !is_safe(i)) continue;
      const double share = residual[i * n + i] / diagonal[i];
      if (share > best_share) {
        best = i;
        best_share = share;
      }
    }
    return best;
  }

  bool is_zero_row(std::size_t p) const {
    return std::all_of(&residual[p * n], &residual[p * n] + n, [](double x) { return x == 0.0; });
  }

  bool is_residual_negligible() const {
    for (std::size_t i = 0; i < n; ++i) {
      if (is_done[i]) continue;
      for (std::size_t j = i; j < n; ++j) {
        const double scale = __builtin_sqrt(diagonal[i] * diagonal[j]);  // NaN passes no test
        if (!is_done[j] && !(abs(residual[i * n + j]) <= residual_share_max * scale)) return false;
      }
    }
    return true;
  }

  /// Takes row p out. In natural order only the upper triangle of what is left is kept up.
  void eliminate(std::size_t p, double* column, Pivoting pivoting) {
    const double root = __builtin_sqrt(residual[p * n + p]);
    is_done[p] = true;
    column[p] = root;
    for (std::size_t j = 0; j < n; ++j) {
      if (!is_done[j]) column[j] = residual[p * n + j] / root;
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (is_done[i] || column[i] == 0.0) continue;
      const std::size_t begin = pivoting == Pivoting::none ? i : 0;
      subtract_multiple(&residual[i * n], column, column[i], begin, n);
    }
  }
};

/// Makes a_pq zero by a rotation of rows and columns p and q, which `vectors` takes part in.
void annihilate(std::vector<double>& a, std::vector<double>& vectors, std::size_t n, std::size_t p,
                std::size_t q) {
  const double a_pp = a[p * n + p], a_qq = a[q * n + q], a_pq = a[p * n + q];
  const double theta = (a_qq - a_pp) / (2.0 * a_pq);
  const double size = 1.0 / (abs(theta) + __builtin_sqrt(theta * theta + 1.0));
  const double tangent = theta < 0.0 ? -size : size;
  const double cosine = 1.0 / __builtin_sqrt(tangent * tangent + 1.0);
  const double sine = tangent * cosine;
  rotate(&a[p * n], &a[q * n], cosine, sine, n);
  rotate(&vectors[p * n], &vectors[q * n], cosine, sine, n);
  for (std::size_t k = 0; k < n; ++k) {
    a[k * n + p] = a[p * n + k];
    a[k * n + q] = a[q * n + k];
  }
  a[p * n + p] = a_pp - tangent * a_pq;
  a[q * n + q] = a_qq + tangent * a_pq;
  a[p * n + q] = a[q * n + p] = 0.0;
}

/// Descending values, and the fixed sign of the vectors.
EigenDecomposition sorted(const std::vector<double>& values, const std::vector<double>& vectors) {
  const std::size_t n = values.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return values[i] > values[j]; });
  EigenDecomposition result{std::vector<double>(n), std::vector<double>(n * n)};
  for (std::size_t k = 0; k < n; ++k) {
    const double* vector = &vectors[order[k] * n];
    const double greatest =
        *std::max_element(vector, vector + n, [](double x, double y) { return abs(x) < abs(y); });
    const double sign = greatest < 0.0 ? -1.0 : 1.0;
    result.values[k] = values[order[k]];
    for (std::size_t i = 0; i < n; ++i) result.vectors[k * n + i] = sign * vector[i];
  }
  return result;
}

}  // namespace

std::optional<std::vector<double>> cholesky(const std::vector<double>& matrix, std::size_t n,
                                            Pivoting pivoting) {
  Elimination state(matrix, n);
  for (std::size_t k = 0; k < n; ++k) {
    double* column = &state.columns[k * n];
    if (pivoting == Pivoting::none) {
      if (state.is_safe(k)) {
        state.eliminate(k, column, pivoting);
      } else if (state.diagonal[k] == 0.0 && state.is_zero_row(k)) {
        state.is_done[k] = true;
      } else {
        return std::nullopt;
      }
    } else {
      const std::size_t p = state.best_pivot();
      if (p == n) break;
      state.eliminate(p, column, pivoting);
    }
  }
  if (!state.is_residual_negligible()) return std::nullopt;
  return transpose(state.columns, n);
}

EigenDecomposition decompose(const std::vector<double>& matrix, std::size_t n) {
  // Of entries at most 1, so that no square leaves the range of a double.
  double greatest = 0.0;
  for (const double entry : matrix) greatest = std::max(greatest, abs(entry));
  std::vector<double> a(n * n), vectors(n * n);
  double square_sum = 0.0;
  for (std::size_t i = 0; i < n * n; ++i) {
    a[i] = greatest > 0.0 ? matrix[i] / greatest : 0.0;
    square_sum += a[i] * a[i];
  }
  const double negligible = 0x1p-54 * __builtin_sqrt(square_sum) / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) vectors[i * n + i] = 1.0;

  bool is_diagonal = false;
  for (int sweep = 0; !is_diagonal; ++sweep) {
    SHORTFALL_ASSERT(sweep < sweep_count_max);
    is_diagonal = true;
    for (std::size_t p = 0; p + 1 < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (abs(a[p * n + q]) <= negligible) continue;
        is_diagonal = false;
        annihilate(a, vectors, n, p, q);
      }
    }
  }

  std::vector<double> diagonal(n);
  for (std::size_t i = 0; i < n; ++i) diagonal[i] = a[i * n + i] * greatest;
  return sorted(diagonal, vectors);
}

}  // namespace shortfall
