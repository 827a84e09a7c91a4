#include "history.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "csv.hpp"
#include "date.hpp"
#include "model/canonical_math.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

constexpr double log_2 = 0x1.62e42fefa39efp-1;
/// A log-move of 10 is a factor of 22,000 in one row.
constexpr double move_max = 10;
constexpr std::uint64_t values_max = std::uint64_t{1} << 28;  // 2 GiB

double decay_of(double half_life) { return canonical::exp(-log_2 / half_life); }

class HistoryReader {
 public:
  HistoryReader(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                Covariance& covariance, Problems& problems)
      : file_(file, problems), underlyings_(underlyings), covariance_(covariance) {
    covariance.file = file;
  }

  /// Whether all of it is good.
  bool read() {
    if (!read_factor_header(file_, "date", underlyings_, covariance_.factors)) return false;
    bool is_valid = true;
    while (file_.next()) {
      is_valid = read_row() && is_valid;
      if (covariance_.history.size() > values_max) {
        file_.report(fmt::format("is the {}th row of {} factors: more than {} values are not held",
                                 covariance_.dates.size(), covariance_.factors.size(), values_max));
        return false;
      }
    }
    if (file_.is_complete() && covariance_.dates.empty())
      file_.report_file("has no rows; give the moves of at least one date");
    return is_valid && file_.is_complete() && !covariance_.dates.empty();
  }

 private:
  bool read_row() {
    const std::vector<std::string_view>& fields = file_.fields();
    const std::vector<Factor>& factors = covariance_.factors;
    if (fields.size() != factors.size() + 1) {
      file_.report(
          fmt::format("{} has {} numbers for {} factors; a factor without a move on some "
                      "date cannot be used: leave out the date or the factor",
                      in_quotes(fields[0]), fields.size() - 1, factors.size()));
      return false;
    }
    bool is_valid = read_date(fields[0]);
    for (std::size_t f = 0; f < factors.size(); ++f) {
      const std::optional<double> move = parse_real(fields[f + 1]);
      if (!move || std::abs(*move) > move_max) {
        file_.report(
            fmt::format("column {}: {} {}", factors[f].name, in_quotes(fields[f + 1]),
                        move ? "is beyond 10; write log-moves as decimals, 0.05 for five per cent"
                             : "is not a finite decimal number; leave out the date or the factor"));
        return false;
      }
      covariance_.history.push_back(*move);
    }
    return is_valid;
  }

  bool read_date(std::string_view text) {
    const std::optional<std::int64_t> date = parse_date(text);
    if (!date) {
      file_.report(
          fmt::format("{} is no date; write 2026-01-15 or 2026-01-15T08:00:00Z", in_quotes(text)));
    } else if (last_date_ && *date <= *last_date_) {
      file_.report(fmt::format("{} does not follow {}; order the rows by date, each once",
                               in_quotes(text), in_quotes(covariance_.dates.back())));
    } else {
      last_date_ = date;
      covariance_.dates.emplace_back(text);
      return true;
    }
    covariance_.dates.emplace_back(text);
    return false;
  }

  CsvFile file_;
  const NameTable<Underlying>& underlyings_;
  Covariance& covariance_;
  std::optional<std::int64_t> last_date_;
};

/// The worst row alone may not be more than the tail: there would be nothing to average.
void check_weights(const RunConfig& config, const std::vector<double>& weights,
                   Problems& problems) {
  const double tail =
      (1 - config.risk.confidence_level) * static_cast<double>(config.risk.path_count);
  if (weights.empty() || weights.back() <= tail) return;
  problems.add(config.file.string(), 0,
               fmt::format("with [model] weight_half_life {} the last row counts {:.3g} of all "
                           "rows, more than the tail of {:.3g}: use a longer half-life or a lower "
                           "confidence",
                           *config.model.weight_half_life,
                           weights.back() / static_cast<double>(weights.size()),
                           1 - config.risk.confidence_level));
}

}  // namespace

std::optional<std::uint64_t> count_history_rows(const std::filesystem::path& file) {
  Problems problems;
  CsvFile records(file, problems);
  std::uint64_t count = 0;
  while (records.next()) ++count;
  if (!problems.empty() || count < 2) return std::nullopt;
  return count - 1;
}

void filter_volatility(std::vector<double>& moves, std::size_t factor_count, double half_life) {
  const std::size_t row_count = moves.size() / factor_count;
  const double decay = decay_of(half_life);
  const std::size_t seed_count = std::min(filter_seed_count, row_count);
  std::vector<double> before(row_count);  // s(t)^2
  for (std::size_t f = 0; f < factor_count; ++f) {
    const auto move = [&](std::size_t t) -> double& { return moves[t * factor_count + f]; };
    double variance = 0;
    for (std::size_t t = 0; t < seed_count; ++t) variance += move(t) * move(t);
    variance /= static_cast<double>(seed_count);
    if (variance == 0) continue;
    for (std::size_t t = 0; t < row_count; ++t) {
      before[t] = variance;
      variance = decay * variance + (1 - decay) * (move(t) * move(t));
    }
    for (std::size_t t = 0; t < row_count; ++t) move(t) *= __builtin_sqrt(variance / before[t]);
  }
}

std::vector<double> decaying_weights(std::size_t row_count, double half_life) {
  const double decay = decay_of(half_life);
  std::vector<double> weights(row_count);
  double weight = 1, sum = 0;
  for (std::size_t t = row_count; t-- > 0; weight *= decay) sum += weights[t] = weight;
  const double scale = static_cast<double>(row_count) / sum;
  for (double& w : weights) w *= scale;
  return weights;
}

std::vector<double> second_moment(const std::vector<double>& moves, std::size_t factor_count,
                                  const std::vector<double>& weights) {
  const std::size_t n = factor_count, row_count = moves.size() / n;
  std::vector<double> sums(n * n);
  for (std::size_t t = 0; t < row_count; ++t) {
    const double* const row = moves.data() + t * n;
    const double weight = weights.empty() ? 1 : weights[t];
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j <= i; ++j) sums[i * n + j] += weight * (row[i] * row[j]);
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j)
      sums[i * n + j] = sums[j * n + i] = sums[i * n + j] / static_cast<double>(row_count);
  return sums;
}

void load_history(const RunConfig& config, const NameTable<Underlying>& underlyings,
                  Covariance& covariance, Problems& problems) {
  const std::filesystem::path& file = config.inputs.covariance;
  if (!HistoryReader(file, underlyings, covariance, problems).read()) return;
  const std::size_t row_count = covariance.dates.size();
  if (row_count != config.risk.path_count) {
    problems.add(file.string(), 0,
                 fmt::format("has {} rows now and had {} when the configuration was read; try "
                             "again",
                             row_count, config.risk.path_count));
    return;
  }
  if (config.model.history_filter == HistoryFilter::volatility)
    filter_volatility(covariance.history, covariance.factors.size(), config.model.filter_half_life);
  if (config.model.weight_half_life)
    covariance.weights = decaying_weights(row_count, *config.model.weight_half_life);
  check_weights(config, covariance.weights, problems);
  covariance.matrix =
      second_moment(covariance.history, covariance.factors.size(), covariance.weights);
}

}  // namespace shortfall
