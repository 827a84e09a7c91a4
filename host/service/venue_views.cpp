// What a venue tells: accounts, runs, the engine; and what it computes only when asked.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include "analysis/one_account.hpp"
#include "model/canonical_math.hpp"
#include "model/confidence_interval.hpp"
#include "plan/plan_groups.hpp"
#include "shortfall/core/tail.hpp"
#include "shortfall/report.hpp"
#include "venue_state.hpp"

namespace shortfall::service {
namespace {

constexpr std::size_t contributions_max = 20, bin_count = 60;

/// Every loss of one group, USD, worst first, and what its tail says.
struct SortedLosses {
  std::vector<double> usd;
  double value_at_risk_usd = 0, expected_shortfall_usd = 0;
};

/// Of the account's positions together.
SortedLosses all_losses(RunConfig config, RunInputs inputs, RunBackends& backends,
                        const Progress& progress) {
  if (config.risk.revalue_at == RevalueAt::worst) config.risk.revalue_at = RevalueAt::horizon;
  inputs.book.accounts.front().mode = MarginMode::portfolio;
  Plan plan = build_plan(config, inputs);
  if (plan.groups.empty()) return {};
  plan.tail.count = plan.path_count;
  std::vector<std::string> warnings;
  std::vector<std::uint64_t> keys = backends.simulate(plan, progress, warnings).tails.keys;
  std::sort(keys.begin(), keys.end(), std::greater<>());
  const double usd = canonical::power_of_two(plan.groups.front().scale_exponent);
  SortedLosses losses;
  for (const std::uint64_t key : keys)
    losses.usd.push_back(static_cast<double>(core::tail_loss(key)) * usd);
  const TailCut cut = tail_cut(plan, keys.data());
  losses.value_at_risk_usd = losses.usd[cut.whole];
  double excess = 0;
  for (std::size_t j = 0; j < cut.whole; ++j)
    excess += plan.weight(core::tail_path(keys[j])) * (losses.usd[j] - losses.value_at_risk_usd);
  losses.expected_shortfall_usd = losses.value_at_risk_usd + excess / plan.tail.k;
  return losses;
}

/// Bins of equal width; the outermost take what is beyond the thousandth part at either end, so
/// that a few paths do not squeeze the rest.
LossDistribution distribution_of(const SortedLosses& sorted) {
  LossDistribution distribution;
  distribution.value_at_risk_usd = sorted.value_at_risk_usd;
  distribution.expected_shortfall_usd = sorted.expected_shortfall_usd;
  const std::vector<double>& losses = sorted.usd;
  const std::size_t n = losses.size();
  const double low = losses[n - 1 - n / 1000], high = losses[n / 1000];
  const double width = (high - low) / static_cast<double>(bin_count);
  distribution.counts.assign(width > 0 ? bin_count : 1, 0);
  for (const double loss : losses) {
    const double bin = width > 0 ? std::floor((loss - low) / width) : 0;
    const double last = static_cast<double>(distribution.counts.size() - 1);
    ++distribution.counts[static_cast<std::size_t>(std::clamp(bin, 0.0, last))];
  }
  distribution.bin_edges.push_back(losses.back());
  for (std::size_t b = 1; b < distribution.counts.size(); ++b)
    distribution.bin_edges.push_back(low + width * static_cast<double>(b));
  distribution.bin_edges.push_back(losses.front());
  return distribution;
}

/// The largest, and what the others and the rounding add up to.
void add_contributions(const Attribution& attribution, AccountDetail& detail) {
  for (const PositionShortfall& row : attribution.positions) {
    const std::string& name = attribution.instruments[row.instrument].name;
    const auto held = std::ranges::find(detail.positions, name, &PositionView::instrument);
    // Coins held as collateral may be simulated as positions that are none.
    const Quantity quantity = held == detail.positions.end() ? Quantity() : held->quantity;
    detail.contributions.push_back({name, quantity, row.expected_shortfall_usd});
  }
  std::ranges::stable_sort(detail.contributions, std::greater<>(),
                           [](const Contribution& c) { return std::abs(c.component_usd); });
  for (const Attribution::Of& account : attribution.accounts)
    detail.contributions_rest_usd += account.rounding_usd;
  while (detail.contributions.size() > contributions_max) {
    detail.contributions_rest_usd += detail.contributions.back().component_usd;
    detail.contributions.pop_back();
  }
}

/// What an account holds, after trades that are left out where `trades` is empty.
void add_holdings(const Book& book, std::optional<std::uint32_t> account,
                  const std::vector<Trade>& trades, AccountMargin& margin) {
  std::map<std::string_view, std::pair<const Instrument*, Quantity::Units>> held;
  if (account)
    for (const Position& p :
         std::ranges::equal_range(book.positions, *account, {}, &Position::account)) {
      const Instrument& i = book.instruments[p.instrument];
      held[i.name] = {&i, p.quantity.units()};
    }
  for (const Trade& trade : trades) {
    const auto at = std::ranges::find(book.instruments, trade.instrument, &Instrument::name);
    if (at == book.instruments.end()) continue;  // the session refuses it
    auto& [instrument, units] = held[at->name];
    instrument = &*at;
    units += trade.quantity.units();
  }
  for (const auto& [name, holding] : held) {
    if (holding.second == 0) continue;
    ++margin.position_count;
    margin.gross_notional_usd += std::abs(
        weight_usd(book, *holding.first, Quantity::from_units(holding.second).contracts()));
  }
}

/// The rows of margin.csv as far as the base component goes.
WhatIf base_answer(WhatIfSession& session, const WhatIfQuery& query) {
  const Clock::time_point start = Clock::now();
  const BaseWhatIf base = session.base(query);
  const auto side = [&](double usd, double shortfall_usd, double value_at_risk_usd,
                        double error_usd) {
    AccountMargin margin;
    margin.account = query.account;
    margin.value_at_risk_usd = value_at_risk_usd;
    margin.expected_shortfall_usd = shortfall_usd;
    margin.standard_error_usd = error_usd;
    const double half = interval_quantile(scrambling_count_of(session.config().risk)) * error_usd;
    margin.confidence_low_usd = shortfall_usd - half;
    margin.confidence_high_usd = shortfall_usd + half;
    margin.margin_usd = margin.maintenance_margin_usd = margin.components.base = usd;
    return margin;
  };
  WhatIf answer;
  answer.before = side(base.before_usd, base.before_shortfall_usd, base.before_value_at_risk_usd,
                       base.before_error_usd);
  answer.after = side(base.after_usd, base.after_shortfall_usd, base.after_value_at_risk_usd,
                      base.after_error_usd);
  answer.standard_error_usd = base.standard_error_usd;
  answer.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return answer;
}

}  // namespace

std::int64_t wall_clock_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

AccountView Venue::view_of(std::uint32_t index) const {
  const Book& book = book_->inputs().book;
  const AccountState& state = accounts_[index];
  AccountView view;
  view.name = book.accounts[index].name;
  view.mode = book.accounts[index].mode;
  const auto first = std::ranges::lower_bound(book.positions, index, {}, &Position::account);
  for (auto p = first; p != book.positions.end() && p->account == index; ++p)
    view.position_count += p->quantity.is_zero() ? 0 : 1;
  view.margin = state.margin;
  view.source = state.source;
  if (state.stale_since) {
    view.staleness.seconds =
        std::chrono::duration<double>(Clock::now() - *state.stale_since).count();
    view.staleness.market_updates = market_sequence_ - state.source.market_sequence;
    view.staleness.position_changes = position_sequence_ - state.source.position_sequence;
  }
  return view;
}

RunView Venue::view_of(const RunState& run) const {
  RunView view = run.view;
  if (view.status == RunStatus::running) {
    view.paths_done = run.paths_done;
    view.seconds = std::chrono::duration<double>(Clock::now() - *run.began).count();
  }
  return view;
}

std::vector<AccountView> Venue::accounts() const {
  const std::lock_guard lock(state_mutex_);
  std::vector<AccountView> views;
  views.reserve(accounts_.size());
  for (std::uint32_t a = 0; a < accounts_.size(); ++a) views.push_back(view_of(a));
  return views;
}

std::vector<Instrument> Venue::instruments() const {
  const std::lock_guard lock(state_mutex_);
  return book_->inputs().book.instruments;
}

std::vector<std::string> Venue::underlyings() const {
  const std::lock_guard lock(state_mutex_);
  std::vector<std::string> names;
  for (const Underlying& underlying : book_->inputs().book.underlyings)
    names.push_back(underlying.name);
  return names;
}

std::vector<RunView> Venue::runs(std::size_t count_max) const {
  const std::lock_guard lock(state_mutex_);
  std::vector<RunView> views;
  for (auto run = runs_.rbegin(); run != runs_.rend() && views.size() < count_max; ++run)
    views.push_back(view_of(**run));
  return views;
}

std::optional<RunView> Venue::run(const std::string& id) const {
  const std::lock_guard lock(state_mutex_);
  const auto at = std::ranges::find_if(runs_, [&](const auto& run) { return run->view.id == id; });
  if (at == runs_.end()) return std::nullopt;
  return view_of(**at);
}

EngineView Venue::engine() const {
  const std::lock_guard lock(state_mutex_);
  EngineView view;
  const RunInputs& inputs = book_->inputs();
  view.account_count = accounts_.size();
  view.instrument_count = inputs.book.instruments.size();
  view.path_count = config_.risk.path_count;
  view.as_of = book_->config().as_of;
  view.inputs_generation = inputs_generation_;
  view.market_sequence = market_sequence_;
  view.position_sequence = position_sequence_;
  view.run_sequence = run_sequence_;
  view.waiting = scheduler_.waiting();
  view.paths_per_second = paths_per_second_;
  view.backend = backend_;
  view.backend_failures.assign(backend_failures_.begin(), backend_failures_.end());
  for (const auto& run : runs_) {
    if (run->view.status == RunStatus::running) view.running.push_back(view_of(*run));
    if (run->view.id == last_full_run_) view.last_full_run = view_of(*run);
  }
  for (const AccountState& account : accounts_) {
    if (!account.stale_since) continue;
    ++view.stale_account_count;
    view.stalest_seconds =
        std::max(view.stalest_seconds,
                 std::chrono::duration<double>(Clock::now() - *account.stale_since).count());
  }
  view.uptime_seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  return view;
}

VenueCounts Venue::counts() const {
  const std::lock_guard lock(state_mutex_);
  return counts_;
}

void Venue::at_once(const Work& work) {
  scheduler_.submit(JobClass::what_if, Clock::now(), work)->wait();
}

std::optional<AccountDetail> Venue::account(const std::string& name) {
  AccountDetail detail;
  RunConfig config;
  RunInputs own;
  {
    const std::lock_guard lock(state_mutex_);
    const std::optional<std::uint32_t> index = book_->find_account(name);
    if (!index) return std::nullopt;
    detail.account = view_of(*index);
    config = book_->config();
    own = inputs_of_account(book_->inputs(), *index);
  }
  const Book& book = own.book;
  for (const Position& p : book.positions) {
    if (p.quantity.is_zero()) continue;
    const Instrument& i = book.instruments[p.instrument];
    detail.positions.push_back({i.name, book.underlyings[i.underlying].name, i.type, p.quantity,
                                std::abs(weight_usd(book, i, p.quantity.contracts()))});
  }
  if (detail.positions.empty() || !detail.account.margin) return detail;
  at_once([&](const Checkpoint& checkpoint) {
    RunBackends& backends = *backends_[static_cast<std::size_t>(JobClass::what_if)];
    const Progress progress = [&](std::uint64_t) { checkpoint(); };
    std::vector<std::string> warnings;
    MarginRun run(config, backends, progress, warnings);
    BaseRun base = run.plan(own);
    run.simulate(base);
    const std::vector<AccountMargin> margins =
        account_margins(base.revaluations.front().plan, base.inputs.book, base.risks,
                        base.errors_usd, config.margin);
    add_contributions(run.attribute(base, margins), detail);
    const SortedLosses losses = all_losses(config, base.inputs, backends, progress);
    if (!losses.usd.empty()) detail.distribution = distribution_of(losses);
  });
  return detail;
}

/// The session on the book as it now is. For jobs, which run one at a time.
WhatIfSession& Venue::renew_session(const std::function<void()>& with_state_locked) {
  RunConfig config;
  RunInputs inputs;
  bool is_current = false;
  {
    const std::lock_guard lock(state_mutex_);
    with_state_locked();
    is_current =
        session_ && session_market_ == market_sequence_ && session_positions_ == position_sequence_;
    if (!is_current) {
      config = book_->config();
      inputs = book_->inputs();
    }
    session_market_ = market_sequence_;
    session_positions_ = position_sequence_;
  }
  if (!session_)
    session_ = std::make_unique<WhatIfSession>(config, std::move(inputs));
  else if (!is_current)
    session_->replace(config, std::move(inputs));
  return *session_;
}

WhatIfView Venue::what_if(const WhatIfQuery& query, bool is_exact) {
  WhatIfView view;
  view.is_exact = is_exact || config_.margin.has_components();
  AccountMargin before, after;  // what is held, for answers that have margins alone
  at_once([&](const Checkpoint&) {
    WhatIfSession& session = renew_session([&] {
      const Book& book = book_->inputs().book;
      const std::optional<std::uint32_t> account = book_->find_account(query.account);
      add_holdings(book, account, {}, before);
      add_holdings(book, account, query.trades, after);
      view.market_sequence = market_sequence_;
      view.position_sequence = position_sequence_;
      view.as_of = book_->config().as_of;
    });
    view.answer = view.is_exact ? session.all(query) : base_answer(session, query);
  });
  if (!view.is_exact) {
    for (auto [margin, held] :
         {std::pair(&view.answer.before, &before), std::pair(&view.answer.after, &after)}) {
      margin->position_count = held->position_count;
      margin->gross_notional_usd = held->gross_notional_usd;
    }
  }
  const std::lock_guard lock(state_mutex_);
  ++counts_.what_ifs;
  return view;
}

}  // namespace shortfall::service
