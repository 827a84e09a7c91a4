#include "reference_engine.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>

namespace shortfall::reference {
namespace {

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

double intrinsic(bool is_call, double price, double strike) {
  return std::max(is_call ? price - strike : strike - price, 0.0);
}

/// Black (1976), undiscounted.
double black(bool is_call, double forward, double strike, double volatility, double years) {
  const double v = volatility * std::sqrt(years);
  const double d1 = std::log(forward / strike) / v + v / 2, d2 = d1 - v;
  return is_call ? forward * normal_cdf(d1) - strike * normal_cdf(d2)
                 : strike * normal_cdf(-d2) - forward * normal_cdf(-d1);
}

/// Rows of the scenarios that move an instrument; those of absent factors are zero.
struct Moves {
  std::vector<double> none;
  const double *spot, *skew, *basis, *perp;
  const double *vol_below, *vol_above;  ///< of the tenors around the expiry
  double share_above = 0;

  Moves(const RunInputs& inputs, std::uint32_t underlying, double years, const Scenarios& scenarios)
      : none(scenarios.path_count), spot(none.data()), skew(spot), basis(spot), perp(spot) {
    std::map<double, const double*> vol;
    for (std::size_t f = 0; f < inputs.covariance.factors.size(); ++f) {
      const Factor& factor = inputs.covariance.factors[f];
      if (factor.underlying != underlying) continue;
      const double* const row = scenarios.moves + f * scenarios.path_count;
      if (factor.kind == FactorKind::spot) spot = row;
      if (factor.kind == FactorKind::skew) skew = row;
      if (factor.kind == FactorKind::basis) basis = row;
      if (factor.kind == FactorKind::perp) perp = row;
      if (factor.kind == FactorKind::vol) vol[factor.tenor_days] = row;
    }
    interpolate(vol, years * 365);
  }

