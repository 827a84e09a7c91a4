#include "shortfall/factor_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "mixing_table.hpp"
#include "shortfall/core/normal.hpp"
#include "symmetric_factor.hpp"

namespace shortfall {
namespace {

using canonical::ChiSquare;
using canonical::Side;

/// Acceptance of a covariance that is not positive semi-definite: methodology, section 1.
constexpr double repaired_eigenvalue_share_max = 1e-8;

/// Far above any standard deviation of a log-return, and far from overflow.
constexpr double variance_max = 1e6;

constexpr double automatic_tail_floor_min = 1e-5;
constexpr double automatic_tail_floor_max = 0.5;
/// The smallest probability that a word has on a side.
constexpr double draw_resolution = 0x1p-33;
constexpr double degrees_of_freedom_max = 1e6;

// The exact correlation step. Normals are n 2^-20 with integer |n| <= normal_units_max, row i of L
// is l unit[i] with integers l. By Cauchy and Schwarz any partial sum of the products, in any
// order, is an integer with
//   |sum|^2 <= (sum of l^2) * (factors * normal_units_max^2),
// and below 2^53 every one of them is a double. A row of L has norm below 2^24 units before it is
// rounded, at most 2^24 + sqrt(factors)/2 after.
constexpr std::uint64_t normal_units_max = static_cast<std::uint64_t>(core::normal_max * 0x1p20);
constexpr std::uint32_t factor_count_max = 6500;
constexpr std::uint64_t row_units_max = (1u << 24) + 41;
static_assert(4 * 41 * 41 >= factor_count_max);

/// Both factors of the bound on |sum|^2 are below 2^64; is their product below 2^106?
constexpr bool is_product_exact(std::uint64_t row_square_sum, std::uint64_t column_count) {
  __extension__ typedef unsigned __int128 Wide;
  const Wide normals_square_sum =
      static_cast<Wide>(normal_units_max) * normal_units_max * column_count;
  return row_square_sum * normals_square_sum < static_cast<Wide>(1) << 106;
}
static_assert(is_product_exact(row_units_max * row_units_max, factor_count_max));

/// The least e with value < 2^e; value > 0 and normal.
std::int64_t exponent_above(double value) {
  return static_cast<std::int64_t>(core::bit_cast<std::uint64_t>(value) >> 52) - 1022;
}

/// Rounds row i of L to integer multiples of unit[i] = 2^(e - 24), norm < 2^e, and proves the
/// bound.
void round_row(FactorModel& model, std::size_t i) {
  double* row = &model.loading[i * model.factor_count];
  double square_sum = 0.0;
  for (std::size_t j = 0; j < model.factor_count; ++j) square_sum += row[j] * row[j];
  const double norm = __builtin_sqrt(square_sum);
  model.unit[i] = norm == 0.0 ? 1.0 : canonical::power_of_two(exponent_above(norm) - 24);

  std::uint64_t units_square_sum = 0;
  for (std::uint32_t j = 0; j < model.factor_count; ++j) {
    const double units = canonical::rint(row[j] / model.unit[i]);
    row[j] = units == 0.0 ? 0.0 : units * model.unit[i];
    if (units != 0.0) model.column_count[i] = j + 1;
    const auto magnitude = static_cast<std::uint64_t>(units < 0.0 ? -units : units);
    units_square_sum += magnitude * magnitude;
  }
  SHORTFALL_ASSERT(is_product_exact(units_square_sum, model.column_count[i]));
}

void refuse_indefinite(const Covariance& covariance, const EigenDecomposition& eigen,
                       Problems& problems) {
  const std::size_t n = covariance.factors.size();
  const double* vector = &eigen.vectors[(n - 1) * n];
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
    return vector[i] * vector[i] > vector[j] * vector[j];
  });
  const std::string& heaviest = covariance.factors[order[0]].name;
  const std::string weights = n == 1 ? heaviest
                                     : fmt::format("{} and {} weigh most in its eigenvector",
                                                   heaviest, covariance.factors[order[1]].name);
  problems.add(
      covariance.file.string(), order[0] + 2,
      fmt::format("the covariance is not positive semi-definite: eigenvalue {:.6g} (largest "
                  "{:.6g}); {}: estimate these rows again from the same dates as the others",
                  eigen.values.back(), eigen.values.front(), weights));
}

