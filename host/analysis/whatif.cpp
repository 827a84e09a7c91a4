#include "shortfall/whatif.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>
#include <optional>
#include <utility>

#include "margin/joint_error.hpp"
#include "model/canonical_math.hpp"
#include "one_account.hpp"
#include "run/margin_run.hpp"
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
  return difference.standard_error(plan.tail, plan.path_count, plan.scrambling_count,
                                   plan.model.weights);
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
        market(std::make_shared<HeldMarket>(config, inputs, progress)),
        load_seconds(seconds_since(start)) {}

  void replace(const RunConfig& other_config, RunInputs other) {
    const bool has_moved = !has_same_market(config, inputs, other_config, other);
    config = other_config;
    inputs = std::move(other);
    names.emplace(inputs.book);
    simulated.reset();
    if (has_moved) {
      accounts.clear();
      market = std::make_shared<HeldMarket>(config, inputs, market->paths);
    }
    std::erase_if(accounts, [this](const auto& held) { return !is_as_before(*held); });
  }

  ResolvedQuery resolve(const WhatIfQuery& query) const {
    return shortfall::resolve(config, inputs, *names, query);
  }

  /// The account, which is then the first of those that are held.
  HeldAccount& hold(const ResolvedQuery& query) {
    auto at = find(query.account.name);
    if (at == accounts.end()) {
      std::vector<Position> own =
          query.held ? positions_of(*query.held)
                     : simulated_inputs(config, inputs_of_query(inputs, query)).book.positions;
      accounts.push_back(std::make_unique<HeldAccount>(market, query.account, std::move(own)));
      at = accounts.end() - 1;
    }
    std::rotate(accounts.begin(), at, at + 1);
    return *accounts.front();
  }

  /// Those asked for longest ago go, the last of all stays.
  void keep_within_bounds() {
    std::uint64_t bytes = 0;
    const auto is_beyond = [&](const auto& held) {
      bytes += held->bytes();
      return bytes > bytes_held_max;
    };
    if (accounts.empty()) return;
    bytes = accounts.front()->bytes();
    accounts.erase(std::find_if(accounts.begin() + 1, accounts.end(), is_beyond), accounts.end());
  }

  void hold_accounts(const Progress& progress) {
    const std::shared_ptr<const HeldMarket> before = market;
    std::vector<std::unique_ptr<HeldAccount>> more = largest_not_held();
    try {
      HeldAccount::evaluate(more, progress);
    } catch (const LossError&) {
      return;
    }
    if (market != before) return;
    for (std::unique_ptr<HeldAccount>& one : more)
      if (find(one->name()) == accounts.end() && is_as_before(*one))
        accounts.push_back(std::move(one));
    keep_within_bounds();
  }

  /// Not evaluated yet, as many as there is room for.
  std::vector<std::unique_ptr<HeldAccount>> largest_not_held() {
    std::vector<std::size_t> counts(inputs.book.accounts.size());
    for (const Position& position : inputs.book.positions) ++counts[position.account];
    std::vector<std::uint32_t> largest(counts.size());
    std::iota(largest.begin(), largest.end(), 0u);
    std::ranges::stable_sort(largest, std::greater<>(), [&](auto a) { return counts[a]; });
    std::uint64_t bytes = 0;
    for (const auto& held : accounts) bytes += held->bytes();
    std::vector<std::unique_ptr<HeldAccount>> found;
    for (const std::uint32_t a : largest) {
      const Account& account = inputs.book.accounts[a];
      if (find(account.name) != accounts.end()) continue;
      found.push_back(std::make_unique<HeldAccount>(market, account, positions_of(a)));
      bytes += found.back()->bytes_evaluated();
      if (bytes > bytes_held_max) {
        found.pop_back();
        break;
      }
    }
    return found;
  }

  std::vector<std::unique_ptr<HeldAccount>>::iterator find(const std::string& name) {
    return std::ranges::find_if(accounts, [&](const auto& held) { return held->name() == name; });
  }

  /// As simulated.
  std::vector<Position> positions_of(std::uint32_t account) {
    if (!simulated) simulated = simulated_inputs(config, inputs);
    const auto own =
        std::ranges::equal_range(simulated->book.positions, account, {}, &Position::account);
    std::vector<Position> positions(own.begin(), own.end());
    for (Position& position : positions) position.account = 0;
    return positions;
  }

  /// Whether an account that is held still has the positions that it was held with.
  bool is_as_before(const HeldAccount& held) {
    const std::optional<std::uint32_t> index = names->account(held.name());
    return index && inputs.book.accounts[*index].mode == held.mode() &&
           has_same_positions(held.positions(), positions_of(*index));
  }

  RunConfig config;
  RunInputs inputs;  // as read
  std::optional<BookNames> names;
  std::optional<RunInputs> simulated;  // once it is needed
  std::shared_ptr<const HeldMarket> market;
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
  const BaseWhatIf answer = state_->hold(resolved).answer(resolved.legs);
  state_->keep_within_bounds();
  return answer;
}

void WhatIfSession::hold_accounts(const Progress& progress) { state_->hold_accounts(progress); }

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
  if (state_->simulated) bytes += bytes_of(*state_->simulated);
  for (const auto& account : state_->accounts) bytes += account->bytes();
  return bytes;
}

}  // namespace shortfall
