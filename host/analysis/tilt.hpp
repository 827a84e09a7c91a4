// Densities that draw large losses often, for importance sampling: how they are fitted, and how
// much more likely they make a path. All in canonical arithmetic, since weights reach results.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shortfall/factor_model.hpp"
#include "shortfall/plan.hpp"

namespace shortfall {

/// Standard normals y in place of a model's Z = U^T y, and of their distribution another one: with
/// the mixing factor m of the path, y_k is normal with mean mean_k / m and standard deviation
/// deviation_k, and W is mixing_scale times a chi-square, then floored. Factor moves are
///   X = L U^T (m y) = m (L U^T diag(deviation)) e + L U^T mean,    e standard normal,
/// again a loading, a mixing table and an offset.
struct Tilt {
  std::vector<double> directions;       ///< U, F x F, row-major, orthonormal: row k is direction k
  std::vector<double> mean, deviation;  ///< F
  double mixing_scale = 1;

  /// The model itself in these directions.
  Tilt plain() const;
};

/// The model that draws X under the tilt.
FactorModel tilted(const FactorModel& model, const Tilt& tilt);

/// How much likelier the tilt makes a path than the model does.
class TiltRatio {
 public:
  /// Both outlive it.
  TiltRatio(const FactorModel& model, const Tilt& tilt);

  /// Where the normals of a path come from: the y of the model, or the e that the tilt drew.
  enum class Drawn : std::uint8_t { by_model, by_tilt };

  /// ln(g / f) of `count` paths, with a row of `stride` normals per direction and their mixing
  /// factors. At W > w0 the densities of W are compared, at the floor the probabilities of its
  /// atoms.
  void logs_of(Drawn drawn, const double* normals, std::size_t stride, const double* mixing,
               std::size_t count, double* logs) const;

 private:
  const FactorModel& model_;
  const Tilt& tilt_;
  std::vector<std::size_t> tilted_;  ///< directions in which the two differ
  double log_constant_ = 0;          ///< sum of -ln deviation
  double floor_mixing_ = 0, log_atom_ = 0, log_scale_ = 0;
};

/// w = f / (rho f + (1 - rho) g), at most 1 / rho: the weight of a path drawn from the mixture of
/// the model (a share rho of paths) and the tilt (Hesterberg 1995, "Weighted average importance
/// sampling and defensive mixture distributions").
double defensive_weight(double log_ratio, double model_share);

/// A loss as a quadratic function of the moves: with x = m U Z, in units of the margin group,
///   loss ~ value + sum_k slope_k x_k + curvature_k x_k^2.
struct DeltaGamma {
  double value = 0;
  std::vector<double> directions;  ///< U
  std::vector<double> slope, curvature;
};

/// From central differences of full revaluations of the plan's only margin group, `bump` standard
/// deviations of each factor up and down, and both ways in pairs of factors of one underlying: no
/// instrument has two. With a bump as wide as the tail, out-of-the-money options have the curvature
/// that they will have.
DeltaGamma delta_gamma(const Plan& plan, std::span<const std::uint32_t> underlying_of_factor,
                       double bump);

/// The worst paths of a first, plain simulation, worst first.
struct PilotTail {
  std::size_t path_count = 0;   ///< that they are the worst of
  std::vector<double> normals;  ///< a row of F per path
  std::vector<double> mixing;
  std::vector<double> excess;  ///< loss above the value at risk
};

/// The tilt under which, by the pilot's tail, the expected shortfall has the least variance, and
/// what is expected of it.
struct FittedTilt {
  Tilt tilt;
  double variance_ratio = 1;  ///< of as many plain paths to the mixture's
};
FittedTilt fit_tilt(const Plan& plan, std::span<const std::uint32_t> underlying_of_factor,
                    const PilotTail& pilot, double model_share);

}  // namespace shortfall