/// Columns are the eigenvectors times the deviations along them, the largest first.
std::vector<double> principal_loading(const EigenDecomposition& eigen, std::size_t n,
                                      double scale) {
  std::vector<double> loading(n * n);
  for (std::size_t k = 0; k < n && eigen.values[k] > 0.0; ++k) {
    const double deviation = __builtin_sqrt(eigen.values[k] * scale);
    for (std::size_t i = 0; i < n; ++i) loading[i * n + k] = eigen.vectors[k * n + i] * deviation;
  }
  return loading;
}

/// L of a covariance that is not positive semi-definite, negative eigenvalues clipped at 0; empty
/// and a problem where they are too large.
std::optional<std::vector<double>> repair(const Covariance& covariance, double scale,
                                          FactorModel& model, Problems& problems) {
  const std::size_t n = covariance.factors.size();
  if (n > decomposition_size_max) {
    problems.add(covariance.file.string(), 0,
                 fmt::format("the covariance is not positive semi-definite; one of more than {} "
                             "factors is not repaired: clip its negative eigenvalues beforehand",
                             decomposition_size_max));
    return std::nullopt;
  }
  const EigenDecomposition eigen = decompose(covariance.matrix, n);
  const double smallest = eigen.values.back(), largest = eigen.values.front();
  if (smallest < -repaired_eigenvalue_share_max * largest || largest <= 0.0) {
    refuse_indefinite(covariance, eigen, problems);
    return std::nullopt;
  }
  model.is_repaired = true;
  model.smallest_eigenvalue = smallest;
  model.warnings.push_back(fmt::format(
      "the covariance is not positive semi-definite: smallest eigenvalue {:.6g}, largest "
      "{:.6g}; negative eigenvalues were clipped at 0",
      smallest, largest));
  return principal_loading(eigen, n, scale);
}

void factor_covariance(const Covariance& covariance, double scale, Factorization factorization,
                       FactorModel& model, Problems& problems) {
  const std::size_t n = covariance.factors.size();
  std::vector<double> scaled(n * n);
  for (std::size_t i = 0; i < n * n; ++i) scaled[i] = covariance.matrix[i] * scale;

  std::optional<std::vector<double>> loading = cholesky(scaled, n, Pivoting::none);
  if (!loading) {
    model.is_singular = true;
    loading = cholesky(scaled, n, Pivoting::diagonal);
    if (!loading) loading = repair(covariance, scale, model, problems);
    if (!loading) return;
  }
  if (factorization == Factorization::principal_components && !model.is_repaired) {
    if (n > decomposition_size_max) {
      problems.add(covariance.file.string(), 0,
                   fmt::format("{} factors: principal components are for {} at most; use "
                               "factorization = \"cholesky\"",
                               n, decomposition_size_max));
      return;
    }
    loading = principal_loading(decompose(covariance.matrix, n), n, scale);
  }
  set_loading(model, std::move(*loading));
}

/// Problems for variances that can only be a mistake of units.
bool are_variances_plausible(const Covariance& covariance, double scale, Problems& problems) {
  const std::size_t n = covariance.factors.size();
  bool is_plausible = true;
  for (std::size_t i = 0; i < n; ++i) {
    const double variance = covariance.matrix[i * n + i] * scale;
    if (variance <= variance_max) continue;
    is_plausible = false;
    problems.add(covariance.file.string(), i + 2,
                 fmt::format("the variance of {} is {:.6g} over the horizon: moves are log-returns "
                             "and decimals, not per cent or basis points; check the horizons too",
                             covariance.factors[i].name, variance));
  }
  return is_plausible;
}

