#include "shortfall/whatif.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "canonical_math.hpp"
#include "joint_error.hpp"
#include "margin_run.hpp"
#include "one_account.hpp"
#include "whatif_account.hpp"
#include "whatif_query.hpp"

namespace shortfall {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The account twice, before and after the trades. The second has a name of its own, which messages
/// may show, and collateral of its own.
RunInputs both_sides(RunInputs inputs, const std::vector<TradeLeg>& legs) {
  Book& book = inputs.book;
  const Account after{book.accounts.front().name + " with the trades", book.accounts.front().mode};
  for (Position position : with_legs(book.positions, legs)) {
    position.account = 1;
    book.positions.push_back(position);
  }
  const std::size_t row_count = book.collateral.size();
  for (std::size_t r = 0; r < row_count; ++r) {
    Collateral row = book.collateral[r];
    row.account = after.name;
    book.collateral.push_back(std::move(row));
  }
  book.accounts.push_back(after);
  return inputs;
}

/// Of the second account's expected shortfall less the first's.
double standard_error_usd(const BaseRun& base) {
  JointError difference;
  const Plan& plan = base.revaluations.front().plan;
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g) {
    const double unit_usd = canonical::power_of_two(plan.groups[g].scale_exponent);
    difference.add(base.tail(g), plan.groups[g].account == 1 ? unit_usd : -unit_usd);
  }
  return difference.standard_error(plan.tail, plan.path_count, plan.scrambling_count);
}

WhatIf simulate_both(const RunConfig& config, const RunInputs& inputs, const ResolvedQuery& query,
                     RunBackends& backends, const Progress& progress) {
  const Clock::time_point start = Clock::now();
  WhatIf answer;
  MarginRun run(config, backends, progress, answer.warnings);
  BaseRun base = run.plan(both_sides(inputs_of_query(inputs, query), query.legs));
  run.simulate(base);
  std::vector<AccountMargin> margins = run.margins(base);
  margins[1].account = margins[0].account;
  answer.before = std::move(margins[0]);
  answer.after = std::move(margins[1]);
  answer.standard_error_usd = standard_error_usd(base);
  answer.seconds = seconds_since(start);
  return answer;
}

std::uint64_t bytes_of(const RunInputs& inputs) {
  const Book& book = inputs.book;
  std::uint64_t bytes =
      book.positions.capacity() * sizeof(Position) +
      book.instruments.capacity() * sizeof(Instrument) +
      (book.accounts.capacity() + inputs.listed_accounts.capacity()) * sizeof(Account) +
      book.collateral.capacity() * sizeof(Collateral) +
      inputs.covariance.matrix.capacity() * sizeof(double);
  const auto add_names = [&](const auto& entries) {
    for (const auto& entry : entries)
      if (entry.name.capacity() > std::string().capacity()) bytes += entry.name.capacity() + 1;
  };
  add_names(book.instruments);
  add_names(book.accounts);
  add_names(inputs.listed_accounts);
  if (inputs.stressed_covariance)
    bytes += inputs.stressed_covariance->matrix.capacity() * sizeof(double);
  return bytes;
}

}  // namespace

WhatIf what_if(const RunConfig& config, const WhatIfQuery& query, const Progress& progress) {
  const RunInputs inputs = load_inputs(config);
  const ResolvedQuery resolved = resolve(config, inputs, BookNames(inputs.book), query);
  RunBackends backends(config.compute);
  return simulate_both(config, inputs, resolved, backends, progress);
}

namespace {

/// Whether instruments of two listings are the same, and are worth the same.
bool has_same_market(const RunConfig& config, const RunInputs& inputs,
                     const RunConfig& other_config, const RunInputs& other) {
  const auto same_spot = [](const Underlying& a, const Underlying& b) {
    return a.spot_usd == b.spot_usd;
  };
  const auto same_mark = [](const Instrument& a, const Instrument& b) {
    return a.mark_price == b.mark_price && a.mark_iv == b.mark_iv && a.name == b.name;
  };
  return config.as_of == other_config.as_of &&
         std::ranges::equal(inputs.book.underlyings, other.book.underlyings, same_spot) &&
         std::ranges::equal(inputs.book.instruments, other.book.instruments, same_mark);
}

bool has_same_positions(const std::vector<Position>& positions,
                        const std::vector<Position>& other) {
  return std::ranges::equal(positions, other, [](const Position& a, const Position& b) {
    return a.instrument == b.instrument && a.quantity.units() == b.quantity.units();
  });
}

}  // namespace

