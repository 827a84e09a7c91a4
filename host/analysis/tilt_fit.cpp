#include <algorithm>
#include <optional>
#include <utility>

#include "model/symmetric_factor.hpp"
#include "shortfall/trace.hpp"
#include "tilt.hpp"

namespace shortfall {
namespace {

/// Rows of `directions` times a vector of normals.
void rotate(const std::vector<double>& directions, const double* normals, std::size_t n,
            double* rotated) {
  for (std::size_t k = 0; k < n; ++k) {
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) sum += directions[k * n + j] * normals[j];
    rotated[k] = sum;
  }
}

/// Moves to revalue, a column each; a column of its own for every combination of bumps.
class Bumps {
 public:
  explicit Bumps(std::size_t factor_count) : factor_count_(factor_count) {}
  std::size_t add(std::vector<std::pair<std::size_t, double>> moves) {
    columns_.push_back(std::move(moves));
    return columns_.size() - 1;
  }
  std::vector<float> losses(const Plan& plan) const {
    const std::size_t count = columns_.size();
    std::vector<double> moves(factor_count_ * count);
    for (std::size_t c = 0; c < count; ++c)
      for (const auto& [factor, move] : columns_[c]) moves[factor * count + c] = move;
    return losses_of_moves(plan, moves, static_cast<std::uint32_t>(count));
  }

 private:
  std::size_t factor_count_;
  std::vector<std::vector<std::pair<std::size_t, double>>> columns_;
};

/// Gradient and Hessian in the factor moves.
struct Derivatives {
  double value;
  std::vector<double> gradient, hessian;
};

std::vector<bool> factors_of_held(const Plan& plan) {
  std::vector<bool> matters(plan.model.factor_count);
  for (const core::StateRow& row : plan.state_rows) {
    if (row.coefficient_a != 0) matters[row.factor_a] = true;
    if (row.coefficient_b != 0) matters[row.factor_b] = true;
  }
  return matters;
}

Derivatives differences(const Plan& plan, std::span<const std::uint32_t> underlying_of_factor,
                        const std::vector<double>& step) {
  const std::size_t n = plan.model.factor_count;
  const std::vector<bool> matters = factors_of_held(plan);
  Bumps bumps(n);
  bumps.add({});
  std::vector<std::size_t> first_of(n), first_of_pair(n * n);
  const auto is_bumped = [&](std::size_t i) { return matters[i] && step[i] > 0; };
  for (std::size_t i = 0; i < n; ++i) {
    if (!is_bumped(i)) continue;
    first_of[i] = bumps.add({{i, step[i]}});
    bumps.add({{i, -step[i]}});
    for (std::size_t j = 0; j < i; ++j) {
      if (!is_bumped(j) || underlying_of_factor[i] != underlying_of_factor[j]) continue;
      first_of_pair[i * n + j] = bumps.add({{i, step[i]}, {j, step[j]}});
      bumps.add({{i, step[i]}, {j, -step[j]}});
      bumps.add({{i, -step[i]}, {j, step[j]}});
      bumps.add({{i, -step[i]}, {j, -step[j]}});
    }
  }
  const std::vector<float> losses = bumps.losses(plan);
  const auto loss = [&](std::size_t column) { return static_cast<double>(losses[column]); };
  Derivatives d{loss(0), std::vector<double>(n), std::vector<double>(n * n)};
  for (std::size_t i = 0; i < n; ++i) {
    if (!is_bumped(i)) continue;
    const double up = loss(first_of[i]), down = loss(first_of[i] + 1);
    d.gradient[i] = (up - down) / (2 * step[i]);
    d.hessian[i * n + i] = ((up - d.value) + (down - d.value)) / (step[i] * step[i]);
    for (std::size_t j = 0; j < i; ++j) {
      const std::size_t c = first_of_pair[i * n + j];
      if (c == 0) continue;
      const double mixed =
          ((loss(c) - loss(c + 1)) - (loss(c + 2) - loss(c + 3))) / (4 * step[i] * step[j]);
      d.hessian[i * n + j] = d.hessian[j * n + i] = mixed;
    }
  }
  return d;
}

}  // namespace

