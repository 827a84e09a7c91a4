// The run configuration: what a `*.toml` file says, with every default resolved.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "shortfall/margin_config.hpp"

namespace shortfall {

enum class Distribution : std::uint8_t { gaussian, student_t };
enum class Sampler : std::uint8_t { philox, sobol };
/// Where factor moves come from: a distribution, or the rows of a history, one per path.
enum class Scenarios : std::uint8_t { drawn, history };
/// What is done to the moves of a history before they are used: see host/input/history.hpp.
enum class HistoryFilter : std::uint8_t { none, volatility };
/// How L is made from the covariance: which independent normal moves what. It changes no
/// distribution, but what the leading dimensions of a Sobol point do.
enum class Factorization : std::uint8_t { cholesky, principal_components };
/// `worst`: the larger expected shortfall of the two, per margin group.
enum class RevalueAt : std::uint8_t { horizon, now, worst };
enum class InstructionSet : std::uint8_t { automatic, generic, avx2, avx512 };
enum class BackendChoice : std::uint8_t { automatic, cpu, cuda };

struct InputFiles {
  std::filesystem::path underlyings, instruments, positions;
  std::filesystem::path covariance;  ///< or the history, with Scenarios::history
  std::optional<std::filesystem::path> accounts, collateral;
};

struct ModelConfig {
  Distribution distribution = Distribution::gaussian;
  double degrees_of_freedom = 5.0;
  /// Probability below which the chi-square mixing variable is floored; empty: "auto".
  std::optional<double> tail_floor;
  double covariance_horizon_days = 1.0;
  Factorization factorization = Factorization::cholesky;
  Scenarios scenarios = Scenarios::drawn;
  HistoryFilter history_filter = HistoryFilter::none;
  double filter_half_life = 11;  ///< rows; that of RiskMetrics' decay of 0.94
  /// Rows after which a row counts half; empty: all rows count the same.
  std::optional<double> weight_half_life = {};
};

struct RiskConfig {
  std::uint64_t path_count = 1'000'000;
  std::uint64_t seed = 42;
  Sampler sampler = Sampler::philox;
  std::uint32_t scrambling_count = 16;  ///< independent ones that share the paths; sobol only
  /// paths = "auto": rounds that double until accounts are precise. path_count is the first.
  bool is_automatic = false;
  double target_relative_error = 0.005;  ///< standard error over |expected shortfall|
  std::uint64_t path_count_max = 1u << 24;
  double precise_margin_share = 1;            ///< of the total, in accounts that are to be precise
  std::vector<std::string> precise_accounts;  ///< those alone, where there are any
  double confidence_level = 0.99;
  double horizon_days = 1.0;
  RevalueAt revalue_at = RevalueAt::horizon;
};

/// 1 with Philox.
inline std::uint32_t scrambling_count_of(const RiskConfig& risk) {
  return risk.sampler == Sampler::sobol ? risk.scrambling_count : 1;
}

struct ComputeConfig {
  BackendChoice backend = BackendChoice::automatic;
  std::uint32_t thread_count = 0;  ///< 0: one per core
  std::vector<int> devices;        ///< CUDA devices by number; empty: all
  bool fallback_to_cpu = false;
  InstructionSet instruction_set = InstructionSet::automatic;
  std::uint32_t tile_path_count = 0;  ///< 0: chosen by the backend; else a multiple of 64
};

struct OutputConfig {
  bool has_attribution = false;  ///< attribution.csv beside margin.csv
};

struct RunConfig {
  std::filesystem::path file;  ///< where it was read from
  InputFiles inputs;           ///< resolved relative to `file`
  std::int64_t as_of = 0;      ///< seconds since 1970-01-01T00:00:00Z
  ModelConfig model;
  RiskConfig risk;
  MarginConfig margin;
  ComputeConfig compute;
  OutputConfig output;
};

/// Values given on the command line, which replace those of the file before validation.
struct RunOverrides {
  std::optional<std::uint64_t> path_count, seed;
  std::optional<std::uint32_t> thread_count;
  std::optional<BackendChoice> backend;
  std::optional<bool> attribution;
};

/// Reads and validates a run configuration. Throws InputError with every problem found.
RunConfig load_config(const std::filesystem::path& file, const RunOverrides& overrides = {});

const char* to_string(Distribution value);
const char* to_string(Sampler value);
const char* to_string(Scenarios value);
const char* to_string(HistoryFilter value);
const char* to_string(Factorization value);
const char* to_string(RevalueAt value);
const char* to_string(InstructionSet value);
const char* to_string(BackendChoice value);

/// "2026-01-15T09:21:30Z" to and from seconds since the epoch. `parse_date_time` accepts Z or an
/// offset (+01:00), whole seconds only, proleptic Gregorian; empty when it is none.
std::optional<std::int64_t> parse_date_time(std::string_view text);
std::string format_date_time(std::int64_t seconds);

}  // namespace shortfall
