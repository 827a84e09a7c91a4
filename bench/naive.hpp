// The baselines in plain double precision: every position of every account on every path, with
// std::exp, std::log and std::erfc; compiled -O3 -march=native in a library of their own, without
// the flags of the determinism contract.
#pragma once

#include <cstddef>
#include <vector>

#include "plain_book.hpp"

namespace shortfall::naive {

/// Each position from the formulas, nothing shared: the reference of the tests. Losses in USD, a
/// row of paths per account of the book; `moves` as in plain::Book.
[[gnu::visibility("default")]] std::vector<double> plain_losses(const RunConfig& config,
                                                                const RunInputs& inputs,
                                                                const double* moves,
                                                                std::size_t path_count);

/// What a careful user writes: as above, without repeating per position what a path decides.
class [[gnu::visibility("default")]] Engine {
 public:
  explicit Engine(plain::Book book);
  std::vector<double> losses(const double* moves, std::size_t path_count) const;

 private:
  struct Held {
    plain::Contract contract;
    double weight;
  };
  plain::Book book_;
  std::vector<std::vector<Held>> accounts_;  ///< each with what it holds side by side
};

}  // namespace shortfall::naive