DeltaGamma delta_gamma(const Plan& plan, std::span<const std::uint32_t> underlying_of_factor,
                       double bump) {
  const std::size_t n = plan.model.factor_count;
  const std::vector<double>& loading = plan.model.loading;
  std::vector<double> step(n);
  for (std::size_t i = 0; i < n; ++i) {
    double square = 0;
    for (std::size_t j = 0; j < n; ++j) square += loading[i * n + j] * loading[i * n + j];
    step[i] = bump * __builtin_sqrt(square);
  }
  const Derivatives d = differences(plan, underlying_of_factor, step);
  // In the normals: L^T H L / 2 and L^T gradient.
  std::vector<double> half(n * n), quadratic(n * n), linear(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const double h = 0.5 * d.hessian[i * n + j];
      if (h == 0) continue;
      for (std::size_t k = 0; k < n; ++k) half[i * n + k] += h * loading[j * n + k];
    }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < n; ++k) {
      linear[k] += d.gradient[i] * loading[i * n + k];
      for (std::size_t m = 0; m < n; ++m)
        quadratic[k * n + m] += loading[i * n + k] * half[i * n + m];
    }
  for (std::size_t k = 0; k < n; ++k)
    for (std::size_t m = 0; m < k; ++m) quadratic[k * n + m] = quadratic[m * n + k];
  EigenDecomposition eigen = decompose(quadratic, n);
  DeltaGamma approximation{d.value, std::move(eigen.vectors), std::vector<double>(n),
                           std::move(eigen.values)};
  rotate(approximation.directions, linear.data(), n, approximation.slope.data());
  return approximation;
}

namespace {

/// The pilot's tail in some directions, and what plain paths make of it.
class RotatedTail {
 public:
  RotatedTail(const Plan& plan, const std::vector<double>& directions, const PilotTail& pilot)
      : plan_(plan), pilot_(pilot), normals_(pilot.normals.size()) {
    std::vector<double> turned(width());
    for (std::size_t i = 0; i < size(); ++i) {
      rotate(directions, &pilot.normals[i * width()], width(), turned.data());
      for (std::size_t k = 0; k < width(); ++k) normals_[k * size() + i] = turned[k];
    }
  }

  std::size_t size() const { return pilot_.excess.size(); }
  std::size_t width() const { return plan_.model.factor_count; }
  double normal(std::size_t i, std::size_t k) const { return normals_[k * size() + i]; }
  double mixing(std::size_t i) const { return pilot_.mixing[i]; }
  double excess(std::size_t i) const { return pilot_.excess[i]; }

  /// Of the variance of the mean excess of as many plain paths to that under the mixture.
  double variance_ratio(const Tilt& tilt, double model_share) const {
    std::vector<double> logs(size());
    TiltRatio(plan_.model, tilt)
        .logs_of(TiltRatio::Drawn::by_model, normals_.data(), size(), pilot_.mixing.data(), size(),
                 logs.data());
    double sum = 0, plain = 0, mixture = 0;
    for (std::size_t i = 0; i < size(); ++i) {
      const double square = excess(i) * excess(i);
      sum += excess(i);
      plain += square;
      mixture += square * defensive_weight(logs[i], model_share);
    }
    const double of_mean = sum * sum / static_cast<double>(pilot_.path_count);
    // The tail is a sample: a difference near zero, or below, is noise.
    return (plain - of_mean) / std::max(mixture - of_mean, 1e-6 * plain);
  }

