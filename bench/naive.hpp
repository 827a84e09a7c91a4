// The baselines in plain double precision: every position of every account on every path, with
// std::exp, std::log and std::erfc; compiled -O3 -march=native in a library of their own, without
// the flags of the determinism contract.
#pragma once

#include <cstddef>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"

namespace shortfall::naive {

/// Each position from the formulas, nothing shared: the reference of the tests. Losses as below.
[[gnu::visibility("default")]] std::vector<double> plain_losses(const RunConfig& config,
                                                                const RunInputs& inputs,
                                                                const double* moves,
                                                                std::size_t path_count);

/// What a careful user writes: as above, without repeating per position what a path decides.
class [[gnu::visibility("default")]] Engine {
 public:
  Engine(const RunConfig& config, const RunInputs& inputs);

  /// USD, a row of paths per account of the book. `moves` are the factors' over the horizon, a row
  /// of paths per factor. Index, growth of forwards and of volatilities, all the exponentials, are
  /// computed once per path and expiry.
  std::vector<double> losses(const double* moves, std::size_t path_count) const;

 private:
  /// Growth over the horizon of what instruments of one underlying and expiry share.
  struct Term {
    const Underlying* underlying;
    double years, years_left;  ///< 0 where it expires inside the horizon
    bool is_perpetual;
    int spot, skew, carry;  ///< factors, or -1
    int vol_below, vol_above;
    double share_above;
  };
  struct TermState {
    double index_usd, forward_growth, volatility_growth, skew;
  };
  struct Held {
    std::size_t term;
    InstrumentType type;
    bool is_inverse;
    double contracts;  ///< times multiplier
    double strike, forward, volatility, skew_moneyness, sqrt_years_left;
    double before;  ///< value of one contract, USD
  };

  Term make_term(const RunConfig& config, const RunInputs& inputs, const Instrument& instrument)
      const;
  static TermState state(const Term& term, const double* moves, std::size_t path_count,
                         std::size_t path);
  static double value_usd(const Held& held, const Term& term, const TermState& now);

  std::vector<Term> terms_;
  std::vector<std::vector<Held>> accounts_;
};

}  // namespace shortfall::naive
