#include "walk_book.hpp"

#include <algorithm>
#include <cmath>

#include "calibrate/history.hpp"
#include "canonical_math.hpp"
#include "cpu_backend.hpp"
#include "fmt/format.h"
#include "shortfall/core/tail.hpp"

namespace shortfall::backtest {
namespace {

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

}  // namespace

WalkBook::WalkBook(const FactorChanges& changes, const std::vector<LinearBook>& books,
                   const WalkSettings& settings, Problems& problems)
    : confidence_levels_(settings.confidence_levels),
      degrees_of_freedom_(settings.degrees_of_freedom) {
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
  inputs_.covariance.file = changes.source;
  add_underlyings(changes, problems);
  for (const LinearBook& book : books) add_book(book, changes, problems);
}

/// An underlying for each that a factor names, and one spot instrument of 1 USD for each.
void WalkBook::add_underlyings(const FactorChanges& changes, Problems& problems) {
  Book& book = inputs_.book;
  for (const std::string& name : changes.factors) {
    const auto parts = calibration::parse_factor_name(name);
    if (!parts) {
      problems.add(changes.source, 0,
                   fmt::format("{} is no factor; name it <underlying>.<kind>, as BTC.spot", name));
      continue;
    }
    const auto found = std::find_if(
        book.underlyings.begin(), book.underlyings.end(),
        [&](const Underlying& underlying) { return underlying.name == parts->underlying; });
    const auto index = static_cast<std::uint32_t>(found - book.underlyings.begin());
    if (found == book.underlyings.end()) {
      book.underlyings.push_back({parts->underlying, 1});
      Instrument instrument;
      instrument.name = parts->underlying;
      instrument.underlying = index;
      instrument.mark_price = 1;
      book.instruments.push_back(instrument);
    }
    inputs_.covariance.factors.push_back({name, index, parts->kind, parts->tenor_days});
  }
}

void WalkBook::add_book(const LinearBook& book, const FactorChanges& changes, Problems& problems) {
  const auto account = static_cast<std::uint32_t>(inputs_.book.accounts.size());
  const auto report = [&](const std::string& message) {
    problems.add(changes.source, 0, fmt::format("book {}: {}", book.name, message));
  };
  if (book.positions.empty()) report("holds nothing; give it a position");
  inputs_.book.accounts.push_back({book.name, MarginMode::portfolio});
  std::vector<Exposure> exposures;
  std::vector<Position> held;
  for (const LinearPosition& position : book.positions) {
    const auto factor =
        std::find(changes.factors.begin(), changes.factors.end(), position.underlying + ".spot");
    if (factor == changes.factors.end()) {
      report(
          fmt::format("the history has no prices of {} to value it by (it has {}); add them, or "
                      "leave the position out",
                      position.underlying, names_of(inputs_.book)));
      continue;
    }
    const double size_usd = std::abs(position.value_usd);
    if (!(size_usd >= value_usd_min && size_usd <= value_usd_max)) {
      report(fmt::format("a position of {} USD in {}; give a value from {} to {:g}, or below 0",
                         position.value_usd, position.underlying, value_usd_min, value_usd_max));
      continue;
    }
    const auto index = static_cast<std::size_t>(factor - changes.factors.begin());
    if (std::any_of(exposures.begin(), exposures.end(),
                    [&](const Exposure& exposure) { return exposure.factor == index; })) {
      report(fmt::format("has {} twice; add the two up", position.underlying));
      continue;
    }
    exposures.push_back({index, position.value_usd});
    if (index >= inputs_.covariance.factors.size()) continue;  // a name was no factor's
    const double units = std::rint(position.value_usd * Quantity::units_per_contract);
    held.push_back({account, inputs_.covariance.factors[index].underlying,
                    Quantity::from_units(static_cast<Quantity::Units>(units))});
  }
  std::sort(held.begin(), held.end(),
            [](const Position& a, const Position& b) { return a.instrument < b.instrument; });
  inputs_.book.positions.insert(inputs_.book.positions.end(), held.begin(), held.end());
  exposures_.push_back(std::move(exposures));
}

std::vector<WalkBook::Forecast> WalkBook::forecast(const Calibration& calibration,
                                                   std::vector<std::string>& warnings) const {
  RunConfig config = config_;
  RunInputs inputs = inputs_;
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
  std::vector<Forecast> forecasts(inputs.book.accounts.size());
  SHORTFALL_ASSERT(plan.groups.size() == forecasts.size());
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g)
    forecasts[plan.groups[g].account] = forecast_of(plan, tails, g, confidence_levels_);
  return forecasts;
}

double WalkBook::loss_usd(std::size_t book, const double* changes) const {
  double loss = 0;
  for (const Exposure& exposure : exposures_[book])
    loss -= exposure.value_usd * std::expm1(changes[exposure.factor]);
  return loss;
}

}  // namespace shortfall::backtest
