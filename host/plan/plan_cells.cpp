#include "plan_cells.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "fmt/format.h"
#include "model/canonical_math.hpp"

namespace shortfall {
namespace {

using core::none;
using core::StateKind;

constexpr double seconds_per_year = 365.0 * 86400.0;

/// The factors of one underlying, by index into the model; none where absent.
struct UnderlyingFactors {
  std::uint32_t spot = none, skew = none, basis = none, perp = none;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> vol;  // (tenor in days, factor), ascending
};

std::vector<UnderlyingFactors> factors_by_underlying(const RunInputs& inputs) {
  std::vector<UnderlyingFactors> all(inputs.book.underlyings.size());
  for (std::uint32_t f = 0; f < inputs.covariance.factors.size(); ++f) {
    const Factor& factor = inputs.covariance.factors[f];
    UnderlyingFactors& own = all[factor.underlying];
    switch (factor.kind) {
      case FactorKind::spot:
        own.spot = f;
        break;
      case FactorKind::skew:
        own.skew = f;
        break;
      case FactorKind::basis:
        own.basis = f;
        break;
      case FactorKind::perp:
        own.perp = f;
        break;
      case FactorKind::vol:
        own.vol.emplace_back(factor.tenor_days, f);
        break;
    }
  }
  for (UnderlyingFactors& own : all) std::sort(own.vol.begin(), own.vol.end());
  return all;
}

/// Hands out rows of the market state, each distinct one once.
class StateRows {
 public:
  explicit StateRows(std::vector<core::StateRow>& rows) : rows_(rows) {}

  /// Row of kind(a x_A + b x_B); an absent factor does not move.
  std::uint32_t row(StateKind kind, std::uint32_t factor_a, double a, std::uint32_t factor_b = none,
                    double b = 0) {
    if (factor_a == none || a == 0) std::tie(factor_a, a) = std::pair(0u, 0.0);
    if (factor_b == none || b == 0) std::tie(factor_b, b) = std::pair(0u, 0.0);
    const auto [at, is_new] =
        index_.try_emplace(std::tuple(kind, factor_a, a, factor_b, b), rows_.size());
    if (is_new) rows_.push_back({a, b, factor_a, factor_b, kind, 0});
    return static_cast<std::uint32_t>(at->second);
  }

 private:
  std::vector<core::StateRow>& rows_;
  std::map<std::tuple<StateKind, std::uint32_t, double, std::uint32_t, double>, std::size_t> index_;
};

/// Builds the cells of one instrument after the other.
class CellBuilder {
 public:
  CellBuilder(Plan& plan, const RunConfig& config, const RunInputs& inputs)
      : plan_(plan),
        config_(config),
        inputs_(inputs),
        rows_(plan.state_rows),
        factors_(factors_by_underlying(inputs)) {}

  bool has_spot_factor(std::uint32_t underlying) const { return factors_[underlying].spot != none; }

  void add(std::uint32_t priced) {
    const Instrument& i = inputs_.book.instruments[plan_.instruments[priced]];
    switch (i.type) {
      case InstrumentType::call:
      case InstrumentType::put:
        add_option(i, priced);
        break;
      case InstrumentType::future:
        add_future(i, priced);
        break;
      case InstrumentType::perpetual:
        add_perpetual(i, priced);
        break;
      case InstrumentType::spot:
        add_linear(priced, spot_row(i), 1, 0);
        break;
    }
  }

 private:
  double spot(const Instrument& i) const { return inputs_.book.underlyings[i.underlying].spot_usd; }
  double years(const Instrument& i) const {
    return static_cast<double>(i.expiry - config_.as_of) / seconds_per_year;
  }
  /// T1: years left when the option is revalued.
  double years_left(const Instrument& i) const {
    if (config_.risk.revalue_at == RevalueAt::now) return years(i);
    const double seconds =
        static_cast<double>(i.expiry - config_.as_of) - config_.risk.horizon_days * 86400.0;
    return seconds < 0.5 ? 0 : seconds / seconds_per_year;
  }
  std::uint32_t spot_row(const Instrument& i) {
    return rows_.row(StateKind::expm1, factors_[i.underlying].spot, 1);
  }

  /// Value a A + c.
  void add_linear(std::uint32_t priced, std::uint32_t row_a, double a, double c) {
    add_linear(priced, row_a, a, row_a, 0, c);
  }

  void add_linear(std::uint32_t priced, std::uint32_t row_a, double a, std::uint32_t row_b,
                  double b, double c) {
    plan_.linear_cells.push_back({row_a, row_b, priced, static_cast<float>(a),
                                  static_cast<float>(b), static_cast<float>(c)});
  }

  void add_future(const Instrument& i, std::uint32_t priced) {
    const UnderlyingFactors& own = factors_[i.underlying];
    const double T = years(i);
    const bool is_settled = years_left(i) == 0;
    if (i.settlement == Settlement::linear) {
      const double forward = i.mark_price / spot(i);
      if (is_settled)
        add_linear(priced, spot_row(i), 1, 1 - forward);
      else
        add_linear(priced, rows_.row(StateKind::expm1, own.spot, 1, own.basis, T), forward, 0);
      return;
    }
    const double ratio = spot(i) / i.mark_price;
    if (is_settled)
      add_linear(priced, spot_row(i), ratio, ratio - 1);
    else
      add_linear(priced, spot_row(i), ratio, rows_.row(StateKind::expm1, own.basis, -T), -ratio, 0);
  }

