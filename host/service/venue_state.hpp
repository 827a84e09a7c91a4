// What a venue keeps in memory besides the book. For venue*.cpp only.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "venue.hpp"

namespace shortfall::service {

/// Of one account, in the order of the book's.
struct Venue::AccountState {
  std::optional<AccountMargin> margin;
  Source source;
  /// When the first change came that the margin does not know of, and of these the first that no
  /// run under way knows of either.
  std::optional<Clock::time_point> stale_since = Clock::now(), unseen_since = stale_since;
};

struct Venue::RunState {
  RunView view;  ///< under the state's mutex
  std::optional<Clock::time_point> began;
  std::atomic<std::uint64_t> paths_done = 0;
  std::shared_ptr<Job> job;
};

/// The book of some accounts at one moment.
struct Venue::Snapshot {
  RunConfig config;
  RunInputs inputs;
  std::vector<std::uint32_t> accounts;  ///< of the book, in the order of `inputs`
  std::vector<std::optional<Clock::time_point>> unseen_since;  ///< theirs, before it was taken
  std::uint64_t market_sequence = 0, position_sequence = 0;
};

/// The files that a configuration reads, by role.
std::vector<InputFileCopy> read_input_files(const RunConfig& config);

/// The book after so many market updates and position batches. `config` is that of the inputs.
LiveBook book_at(const StateStore& store, const RunConfig& config, std::uint64_t market_sequence,
                 std::uint64_t position_sequence);

}  // namespace shortfall::service
