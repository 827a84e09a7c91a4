// A venue's book as it changes, its margins as they are computed, and what is told of them. The
// HTTP layer above parses and formats; the store below makes durable; this decides.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "events.hpp"
#include "live_book.hpp"
#include "run/job_scheduler.hpp"
#include "run/margin_run.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/whatif.hpp"
#include "store.hpp"

namespace shortfall::service {

using Clock = std::chrono::steady_clock;

/// Which run a margin is of, and on what.
struct Source {
  std::string run;  ///< RunView::id
  std::uint64_t run_sequence = 0, market_sequence = 0, position_sequence = 0;
  std::int64_t as_of = 0;
};

/// How far behind a margin is: seconds since the first change that it does not know of.
struct Staleness {
  double seconds = 0;
  std::uint64_t market_updates = 0, position_changes = 0;  ///< batches
};

struct AccountView {
  std::string name;
  MarginMode mode = MarginMode::portfolio;
  std::uint32_t position_count = 0;     ///< held now, net and not 0
  std::optional<AccountMargin> margin;  ///< before a first run: none
  Source source;
  Staleness staleness;
};

/// Losses of an account's positions together, USD.
struct LossDistribution {
  std::vector<double> bin_edges;
  std::vector<std::uint64_t> counts;
  double value_at_risk_usd = 0, expected_shortfall_usd = 0;
};

struct Contribution {
  std::string instrument;
  Quantity quantity;
  double component_usd = 0;
};

struct PositionView {
  std::string instrument, underlying;
  InstrumentType type = InstrumentType::spot;
  Quantity quantity;
  double gross_notional_usd = 0;
};

struct AccountDetail {
  AccountView account;
  std::optional<LossDistribution> distribution;
  std::vector<Contribution> contributions;  ///< at most 20, largest first
  double contributions_rest_usd = 0;
  std::vector<PositionView> positions;
};

struct WhatIfView {
  WhatIf answer;
  bool is_exact = false;  ///< the bits of runs; else within 1e-8 of the gross notional
  std::uint64_t market_sequence = 0, position_sequence = 0;
  std::int64_t as_of = 0;
};

enum class RunStatus : std::uint8_t { queued, running, done, failed, cancelled };
const char* to_string(RunStatus value);
const char* to_string(RunKind value);

/// A run, finished or not. Times of the wall clock are in milliseconds since the epoch.
struct RunView {
  std::string id;
  std::optional<std::uint64_t> sequence;  ///< in the ledger, once it ended
  RunEntry entry;                         ///< as far as it is known
  RunStatus status = RunStatus::queued;
  std::string error;
  std::uint64_t account_count = 0, paths_done = 0;
  double seconds = 0;
  std::int64_t requested_at_ms = 0;
  std::vector<InputHash> input_hashes;
  std::vector<std::string> warnings;  ///< as in run.json: of the model, and of devices that failed
};

struct EngineView {
  BackendDescription backend;
  std::size_t account_count = 0, instrument_count = 0;
  std::uint64_t path_count = 0;
  std::int64_t as_of = 0;
  std::uint64_t inputs_generation = 0, market_sequence = 0, position_sequence = 0, run_sequence = 0;
  std::array<WaitingJobs, job_class_count> waiting{};
  double paths_per_second = 0;  ///< of the last runs
  std::vector<RunView> running;
  std::optional<RunView> last_full_run;
  double stalest_seconds = 0;
  std::size_t stale_account_count = 0;
  std::vector<std::string> backend_failures;  ///< the last, and why
  double uptime_seconds = 0;
};

/// Counters and latencies since the start, for the metrics.
struct VenueCounts {
  std::uint64_t runs_done = 0, runs_failed = 0, what_ifs = 0, market_updates = 0,
                position_batches = 0, backend_errors = 0, paths = 0;
};

/// Milliseconds since the epoch, by the wall clock: for people, never for order.
std::int64_t wall_clock_ms();

struct VenueOptions {
  double full_run_seconds = 60;    ///< between periodic full runs
  double near_call_ratio = 0.8;    ///< margin ratio from which an account is revalued first
  bool adopts_new_inputs = false;  ///< files that differ from the stored ones become the inputs
  std::function<std::int64_t()> clock_ms = wall_clock_ms;  ///< for times that people read
  /// Once per class of jobs; empty: those that the configuration asks for.
  std::function<RunBackends()> make_backends = {};
};

/// For any number of threads. Methods throw InputError for what a request has wrong (422), Conflict
/// (409), StoreError and other OperatingErrors (500, 503); then nothing has changed.
class Venue {
 public:
  /// Opens the state directory, adopts the files of the configuration where it is new, and begins
  /// the first full run. Throws InputError where the files are not those of the state.
  Venue(const RunConfig& config, const std::filesystem::path& state, const VenueOptions& options);
  /// Cancels runs; what was acknowledged is in the store.
  ~Venue();
  Venue(const Venue&) = delete;
  Venue& operator=(const Venue&) = delete;

