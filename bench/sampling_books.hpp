// Ten books on the demonstration market, an account each: what samplers are compared on.
#pragma once

#include <cstdint>

#include "shortfall/book.hpp"

namespace shortfall::bench {

struct TenBooks {
  RunInputs inputs;
  std::int64_t as_of;
};

/// Linear, short strangles, short at-the-money calls, delta-hedged strangles, market makers short
/// and long gamma, thirty random positions, call spreads, calendars, basis trades; in BTC, ETH and
/// SOL.
TenBooks ten_books();

}  // namespace shortfall::bench
