// Historical scenarios: factor moves of the past as the paths of a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "load.hpp"
#include "shortfall/factor_model.hpp"

namespace shortfall {

/// Rows of a history, as far as they can be counted without reading them as numbers; empty where
/// the file cannot be read, which its loader reports.
std::optional<std::uint64_t> count_history_rows(const std::filesystem::path& file);

/// Reads `date,<factor>,...`: dates ascending, moves over covariance_horizon_days; then filters and
/// weighs as the configuration says, and sets the matrix to the weighted second moment.
void load_history(const RunConfig& config, const NameTable<Underlying>& underlyings,
                  Covariance& covariance, Problems& problems);

/// Volatility filter (Hull and White 1998, "Incorporating volatility updating into the historical
/// simulation method for value-at-risk", equation 1): the move of row t becomes
///   x(t) s(T) / s(t),
/// s(t)^2 the exponentially weighted mean square of the rows before t, s(T)^2 that of all of them.
/// It begins with the mean square of the first `filter_seed_count` rows, themselves included. A
/// factor that did not move in them is left as it is. `moves` is row_count x factor_count.
void filter_volatility(std::vector<double>& moves, std::size_t factor_count, double half_life);
inline constexpr std::size_t filter_seed_count = 20;

/// Weights 2^(-age / half_life) of rows, the last of age 0, scaled to add up to their number
/// (Boudoukh, Richardson and Whitelaw 1998, "The best of both worlds").
std::vector<double> decaying_weights(std::size_t row_count, double half_life);

/// sum of w(t) x(t) x(t)' / sum of w(t); no weights: all are 1.
std::vector<double> second_moment(const std::vector<double>& moves, std::size_t factor_count,
                                  const std::vector<double>& weights);

}  // namespace shortfall