  /// Margins of every account are there.
  bool is_ready() const;
  /// The last write to the store did not fail. The next full run writes.
  bool is_writable() const;

  struct MarketAccepted {
    std::uint64_t sequence = 0;
    std::int64_t as_of = 0;
    std::size_t underlying_count = 0, instrument_count = 0;  ///< marks given
  };
  /// as_of may not go back: Conflict. Durable when it returns; runs follow by themselves.
  MarketAccepted update_market(const MarketUpdate& update);
  Accepted change_positions(std::string_view client_id, std::span<const PositionChange> changes);

  std::vector<AccountView> accounts() const;
  /// Simulates the account alone; empty where there is none of that name.
  std::optional<AccountDetail> account(const std::string& name);
  /// `is_exact`: simulated anew, with every component; else on paths that are held where the
  /// configuration has no component but base.
  WhatIfView what_if(const WhatIfQuery& query, bool is_exact);
  std::vector<Instrument> instruments() const;
  std::vector<std::string> underlyings() const;

  /// All accounts where none is named; then a full run that waits already is the answer. Throws
  /// InputError for a name that is none.
  RunView request_run(std::span<const std::string> accounts);
  std::vector<RunView> runs(std::size_t count_max) const;
  std::optional<RunView> run(const std::string& id) const;

  EngineView engine() const;
  VenueCounts counts() const;
  const RunConfig& config() const { return config_; }
  EventLog& events() { return events_; }

 private:
  struct AccountState;
  struct RunState;
  struct Snapshot;
  using StatusChanges = std::vector<std::pair<AccountView, std::optional<AccountStatus>>>;

  void load();
  template <class Append>
  auto write(Append append);
  void mark_stale(std::uint32_t account);
  bool is_near_call(const AccountState& account) const;
  void submit_refresh();
  std::shared_ptr<RunState> request_full_run();
  Snapshot snapshot_of(std::vector<std::uint32_t> accounts);
  std::shared_ptr<RunState> new_run(RunKind kind);
  void submit_run(const std::shared_ptr<RunState>& run, JobClass job_class,
                  Clock::time_point deadline, std::function<Snapshot()> take);
  Snapshot begin(RunState& run, const std::function<Snapshot()>& take);
  void evaluate(RunState& run, const Snapshot& snapshot, JobClass job_class,
                const Checkpoint& checkpoint);
  void lose_backend(const std::string& failure);
  void publish(RunState& run, const Snapshot& snapshot, std::vector<AccountMargin> margins);
  void tell(const StatusChanges& changed, const RunView& run);
  void end_run(RunState& run, RunStatus status, const std::string& error);
  void end_without_margins(RunState& run, const Snapshot& snapshot, RunStatus status,
                           const std::string& why);
  void keep_cadence(const std::stop_token& stop);
  void hold_accounts_later();
  WhatIfSession& renew_session(const std::function<void()>& with_state_locked);
  AccountView view_of(std::uint32_t account) const;
  RunView view_of(const RunState& run) const;
  /// Runs work in a class that waits for nothing but units of others.
  void at_once(const Work& work);

  const RunConfig config_;  ///< as given
  const VenueOptions options_;
  const Clock::time_point start_ = Clock::now();
  const std::int64_t start_ms_;

  std::mutex store_mutex_;  ///< before state_mutex_: changes one after the other
  StateStore store_;
  std::uint64_t inputs_generation_ = 0;
  std::vector<InputHash> input_hashes_;

  mutable std::mutex state_mutex_;
  std::unique_ptr<LiveBook> book_;  ///< changed under both
  std::vector<AccountState> accounts_;
  std::uint64_t market_sequence_ = 0, position_sequence_ = 0, run_sequence_ = 0;
  std::deque<std::shared_ptr<RunState>> runs_;  ///< newest last
  std::string last_full_run_;
  std::uint64_t run_count_ = 0;
  bool wants_refresh_ = false;  ///< something changed since the last was submitted
  bool has_refresh_[job_class_count] = {};
  bool will_hold_accounts_ = false;
  VenueCounts counts_;
  bool is_writable_ = true;
  double paths_per_second_ = 0;
  BackendDescription backend_;
  std::deque<std::string> backend_failures_;

  EventLog events_;
  /// A job inside another of a less urgent class has backends of its own.
  std::array<std::optional<RunBackends>, job_class_count> backends_;
  std::unique_ptr<WhatIfSession> session_;  ///< for jobs of its class, one at a time
  std::uint64_t session_market_ = 0, session_positions_ = 0;

  JobScheduler scheduler_;
  std::condition_variable_any cadence_changed_;
  std::jthread cadence_;
};

}  // namespace shortfall::service
