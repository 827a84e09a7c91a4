// A built-in book whose every stage has a known hash: whether a backend computes, on this machine
// and device, the bits that it computes everywhere else.
#pragma once

#include <string>
#include <vector>

#include "shortfall/backend.hpp"

namespace shortfall {

struct SelftestStage {
  std::string name;
  std::string hash;           ///< first 16 hex digits of SHA-256
  std::string expected_hash;  ///< of this release
  bool is_equal() const { return hash == expected_hash; }
};

struct SelftestResult {
  BackendDescription backend;
  /// plan, normals, mixing, factors, states, values, losses, tails, margin.csv: each follows from
  /// those before it, so the first that differs is where to look.
  std::vector<SelftestStage> stages;
  bool is_equal() const;
};

/// Takes about a tenth of a second on a processor.
SelftestResult selftest(Backend& backend);

}  // namespace shortfall
