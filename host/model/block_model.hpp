// Factor models that keep the covariance within each underlying and change the dependence between
// underlyings.
#pragma once

#include <cstdint>

#include "shortfall/config.hpp"
#include "shortfall/error.hpp"
#include "shortfall/factor_model.hpp"

namespace shortfall {

enum class BetweenUnderlyings : std::uint8_t {
  together,     ///< factors of equal kind and tenor have the same normal
  uncorrelated  ///< each underlying has normals of its own
};

/// `model`, the one built from `covariance` and `config`, with another L: of each underlying's
/// block the lower triangular factor in the order spot, vol by ascending tenor, skew, basis, perp.
/// Column j of a block is that of its j-th factor; `together` gives it the normal of the factor's
/// (kind, tenor), one per distinct pair in the same order, `uncorrelated` the next normal not yet
/// used. Of one underlying both have the same bits. The mixing variable stays. A singular block of
/// more than decomposition_size_max factors goes to `problems`.
FactorModel build_block_model(const Covariance& covariance, const RunConfig& config,
                              const FactorModel& model, BetweenUnderlyings dependence,
                              Problems& problems);

}  // namespace shortfall
