#include "walk_book.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "calibrate/history.hpp"
#include "cpu/cpu_backend.hpp"
#include "fmt/format.h"
#include "model/canonical_math.hpp"
#include "shortfall/core/revalue.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall::backtest {
namespace {

constexpr std::int64_t seconds_per_day = 86'400;
constexpr double days_per_year = 365;

/// The end of a fitted tail that is to be read as Gaussian.
bool is_gaussian(const std::optional<TailFit>& tail) { return tail && tail->is_gaussian; }

std::string names_of(const Book& book) {
  std::string names;
  for (const Underlying& underlying : book.underlyings)
    names += (names.empty() ? "" : ", ") + underlying.name;
  return names;
}

WalkBook::Forecast forecast_of(const Plan& plan, const Tails& tails, std::uint32_t group,
                               const std::vector<double>& confidence_levels) {
  std::vector<std::uint64_t> keys(tails.group(group), tails.group(group) + tails.count);
  std::sort(keys.rbegin(), keys.rend());
  const int exponent = plan.groups[group].scale_exponent;
  const double usd = canonical::power_of_two(exponent - core::fixed_point_bits);
  WalkBook::Forecast forecast;
  for (const double level : confidence_levels) {
    const TailSize size = tail_size(plan.path_count, level);
    const core::TailStatistics tail = core::tail_statistics(keys.data(), size.whole, size.k, level);
    forecast.value_at_risk_usd.push_back(tail.value_at_risk * usd);
    forecast.expected_shortfall_usd.push_back(tail.expected_shortfall * usd);
  }
  const double scale = canonical::power_of_two(exponent);
  for (const std::uint64_t key : keys)
    forecast.worst_losses_usd.push_back(
        static_cast<float>(static_cast<double>(core::tail_loss(key)) * scale));
  return forecast;
}

/// Black's (1976) undiscounted value, of a strike of 1.
double option_value(InstrumentType type, double forward, double volatility, double years) {
  const double otm =
      canonical::otm_value(forward, 1, canonical::log(forward), volatility * std::sqrt(years));
  const double intrinsic = type == InstrumentType::call ? forward - 1 : 1 - forward;
  return otm + std::max(0.0, intrinsic);
}

std::optional<std::size_t> factor_named(const FactorChanges& changes, const std::string& name) {
  const auto found = std::find(changes.factors.begin(), changes.factors.end(), name);
  if (found == changes.factors.end()) return std::nullopt;
  return static_cast<std::size_t>(found - changes.factors.begin());
}

}  // namespace

std::string describe(const WalkPosition& position) {
  if (position.type == InstrumentType::spot) return position.underlying;
  return fmt::format("{} {} {}d", position.underlying, to_string(position.type),
                     position.tenor_days);
}

WalkBook::WalkBook(const FactorChanges& changes, const std::vector<HeldBook>& books,
                   const WalkSettings& settings, Problems& problems)
    : confidence_levels_(settings.confidence_levels),
      degrees_of_freedom_(settings.degrees_of_freedom) {
  set_config(changes, settings, problems);
  inputs_.covariance.file = changes.source;
  add_underlyings(changes, problems);
  for (const HeldBook& book : books) add_book(book, changes, problems);
}

void WalkBook::set_config(const FactorChanges& changes, const WalkSettings& settings,
                          Problems& problems) {
  config_.file = changes.source;
  config_.model.distribution = settings.distribution;
  config_.model.covariance_horizon_days = changes.interval_days;
  config_.risk.horizon_days = changes.interval_days;
  config_.risk.path_count = settings.path_count;
  config_.risk.seed = settings.seed;
  // The longest tail holds the others.
  config_.risk.confidence_level =
      *std::min_element(confidence_levels_.begin(), confidence_levels_.end());
  for (const double level : confidence_levels_)
    if (tail_size(settings.path_count, level).whole == 0)
      problems.add(changes.source, 0,
                   fmt::format("{} paths at confidence {} leave no tail: use at least {:.0f} paths",
                               settings.path_count, level, std::ceil(1 / (1 - level) - 1e-9)));
  config_.compute.backend = BackendChoice::cpu;
  config_.compute.thread_count = 1;
}

