#include "tilt.hpp"

#include <utility>

#include "model/canonical_math.hpp"

namespace shortfall {
Tilt Tilt::plain() const {
  return {directions, std::vector<double>(mean.size()), std::vector<double>(mean.size(), 1.0), 1};
}

FactorModel tilted(const FactorModel& model, const Tilt& tilt) {
  const std::size_t n = model.factor_count;
  FactorModel drawn = model;
  std::vector<double> loading(n * n);
  drawn.offset.assign(n, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < n; ++k) {
      double sum = 0;
      for (std::size_t j = 0; j < n; ++j)
        sum += model.loading[i * n + j] * tilt.directions[k * n + j];
      loading[i * n + k] = sum * tilt.deviation[k];
      drawn.offset[i] += sum * tilt.mean[k];
    }
  set_loading(drawn, std::move(loading));
  for (double& coefficient : drawn.mixing_table) coefficient *= tilt.mixing_scale;
  return drawn;
}

TiltRatio::TiltRatio(const FactorModel& model, const Tilt& tilt) : model_(model), tilt_(tilt) {
  for (std::size_t k = 0; k < tilt.mean.size(); ++k) {
    if (tilt.mean[k] == 0 && tilt.deviation[k] == 1) continue;
    tilted_.push_back(k);
    log_constant_ -= canonical::log(tilt.deviation[k]);
  }
  if (!model.is_student_t) return;
  const canonical::ChiSquare chi_square(model.degrees_of_freedom);
  floor_mixing_ = 1.0 / __builtin_sqrt(model.kappa * model.floor_w);
  log_atom_ = canonical::log(chi_square.at(model.floor_w / tilt.mixing_scale).lower /
                             chi_square.at(model.floor_w).lower);
  log_scale_ = 0.5 * model.degrees_of_freedom * canonical::log(tilt.mixing_scale);
}

void TiltRatio::logs_of(Drawn drawn, const double* normals, std::size_t stride,
                        const double* mixing, std::size_t count, double* logs) const {
  for (std::size_t p = 0; p < count; ++p) logs[p] = log_constant_;
  for (const std::size_t k : tilted_) {
    const double* const row = normals + k * stride;
    const double mean = tilt_.mean[k], deviation = tilt_.deviation[k];
    for (std::size_t p = 0; p < count; ++p) {
      const double centre = mean / mixing[p];
      const double y = drawn == Drawn::by_tilt ? centre + deviation * row[p] : row[p];
      const double e = drawn == Drawn::by_tilt ? row[p] : (row[p] - centre) / deviation;
      logs[p] += 0.5 * (y * y - e * e);
    }
  }
  if (!model_.is_student_t || tilt_.mixing_scale == 1) return;
  const double rate = 0.5 * (1.0 / tilt_.mixing_scale - 1.0) / model_.kappa;
  for (std::size_t p = 0; p < count; ++p)
    logs[p] +=
        mixing[p] >= floor_mixing_ ? log_atom_ : -log_scale_ - rate / (mixing[p] * mixing[p]);
}

double defensive_weight(double log_ratio, double model_share) {
  return 1.0 / (model_share + (1.0 - model_share) * canonical::exp(log_ratio));
}

}  // namespace shortfall
