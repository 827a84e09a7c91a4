// The factor moves of every path, held in memory, and plans of one margin group revalued on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "cpu/cpu_loops.hpp"
#include "cpu/tail_filter.hpp"
#include "shortfall/backend.hpp"

namespace shortfall {

class RowBuffers;

/// Moves are [row of 64 paths][factor][64], as CpuLoops::market_states reads them.
class HeldPaths {
 public:
  /// Draws the paths of a plan, which has no need of groups. Throws OperatingError where they do
  /// not fit in the machine's memory.
  HeldPaths(const Plan& plan, const ComputeConfig& compute, const Progress& progress);

  /// The tails of the groups of a plan with the same factors, exactly those of Backend::simulate.
  /// Pointers that are not null are to a float per path, rounded up to whole rows:
  /// - `before` is one more row of values, which a group's last holding may refer to;
  /// - `losses`, empty or one per group, receive the groups' losses.
  /// Throws LossError for the first loss that is not finite, and what `progress` throws.
  Tails tails(const Plan& plan, const float* before, std::span<float* const> losses,
              const Progress& progress = {}) const;

  /// Of the arrays above.
  std::size_t float_count() const { return row_count_ * core::row_path_count; }
  std::uint64_t bytes() const { return row_count_ * row_doubles() * sizeof(double); }

 private:
  struct Revaluation;

  std::size_t row_doubles() const { return std::size_t{factor_count_} * core::row_path_count; }
  void draw(const Plan& plan, const Progress& progress);
  void run(Revaluation& revaluation, TailFilter& filter, PathRange paths) const;
  void redo_missing(Revaluation& revaluation, TailFilter& filter) const;
  void row(const Revaluation& revaluation, RowBuffers& buffers, TailFilter& filter,
           std::uint64_t first_path) const;

  struct Free {
    void operator()(double* p) const;
  };

  const CpuLoops& loops_;
  std::uint32_t thread_count_, factor_count_;
  std::uint64_t path_count_, row_count_;
  std::unique_ptr<double, Free> moves_;
};

}  // namespace shortfall