 private:
  const Plan& plan_;
  const PilotTail& pilot_;
  std::vector<double> normals_;  ///< a row of paths per direction
};

/// Exponential twisting of the quadratic by theta; empty beyond its domain. Gaussian: Glasserman,
/// Heidelberger and Shahabuddin 2000, "Variance reduction techniques for estimating value-at-risk",
/// equations 11 and 12. Student t: theirs of 2002, "Portfolio value-at-risk with heavy-tailed risk
/// factors", section 4, twists W (loss - target) / nu in place of the loss, which has no moments.
struct Twist {
  Tilt tilt;
  double mean_above_target;  ///< of what is twisted, under the tilt
};
std::optional<Twist> twist(const FactorModel& model, const DeltaGamma& loss, double target,
                           double theta) {
  const std::size_t n = loss.slope.size();
  Twist twisted{{loss.directions, std::vector<double>(n), std::vector<double>(n), 1}, 0};
  double of_means = 0, of_spread = 0, slope_term = 0;  // the quadratic at the means; its excess
  for (std::size_t k = 0; k < n; ++k) {
    const double left = 1.0 - 2.0 * theta * loss.curvature[k];
    if (!(left > 0)) return std::nullopt;
    const double variance = 1.0 / left, mean = theta * loss.slope[k] * variance;
    twisted.tilt.mean[k] = mean;
    twisted.tilt.deviation[k] = __builtin_sqrt(variance);
    of_spread += loss.curvature[k] * variance;
    of_means += loss.slope[k] * mean + loss.curvature[k] * mean * mean;
    slope_term += theta * theta * loss.slope[k] * loss.slope[k] * variance;
  }
  if (!model.is_student_t) {
    twisted.mean_above_target = of_spread + of_means - target;
    return twisted;
  }
  const double rate = 1.0 + model.kappa * (2.0 * theta * target - slope_term);
  if (!(rate > 0)) return std::nullopt;
  twisted.tilt.mixing_scale = 1.0 / rate;
  const double mean_w = model.kappa * model.degrees_of_freedom / rate;
  twisted.mean_above_target = of_spread + mean_w * (of_means - target);
  return twisted;
}

/// The twist under which the quadratic has the target as its mean.
std::optional<Tilt> twist_to(const FactorModel& model, const DeltaGamma& loss, double target) {
  const double above = target - loss.value;
  const auto is_short_of_target = [&](double theta) {
    const std::optional<Twist> twisted = twist(model, loss, above, theta);
    return twisted && twisted->mean_above_target < 0;
  };
  double low = 0, high = 1;
  if (!is_short_of_target(low)) return std::nullopt;
  for (int doubling = 0; is_short_of_target(high); ++doubling) {
    if (doubling == 100) return std::nullopt;
    low = high;
    high *= 2;
  }
  for (int step = 0; step < 60; ++step) {
    const double middle = 0.5 * (low + high);
    (is_short_of_target(middle) ? low : high) = middle;
  }
  return twist(model, loss, above, low)->tilt;
}

/// The quadratic's mean over the pilot's tail.
double mean_of(const DeltaGamma& loss, const RotatedTail& tail) {
  double sum = 0;
  for (std::size_t i = 0; i < tail.size(); ++i)
    for (std::size_t k = 0; k < tail.width(); ++k) {
      const double x = tail.mixing(i) * tail.normal(i, k);
      sum += loss.slope[k] * x + loss.curvature[k] * x * x;
    }
  return loss.value + sum / static_cast<double>(tail.size());
}

}  // namespace

FittedTilt fit_tilt(const Plan& plan, std::span<const std::uint32_t> underlying_of_factor,
                    const PilotTail& pilot, double model_share) {
  const std::size_t n = plan.model.factor_count;
  FittedTilt best;
  for (const double bump : {1.0, 2.0, 3.0}) {
    const DeltaGamma loss = delta_gamma(plan, underlying_of_factor, bump);
    if (best.tilt.directions.empty())
      best.tilt = {loss.directions, std::vector<double>(n), std::vector<double>(n, 1.0), 1};
    if (pilot.excess.empty()) break;  // the loss is the same on all paths of the tail
    const RotatedTail tail(plan, loss.directions, pilot);
    const double mean = mean_of(loss, tail);
    for (const double reach : {0.7, 0.85, 1.0, 1.2, 1.5}) {
      std::optional<Tilt> tilt =
          twist_to(plan.model, loss, loss.value + reach * (mean - loss.value));
      if (!tilt) continue;
      const double ratio = tail.variance_ratio(*tilt, model_share);
      if (ratio > best.variance_ratio) best = {std::move(*tilt), ratio};
    }
  }
  return best;
}

}  // namespace shortfall