class WhatIfSession::State {
 public:
  State(Clock::time_point start, const RunConfig& run_config, RunInputs as_read,
        const Progress& progress)
      : config(run_config),
        inputs(std::move(as_read)),
        names(std::in_place, inputs.book),
        market(std::make_unique<HeldMarket>(config, inputs, progress)),
        load_seconds(seconds_since(start)) {}

  void replace(const RunConfig& other_config, RunInputs other) {
    const bool has_moved = !has_same_market(config, inputs, other_config, other);
    config = other_config;
    inputs = std::move(other);
    names.emplace(inputs.book);
    if (has_moved) {
      accounts.clear();  // which refer to the market
      market = std::make_unique<HeldMarket>(config, inputs, market->paths);
    }
    std::erase_if(accounts, [this](const auto& held) { return !is_as_before(*held); });
  }

  ResolvedQuery resolve(const WhatIfQuery& query) const {
    return shortfall::resolve(config, inputs, *names, query);
  }

  /// The account, which is then the first of those that are held.
  HeldAccount& hold(const ResolvedQuery& query) {
    constexpr std::size_t held_max = 4;
    const auto is_it = [&](const auto& held) { return held->name() == query.account.name; };
    auto at = std::ranges::find_if(accounts, is_it);
    if (at == accounts.end()) {
      if (accounts.size() == held_max) accounts.pop_back();
      RunInputs own = simulated_inputs(config, inputs_of_query(inputs, query));
      accounts.push_back(
          std::make_unique<HeldAccount>(*market, query.account, std::move(own.book.positions)));
      at = accounts.end() - 1;
    }
    std::rotate(accounts.begin(), at, at + 1);
    return *accounts.front();
  }

  /// Whether an account that is held still has the positions that it was held with.
  bool is_as_before(const HeldAccount& held) const {
    const std::optional<std::uint32_t> index = names->account(held.name());
    if (!index || inputs.book.accounts[*index].mode != held.mode()) return false;
    const RunInputs own = simulated_inputs(config, inputs_of_account(inputs, *index));
    return has_same_positions(held.positions(), own.book.positions);
  }

  RunConfig config;
  RunInputs inputs;  // as read
  std::optional<BookNames> names;
  std::unique_ptr<HeldMarket> market;
  const double load_seconds;
  std::vector<std::unique_ptr<HeldAccount>> accounts;  // the last that was asked for first
  std::optional<RunBackends> backends;                 // once they are needed
};

WhatIfSession::WhatIfSession(const RunConfig& config, const Progress& progress) {
  const Clock::time_point start = Clock::now();
  state_ = std::make_unique<State>(start, config, load_inputs(config), progress);
}

WhatIfSession::WhatIfSession(const RunConfig& config, RunInputs as_read, const Progress& progress)
    : state_(std::make_unique<State>(Clock::now(), config, std::move(as_read), progress)) {}

void WhatIfSession::replace(const RunConfig& config, RunInputs as_read) {
  state_->replace(config, std::move(as_read));
}

WhatIfSession::~WhatIfSession() = default;

BaseWhatIf WhatIfSession::base(const WhatIfQuery& query) {
  const ResolvedQuery resolved = state_->resolve(query);
  return state_->hold(resolved).answer(resolved.legs);
}

WhatIf WhatIfSession::all(const WhatIfQuery& query) {
  const ResolvedQuery resolved = state_->resolve(query);
  if (!state_->backends) state_->backends.emplace(state_->config.compute);
  return simulate_both(state_->config, state_->inputs, resolved, *state_->backends, {});
}

const RunConfig& WhatIfSession::config() const { return state_->config; }

std::uint32_t WhatIfSession::factor_count() const {
  return state_->market->empty_plan().model.factor_count;
}

double WhatIfSession::load_seconds() const { return state_->load_seconds; }

std::uint64_t WhatIfSession::bytes() const {
  std::uint64_t bytes = bytes_of(state_->inputs) + bytes_of(state_->market->inputs) +
                        state_->names->bytes() + state_->market->paths->bytes();
  for (const auto& account : state_->accounts) bytes += account->bytes();
  return bytes;
}

}  // namespace shortfall
