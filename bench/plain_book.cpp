#include "plain_book.hpp"

#include <cmath>
#include <cstdint>
#include <map>
#include <tuple>

namespace shortfall::plain {
namespace {

double normal_cdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }

Term make_term(const RunConfig& config, const RunInputs& inputs, const Instrument& instrument) {
  Term term{};
  term.spot_usd = inputs.book.underlyings[instrument.underlying].spot_usd;
  const double seconds =
      instrument.expiry ? static_cast<double>(instrument.expiry - config.as_of) : 0.0;
  const bool is_later = config.risk.revalue_at == RevalueAt::horizon;
  const double left = seconds - (is_later ? config.risk.horizon_days * 86400.0 : 0.0);
  term.years = seconds / (365 * 86400.0);
  term.years_left = left < 0.5 ? 0.0 : left / (365 * 86400.0);
  term.is_perpetual = instrument.type == InstrumentType::perpetual;
  term.spot = term.skew = term.carry = term.vol_below = term.vol_above = -1;

  std::map<double, int> tenors;  // log of days to factor
  const std::vector<Factor>& factors = inputs.covariance.factors;
  for (std::size_t f = 0; f < factors.size(); ++f) {
    if (factors[f].underlying != instrument.underlying) continue;
    const int at = static_cast<int>(f);
    const FactorKind carry = term.is_perpetual ? FactorKind::perp : FactorKind::basis;
    if (factors[f].kind == FactorKind::spot) term.spot = at;
    if (factors[f].kind == FactorKind::skew) term.skew = at;
    if (factors[f].kind == carry) term.carry = at;
    if (factors[f].kind == FactorKind::vol) tenors[std::log(factors[f].tenor_days)] = at;
  }
  if (tenors.empty() || !instrument.strike) return term;
  const double log_days = std::log(term.years * 365);
  const auto above = tenors.upper_bound(log_days);
  const auto below = above == tenors.begin() ? above : std::prev(above);
  term.vol_below = below->second;
  term.vol_above = above == tenors.end() ? term.vol_below : above->second;
  if (term.vol_above != term.vol_below)
    term.share_above = (log_days - below->first) / (above->first - below->first);
  return term;
}

Contract make_contract(const Instrument& instrument, std::size_t term_index, const Term& term) {
  Contract contract{};
  contract.term = term_index;
  contract.type = instrument.type;
  contract.is_inverse = instrument.settlement == Settlement::inverse;
  contract.is_settled = instrument.expiry != 0 && term.years_left == 0;
  contract.spot_usd = term.spot_usd;
  contract.multiplier = instrument.multiplier;
  contract.strike = instrument.strike;
  contract.forward = instrument.mark_price;
  contract.volatility = instrument.mark_iv;
  if (!contract.is_option()) return contract;
  contract.skew_moneyness = std::log(instrument.strike / instrument.mark_price) /
                            std::sqrt(std::max(term.years, 7.0 / 365));
  contract.sqrt_years_left = std::sqrt(term.years_left);
  const double value = black(instrument.type == InstrumentType::call, instrument.mark_price,
                             instrument.strike, instrument.mark_iv * std::sqrt(term.years));
  contract.before = contract.is_inverse ? value / instrument.mark_price * term.spot_usd : value;
  return contract;
}

TermState state(const Term& term, const double* moves, std::size_t path_count, std::size_t path) {
  const auto move = [&](int factor) {
    return factor < 0 ? 0.0 : moves[static_cast<std::size_t>(factor) * path_count + path];
  };
  const double x_spot = move(term.spot);
  const double carry = move(term.carry) * (term.is_perpetual ? 1.0 : term.years);
  const double volatility =
      (1 - term.share_above) * move(term.vol_below) + term.share_above * move(term.vol_above);
  return {term.spot_usd * std::exp(x_spot), std::exp(x_spot + carry), std::exp(volatility),
          move(term.skew)};
}

}  // namespace

double black(bool is_call, double forward, double strike, double deviation) {
  const double d1 = std::log(forward / strike) / deviation + 0.5 * deviation;
  const double d2 = d1 - deviation;
  return is_call ? forward * normal_cdf(d1) - strike * normal_cdf(d2)
                 : strike * normal_cdf(-d2) - forward * normal_cdf(-d1);
}

Book::Book(const RunConfig& config, const RunInputs& inputs) {
  const shortfall::Book& book = inputs.book;
  std::map<std::tuple<std::uint32_t, std::int64_t, InstrumentType>, std::size_t> term_index;
  std::map<std::uint32_t, std::size_t> contract_index;
  accounts.resize(book.accounts.size());
  for (const Position& position : book.positions) {
    if (position.quantity.is_zero()) continue;
    const Instrument& i = book.instruments[position.instrument];
    const auto [contract, is_new] =
        contract_index.try_emplace(position.instrument, contracts.size());
    if (is_new) {
      // Calls and puts of one expiry share a term.
      const InstrumentType kind = i.type == InstrumentType::put ? InstrumentType::call : i.type;
      const auto [term, is_new_term] =
          term_index.try_emplace(std::tuple(i.underlying, i.expiry, kind), terms.size());
      if (is_new_term) terms.push_back(make_term(config, inputs, i));
      contracts.push_back(make_contract(i, term->second, terms[term->second]));
    }
    accounts[position.account].push_back(
        {contract->second, position.quantity.contracts() * i.multiplier});
  }
}

std::vector<TermState> Book::states(const double* moves, std::size_t path_count) const {
  std::vector<TermState> states;
  states.reserve(terms.size() * path_count);
  for (std::size_t p = 0; p < path_count; ++p)
    for (const Term& term : terms) states.push_back(state(term, moves, path_count, p));
  return states;
}

void sum_accounts(const Book& book, const double* changes_usd, double* losses_usd) {
  for (const std::vector<Holding>& account : book.accounts) {
    double losses[block_path_count] = {};
    for (const Holding& held : account) {
      const double* const change = changes_usd + held.contract * block_path_count;
      for (std::size_t p = 0; p < block_path_count; ++p) losses[p] -= held.weight * change[p];
    }
    losses_usd = std::copy_n(losses, block_path_count, losses_usd);
  }
}

void sum_accounts_on_path(const Book& book, const double* changes_usd, double* losses_usd) {
  for (const std::vector<Holding>& account : book.accounts) {
    double loss = 0;
    for (const Holding& held : account) loss -= held.weight * changes_usd[held.contract];
    *losses_usd++ = loss;
  }
}

}  // namespace shortfall::plain
