// What a trade would do to an account's margin, before it is made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/scheduler.hpp"

namespace shortfall {

struct Trade {
  std::string instrument;
  Quantity quantity;  ///< contracts, signed: added to what the account holds
};

/// "INSTRUMENT:QUANTITY"; the last colon divides. Throws InputError.
Trade parse_trade(std::string_view text);

struct WhatIfQuery {
  std::string account;
  std::vector<Trade> trades;  ///< those in the same instrument add up
  /// Whether an account that the book does not have may be opened, in the mode that accounts.csv
  /// gives it, else portfolio. Without it an unknown account is an InputError.
  bool may_open = false;
};

/// Margins before and after, every component, with the bits of full runs without and with the
/// trades.
struct WhatIf {
  AccountMargin before, after;
  /// Of after.expected_shortfall_usd - before.expected_shortfall_usd, on the same paths and jointly
  /// over all margin groups.
  double standard_error_usd = 0;
  double seconds = 0;  ///< that the answer took, without loading
  std::vector<std::string> warnings;
};

/// The same for the base component alone.
struct BaseWhatIf {
  double before_usd = 0, after_usd = 0;  ///< base component: MarginComponents::base
  double before_shortfall_usd = 0, after_shortfall_usd = 0;
  double before_value_at_risk_usd = 0, after_value_at_risk_usd = 0;
  double before_error_usd = 0, after_error_usd = 0;  ///< of each shortfall; margin groups added
  double standard_error_usd = 0;                     ///< of the difference of the shortfalls
};

/// Loads, answers with all components on the backends of the configuration, and forgets. Throws
/// InputError for an account or instrument that is unknown, a net quantity of 1e18 or more, and
/// trades that need what the inputs lack (a factor, a row of a charge).
WhatIf what_if(const RunConfig& config, const WhatIfQuery& query, const Progress& progress = {});

/// A loaded book with its factor moves on every path, against which queries are answered. Not for
/// several threads at once.
class WhatIfSession {
 public:
  /// Loads the inputs and draws the paths, on compute.threads threads of the CPU. Throws
  /// OperatingError where the machine's memory cannot hold the moves: paths x factors x 8 bytes.
  explicit WhatIfSession(const RunConfig& config, const Progress& progress = {});
  /// The same for inputs in memory, as they were read.
  WhatIfSession(const RunConfig& config, RunInputs as_read, const Progress& progress = {});
  ~WhatIfSession();

  /// Other marks, positions or as_of, with the same covariance and settings of model and risk. What
  /// is held of accounts whose marks and positions are as before stays, and paths in any case.
  void replace(const RunConfig& config, RunInputs as_read);

  /// From the moves that are held, on compute.threads threads of the CPU: within 1e-6 of the gross
  /// notional, before or after, whichever is larger, of a run that includes the trades. The first
  /// query of an account takes as long as its positions need, and in cross mode so does the first
  /// trade in an underlying; then a leg is one revaluation per path. Accounts are kept, up to
  /// bytes_held_max the last that were asked for: per margin group its tail, and 4 bytes per path
  /// of a portfolio or of an underlying that was traded. Throws InputError like what_if,
  /// OperatingError for a loss that is not usable.
  BaseWhatIf base(const WhatIfQuery& query);
  static constexpr std::uint64_t bytes_held_max = std::uint64_t{256} << 20;

  /// Spares accounts that are not held their first query: the largest first, as many as fit,
  /// revalued together in one pass over the paths. `progress` is called with the paths done, as
  /// often as work can wait; it may ask the session, and may call `replace`, after which what no
  /// longer holds is dropped. Accounts whose losses are not usable are left to their query. Throws
  /// what `progress` throws; then nothing has changed.
  void hold_accounts(const Progress& progress = {});
  /// what_if on the loaded book: simulated anew.
  WhatIf all(const WhatIfQuery& query);

  const RunConfig& config() const;
  std::uint32_t factor_count() const;
  double load_seconds() const;
  /// What is held between queries: moves, inputs and accounts.
  std::uint64_t bytes() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace shortfall