 private:
  void interpolate(const std::map<double, const double*>& vol, double days) {
    vol_below = vol_above = none.data();
    if (vol.empty()) return;
    const auto above = vol.lower_bound(days);
    const auto nearest = above == vol.end() ? std::prev(above) : above;
    vol_below = vol_above = nearest->second;
    if (above == vol.begin() || above == vol.end()) return;
    const auto below = std::prev(above);
    vol_below = below->second;
    share_above = std::log(days / below->first) / std::log(above->first / below->first);
  }
};

struct Times {
  double years = 0;       ///< T
  double years_left = 0;  ///< T1
};

Times times(const RunConfig& config, const Instrument& i) {
  const double seconds = static_cast<double>(i.expiry - config.as_of);
  const bool is_later = config.risk.revalue_at == RevalueAt::horizon;
  const double left = seconds - (is_later ? config.risk.horizon_days * 86400 : 0);
  // Times are to the second, and a horizon in days is not exact: 1/24 is short of an hour by 5e-13.
  return {seconds / (365 * 86400.0), left < 0.5 ? 0 : left / (365 * 86400.0)};
}

void revalue_option(const Instrument& i, double s0, const Times& time, const Moves& x,
                    std::size_t path_count, double* change_usd) {
  const bool is_call = i.type == InstrumentType::call;
  const bool is_inverse = i.settlement == Settlement::inverse;
  const double f0 = i.mark_price, k = i.strike, T = time.years;
  const double m = std::log(k / f0) / std::sqrt(std::max(T, 7.0 / 365));
  const double v0 = black(is_call, f0, k, i.mark_iv, T);
  const double before = is_inverse ? v0 / f0 * s0 : v0;
  for (std::size_t p = 0; p < path_count; ++p) {
    const double s1 = s0 * std::exp(x.spot[p]);
    double after;
    if (time.years_left == 0) {
      after = intrinsic(is_call, s1, k);
    } else {
      const double f1 = f0 * std::exp(x.spot[p] + x.basis[p] * T);
      const double v = (1 - x.share_above) * x.vol_below[p] + x.share_above * x.vol_above[p];
      const double sigma = std::clamp(i.mark_iv * std::exp(v) + x.skew[p] * m, 0.01, 10.0);
      const double v1 = black(is_call, f1, k, sigma, time.years_left);
      after = is_inverse ? v1 / f1 * s1 : v1;
    }
    change_usd[p] = i.multiplier * (after - before);
  }
}

void revalue_forward(const Instrument& i, double s0, const Times& time, const Moves& x,
                     std::size_t path_count, double* change_usd) {
  const double p0 = i.mark_price;
  const bool is_future = i.type == InstrumentType::future;
  for (std::size_t p = 0; p < path_count; ++p) {
    const double s1 = s0 * std::exp(x.spot[p]);
    const double premium = is_future ? x.basis[p] * time.years : x.perp[p];
    const double p1 = is_future && time.years_left == 0 ? s1 : p0 * std::exp(x.spot[p] + premium);
    const double change = i.settlement == Settlement::inverse ? (1 / p0 - 1 / p1) * s1 : p1 - p0;
    change_usd[p] = i.multiplier * change;
  }
}

double gross_notional_usd(const Book& book, const Position& position) {
  const Instrument& i = book.instruments[position.instrument];
  const bool is_in_usd = i.settlement == Settlement::inverse &&
                         (i.type == InstrumentType::future || i.type == InstrumentType::perpetual);
  return std::abs(position.quantity.contracts() * i.multiplier) *
         (is_in_usd ? 1 : book.underlyings[i.underlying].spot_usd);
}

}  // namespace

void revalue(const RunConfig& config, const RunInputs& inputs, const Instrument& instrument,
             const Scenarios& scenarios, double* change_usd) {
  const Times time = times(config, instrument);
  const Moves moves(inputs, instrument.underlying, time.years, scenarios);
  const double s0 = inputs.book.underlyings[instrument.underlying].spot_usd;
  switch (instrument.type) {
    case InstrumentType::call:
    case InstrumentType::put:
      return revalue_option(instrument, s0, time, moves, scenarios.path_count, change_usd);
    case InstrumentType::future:
    case InstrumentType::perpetual:
      return revalue_forward(instrument, s0, time, moves, scenarios.path_count, change_usd);
    case InstrumentType::spot:
      for (std::size_t p = 0; p < scenarios.path_count; ++p)
        change_usd[p] = instrument.multiplier * (s0 * std::exp(moves.spot[p]) - s0);
  }
}

Group group_of(const Book& book, const Position& position) {
  switch (book.accounts[position.account].mode) {
    case MarginMode::cross:
      return {position.account, book.instruments[position.instrument].underlying, Group::all};
    case MarginMode::isolated:
      return {position.account, Group::all, position.instrument};
    case MarginMode::portfolio:
      break;
  }
  return {position.account, Group::all, Group::all};
}

GroupLosses group_losses(const RunConfig& config, const RunInputs& inputs,
                         const Scenarios& scenarios, Revaluation revaluation) {
  const Book& book = inputs.book;
  std::map<Group, std::size_t> index;
  std::vector<Position> positions;
  for (const Position& position : book.positions) {
    if (position.quantity.is_zero()) continue;
    positions.push_back(position);
    index[group_of(book, position)];
  }
  if (revaluation == Revaluation::per_instrument)
    std::ranges::stable_sort(positions, {}, &Position::instrument);

  GroupLosses losses;
  for (auto& [group, at] : index) {
    at = losses.groups.size();
    losses.groups.push_back(group);
  }
  losses.path_count = scenarios.path_count;
  losses.gross_notional_usd.resize(index.size());
  losses.usd.resize(index.size() * scenarios.path_count);

  std::vector<double> change_usd(scenarios.path_count);
  std::uint32_t valued = Group::all;
  for (const Position& position : positions) {
    if (revaluation == Revaluation::per_position || position.instrument != valued)
      revalue(config, inputs, book.instruments[position.instrument], scenarios, change_usd.data());
    valued = position.instrument;
    const std::size_t group = index[group_of(book, position)];
    losses.gross_notional_usd[group] += gross_notional_usd(book, position);
    double* const row = losses.usd.data() + group * scenarios.path_count;
    const double contracts = position.quantity.contracts();
    for (std::size_t p = 0; p < scenarios.path_count; ++p) row[p] -= contracts * change_usd[p];
  }
  return losses;
}

TailRisk tail_risk(std::vector<double> losses, double confidence_level) {
  std::ranges::sort(losses, std::greater<>());
  double k = (1 - confidence_level) * static_cast<double>(losses.size());
  if (std::abs(k - std::round(k)) <= 1e-9 * std::max(1.0, k)) k = std::round(k);
  const auto whole = static_cast<std::size_t>(k);
  const double var = losses[std::min(whole, losses.size() - 1)];
  double sum = 0;
  for (std::size_t j = 0; j < whole; ++j) sum += losses[j];
  const double mean = sum / static_cast<double>(whole);
  double square = 0;
  for (std::size_t j = 0; j < whole; ++j) square += (losses[j] - mean) * (losses[j] - mean);
  const double es = (sum + (k - static_cast<double>(whole)) * var) / k;
  const double variance = square / static_cast<double>(whole);
  return {var, es, std::sqrt((variance + confidence_level * (es - var) * (es - var)) / k)};
}

std::vector<AccountMargin> margins(const RunConfig& config, const Book& book,
                                   const GroupLosses& losses) {
  std::vector<AccountMargin> margins(book.accounts.size());
  for (std::size_t a = 0; a < margins.size(); ++a) {
    margins[a].account = book.accounts[a].name;
    margins[a].mode = book.accounts[a].mode;
  }
  for (const Position& position : book.positions)
    if (!position.quantity.is_zero()) ++margins[position.account].position_count;
  const auto path_count = static_cast<double>(losses.path_count);
  const double k = (1 - config.risk.confidence_level) * path_count;
  std::vector<double> sum(losses.path_count);  // over the groups of an account so far
  for (std::size_t g = 0; g < losses.groups.size(); ++g) {
    const std::vector<double> row(losses.row(g), losses.row(g) + losses.path_count);
    const TailRisk risk = tail_risk(row, config.risk.confidence_level);
    const std::uint32_t account = losses.groups[g].account;
    const bool is_first = g == 0 || losses.groups[g - 1].account != account;
    AccountMargin& margin = margins[account];
    margin.gross_notional_usd += losses.gross_notional_usd[g];
    margin.value_at_risk_usd += risk.value_at_risk;
    margin.expected_shortfall_usd += risk.expected_shortfall;
    double square = 0, total = 0;
    for (std::size_t p = 0; p < losses.path_count; ++p) {
      sum[p] = (is_first ? 0 : sum[p]) + std::max(0.0, row[p] - risk.value_at_risk);
      square += sum[p] * sum[p];
      total += sum[p];
    }
    margin.standard_error_usd =
        is_first ? risk.standard_error : std::sqrt(square - total * total / path_count) / k;
    margin.margin_usd += std::max(0.0, config.margin.multiplier * risk.expected_shortfall);
  }
  return margins;
}

}  // namespace shortfall::reference