  void add_perpetual(const Instrument& i, std::uint32_t priced) {
    const UnderlyingFactors& own = factors_[i.underlying];
    if (i.settlement == Settlement::linear) {
      add_linear(priced, rows_.row(StateKind::expm1, own.spot, 1, own.perp, 1),
                 i.mark_price / spot(i), 0);
      return;
    }
    const double ratio = spot(i) / i.mark_price;
    add_linear(priced, spot_row(i), ratio, rows_.row(StateKind::expm1, own.perp, -1), -ratio, 0);
  }

  void add_option(const Instrument& i, std::uint32_t priced) {
    const bool is_call = i.type == InstrumentType::call;
    const bool is_inverse = i.settlement == Settlement::inverse;
    const double T = years(i), left = years_left(i);
    const double log_moneyness = canonical::log(i.mark_price / i.strike);
    const double forward = is_inverse ? 1 : i.mark_price / spot(i);
    const double strike = i.strike / (is_inverse ? i.mark_price : spot(i));
    const double base =
        canonical::otm_value(forward, strike, log_moneyness, i.mark_iv * __builtin_sqrt(T));
    if (left == 0) {
      const double settled_strike = i.strike / spot(i);
      plan_.settled_cells.push_back(
          {spot_row(i), priced, is_call ? 1u : 0u, i.strike >= i.mark_price ? 1u : 0u,
           static_cast<float>(settled_strike), static_cast<float>(base),
           static_cast<float>((1 - forward) + (strike - settled_strike))});
      return;
    }
    if (joins_last_cell(i)) {
      (is_call ? plan_.strike_cells.back().call : plan_.strike_cells.back().put) = priced;
      last_option_ = &i;
      return;
    }
    last_option_ = &i;
    const UnderlyingFactors& own = factors_[i.underlying];
    core::StrikeCell cell{};
    cell.shock_row = rows_.row(StateKind::log, own.spot, 1, own.basis, T);
    cell.forward_row =
        is_inverse ? spot_row(i) : rows_.row(StateKind::expm1, own.spot, 1, own.basis, T);
    cell.strike_row = is_inverse ? rows_.row(StateKind::expm1, own.basis, -T)
                                 : rows_.row(StateKind::log, none, 0);
    cell.volatility_row = volatility_row(own, T);
    cell.skew_row = rows_.row(StateKind::log, own.skew, 1);
    cell.call = is_call ? priced : none;
    cell.put = is_call ? none : priced;
    cell.twin_is_call = i.strike >= i.mark_price ? 1 : 0;
    cell.log_moneyness = static_cast<float>(log_moneyness);
    cell.forward = static_cast<float>(forward);
    cell.strike = static_cast<float>(strike);
    cell.volatility = static_cast<float>(i.mark_iv);
    constexpr double week = 7.0 / 365.0;
    cell.skew_moneyness = static_cast<float>(-log_moneyness / __builtin_sqrt(T > week ? T : week));
    cell.sqrt_time = static_cast<float>(__builtin_sqrt(left));
    cell.base = static_cast<float>(base);
    plan_.strike_cells.push_back(cell);
  }

  /// A put joins the call before it where all that is priced is equal. The listing puts them side
  /// by side.
  bool joins_last_cell(const Instrument& i) const {
    if (!last_option_ || plan_.strike_cells.empty()) return false;
    const Instrument& o = *last_option_;
    const core::StrikeCell& cell = plan_.strike_cells.back();
    const std::uint32_t place = i.type == InstrumentType::call ? cell.call : cell.put;
    return place == none && o.underlying == i.underlying && o.settlement == i.settlement &&
           o.expiry == i.expiry && o.strike == i.strike && o.mark_price == i.mark_price &&
           o.mark_iv == i.mark_iv;
  }

  /// e^v(T), v interpolated linearly in ln T between the tenors and flat outside.
  std::uint32_t volatility_row(const UnderlyingFactors& own, double T) {
    if (own.vol.empty()) return rows_.row(StateKind::exp, none, 0);
    const double days = T * 365.0;
    const auto above = std::find_if(own.vol.begin(), own.vol.end(),
                                    [&](const auto& tenor) { return tenor.first >= days; });
    if (above == own.vol.begin()) return rows_.row(StateKind::exp, above->second, 1);
    const auto below = above - 1;
    if (above == own.vol.end()) return rows_.row(StateKind::exp, below->second, 1);
    const double log_below = canonical::log(below->first);
    const double share =
        (canonical::log(days) - log_below) / (canonical::log(above->first) - log_below);
    return rows_.row(StateKind::exp, below->second, 1 - share, above->second, share);
  }

  Plan& plan_;
  const RunConfig& config_;
  const RunInputs& inputs_;
  StateRows rows_;
  std::vector<UnderlyingFactors> factors_;
  const Instrument* last_option_ = nullptr;
};

}  // namespace

void add_cells(Plan& plan, const RunConfig& config, const RunInputs& inputs, Problems& problems) {
  CellBuilder builder(plan, config, inputs);
  std::vector<bool> is_reported(inputs.book.underlyings.size());
  for (std::uint32_t priced = 0; priced < plan.instruments.size(); ++priced) {
    const std::uint32_t underlying = inputs.book.instruments[plan.instruments[priced]].underlying;
    if (builder.has_spot_factor(underlying)) {
      builder.add(priced);
    } else if (!is_reported[underlying]) {
      is_reported[underlying] = true;
      problems.add(config.inputs.covariance.string(), 1,
                   fmt::format("{0} is held but has no factor: add {0}.spot",
                               inputs.book.underlyings[underlying].name));
    }
  }
}

}  // namespace shortfall