/// The mixing variable max(W, w0) with its floor at the quantile of some probability.
struct FlooredMixing {
  double floor_w = 0;  ///< w0
  double kappa = 1;    ///< E[1/max(W, w0)] = P(chi-square with nu - 2 > w0)/(nu - 2) + floor/w0

  FlooredMixing(const ChiSquare& chi_square, const ChiSquare& chi_square_less_2,
                double tail_floor) {
    floor_w = chi_square.quantile(Side::lower, tail_floor);
    kappa = chi_square_less_2.at(floor_w).upper / chi_square_less_2.degrees_of_freedom() +
            tail_floor / floor_w;
  }

  /// Is the largest deviation of a factor move, at W = w0, at most 1?
  bool bounds(double variance) const { return variance <= kappa * floor_w; }
};

/// Chooses or checks the tail floor; empty and a problem where none will do.
class TailFloor {
 public:
  TailFloor(const ModelConfig& config, double confidence_level, double spot_variance)
      : chi_square_(config.degrees_of_freedom),
        chi_square_less_2_(config.degrees_of_freedom - 2.0),
        spot_variance_(spot_variance),
        reported_share_(0.05 * (1.0 - confidence_level)) {}

  FlooredMixing mixing(double tail_floor) const {
    return FlooredMixing(chi_square_, chi_square_less_2_, tail_floor);
  }
  const ChiSquare& chi_square() const { return chi_square_; }

  /// The smallest value >= 1e-5 that keeps the bound, to 60 bisections; empty where 1/2 does not.
  std::optional<double> automatic() const {
    double low = automatic_tail_floor_min, high = automatic_tail_floor_max;
    if (mixing(low).bounds(spot_variance_)) return low;
    if (!mixing(high).bounds(spot_variance_)) return std::nullopt;
    for (int step = 0; step < 60; ++step) {
      const double middle = 0.5 * (low + high);
      (mixing(middle).bounds(spot_variance_) ? high : low) = middle;
    }
    return high;
  }

  /// What is wrong with an explicit value; empty when nothing.
  std::string objection(double value) const {
    std::string reason;
    if (value < draw_resolution) {
      reason = "is below the resolution of the draws, 2^-33";
    } else if (reaches_reported_tail(value)) {
      reason =
          fmt::format("reaches into the reported tail: it exceeds (1 - confidence)/20 = {:.6g}",
                      reported_share_);
    } else if (!mixing(value).bounds(spot_variance_)) {
      reason =
          "is too low: at the floor a spot has a standard deviation above 1, and a handful of "
          "paths decides the expected shortfall";
    } else {
      return {};
    }
    const std::optional<double> least = automatic();
    const std::string remedy = !least || reaches_reported_tail(*least)
                                   ? "use \"auto\""
                                   : fmt::format("use \"auto\" or a value from {} to {:.6g}",
                                                 rounded_up(*least), reported_share_);
    return fmt::format("tail_floor {} {}; {}", value, reason, remedy);
  }

  std::optional<std::string> warning(double value) const {
    if (!reaches_reported_tail(value)) return std::nullopt;
    return fmt::format(
        "tail_floor {:.3g} (\"auto\") exceeds (1 - confidence)/20 = {:.3g}: it tempers the very "
        "moves that the expected shortfall averages; a shorter horizon or more degrees of freedom "
        "need less",
        value, reported_share_);
  }

 private:
  /// With room for the rounding of 1 - confidence, so that the limit as a user writes it will do.
  bool reaches_reported_tail(double value) const { return value > reported_share_ * (1.0 + 1e-9); }

  /// Four digits for a message, not below the value.
  static std::string rounded_up(double value) { return fmt::format("{:.3e}", value * 1.0005); }