/// An underlying for each that a factor names.
void WalkBook::add_underlyings(const FactorChanges& changes, Problems& problems) {
  std::vector<Underlying>& underlyings = inputs_.book.underlyings;
  for (const std::string& name : changes.factors) {
    const auto parts = calibration::parse_factor_name(name);
    if (!parts) {
      problems.add(changes.source, 0,
                   fmt::format("{} is no factor; name it <underlying>.<kind>, as BTC.spot", name));
      continue;
    }
    const auto found = std::find_if(
        underlyings.begin(), underlyings.end(),
        [&](const Underlying& underlying) { return underlying.name == parts->underlying; });
    const auto index = static_cast<std::uint32_t>(found - underlyings.begin());
    if (found == underlyings.end()) underlyings.push_back({parts->underlying, 1});
    inputs_.covariance.factors.push_back({name, index, parts->kind, parts->tenor_days});
  }
}

void WalkBook::add_book(const HeldBook& book, const FactorChanges& changes, Problems& problems) {
  const auto report = [&](const std::string& message) {
    problems.add(changes.source, 0, fmt::format("book {}: {}", book.name, message));
  };
  if (book.positions.empty()) report("holds nothing; give it a position");
  inputs_.book.accounts.push_back({book.name, MarginMode::portfolio});
  std::vector<Exposure> exposures;
  for (const WalkPosition& position : book.positions) {
    const double size_usd = std::abs(position.value_usd);
    if (!(size_usd >= value_usd_min && size_usd <= value_usd_max)) {
      report(fmt::format("a position of {} USD in {}; give a value from {} to {:g}, or below 0",
                         position.value_usd, describe(position), value_usd_min, value_usd_max));
      continue;
    }
    const std::optional<Exposure> exposure = exposure_of(position, changes, book.name, problems);
    if (!exposure) continue;
    if (std::any_of(exposures.begin(), exposures.end(), [&](const Exposure& other) {
          return other.instrument == exposure->instrument;
        }))
      report(fmt::format("has {} twice; add the two up", describe(position)));
    else
      exposures.push_back(*exposure);
  }
  std::sort(exposures.begin(), exposures.end(),
            [](const Exposure& a, const Exposure& b) { return a.instrument < b.instrument; });
  exposures_.push_back(std::move(exposures));
}

std::optional<WalkBook::Exposure> WalkBook::exposure_of(const WalkPosition& position,
                                                        const FactorChanges& changes,
                                                        const std::string& book,
                                                        Problems& problems) {
  const auto report = [&](const std::string& message) {
    problems.add(changes.source, 0, fmt::format("book {}: {}", book, message));
    return std::nullopt;
  };
  const std::optional<std::size_t> spot = factor_named(changes, position.underlying + ".spot");
  if (!spot)
    return report(
        fmt::format("the history has no prices of {} to value it by (it has {}); add them, or "
                    "leave the position out",
                    position.underlying, names_of(inputs_.book)));
  Exposure exposure{position.value_usd, 0, position.type, *spot, std::nullopt, position.tenor_days};
  if (position.type != InstrumentType::spot) {
    const std::string name = fmt::format("{}.vol.{}d", position.underlying, position.tenor_days);
    exposure.vol = factor_named(changes, name);
    if (!exposure.vol)
      return report(
          fmt::format("the history has no {} to value {} by; add a history of that "
                      "volatility, or leave the position out",
                      name, describe(position)));
    if (position.tenor_days <= changes.interval_days)
      return report(
          fmt::format("{} expires within the interval of {:.6g} days over which it is "
                      "held; take a longer one",
                      describe(position), changes.interval_days));
  }
  // Where a factor's name is none nothing is run.
  if (inputs_.covariance.factors.size() != changes.factors.size()) return std::nullopt;
  exposure.instrument = instrument_of(position);
  if (exposure.vol) vol_of_[exposure.instrument] = exposure.vol;
  return exposure;
}

