#include "whatif_query.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "input/close_names.hpp"
#include "input/load.hpp"
#include "input/load_charges.hpp"
#include "margin/collateral.hpp"
#include "one_account.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

constexpr const char* command_line = "command line";

/// As it was given, or near enough to find it.
std::string text_of(const Trade& trade) {
  return in_quotes(fmt::format("{}:{}", trade.instrument, trade.quantity.contracts()));
}

template <class Named>
std::string names_close_to(std::string_view name, const std::vector<Named>& all) {
  std::vector<std::string_view> candidates;
  for (const Named& one : all) candidates.push_back(one.name);
  const std::string close = close_names(name, candidates);
  return close.empty() ? "" : "names close to it are " + close + "; ";
}

/// The account of the query, opened where it may be.
void resolve_account(const RunConfig& config, const RunInputs& inputs, const BookNames& names,
                     const WhatIfQuery& query, ResolvedQuery& resolved, Problems& problems) {
  resolved.held = names.account(query.account);
  if (resolved.held) {
    resolved.account = inputs.book.accounts[*resolved.held];
    return;
  }
  resolved.account.name = query.account;
  if (!query.may_open) {
    problems.add(
        command_line, 0,
        fmt::format("{} has no account {}; {}--open opens it", config.inputs.positions.string(),
                    in_quotes(query.account), names_close_to(query.account, inputs.book.accounts)));
    return;
  }
  if (const std::string problem = name_problem(query.account); !problem.empty())
    problems.add(command_line, 0, "--account " + problem);
  const auto listed = std::ranges::find(inputs.listed_accounts, query.account, &Account::name);
  if (listed != inputs.listed_accounts.end()) resolved.account.mode = listed->mode;
}

Quantity::Units units_held(const Book& book, const ResolvedQuery& resolved,
                           std::uint32_t instrument) {
  if (!resolved.held) return 0;
  const auto place = [](const Position& p) { return std::pair(p.account, p.instrument); };
  const auto wanted = std::pair(*resolved.held, instrument);
  const auto at = std::ranges::lower_bound(book.positions, wanted, {}, place);
  return at != book.positions.end() && place(*at) == wanted ? at->quantity.units() : 0;
}

void require_inputs(const RunConfig& config, const RunInputs& inputs, const Trade& trade,
                    std::uint32_t instrument, Problems& problems) {
  for (const Problem& lacking : lacking_inputs(config, inputs, instrument)) {
    if (lacking.file.empty())
      problems.add(
          command_line, 0,
          fmt::format("trade {} {}, or leave the trade out", text_of(trade), lacking.message));
    else
      problems.add(lacking.file, lacking.line,
                   fmt::format("trade {}: {}", text_of(trade), lacking.message));
  }
}

/// The trades of one instrument, the last of which is given.
void add_leg(const RunConfig& config, const RunInputs& inputs, const TradeLeg& leg,
             const Trade& trade, ResolvedQuery& resolved, Problems& problems) {
  constexpr Quantity::Units contract = 1'000'000'000'000, limit = contract * 1'000'000 * contract;
  const Quantity::Units held = units_held(inputs.book, resolved, leg.instrument);
  const Quantity::Units after = held + leg.units;
  if (after <= -limit || after >= limit)
    problems.add(command_line, 0,
                 fmt::format("trade {} brings account {} to {:.6g} contracts; a net quantity must "
                             "be below 1e18",
                             text_of(trade), in_quotes(resolved.account.name),
                             Quantity::from_units(after).contracts()));
  if (leg.units == 0) return;
  if (after != 0 && held == 0) require_inputs(config, inputs, trade, leg.instrument, problems);
  resolved.legs.push_back(leg);
}

}  // namespace

std::vector<Problem> lacking_inputs(const RunConfig& config, const RunInputs& inputs,
                                    std::uint32_t instrument) {
  std::vector<Problem> lacking;
  const Instrument& held = inputs.book.instruments[instrument];
  const bool has_factor = std::ranges::any_of(inputs.covariance.factors, [&](const Factor& f) {
    return f.kind == FactorKind::spot && f.underlying == held.underlying;
  });
  if (!has_factor)
    lacking.push_back({"", 0,
                       fmt::format("needs the factor {}.spot, which {} lacks; add its row and "
                                   "column",
                                   inputs.book.underlyings[held.underlying].name,
                                   config.inputs.covariance.string())});
  // A book of the instrument alone.
  RunInputs alone;
  alone.book.underlyings = inputs.book.underlyings;
  alone.book.instruments = {held};
  alone.book.positions = {{0, 0, Quantity::from_units(1)}};
  alone.liquidity = inputs.liquidity;
  alone.funding = inputs.funding;
  Problems problems;
  check_charges_cover(config, alone, problems);
  try {
    problems.throw_if_any();
  } catch (const InputError& error) {
    lacking.insert(lacking.end(), error.problems().begin(), error.problems().end());
  }
  return lacking;
}

