// A book whose marks and positions change: at any time what load_inputs would read from files that
// say the same.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"
#include "store.hpp"

namespace shortfall::service {

class LiveBook {
 public:
  /// Inputs as they were read, and their configuration.
  LiveBook(RunConfig config, RunInputs inputs);
  LiveBook(const LiveBook&) = default;
  LiveBook(LiveBook&&) = default;
  LiveBook& operator=(LiveBook&&) = default;

  /// With as_of of the last market update.
  const RunConfig& config() const { return config_; }
  /// Instruments that have expired, which nobody holds, are no longer listed.
  const RunInputs& inputs() const { return inputs_; }

  /// The book after an update, and which of its underlyings have other values: those whose marks
  /// differ, or all where as_of does. Throws InputError with every problem: unknown names, marks
  /// that the loader would refuse, an as_of at which a held instrument has expired.
  struct Moved;
  Moved after(const MarketUpdate& update) const;

  /// Throws InputError with every problem of a batch: names, instruments that are not listed or
  /// lack inputs, net quantities of 1e18 or more.
  void check(std::span<const PositionChange> changes) const;
  /// Adds a batch that was checked. Returns the accounts that it changed, by index. An account that
  /// is new comes last, in the mode of accounts.csv, else portfolio.
  std::vector<std::uint32_t> apply(std::span<const PositionChange> changes);

  std::optional<std::uint32_t> find_account(const std::string& name) const {
    const auto at = accounts_.find(name);
    return at == accounts_.end() ? std::nullopt : std::optional(at->second);
  }

  /// Accounts that hold an instrument of a marked underlying.
  std::vector<bool> holders_of(const std::vector<bool>& underlyings) const;

 private:
  using Places = std::unordered_map<std::string, std::uint32_t>;
  using Sums = std::map<std::pair<std::string_view, std::uint32_t>, Quantity::Units>;

  void index_names();
  Quantity::Units units_held(std::string_view account, std::uint32_t instrument) const;
  void set_spots(const MarketUpdate& update, Problems& problems);
  void set_marks(const MarketUpdate& update, Problems& problems);
  void check_ratios(Problems& problems) const;
  void set_as_of(std::int64_t as_of, Problems& problems);

  RunConfig config_;
  RunInputs inputs_;
  Places accounts_, instruments_, underlyings_;
};

struct LiveBook::Moved {
  LiveBook book;
  std::vector<bool> underlyings;
};

}  // namespace shortfall::service
