#include "mixing_table.hpp"

#include "shortfall/core/mixing.hpp"

namespace shortfall {
namespace {

using canonical::ChiSquare;
using canonical::Side;

/// A point of the quantile function, as a function of the word's odd number x.
struct Node {
  double x;
  double w;
  double slope;  ///< dw/dx
};

constexpr double probability_per_x = 0x1p-33;

Node make_node(const ChiSquare& chi_square, Side side, double x, double start) {
  const double w = chi_square.quantile(side, x * probability_per_x, start);
  const double size = w / chi_square.log_density(w) * probability_per_x;
  return {x, w, side == Side::lower ? size : -size};
}

/// The quantile near `node` by Taylor's series of ln w in ln x to second order, which leaves Newton
/// two steps. With g the density of ln w and r = dln w/dln x = +-p/g: dr/dln x = r (1 - r g'/g) and
/// g'/g = (nu - w)/2.
double predict(const ChiSquare& chi_square, const Node& node, double x) {
  const double h = canonical::log(x / node.x);
  const double r = node.slope * node.x / node.w;
  const double curvature = r * (1.0 - r * 0.5 * (chi_square.degrees_of_freedom() - node.w));
  return node.w * canonical::exp(h * (r + 0.5 * h * curvature));
}

void write_cubic(const Node& left, const Node& right, double* coefficients) {
  const double width = right.x - left.x;
  const double rise = right.w - left.w;
  const double slope_left = left.slope * width, slope_right = right.slope * width;
  coefficients[0] = left.w;
  coefficients[1] = slope_left;
  coefficients[2] = 3.0 * rise - 2.0 * slope_left - slope_right;
  coefficients[3] = slope_left + slope_right - 2.0 * rise;
}

}  // namespace

std::vector<double> build_mixing_table(const ChiSquare& chi_square) {
  std::vector<double> table(core::mixing_table_size);
  double* end = table.data();
  const double median = chi_square.quantile(Side::lower, 0.5);
  for (const Side side : {Side::lower, Side::upper}) {
    end += core::mixing_table_size / 2;
    double* coefficients = end;
    // From the median outwards, each node found from its neighbour.
    Node right = make_node(chi_square, side, 0x1p32, median);
    for (int octave = core::mixing_octaves - 1; octave >= 0; --octave) {
      const double octave_x = static_cast<double>(1ull << octave);
      for (int interval = core::mixing_intervals - 1; interval >= 0; --interval) {
        const double x = octave_x * (1.0 + interval / static_cast<double>(core::mixing_intervals));
        const Node left = make_node(chi_square, side, x, predict(chi_square, right, x));
        coefficients -= 4;
        write_cubic(left, right, coefficients);
        right = left;
      }
    }
  }
  return table;
}

}  // namespace shortfall
