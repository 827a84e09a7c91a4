#include "venue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "api_json.hpp"
#include "ledger_rows.hpp"
#include "shortfall/report.hpp"
#include "text.hpp"
#include "venue_state.hpp"

namespace shortfall::service {
namespace {

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

Clock::duration duration_of(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

/// Partial runs are due so soon after the first change that they answer.
constexpr auto refresh_deadline = std::chrono::milliseconds(500);
/// Changes that come faster share a partial run, and an entry of the ledger.
constexpr auto refresh_interval = std::chrono::milliseconds(50);
constexpr auto hold_deadline = std::chrono::seconds(1);
constexpr std::size_t runs_kept = 1000, backend_failures_kept = 20;

/// By what they know. Snapshots are taken one after another: neither number is ever the smaller.
bool is_before(const Source& a, const Source& b) {
  return a.market_sequence < b.market_sequence || a.position_sequence < b.position_sequence;
}

bool has_status(const RunConfig& config) { return config.margin.collateral.has_value(); }

}  // namespace

const char* to_string(RunStatus value) {
  constexpr const char* names[] = {"queued", "running", "done", "failed", "cancelled"};
  return names[static_cast<std::size_t>(value)];
}

const char* to_string(RunKind value) { return value == RunKind::full ? "full" : "partial"; }

Venue::Venue(const RunConfig& config, const std::filesystem::path& state,
             const VenueOptions& options)
    : config_(config),
      options_(options),
      start_ms_(options_.clock_ms()),
      store_(StateStore::open(state)) {
  require_number_of_paths(config_);
  for (std::optional<RunBackends>& backends : backends_)
    backends.emplace(options_.make_backends ? options_.make_backends()
                                            : RunBackends(config_.compute));
  load();
  {
    const std::lock_guard lock(state_mutex_);
    request_full_run();
  }
  cadence_ = std::jthread([this](const std::stop_token& stop) { keep_cadence(stop); });
}

Venue::~Venue() {
  events_.close();
  cadence_.request_stop();
  if (cadence_.joinable()) cadence_.join();
  scheduler_.close();  // while everything that jobs use is there
}

bool Venue::is_ready() const {
  const std::lock_guard lock(state_mutex_);
  return std::ranges::all_of(
      accounts_, [](const AccountState& account) { return account.margin.has_value(); });
}

bool Venue::is_writable() const {
  const std::lock_guard lock(state_mutex_);
  return is_writable_;
}

/// What appends to the store, and whether it could.
template <class Append>
auto Venue::write(Append append) {
  const auto keep = [this](bool is_writable) {
    const std::lock_guard lock(state_mutex_);
    is_writable_ = is_writable;
  };
  try {
    auto appended = append();
    keep(true);
    return appended;
  } catch (const StoreError&) {
    keep(false);
    throw;
  }
}

Venue::MarketAccepted Venue::update_market(const MarketUpdate& update) {
  const std::lock_guard order(store_mutex_);
  if (update.as_of < book_->config().as_of)
    throw Conflict(
        fmt::format("as_of {} is before {}, that of the last update: time does not go "
                    "back",
                    format_date_time(update.as_of), format_date_time(book_->config().as_of)));
  LiveBook::Moved moved = book_->after(update);
  MarketAccepted accepted{write([&] { return store_.append_market(update); }), update.as_of,
                          update.spots.size(), update.marks.size()};
  {
    const std::lock_guard lock(state_mutex_);
    *book_ = std::move(moved.book);
    market_sequence_ = accepted.sequence;
    ++counts_.market_updates;
    const std::vector<bool> holders = book_->holders_of(moved.underlyings);
    for (std::uint32_t a = 0; a < holders.size(); ++a)
      if (holders[a]) mark_stale(a);
  }
  events_.add("market", market_event(accepted));
  return accepted;
}

Accepted Venue::change_positions(std::string_view client_id,
                                 std::span<const PositionChange> changes) {
  const std::lock_guard order(store_mutex_);
  // A batch that was accepted is accepted again, whatever the book has become.
  if (const std::optional<Accepted> repeat = store_.find(client_id, changes)) return *repeat;
  book_->check(changes);
  const Accepted accepted = write([&] { return store_.append_positions(client_id, changes); });
  const std::lock_guard lock(state_mutex_);
  const std::vector<std::uint32_t> touched = book_->apply(changes);
  accounts_.resize(book_->inputs().book.accounts.size());
  position_sequence_ = accepted.sequence;
  ++counts_.position_batches;
  for (const std::uint32_t account : touched) mark_stale(account);
  return accepted;
}

void Venue::mark_stale(std::uint32_t account) {
  AccountState& state = accounts_[account];
  const Clock::time_point now = Clock::now();
  state.stale_since = state.stale_since.value_or(now);
  state.unseen_since = state.unseen_since.value_or(now);
  wants_refresh_ = true;
  cadence_changed_.notify_all();
}

bool Venue::is_near_call(const AccountState& account) const {
  return account.margin && has_status(config_) &&
         (account.margin->status != AccountStatus::ok ||
          account.margin->margin_ratio >= options_.near_call_ratio);
}

/// Two jobs at most wait: one for the accounts near a call, one for the rest. Each takes what is
/// stale when it begins.
void Venue::submit_refresh() {
  for (const JobClass job_class : {JobClass::near_call, JobClass::full}) {
    bool& is_waiting = has_refresh_[static_cast<std::size_t>(job_class)];
    const bool wants_near = job_class == JobClass::near_call;
    const auto is_its_own = [this, wants_near](const AccountState& account) {
      return account.unseen_since && is_near_call(account) == wants_near;
    };
    if (is_waiting || std::ranges::none_of(accounts_, is_its_own)) continue;
    is_waiting = true;
    submit_run(new_run(RunKind::partial), job_class, Clock::now() + refresh_deadline,
               [this, &is_waiting, wants_near] {
                 is_waiting = false;
                 std::vector<std::uint32_t> stale;
                 for (std::uint32_t a = 0; a < accounts_.size(); ++a)
                   if (accounts_[a].unseen_since && (!wants_near || is_near_call(accounts_[a])))
                     stale.push_back(a);
                 return snapshot_of(std::move(stale));
               });
  }
}

/// Accounts by name: the plan's hash does not depend on the order in which they came to be.
Venue::Snapshot Venue::snapshot_of(std::vector<std::uint32_t> accounts) {
  std::ranges::sort(accounts, {}, [this](std::uint32_t a) -> const std::string& {
    return book_->inputs().book.accounts[a].name;
  });
  Snapshot snapshot{book_->config(),     inputs_of_accounts(book_->inputs(), accounts),
                    std::move(accounts), {},
                    market_sequence_,    position_sequence_};
  for (const std::uint32_t a : snapshot.accounts)
    snapshot.unseen_since.push_back(std::exchange(accounts_[a].unseen_since, std::nullopt));
  return snapshot;
}

std::shared_ptr<Venue::RunState> Venue::new_run(RunKind kind) {
  auto run = std::make_shared<RunState>();
  run->view.id = fmt::format("{}-{}", start_ms_, ++run_count_);
  run->view.entry.kind = kind;
  run->view.entry.inputs_generation = inputs_generation_;
  run->view.entry.market_sequence = market_sequence_;
  run->view.entry.position_sequence = position_sequence_;
  run->view.entry.as_of = book_->config().as_of;
  run->view.entry.seed = config_.risk.seed;
  run->view.entry.path_count = config_.risk.path_count;
  run->view.entry.sampler = config_.model.scenarios == Scenarios::history
                                ? to_string(config_.model.scenarios)
                                : to_string(config_.risk.sampler);
  run->view.entry.program_version = version();
  run->view.requested_at_ms = options_.clock_ms();
  run->view.input_hashes = input_hashes_;
  runs_.push_back(run);
  while (runs_.size() > runs_kept) runs_.pop_front();
  return run;
}

/// `take` is called with the state locked, when the job begins.
void Venue::submit_run(const std::shared_ptr<RunState>& run, JobClass job_class,
                       Clock::time_point deadline, std::function<Snapshot()> take) {
  run->job = scheduler_.submit(job_class, deadline, [=, this](const Checkpoint& checkpoint) {
    const Snapshot snapshot = begin(*run, take);
    evaluate(*run, snapshot, job_class, checkpoint);
  });
}

Venue::Snapshot Venue::begin(RunState& run, const std::function<Snapshot()>& take) {
  Snapshot snapshot;
  RunView view;
  {
    const std::lock_guard lock(state_mutex_);
    snapshot = take();
    run.view.status = RunStatus::running;
    run.view.account_count = snapshot.accounts.size();
    run.view.entry.market_sequence = snapshot.market_sequence;
    run.view.entry.position_sequence = snapshot.position_sequence;
    run.view.entry.as_of = snapshot.config.as_of;
    run.view.entry.began_at_ms = options_.clock_ms();
    run.began = Clock::now();
    view = view_of(run);
  }
  events_.add("run", run_event(view));
  return snapshot;
}

void Venue::evaluate(RunState& run, const Snapshot& snapshot, JobClass job_class,
                     const Checkpoint& checkpoint) {
  const Progress progress = [&](std::uint64_t paths_done) {
    run.paths_done = paths_done;
    checkpoint();
  };
  RunBackends& backends = *backends_[static_cast<std::size_t>(job_class)];
  std::vector<std::string> warnings;
  const auto keep_warnings = [&] {
    for (const std::string& failure : backends.take_failures()) lose_backend(failure);
    const std::lock_guard lock(state_mutex_);
    run.view.warnings = warnings;
  };
  try {
    MarginRun margin_run(snapshot.config, backends, progress, warnings);
    BaseRun base = margin_run.plan(snapshot.inputs);
    {
      const std::lock_guard lock(state_mutex_);
      run.view.entry.plan_hash = base.revaluations.front().plan.hash;
    }
    checkpoint();
    margin_run.simulate(base);
    checkpoint();
    {
      const std::lock_guard lock(state_mutex_);
      backend_ = base.shares.front().backend;
    }
    std::vector<AccountMargin> margins = margin_run.margins(base);
    keep_warnings();
    checkpoint();
    publish(run, snapshot, std::move(margins));
  } catch (const JobCancelled&) {
    keep_warnings();
    end_without_margins(run, snapshot, RunStatus::cancelled, "cancelled");
    throw;
  } catch (const std::exception& error) {
    keep_warnings();
    if (dynamic_cast<const DeviceError*>(&error)) lose_backend(error.what());
    end_without_margins(run, snapshot, RunStatus::failed, error.what());
    throw;
  }
}

void Venue::lose_backend(const std::string& failure) {
  const std::lock_guard lock(state_mutex_);
  ++counts_.backend_errors;
  backend_failures_.push_back(failure);
  while (backend_failures_.size() > backend_failures_kept) backend_failures_.pop_front();
}

void Venue::publish(RunState& run, const Snapshot& snapshot, std::vector<AccountMargin> margins) {
  RunEntry entry;
  {
    const std::lock_guard lock(state_mutex_);
    run.view.entry.ended_at_ms = options_.clock_ms();
    entry = run.view.entry;
  }
  std::uint64_t sequence = 0;
  {
    const std::lock_guard order(store_mutex_);
    sequence =
        write([&] { return store_.append_run(entry, rows_of(margins, snapshot.config.margin)); });
  }
  StatusChanges changed;
  RunView view;
  {
    const std::lock_guard lock(state_mutex_);
    run_sequence_ = std::max(run_sequence_, sequence);
    end_run(run, RunStatus::done, "");
    run.view.sequence = sequence;
    ++counts_.runs_done;
    counts_.paths += entry.path_count;
    if (run.view.seconds > 0)
      paths_per_second_ = static_cast<double>(entry.path_count) / run.view.seconds;
    const Source source{run.view.id, sequence, entry.market_sequence, entry.position_sequence,
                        entry.as_of};
    for (std::size_t i = 0; i < margins.size(); ++i) {
      AccountState& account = accounts_[snapshot.accounts[i]];
      // A later snapshot may have been published first, by a job inside this one.
      if (account.margin && is_before(source, account.source)) continue;
      std::optional<AccountStatus> before;
      if (account.margin) before = account.margin->status;
      const bool is_same = account.margin && account.margin->margin_usd == margins[i].margin_usd &&
                           account.margin->equity_usd == margins[i].equity_usd;
      account.margin = std::move(margins[i]);
      account.source = source;
      account.stale_since = account.unseen_since;
      if (!is_same || before != account.margin->status)
        changed.emplace_back(view_of(snapshot.accounts[i]), before);
    }
    view = view_of(run);
    hold_accounts_later();
  }
  tell(changed, view);
}

/// Once margins are fresh, so that the first what-if of a large account need not revalue it.
void Venue::hold_accounts_later() {
  if (config_.margin.has_components() || std::exchange(will_hold_accounts_, true)) return;
  const auto hold = [this](const Checkpoint& checkpoint) {
    WhatIfSession& session = renew_session([this] { will_hold_accounts_ = false; });
    const std::uint64_t market = session_market_;
    session.hold_accounts([&](std::uint64_t) {
      checkpoint();
      const std::lock_guard lock(state_mutex_);
      if (market_sequence_ != market) throw JobCancelled();  // for margins to be fresh sooner
    });
  };
  scheduler_.submit(JobClass::full, Clock::now() + hold_deadline, hold);
}

/// Events of a run: margins by hundreds, then calls and recoveries, then the run itself.
void Venue::tell(const StatusChanges& changed, const RunView& run) {
  constexpr std::size_t event_accounts_max = 100;
  std::vector<AccountView> batch;
  for (std::size_t i = 0; i < changed.size(); ++i) {
    batch.push_back(changed[i].first);
    if (batch.size() < event_accounts_max && i + 1 < changed.size()) continue;
    events_.add("margin", margin_event(batch, config_.margin));
    batch.clear();
  }
  if (has_status(config_))
    for (const auto& [account, before] : changed) {
      const AccountStatus after = account.margin->status, was = before.value_or(AccountStatus::ok);
      if (after != was)
        events_.add(after > was ? "call" : "recovery", status_event(account, before));
    }
  events_.add("run", run_event(run));
}

void Venue::end_run(RunState& run, RunStatus status, const std::string& error) {
  run.view.status = status;
  run.view.error = error;
  run.view.seconds = run.began ? seconds_between(*run.began, Clock::now()) : 0;
  run.view.paths_done =
      status == RunStatus::done ? run.view.entry.path_count : run.paths_done.load();
  if (run.view.entry.kind == RunKind::full && status == RunStatus::done)
    last_full_run_ = run.view.id;
}

/// A run that failed is in the ledger, one that was cancelled is not. The accounts stay stale, and
/// wait for the next change or the next full run: what has failed once would fail again.
void Venue::end_without_margins(RunState& run, const Snapshot& snapshot, RunStatus status,
                                const std::string& why) {
  std::optional<std::uint64_t> sequence;
  if (status == RunStatus::failed) {
    RunEntry entry;
    {
      const std::lock_guard lock(state_mutex_);
      entry = run.view.entry;
    }
    entry.ended_at_ms = options_.clock_ms();
    entry.failure = why;
    try {
      const std::lock_guard order(store_mutex_);
      sequence = write([&] { return store_.append_run(entry, {}); });
    } catch (const StoreError&) {  // what failed may have been the store
    }
  }
  RunView view;
  {
    const std::lock_guard lock(state_mutex_);
    for (std::size_t i = 0; i < snapshot.accounts.size(); ++i) {
      std::optional<Clock::time_point>& since = accounts_[snapshot.accounts[i]].unseen_since;
      if (snapshot.unseen_since[i]) since = snapshot.unseen_since[i];
    }
    end_run(run, status, why);
    run.view.sequence = sequence;
    run.view.entry.ended_at_ms = options_.clock_ms();
    if (sequence) run_sequence_ = std::max(run_sequence_, *sequence);
    if (status == RunStatus::failed) ++counts_.runs_failed;
    view = view_of(run);
  }
  events_.add("run", run_event(view));
}

RunView Venue::request_run(std::span<const std::string> names) {
  const std::lock_guard lock(state_mutex_);
  if (names.empty()) return view_of(*request_full_run());
  std::vector<std::uint32_t> accounts;
  Problems problems;
  for (const std::string& name : names) {
    if (const std::optional<std::uint32_t> a = book_->find_account(name))
      accounts.push_back(*a);
    else
      problems.add("accounts", 0, fmt::format("there is no account {}", in_quotes(name)));
  }
  problems.throw_if_any();
  std::ranges::sort(accounts);
  accounts.erase(std::unique(accounts.begin(), accounts.end()), accounts.end());
  const auto run = new_run(RunKind::partial);
  submit_run(run, JobClass::full, Clock::now() + duration_of(options_.full_run_seconds),
             [this, accounts] { return snapshot_of(accounts); });
  return view_of(*run);
}

/// A new one, but where one waits, which will take what is new as well.
std::shared_ptr<Venue::RunState> Venue::request_full_run() {
  const auto waits = [](const auto& run) {
    return run->view.entry.kind == RunKind::full && run->view.status == RunStatus::queued;
  };
  if (const auto at = std::ranges::find_if(runs_, waits); at != runs_.end()) return *at;
  const auto run = new_run(RunKind::full);
  submit_run(run, JobClass::full, Clock::now() + duration_of(options_.full_run_seconds), [this] {
    std::vector<std::uint32_t> all(accounts_.size());
    std::iota(all.begin(), all.end(), 0u);
    return snapshot_of(std::move(all));
  });
  return run;
}

/// Full runs by the clock, partial runs when something changed, but not one per change.
void Venue::keep_cadence(const std::stop_token& stop) {
  std::unique_lock lock(state_mutex_);
  const Clock::duration period = duration_of(options_.full_run_seconds);
  Clock::time_point next_full = Clock::now() + period, next_refresh = Clock::now();
  while (!stop.stop_requested()) {
    const Clock::time_point now = Clock::now();
    if (now >= next_full) {
      const bool is_running = std::ranges::any_of(runs_, [](const auto& run) {
        return run->view.entry.kind == RunKind::full && run->view.status == RunStatus::running;
      });
      if (!is_running) request_full_run();
      next_full = now + period;
    }
    if (wants_refresh_ && now >= next_refresh) {
      wants_refresh_ = false;
      submit_refresh();
      next_refresh = now + refresh_interval;
    }
    const bool is_wanted = wants_refresh_;
    cadence_changed_.wait_until(lock, stop,
                                is_wanted ? std::min(next_full, next_refresh) : next_full,
                                [&] { return wants_refresh_ != is_wanted; });
  }
}

}  // namespace shortfall::service
