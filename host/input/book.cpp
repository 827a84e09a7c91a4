#include "shortfall/book.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "csv.hpp"
#include "history.hpp"
#include "load.hpp"
#include "load_charges.hpp"
#include "load_stress.hpp"
#include "margin/collateral.hpp"
#include "name_table.hpp"

namespace shortfall {
namespace {

constexpr Choice<MarginMode> margin_modes[] = {{"portfolio", MarginMode::portfolio},
                                               {"cross", MarginMode::cross},
                                               {"isolated", MarginMode::isolated}};

void load_underlyings(const std::filesystem::path& file, NameTable<Underlying>& underlyings,
                      Problems& problems) {
  enum Column : std::size_t { underlying, spot };
  CsvTable table(file, {"underlying", "spot"}, problems);
  UniqueRows rows(underlyings, underlying_name_problem);
  while (table.next()) {
    Underlying* const entry = rows.enter(table, underlying);
    const std::optional<double> spot_usd = table.positive(spot);
    if (entry && spot_usd) entry->spot_usd = *spot_usd;
  }
  table.require_rows();
  if (!table.is_complete()) underlyings.mark_incomplete();
}

/// Sets the modes of the accounts that hold positions; others may be listed.
void load_accounts(const std::filesystem::path& file, NameTable<Account>& accounts,
                   Problems& problems) {
  enum Column : std::size_t { account, mode };
  CsvTable table(file, {"account", "mode"}, problems);
  UniqueRows rows(accounts, name_problem);
  while (table.next()) {
    Account* const entry = rows.enter(table, account);
    const std::optional<MarginMode> margin_mode = choice(table, mode, margin_modes);
    if (entry && margin_mode) entry->mode = *margin_mode;
  }
}

void load_collateral(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                     std::vector<Collateral>& collateral, Problems& problems) {
  enum Column : std::size_t { account, asset, amount };
  CsvTable table(file, {"account", "asset", "amount"}, problems);
  while (table.next()) {
    Collateral row;
    row.account = table[account];
    if (std::string problem = name_problem(table[account]); !problem.empty()) {
      table.report(account, problem);
    }
    if (table[asset] != "USD") {
      const std::optional<std::uint32_t> underlying = underlyings.find(table[asset]);
      if (!underlying && underlyings.is_complete()) {
        table.report(asset, fmt::format("{} is neither USD nor listed in the underlyings file",
                                        in_quotes(table[asset])));
      }
      row.asset = underlying.value_or(Collateral::usd);
    }
    row.amount = table.real(amount).value_or(0);
    collateral.push_back(row);
  }
}

/// A held instrument moves with its underlying, so that one needs its spot factor.
void require_spot_factors(const RunConfig& config, const RunInputs& inputs,
                          const std::vector<std::size_t>& first_lines, Problems& problems) {
  std::vector<bool> has_spot(inputs.book.underlyings.size());
  for (const Factor& factor : inputs.covariance.factors) {
    if (factor.kind == FactorKind::spot) has_spot[factor.underlying] = true;
  }
  std::vector<std::uint32_t> first_held(has_spot.size(), ~std::uint32_t{0});
  for (const Position& position : inputs.book.positions) {
    if (position.quantity.is_zero()) continue;
    std::uint32_t& first = first_held[inputs.book.instruments[position.instrument].underlying];
    if (first + 1 == 0 || first_lines[position.instrument] < first_lines[first]) {
      first = position.instrument;
    }
  }
  for (std::size_t u = 0; u < has_spot.size(); ++u) {
    if (has_spot[u] || first_held[u] + 1 == 0) continue;
    problems.add(config.inputs.positions.string(), first_lines[first_held[u]],
                 fmt::format("instrument {} needs the factor {}.spot, which {} lacks; add its row "
                             "and column, or remove the positions in {}",
                             in_quotes(inputs.book.instruments[first_held[u]].name),
                             inputs.book.underlyings[u].name, config.inputs.covariance.string(),
                             inputs.book.underlyings[u].name));
  }
}

/// The stressed covariance, for the same factors in the same order.
void load_stressed(const RunConfig& config, const NameTable<Underlying>& underlyings,
                   RunInputs& inputs, Problems& problems) {
  const std::filesystem::path& file = config.margin.procyclicality->covariance;
  Covariance stressed;
  load_covariance(file, underlyings, stressed, problems);
  const auto is_same = [](const Factor& a, const Factor& b) { return a.name == b.name; };
  if (problems.empty() &&
      !std::equal(stressed.factors.begin(), stressed.factors.end(),
                  inputs.covariance.factors.begin(), inputs.covariance.factors.end(), is_same))
    problems.add(file.string(), 1,
                 fmt::format("names other factors than {}, or in another order; a stressed "
                             "covariance is of the same factors",
                             config.inputs.covariance.string()));
  inputs.stressed_covariance = std::move(stressed);
}

void load_margin_inputs(const RunConfig& config, const NameTable<Underlying>& underlyings,
                        RunInputs& inputs, Problems& problems) {
  const MarginConfig& margin = config.margin;
  if (margin.liquidity)
    load_liquidity(margin.liquidity->file, underlyings, config, inputs.liquidity, problems);
  if (margin.funding)
    load_funding(margin.funding->file, underlyings, config, inputs.funding, problems);
  if (margin.stress && margin.stress->file)
    load_stress(*margin.stress->file, inputs.covariance, inputs.scenarios, problems);
  if (margin.procyclicality) load_stressed(config, underlyings, inputs, problems);
}

}  // namespace

RunInputs load_inputs(const RunConfig& config) {
  Problems problems;
  RunInputs inputs;
  Book& book = inputs.book;
  NameTable<Underlying> underlyings(book.underlyings);
  NameTable<Instrument> instruments(book.instruments);
  NameTable<Account> accounts(inputs.listed_accounts);
  load_underlyings(config.inputs.underlyings, underlyings, problems);
  load_instruments(config, underlyings, instruments, problems);
  if (config.inputs.accounts) load_accounts(*config.inputs.accounts, accounts, problems);
  if (config.inputs.collateral) {
    load_collateral(*config.inputs.collateral, underlyings, book.collateral, problems);
  }
  if (config.model.scenarios == Scenarios::history)
    load_history(config, underlyings, inputs.covariance, problems);
  else
    load_covariance(config.inputs.covariance, underlyings, inputs.covariance, problems);
  const std::vector<std::size_t> first_lines =
      load_positions(config.inputs.positions, instruments, book, problems);
  if (config.margin.collateral && config.margin.collateral->is_simulated)
    add_collateral_accounts(book);
  for (Account& account : book.accounts) {
    if (const auto listed = accounts.find(account.name))
      account.mode = inputs.listed_accounts[*listed].mode;
  }
  load_margin_inputs(config, underlyings, inputs, problems);
  if (problems.empty()) require_spot_factors(config, inputs, first_lines, problems);
  if (problems.empty()) {
    check_charges_cover(config, inputs, problems);
    check_collateral(config, inputs, problems);
  }
  problems.throw_if_any();
  return inputs;
}

const char* to_string(MarginMode value) { return name_of(margin_modes, value); }

}  // namespace shortfall
