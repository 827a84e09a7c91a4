#include "model_build.hpp"

#include <algorithm>
#include <cmath>

#include "estimate.hpp"
#include "shortfall/factor_model.hpp"

namespace shortfall::calibration {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const FillRule* rule_of(const std::vector<FillRule>& rules, const std::string& factor) {
  const auto found = std::find_if(rules.begin(), rules.end(),
                                  [&](const FillRule& rule) { return rule.factor == factor; });
  return found == rules.end() ? nullptr : &*found;
}

/// The columns of some factors; those of `kept`.
FactorChanges selected(const FactorChanges& changes, const std::vector<std::size_t>& kept) {
  FactorChanges result{changes.source, {}, changes.times, {}, changes.interval_days};
  for (const std::size_t i : kept) result.factors.push_back(changes.factors[i]);
  result.values.reserve(kept.size() * changes.times.size());
  for (std::size_t t = 0; t < changes.times.size(); ++t)
    for (const std::size_t i : kept)
      result.values.push_back(changes.values[t * changes.factors.size() + i]);
  return result;
}

std::size_t count_of(const FactorChanges& changes, RowRange window, std::size_t factor) {
  std::size_t count = 0;
  for (std::size_t t = window.begin; t < window.end; ++t)
    count += !std::isnan(changes.values[t * changes.factors.size() + factor]);
  return count;
}

}  // namespace

BuiltModel build_model(const FactorChanges& changes, RowRange window,
                       const CalibrationSettings& settings, const ModelRequest& request) {
  BuiltModel model;
  std::vector<std::string> wanted = request.factors;
  if (wanted.empty()) {
    wanted = changes.factors;
    for (const FillRule& rule : request.fills)
      if (!contains(wanted, rule.factor)) wanted.push_back(rule.factor);
  }

  const std::size_t least = observations_min(settings);
  std::vector<std::string> needed;
  for (const std::string& factor : wanted) {
    const auto at =
        static_cast<std::size_t>(std::find(changes.factors.begin(), changes.factors.end(), factor) -
                                 changes.factors.begin());
    const bool is_short = at == changes.factors.size() || count_of(changes, window, at) < least;
    const FillRule* const rule = is_short ? rule_of(request.fills, factor) : nullptr;
    if (rule) model.filled.push_back(*rule);
    needed.push_back(rule ? rule->like : factor);
  }
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < changes.factors.size(); ++i)
    if (contains(needed, changes.factors[i])) kept.push_back(i);
  for (const std::size_t i : kept) model.estimated.push_back(changes.factors[i]);

  Problems problems;
  // Names first: a factor without a history is not a matter of estimation.
  NamedCovariance estimated{model.estimated, std::vector<double>(kept.size() * kept.size()),
                            settings.horizon_days};
  fill_factors(estimated, wanted, model.filled, changes.source, problems);
  problems.throw_if_any();
  model.calibration = kept.size() == changes.factors.size()
                          ? calibrate(changes, window, settings)
                          : calibrate(selected(changes, kept), window, settings);
  estimated.matrix = model.calibration.covariance;
  model.covariance = fill_factors(estimated, wanted, model.filled, changes.source, problems);
  return model;
}

void require_factor_model(const NamedCovariance& covariance) {
  Covariance as_read;
  as_read.file = "the covariance";
  as_read.matrix = covariance.matrix;
  for (const std::string& name : covariance.factors) {
    Factor factor;
    factor.name = name;
    factor.kind = FactorKind::basis;  // no bound on its variance
    as_read.factors.push_back(factor);
  }
  Problems problems;
  build_factor_model(as_read, RunConfig{}, problems);
  if (problems.empty()) return;
  try {
    problems.throw_if_any();
  } catch (const InputError& error) {
    throw OperatingError(std::string("the estimate is no factor model: ") + error.what());
  }
}

}  // namespace shortfall::calibration
