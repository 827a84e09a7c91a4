#include "shortfall/compare.hpp"

#include <algorithm>
#include <utility>

#include "output/atomic_file.hpp"
#include "output/csv_text.hpp"
#include "run/margin_run.hpp"

namespace shortfall {
namespace {

/// The accounts of a book in portfolio mode, then again in cross mode, then for each instrument
/// that is held a long and a short contract: an isolated margin is that of one contract times their
/// number, so that it takes two groups per instrument and not one per position.
struct EveryMode {
  RunInputs inputs;
  std::vector<std::uint32_t> long_account;  ///< by instrument; the next is short
};

EveryMode in_every_mode(const RunInputs& inputs) {
  EveryMode every{inputs, std::vector<std::uint32_t>(inputs.book.instruments.size(), core::none)};
  Book& book = every.inputs.book;
  const auto account_count = static_cast<std::uint32_t>(inputs.book.accounts.size());
  for (Account& account : book.accounts) account.mode = MarginMode::portfolio;
  for (const Account& account : inputs.book.accounts)
    book.accounts.push_back({account.name, MarginMode::cross});
  for (Position position : inputs.book.positions) {
    position.account += account_count;
    book.positions.push_back(position);
  }
  for (const Position& held : inputs.book.positions) {
    if (held.quantity.is_zero() || every.long_account[held.instrument] != core::none) continue;
    every.long_account[held.instrument] = static_cast<std::uint32_t>(book.accounts.size());
    constexpr auto one = static_cast<Quantity::Units>(Quantity::units_per_contract);
    for (const Quantity::Units units : {one, -one}) {
      book.positions.push_back({static_cast<std::uint32_t>(book.accounts.size()), held.instrument,
                                Quantity::from_units(units)});
      book.accounts.push_back({{}, MarginMode::isolated});
    }
  }
  return every;
}

/// Margins of the accounts in each mode, without components, from one simulation.
void charge_modes(const RunConfig& config, const RunInputs& simulated, MarginRun& run,
                  std::vector<AccountComparison>& accounts) {
  EveryMode every = in_every_mode(simulated);
  BaseRun base = run.plan_simulated(std::move(every.inputs));
  run.simulate(base);
  const std::vector<AccountMargin> margins = account_margins(
      base.revaluations.front().plan, base.inputs.book, base.risks, base.errors_usd, config.margin);
  const std::size_t count = accounts.size();
  for (std::size_t a = 0; a < count; ++a) {
    accounts[a].portfolio_usd = margins[a].margin_usd;
    accounts[a].cross_usd = margins[count + a].margin_usd;
  }
  for (const Position& p : simulated.book.positions) {
    if (p.quantity.is_zero()) continue;
    const double contracts = p.quantity.contracts();
    const std::uint32_t of_one = every.long_account[p.instrument] + (contracts < 0 ? 1 : 0);
    accounts[p.account].isolated_usd +=
        margins[of_one].margin_usd * (contracts < 0 ? -contracts : contracts);
  }
}

}  // namespace

Comparison compare(const RunConfig& config, const SchemeParameters& schemes,
                   const Progress& progress) {
  Comparison comparison;
  RunBackends backends(config.compute);
  MarginRun run(config, backends, progress, comparison.warnings);
  BaseRun base = run.plan(load_inputs(config));
  run.simulate(base);
  const Book& book = base.inputs.book;
  const std::vector<double> span = span_margins(schemes.span, book, config.as_of);
  const auto portfolio = portfolio_margins(schemes.portfolio_margin, book, config.as_of);
  const std::vector<AccountMargin> margins = run.margins(base);
  for (std::size_t a = 0; a < margins.size(); ++a) {
    AccountComparison& row = comparison.accounts.emplace_back();
    row.account = margins[a].account;
    row.mode = margins[a].mode;
    row.gross_notional_usd = margins[a].gross_notional_usd;
    row.margin_usd = margins[a].margin_usd;
    row.span_usd = span[a];
    for (const PortfolioMargin& part : portfolio[a])
      row.portfolio_margin_usd += part.initial_margin * part.usd_per_unit;
  }
  charge_modes(config, base.inputs, run, comparison.accounts);
  return comparison;
}

std::string format_comparison(const Comparison& comparison) {
  std::string text =
      "account,mode,gross_notional,margin,es_portfolio,es_cross,es_isolated,span,"
      "portfolio_margin\n";
  for (const AccountComparison& row : comparison.accounts) {
    append_field(text, row.account);
    text += ',';
    text += to_string(row.mode);
    for (const double usd :
         {row.gross_notional_usd, row.margin_usd, row.portfolio_usd, row.cross_usd,
          row.isolated_usd, row.span_usd, row.portfolio_margin_usd}) {
      text += ',';
      append_number(text, usd);
    }
    text += '\n';
  }
  return text;
}

void write_comparison(const std::filesystem::path& directory, const Comparison& comparison) {
  create_directory_for(directory);
  AtomicFile file(directory / "compare.csv");
  file.write(format_comparison(comparison));
  file.publish();
}

}  // namespace shortfall
