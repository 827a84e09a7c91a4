#include "venue.hpp"

#include <fmt/format.h>

#include <algorithm>
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
constexpr std::size_t runs_kept = 1000;

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
  for (std::optional<RunBackends>& backends : backends_) backends.emplace(config_.compute);
  load();
  request_run({});
  periodic_ = std::jthread([this](const std::stop_token& stop) { repeat_full_runs(stop); });
}

Venue::~Venue() {
  events_.close();
  periodic_.request_stop();
  if (periodic_.joinable()) periodic_.join();
  scheduler_.reset();  // cancels, while everything it uses is there
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
    request_refresh();
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
  request_refresh();
  return accepted;
}

void Venue::mark_stale(std::uint32_t account) {
  if (!accounts_[account].stale_since) accounts_[account].stale_since = Clock::now();
}

/// Two jobs at most wait: one for the accounts near a call, one for the rest. Each takes what is
/// stale when it begins.
void Venue::request_refresh() {
  const auto is_near = [this](const AccountState& account) {
    return account.margin && has_status(config_) &&
           (account.margin->status != AccountStatus::ok ||
            account.margin->margin_ratio >= options_.near_call_ratio);
  };
  for (const JobClass job_class : {JobClass::near_call, JobClass::full}) {
    bool& is_waiting = has_refresh_[static_cast<std::size_t>(job_class)];
    const bool wants_near = job_class == JobClass::near_call;
    const auto is_wanted = [is_near, wants_near](const AccountState& account) {
      return account.stale_since && (!wants_near || is_near(account));
    };
    if (is_waiting || std::ranges::none_of(accounts_, is_wanted)) continue;
    if (!wants_near && std::ranges::all_of(accounts_, [&](const AccountState& account) {
          return !account.stale_since || is_near(account);
        }))
      continue;
    is_waiting = true;
    submit_run(new_run(RunKind::partial), job_class, Clock::now() + refresh_deadline,
               [this, &is_waiting, is_wanted] {
                 is_waiting = false;
                 std::vector<std::uint32_t> stale;
                 for (std::uint32_t a = 0; a < accounts_.size(); ++a)
                   if (is_wanted(accounts_[a])) stale.push_back(a);
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
    snapshot.stale_since.push_back(std::exchange(accounts_[a].stale_since, std::nullopt));
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
  run->view.entry.sampler = to_string(config_.risk.sampler);
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
  run->job = scheduler_->submit(job_class, deadline, [=, this](const Checkpoint& checkpoint) {
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
  try {
    std::vector<std::string> warnings;
    MarginRun margin_run(snapshot.config, *backends_[static_cast<std::size_t>(job_class)], progress,
                         warnings);
    BaseRun base = margin_run.plan(snapshot.inputs);
    {
      const std::lock_guard lock(state_mutex_);
      run.view.entry.plan_hash = base.revaluations.front().plan.hash;
    }
    margin_run.simulate(base);
    {
      const std::lock_guard lock(state_mutex_);
      backend_ = base.shares.front().backend;
    }
    publish(run, snapshot, margin_run.margins(base));
  } catch (const JobCancelled&) {
    end_without_margins(run, snapshot, RunStatus::cancelled, "cancelled");
    throw;
  } catch (const std::exception& error) {
    end_without_margins(run, snapshot, RunStatus::failed, error.what());
    throw;
  }
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
      // A later snapshot may have been published first.
      if (account.margin && account.source.run_sequence > sequence) continue;
      std::optional<AccountStatus> before;
      if (account.margin) before = account.margin->status;
      const bool is_same = account.margin && account.margin->margin_usd == margins[i].margin_usd &&
                           account.margin->equity_usd == margins[i].equity_usd;
      account.margin = std::move(margins[i]);
      account.source = source;
      if (!is_same || before != account.margin->status)
        changed.emplace_back(view_of(snapshot.accounts[i]), before);
    }
    view = view_of(run);
  }
  tell(changed, view);
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
      std::optional<Clock::time_point>& since = accounts_[snapshot.accounts[i]].stale_since;
      if (snapshot.stale_since[i]) since = snapshot.stale_since[i];
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
  const bool is_full = names.empty();
  const auto run = new_run(is_full ? RunKind::full : RunKind::partial);
  submit_run(run, JobClass::full, Clock::now() + duration_of(options_.full_run_seconds),
             [this, is_full, accounts] {
               std::vector<std::uint32_t> taken = accounts;
               if (is_full)
                 for (std::uint32_t a = 0; a < accounts_.size(); ++a) taken.push_back(a);
               return snapshot_of(std::move(taken));
             });
  return view_of(*run);
}

void Venue::repeat_full_runs(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    wake.wait_for(lock, stop, duration_of(options_.full_run_seconds), [] { return false; });
    if (stop.stop_requested()) return;
    // One that waits, or that is under way, is enough.
    const std::vector<RunView> recent = runs(runs_kept);
    const bool is_pending = std::ranges::any_of(recent, [](const RunView& run) {
      return run.entry.kind == RunKind::full &&
             (run.status == RunStatus::queued || run.status == RunStatus::running);
    });
    if (!is_pending) request_run({});
  }
}

}  // namespace shortfall::service
