// The first paths of a job, and what the engine makes of them: baselines that take long do these
// alone, and are wrong where they find something else.
#pragma once

#include <vector>

#include "job.hpp"
#include "shortfall/trace.hpp"

namespace shortfall::bench {

class Slice {
 public:
  /// A multiple of 64 paths. The expected shortfalls are at `confidence_level`, or the job's.
  Slice(const Job& job, std::uint32_t path_count, std::optional<double> confidence_level = {});

  std::uint32_t path_count() const { return trace_.path_count; }
  const double* moves() const { return trace_.factors.data(); }

  /// The bound on the error of a loss, over max(1, S1/S0) and gross notional: docs/methodology.md,
  /// section 7.
  static constexpr double loss_error_max = 1e-6;

  /// Losses in USD, a row of paths per account. Throws OperatingError unless each is the engine's,
  /// and the expected shortfalls that they give too.
  void check_losses(const std::vector<double>& losses_usd) const;
  /// Throws OperatingError unless these are the engine's: averages of losses have no more error
  /// than the losses. Returns the largest error, over growth and gross notional.
  double check_shortfalls(const std::vector<double>& shortfalls_usd) const;

 private:
  double growth_max() const;

  const Job& job_;
  RunConfig config_;
  PathTrace trace_;
  std::vector<double> growth_;  ///< per path: max(1, S1/S0) over the underlyings
  std::vector<double> shortfalls_usd_;
};

}  // namespace shortfall::bench