/// The instrument of a position, made for the first that is of it.
std::uint32_t WalkBook::instrument_of(const WalkPosition& position) {
  std::vector<Instrument>& instruments = inputs_.book.instruments;
  const std::string name = describe(position);
  const auto found = std::find_if(instruments.begin(), instruments.end(),
                                  [&](const Instrument& one) { return one.name == name; });
  const auto index = static_cast<std::uint32_t>(found - instruments.begin());
  if (found != instruments.end()) return index;
  Instrument instrument;
  instrument.name = name;
  instrument.type = position.type;
  for (const Underlying& underlying : inputs_.book.underlyings)
    if (underlying.name == position.underlying)
      instrument.underlying =
          static_cast<std::uint32_t>(&underlying - inputs_.book.underlyings.data());
  instrument.mark_price = 1;
  if (position.type != InstrumentType::spot) {
    instrument.strike = 1;
    instrument.expiry = config_.as_of + position.tenor_days * seconds_per_day;
  }
  instruments.push_back(std::move(instrument));
  vol_of_.emplace_back();
  return index;
}

/// Of the date: volatilities, and the books that have all of theirs.
void WalkBook::place_positions(RunInputs& inputs, const double* levels) const {
  std::vector<Instrument>& instruments = inputs.book.instruments;
  for (std::size_t i = 0; i < instruments.size(); ++i)
    if (vol_of_[i])
      instruments[i].mark_iv = std::isnan(levels[*vol_of_[i]]) ? 1 : levels[*vol_of_[i]];
  for (std::size_t b = 0; b < exposures_.size(); ++b) {
    const std::vector<Exposure>& exposures = exposures_[b];
    if (!std::all_of(exposures.begin(), exposures.end(),
                     [&](const Exposure& exposure) { return exposure.is_known(levels); }))
      continue;
    for (const Exposure& exposure : exposures) {
      const double units = std::rint(exposure.value_usd * Quantity::units_per_contract);
      inputs.book.positions.push_back({static_cast<std::uint32_t>(b), exposure.instrument,
                                       Quantity::from_units(static_cast<Quantity::Units>(units))});
    }
  }
}

std::vector<WalkBook::Forecast> WalkBook::forecast(const Calibration& calibration,
                                                   const double* levels,
                                                   std::vector<std::string>& warnings) const {
  RunConfig config = config_;
  RunInputs inputs = inputs_;
  place_positions(inputs, levels);
  std::vector<Forecast> forecasts(inputs.book.accounts.size());
  if (inputs.book.positions.empty()) return forecasts;
  inputs.covariance.matrix = calibration.covariance;
  if (degrees_of_freedom_) {
    config.model.degrees_of_freedom = *degrees_of_freedom_;
  } else if (calibration.tail) {
    config.model.degrees_of_freedom = calibration.tail->degrees_of_freedom;
    if (is_gaussian(calibration.tail)) config.model.distribution = Distribution::gaussian;
  }
  const Plan plan = build_plan(config, inputs);
  warnings.insert(warnings.end(), plan.model.warnings.begin(), plan.model.warnings.end());
  const Tails tails = make_cpu_backend(config.compute)->simulate(plan, {0, plan.path_count}, {});
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g)
    forecasts[plan.groups[g].account] = forecast_of(plan, tails, g, confidence_levels_);
  for (Forecast& forecast : forecasts)
    forecast.degrees_of_freedom = plan.model.is_student_t ? plan.model.degrees_of_freedom
                                                          : std::numeric_limits<double>::infinity();
  return forecasts;
}

bool WalkBook::Exposure::is_known(const double* levels) const {
  SHORTFALL_ASSERT(!vol || levels);
  return !vol || !std::isnan(levels[*vol]);
}

double WalkBook::Exposure::loss_usd(const double* changes, const double* levels,
                                    double interval_days) const {
  if (!vol) return -value_usd * std::expm1(changes[spot]);
  const double before = levels[*vol];
  const double after =
      std::clamp(before * std::exp(changes[*vol]), static_cast<double>(core::volatility_min),
                 static_cast<double>(core::volatility_max));
  const double forward = std::exp(changes[spot]);
  if (std::isnan(after) || std::isnan(forward)) return std::numeric_limits<double>::quiet_NaN();
  return value_usd *
         (option_value(type, 1, before, tenor_days / days_per_year) -
          option_value(type, forward, after, (tenor_days - interval_days) / days_per_year));
}

double WalkBook::loss_usd(std::size_t book, const double* changes, const double* levels) const {
  double loss = 0;
  for (const Exposure& exposure : exposures_[book])
    loss += exposure.loss_usd(changes, levels, config_.risk.horizon_days);
  return loss;
}

}  // namespace shortfall::backtest