Trade parse_trade(std::string_view text) {
  const auto refuse = [&](const std::string& what) {
    throw InputError({{command_line, 0, fmt::format("--trade {} {}", in_quotes(text), what)}}, 0);
  };
  const char* const form = "write INSTRUMENT:QUANTITY like BTC-PERPETUAL:-5";
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size())
    refuse(fmt::format("has no quantity; {}", form));
  if (colon == 0) refuse(fmt::format("names no instrument; {}", form));
  const std::string_view quantity = text.substr(colon + 1);
  std::string_view reason;
  const std::optional<Quantity::Units> units = parse_quantity(quantity, reason);
  if (!units) refuse(fmt::format("has the quantity {}, which {}", in_quotes(quantity), reason));
  return {std::string(text.substr(0, colon)), Quantity::from_units(*units)};
}

BookNames::BookNames(const Book& book) {
  accounts_.reserve(book.accounts.size());
  for (std::uint32_t a = 0; a < book.accounts.size(); ++a)
    accounts_.emplace(book.accounts[a].name, a);
  instruments_.reserve(book.instruments.size());
  for (std::uint32_t i = 0; i < book.instruments.size(); ++i)
    instruments_.emplace(book.instruments[i].name, i);
}

std::optional<std::uint32_t> BookNames::account(std::string_view name) const {
  const auto at = accounts_.find(name);
  return at == accounts_.end() ? std::nullopt : std::optional(at->second);
}

std::optional<std::uint32_t> BookNames::instrument(std::string_view name) const {
  const auto at = instruments_.find(name);
  return at == instruments_.end() ? std::nullopt : std::optional(at->second);
}

std::uint64_t BookNames::bytes() const {
  const auto of = [](const Places& places) {  // a node has its entry, its hash and a link
    return places.size() * (sizeof(Places::value_type) + 2 * sizeof(void*)) +
           places.bucket_count() * sizeof(void*);
  };
  return of(accounts_) + of(instruments_);
}

ResolvedQuery resolve(const RunConfig& config, const RunInputs& inputs, const BookNames& names,
                      const WhatIfQuery& query) {
  Problems problems;
  ResolvedQuery resolved;
  resolve_account(config, inputs, names, query, resolved, problems);
  struct Sum {
    Quantity::Units units = 0;
    const Trade* last = nullptr;
  };
  std::map<std::uint32_t, Sum> sums;
  for (const Trade& trade : query.trades) {
    const std::optional<std::uint32_t> instrument = names.instrument(trade.instrument);
    if (!instrument) {
      problems.add(command_line, 0,
                   fmt::format("trade {}: {} lists no instrument {}; {}name one that it lists",
                               text_of(trade), config.inputs.instruments.string(),
                               in_quotes(trade.instrument),
                               names_close_to(trade.instrument, inputs.book.instruments)));
      continue;
    }
    Sum& sum = sums[*instrument];
    sum.units += trade.quantity.units();
    sum.last = &trade;
  }
  for (const auto& [instrument, sum] : sums)
    add_leg(config, inputs, {instrument, sum.units}, *sum.last, resolved, problems);
  // Rows of collateral count once their account is there.
  if (!resolved.held && config.margin.collateral && problems.empty())
    check_collateral(config, inputs_of_query(inputs, resolved), problems);
  problems.throw_if_any();
  return resolved;
}

RunInputs inputs_of_query(const RunInputs& inputs, const ResolvedQuery& query) {
  if (query.held) return inputs_of_account(inputs, *query.held);
  RunInputs opened = inputs;
  opened.book.accounts.push_back(query.account);
  return inputs_of_account(opened, static_cast<std::uint32_t>(inputs.book.accounts.size()));
}

std::vector<Position> with_legs(std::vector<Position> positions,
                                const std::vector<TradeLeg>& legs) {
  for (const TradeLeg& leg : legs) {
    auto at = std::ranges::lower_bound(positions, leg.instrument, {}, &Position::instrument);
    if (at == positions.end() || at->instrument != leg.instrument)
      at = positions.insert(at, {0, leg.instrument, {}});
    at->quantity = Quantity::from_units(at->quantity.units() + leg.units);
  }
  return positions;
}

}  // namespace shortfall
