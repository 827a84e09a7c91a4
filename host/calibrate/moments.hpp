// Covariances of changes some of which were not observed.
#pragma once

#include <Eigen/Core>
#include <optional>

#include "shortfall/calibrate.hpp"

namespace shortfall::calibration {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

/// Changes, T x F, with zeros where none was observed, and 1 or 0 for whether one was.
struct ObservedChanges {
  Matrix values, mask;
};

ObservedChanges observed_changes(const FactorChanges& changes, RowRange rows);

/// T x F with the mean of each series' observed changes subtracted.
ObservedChanges without_means(ObservedChanges observed, Vector& means);

/// A covariance per interval in two parts: correlations that the pair's common rows give, and
/// variances that all rows of the series give. With every row complete that is the usual estimate.
/// A correlation is NaN where one of the pair is constant, or never observed, on common rows.
struct Moments {
  Matrix correlations;  ///< unit diagonal
  Vector variances;

  Matrix covariance() const;
};

/// Means subtracted; divisor n - 1. Correlations about the means over the pair's common rows.
Moments sample_moments(const ObservedChanges& observed);

/// Zero means, weights decay^age, normalised over the rows observed (RiskMetrics 1996).
Moments ewma_moments(const ObservedChanges& observed, double decay);

/// Ledoit and Wolf (2004), section 3: (1 - delta) S + delta mean(diag S) I of changes with
/// their means subtracted, S with divisor n. With rows that are incomplete each element has the
/// sampling variance of its own common rows. `standardised`: of changes over their standard
/// deviations, and variances as they are.
Moments ledoit_wolf_moments(const ObservedChanges& observed, bool is_standardised,
                            double& shrinkage);

/// The running EWMA of each pair: `correlations` and `variances` as of the rows seen so far.
class RunningEwma {
 public:
  RunningEwma(Eigen::Index factor_count, double decay);
  /// One more row.
  void add(const Eigen::Ref<const Vector>& values, const Eigen::Ref<const Vector>& mask);
  Moments moments() const;
  /// Sum of the weights of a pair's common rows, the latest row's being 1.
  const Matrix& weights() const { return weights_; }

 private:
  double decay_;
  Matrix products_, squares_, weights_;  // squares(i, j): of i over the common rows
};

/// Rows that were observed in common, per pair.
Eigen::Matrix<std::size_t, Eigen::Dynamic, Eigen::Dynamic> common_rows(const Matrix& mask);

/// Makes correlations positive semi-definite where they are not: the nearest matrix with unit
/// diagonal and eigenvalues of at least 1e-8, by alternating projections with Dykstra's correction
/// (Higham 2002, algorithm 3.3). Empty where nothing had to be done; a matrix with a NaN is left.
std::optional<CorrelationRepair> repair_correlations(Matrix& correlations);

}  // namespace shortfall::calibration
