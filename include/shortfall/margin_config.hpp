// The [margin] tables of a run configuration: what is charged beyond multiplier x expected
// shortfall. A table that is absent leaves its component out.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace shortfall {

/// [margin.dependence]: diversification across underlyings can fail. Charges `dependence` and
/// `concentration`, the larger of the two or their sum.
struct DependenceConfig {
  double weight = 0.25;             ///< [0, 10]
  double confidence_level = 0.995;  ///< [0.5, 1)
  bool is_sum = false;              ///< combine = "sum", else "larger"
};

/// [margin.liquidity]: the cost of closing out.
struct LiquidityConfig {
  std::filesystem::path file;
};

/// [margin.stress]: deterministic scenarios, from a file, a built-in grid per underlying, or both.
struct StressConfig {
  std::optional<std::filesystem::path> file;
  bool has_grid = true;
  double range = 0.16;     ///< of the price moves near by, a simple return; (0, 0.9]
  double vol_up = 0.5;     ///< relative move of a 30-day volatility; [0, 10]
  double vol_down = 0.25;  ///< [0, 0.95]
  double vol_power = 0.3;  ///< volatility of d days moves by (30 / d)^vol_power of that; [0, 1]
  bool has_far_moves = true;
};

/// [margin.procyclicality]: a covariance of a stressed period.
struct ProcyclicalityConfig {
  std::filesystem::path covariance;
  double weight = 0.25;  ///< of the stressed expected shortfall; [0, 1]
};

/// [margin.funding]
struct FundingConfig {
  std::filesystem::path file;
};

/// [margin.collateral]: coins count with their haircut, or are simulated with the book.
struct CollateralConfig {
  bool is_simulated = false;
  std::map<std::string, double> haircuts;  ///< by underlying; [0, 1]
};

struct MarginConfig {
  double multiplier = 1.0;
  double sampling_uplift = 0;  ///< standard errors added to the expected shortfall; [0, 10]
  double floor_usd = 0;        ///< least margin of an account
  /// Maintenance margin: a share of the initial margin in (0, 1], or the margin at a confidence of
  /// its own; at most one of them.
  std::optional<double> maintenance_ratio, maintenance_confidence_level;
  std::optional<DependenceConfig> dependence;
  std::optional<LiquidityConfig> liquidity;
  std::optional<StressConfig> stress;
  std::optional<ProcyclicalityConfig> procyclicality;
  std::optional<FundingConfig> funding;
  std::optional<double> short_option_minimum_rate;  ///< [0, 1]
  std::optional<CollateralConfig> collateral;

  /// Whether anything but the multiplier is asked for.
  bool has_components() const {
    return sampling_uplift != 0 || floor_usd != 0 || maintenance_ratio ||
           maintenance_confidence_level || dependence || liquidity || stress || procyclicality ||
           funding || short_option_minimum_rate || collateral;
  }
};

}  // namespace shortfall
