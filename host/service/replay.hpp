// An auditor's question: do the stored inputs still give the stored margins?
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "shortfall/config.hpp"
#include "store.hpp"

namespace shortfall::service {

struct Replay {
  StoredRun run;
  std::string program_version, plan_hash;  ///< of the replay
  std::size_t account_count = 0;
  std::vector<std::string> differing_accounts;  ///< whose rows have other bytes, or are missing
  bool is_equal() const { return differing_accounts.empty() && plan_hash == run.entry.plan_hash; }
};

/// Recomputes an entry of the ledger from what the state directory holds, on backends of this
/// machine, and compares bytes. Throws StoreError, InputError where there is no such entry or it
/// has no margins.
Replay replay_run(const std::filesystem::path& state, std::uint64_t sequence,
                  const ComputeConfig& compute);

}  // namespace shortfall::service