  ChiSquare chi_square_, chi_square_less_2_;
  double spot_variance_;   ///< the largest over the horizon
  double reported_share_;  ///< the largest tail floor that leaves the reported tail alone
};

void prepare_mixing(const RunConfig& config, double spot_variance, FactorModel& model,
                    Problems& problems) {
  const std::string file = config.file.string();
  const double nu = config.model.degrees_of_freedom;
  if (!(nu > 2.0 && nu <= degrees_of_freedom_max)) {
    problems.add(file, 0,
                 fmt::format("degrees_of_freedom {} is outside (2, {:.0f}]: use distribution = "
                             "\"gaussian\" for more",
                             nu, degrees_of_freedom_max));
    return;
  }
  const TailFloor tail_floor(config.model, config.risk.confidence_level, spot_variance);
  std::optional<double> value = config.model.tail_floor;
  if (value) {
    const std::string objection = tail_floor.objection(*value);
    if (!objection.empty()) {
      problems.add(file, 0, objection);
      return;
    }
  } else {
    value = tail_floor.automatic();
    if (!value) {
      problems.add(
          file, 0,
          fmt::format("no tail_floor up to {} bounds a spot with standard deviation {:.3g} "
                      "over the horizon: shorten horizon_days or use distribution = "
                      "\"gaussian\"",
                      automatic_tail_floor_max, __builtin_sqrt(spot_variance)));
      return;
    }
    if (auto warning = tail_floor.warning(*value)) model.warnings.push_back(*warning);
  }
  const FlooredMixing mixing = tail_floor.mixing(*value);
  model.is_student_t = true;
  model.degrees_of_freedom = nu;
  model.tail_floor = *value;
  model.floor_w = mixing.floor_w;
  model.kappa = mixing.kappa;
  model.mixing_table = build_mixing_table(tail_floor.chi_square());
}

/// The moves over the horizon; nothing is drawn.
FactorModel model_of_history(const Covariance& covariance, const RunConfig& config) {
  const std::size_t n = covariance.factors.size();
  FactorModel model;
  model.factor_count = static_cast<std::uint32_t>(n);
  set_loading(model, std::vector<double>(n * n));
  model.history = covariance.history;
  const double scale = __builtin_sqrt(covariance_scale(config));
  for (double& move : model.history) move *= scale;
  model.weights = covariance.weights;
  return model;
}

}  // namespace

void set_loading(FactorModel& model, std::vector<double> loading) {
  const std::size_t n = model.factor_count;
  SHORTFALL_ASSERT(loading.size() == n * n);
  model.loading = std::move(loading);
  model.unit.assign(n, 1.0);
  model.column_count.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i) round_row(model, i);
}

double covariance_scale(const RunConfig& config) {
  return config.risk.horizon_days / config.model.covariance_horizon_days;
}

FactorModel build_factor_model(const Covariance& covariance, const RunConfig& config,
                               Problems& problems) {
  const std::size_t n = covariance.factors.size();
  SHORTFALL_ASSERT(covariance.matrix.size() == n * n);
  FactorModel model;
  if (!covariance.history.empty()) return model_of_history(covariance, config);
  if (n > factor_count_max) {
    problems.add(
        covariance.file.string(), 0,
        fmt::format("{} factors: the correlation of moves is exact, and so the same on every "
                    "machine, up to {}",
                    n, factor_count_max));
    return model;
  }
  model.factor_count = static_cast<std::uint32_t>(n);
  const double scale = covariance_scale(config);
  if (!are_variances_plausible(covariance, scale, problems)) return model;
  factor_covariance(covariance, scale, config.model.factorization, model, problems);

  if (config.model.distribution == Distribution::student_t) {
    double spot_variance = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      if (covariance.factors[i].kind != FactorKind::spot) continue;
      spot_variance = std::max(spot_variance, covariance.matrix[i * n + i] * scale);
    }
    prepare_mixing(config, spot_variance, model, problems);
  }
  return model;
}

}  // namespace shortfall
