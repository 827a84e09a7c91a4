// Risk factors, their covariance, and the canonical factor L that turns independent normals into
// correlated factor moves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "shortfall/config.hpp"
#include "shortfall/error.hpp"

namespace shortfall {

enum class FactorKind : std::uint8_t { spot, vol, skew, basis, perp };

struct Factor {
  std::string name;              ///< "<underlying>.<kind>"
  std::uint32_t underlying = 0;  ///< index into Book::underlyings
  FactorKind kind = FactorKind::spot;
  std::uint32_t tenor_days = 0;  ///< vol only
};

/// Covariance of the factors over ModelConfig::covariance_horizon_days.
struct Covariance {
  std::filesystem::path file;
  std::vector<Factor> factors;
  std::vector<double> matrix;  ///< F x F, row-major, exactly symmetric

  /// With Scenarios::history: T x F moves over the same horizon, the earliest first, as they are to
  /// be used, their dates, and their weights, which add up to T; `matrix` is their weighted second
  /// moment. No weights: all are 1.
  std::vector<double> history = {};
  std::vector<std::string> dates = {};
  std::vector<double> weights = {};
};

/// The factor model of a run, canonical: every number comes from + - * / sqrt and the project's own
/// elementary functions in a written order, so it has the same bits on every machine.
struct FactorModel {
  std::uint32_t factor_count = 0;
  /// L, F x F row-major, L L^T = covariance over the risk horizon. Every entry of row i is an
  /// integer multiple of unit[i], at most 2^24 units: see docs/methodology.md, "exact correlation".
  std::vector<double> loading;
  std::vector<double> unit;                 ///< F, powers of two
  std::vector<std::uint32_t> column_count;  ///< F: columns >= column_count[i] of row i are zero
  /// F, added to the moves after mixing: the density that importance sampling draws from; or empty.
  std::vector<double> offset;
  /// Of a history: path_count x F, the moves of each path, in place of draws; or empty. Weights of
  /// paths add up to their number; empty: all are 1.
  std::vector<double> history, weights;

  bool is_repaired = false;        ///< negative eigenvalues within the tolerance were clipped
  bool is_singular = false;        ///< factored by pivoted Cholesky or by the repair
  double smallest_eigenvalue = 0;  ///< of the covariance as read; 0 unless repaired

  /// Student t; a Gaussian model has is_student_t false and an empty table.
  bool is_student_t = false;
  double degrees_of_freedom = 0;
  double tail_floor = 0;  ///< probability below which W is floored
  double floor_w = 0;     ///< w0, the chi-square quantile at tail_floor
  double kappa = 1;       ///< E[1 / max(W, w0)]
  /// Chi-square quantile by cubic pieces: core/mixing.hpp says how it is read.
  std::vector<double> mixing_table;
  /// What a user should know, e.g. that the covariance was repaired.
  std::vector<std::string> warnings;
};

/// Sets loading, unit and column_count of a model of factor_count factors from an L (F x F,
/// row-major), each row rounded to integer multiples of its unit. Asserts the bound under which the
/// product with the normals is exact.
void set_loading(FactorModel& model, std::vector<double> loading);

/// What the covariance of the file is multiplied by: the risk horizon over its own.
double covariance_scale(const RunConfig& config);

/// Factors the covariance scaled to the horizon and prepares the mixing variable. Problems (not
/// positive semi-definite, tail floor out of bounds, too many factors) go to `problems`.
FactorModel build_factor_model(const Covariance& covariance, const RunConfig& config,
                               Problems& problems);

}  // namespace shortfall
