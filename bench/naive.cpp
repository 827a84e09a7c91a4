#include "naive.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "tests/reference_engine.hpp"

namespace shortfall::naive {
namespace {

double normal_cdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }

bool is_option(InstrumentType type) {
  return type == InstrumentType::call || type == InstrumentType::put;
}

/// Black (1976), undiscounted. `deviation` is volatility times the root of time.
double black(bool is_call, double forward, double strike, double deviation) {
  if (deviation == 0) return std::max(is_call ? forward - strike : strike - forward, 0.0);
  const double d1 = std::log(forward / strike) / deviation + 0.5 * deviation;
  const double d2 = d1 - deviation;
  return is_call ? forward * normal_cdf(d1) - strike * normal_cdf(d2)
                 : strike * normal_cdf(-d2) - forward * normal_cdf(-d1);
}

}  // namespace

std::vector<double> plain_losses(const RunConfig& config, const RunInputs& inputs,
                                 const double* moves, std::size_t path_count) {
  const reference::GroupLosses groups =
      reference::group_losses(config, inputs, {moves, path_count});
  std::vector<double> losses(inputs.book.accounts.size() * path_count);
  for (std::size_t g = 0; g < groups.groups.size(); ++g)
    for (std::size_t p = 0; p < path_count; ++p)
      losses[groups.groups[g].account * path_count + p] += groups.row(g)[p];
  return losses;
}

Engine::Term Engine::make_term(const RunConfig& config, const RunInputs& inputs,
                               const Instrument& instrument) const {
  Term term{};
  term.underlying = &inputs.book.underlyings[instrument.underlying];
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
  if (tenors.empty() || !is_option(instrument.type)) return term;
  const double log_days = std::log(term.years * 365);
  const auto above = tenors.upper_bound(log_days);
  const auto below = above == tenors.begin() ? above : std::prev(above);
  term.vol_below = below->second;
  term.vol_above = above == tenors.end() ? term.vol_below : above->second;
  if (term.vol_above != term.vol_below)
    term.share_above = (log_days - below->first) / (above->first - below->first);
  return term;
}

Engine::Engine(const RunConfig& config, const RunInputs& inputs) {
  const Book& book = inputs.book;
  std::map<std::tuple<std::uint32_t, std::int64_t, InstrumentType>, std::size_t> index;
  accounts_.resize(book.accounts.size());
  for (const Position& position : book.positions) {
    const Instrument& i = book.instruments[position.instrument];
    // Calls and puts of one expiry share a term.
    const InstrumentType kind = i.type == InstrumentType::put ? InstrumentType::call : i.type;
    const auto [at, is_new] =
        index.try_emplace(std::tuple(i.underlying, i.expiry, kind), terms_.size());
    if (is_new) terms_.push_back(make_term(config, inputs, i));
    const Term& term = terms_[at->second];
    Held held{};
    held.term = at->second;
    held.type = i.type;
    held.is_inverse = i.settlement == Settlement::inverse;
    held.contracts = position.quantity.contracts() * i.multiplier;
    held.strike = i.strike;
    held.forward = i.mark_price;
    held.volatility = i.mark_iv;
    if (is_option(i.type)) {
      held.skew_moneyness =
          std::log(i.strike / i.mark_price) / std::sqrt(std::max(term.years, 7.0 / 365));
      held.sqrt_years_left = std::sqrt(term.years_left);
      const double value = black(i.type == InstrumentType::call, i.mark_price, i.strike,
                                 i.mark_iv * std::sqrt(term.years));
      held.before = held.is_inverse ? value / i.mark_price * term.underlying->spot_usd : value;
    }
    accounts_[position.account].push_back(held);
  }
}

Engine::TermState Engine::state(const Term& term, const double* moves, std::size_t path_count,
                                std::size_t path) {
  const auto move = [&](int factor) {
    return factor < 0 ? 0.0 : moves[static_cast<std::size_t>(factor) * path_count + path];
  };
  const double x_spot = move(term.spot);
  const double carry = move(term.carry) * (term.is_perpetual ? 1.0 : term.years);
  const double volatility =
      (1 - term.share_above) * move(term.vol_below) + term.share_above * move(term.vol_above);
  return {term.underlying->spot_usd * std::exp(x_spot), std::exp(x_spot + carry),
          std::exp(volatility), move(term.skew)};
}

/// Change of the value of one contract.
double Engine::value_usd(const Held& held, const Term& term, const TermState& now) {
  if (held.type == InstrumentType::spot) return now.index_usd - term.underlying->spot_usd;
  const bool is_settled = !term.is_perpetual && term.years_left == 0;
  const double forward = is_settled ? now.index_usd : held.forward * now.forward_growth;
  if (!is_option(held.type))
    return held.is_inverse ? (1 / held.forward - 1 / forward) * now.index_usd
                           : forward - held.forward;
  const double volatility = std::clamp(
      held.volatility * now.volatility_growth + now.skew * held.skew_moneyness, 0.01, 10.0);
  const double value = black(held.type == InstrumentType::call, forward, held.strike,
                             volatility * held.sqrt_years_left);
  return (held.is_inverse ? value / forward * now.index_usd : value) - held.before;
}

std::vector<double> Engine::losses(const double* moves, std::size_t path_count) const {
  std::vector<double> losses(accounts_.size() * path_count);
  std::vector<TermState> states(terms_.size() * path_count);
  for (std::size_t p = 0; p < path_count; ++p)
    for (std::size_t t = 0; t < terms_.size(); ++t)
      states[p * terms_.size() + t] = state(terms_[t], moves, path_count, p);
  for (std::size_t a = 0; a < accounts_.size(); ++a) {
    for (std::size_t p = 0; p < path_count; ++p) {
      const TermState* const now = states.data() + p * terms_.size();
      double gain_usd = 0;
      for (const Held& held : accounts_[a])
        gain_usd += held.contracts * value_usd(held, terms_[held.term], now[held.term]);
      losses[a * path_count + p] = -gain_usd;
    }
  }
  return losses;
}

}  // namespace shortfall::naive
