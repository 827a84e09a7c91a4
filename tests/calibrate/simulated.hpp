// Histories with known parameters.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <boost/random/chi_squared_distribution.hpp>
#include <boost/random/mersenne_twister.hpp>
#include <boost/random/normal_distribution.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "shortfall/calibrate.hpp"

namespace shortfall {

class Draws {
 public:
  explicit Draws(std::uint32_t seed) : generator_(seed) {}
  double normal() { return normal_(generator_); }
  Eigen::VectorXd normals(Eigen::Index count) {
    return Eigen::VectorXd::NullaryExpr(count, [this] { return normal(); });
  }
  /// sqrt((nu - 2) / chi-square): what turns normals into a t of the same covariance.
  double mixing(double degrees_of_freedom) {
    boost::random::chi_squared_distribution<> chi_square(degrees_of_freedom);
    return std::sqrt((degrees_of_freedom - 2) / chi_square(generator_));
  }

 private:
  boost::random::mt19937 generator_;
  boost::random::normal_distribution<> normal_;
};

/// Daily rows named A.spot, B.spot, ...
inline FactorChanges changes_of(const Eigen::MatrixXd& rows) {
  FactorChanges changes;
  changes.source = "history.csv";
  for (Eigen::Index i = 0; i < rows.cols(); ++i)
    changes.factors.push_back(std::string(1, static_cast<char>('A' + i)) + ".spot");
  for (Eigen::Index t = 0; t < rows.rows(); ++t) {
    changes.times.push_back(86'400 * (t + 1));
    for (Eigen::Index i = 0; i < rows.cols(); ++i) changes.values.push_back(rows(t, i));
  }
  return changes;
}

inline RowRange all_rows(const FactorChanges& changes) { return {0, changes.times.size()}; }

inline Eigen::MatrixXd square_of(const std::vector<double>& values) {
  const auto count = static_cast<Eigen::Index>(std::lround(std::sqrt(values.size())));
  return Eigen::Map<const Eigen::MatrixXd>(values.data(), count, count);
}

/// Correlated normals with the covariance, T x F.
inline Eigen::MatrixXd normal_rows(const Eigen::MatrixXd& covariance, Eigen::Index row_count,
                                   Draws& draws) {
  const Eigen::MatrixXd factor = covariance.llt().matrixL();
  Eigen::MatrixXd rows(row_count, covariance.cols());
  for (Eigen::Index t = 0; t < row_count; ++t)
    rows.row(t) = (factor * draws.normals(covariance.cols())).transpose();
  return rows;
}

}  // namespace shortfall
