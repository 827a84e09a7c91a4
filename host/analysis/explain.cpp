#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "input/close_names.hpp"
#include "model/canonical_math.hpp"
#include "one_account.hpp"
#include "run/margin_run.hpp"
#include "shortfall/attribution.hpp"
#include "shortfall/core/tail.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

/// Adds the factors of the underlyings that are held, and returns which of the model's they are.
std::vector<std::uint32_t> add_factors(const RunInputs& inputs, const Plan& plan,
                                       Explanation& explanation) {
  const Covariance& covariance = inputs.covariance;
  const double scale = covariance_scale(explanation.config);
  std::vector<bool> is_held(inputs.book.underlyings.size());
  for (const std::uint32_t i : plan.instruments)
    is_held[inputs.book.instruments[i].underlying] = true;
  std::vector<std::uint32_t> shown;
  for (std::uint32_t f = 0; f < covariance.factors.size(); ++f) {
    if (!is_held[covariance.factors[f].underlying]) continue;
    const double variance = covariance.matrix[f * covariance.factors.size() + f] * scale;
    explanation.factors.push_back({covariance.factors[f].name, __builtin_sqrt(variance), 0});
    shown.push_back(f);
  }
  return shown;
}

/// One portfolio's tail: its factors' means and its worst paths.
void add_tail(const RunInputs& inputs, const SimulatedPlan& simulated, MarginRun& run,
              Explanation& explanation) {
  constexpr std::size_t worst_count = 10;
  const Plan& plan = simulated.plan;
  const TailSize& tail = plan.tail;
  const std::vector<std::uint32_t> factors = add_factors(inputs, plan, explanation);
  std::vector<std::uint64_t> keys(simulated.tails.group(0), simulated.tails.group(0) + tail.count);
  std::ranges::sort(keys, std::greater<>());
  const TailCut cut = tail_cut(plan, keys.data());
  keys.resize(cut.boundary_weight == 0 ? cut.whole : cut.whole + 1);
  std::vector<std::uint32_t> paths;
  for (const std::uint64_t key : keys) paths.push_back(core::tail_path(key));
  const double usd = canonical::power_of_two(plan.groups.front().scale_exponent);
  run.replay(plan, paths, [&](std::size_t first, const PathValues& values) {
    for (std::size_t p = 0; p < values.path_count; ++p) {
      const std::size_t j = first + p;
      const auto move = [&](std::uint32_t f) {
        return values.factors[std::size_t{f} * values.path_count + p];
      };
      for (std::size_t i = 0; i < factors.size(); ++i)
        explanation.factors[i].tail_mean +=
            (j < cut.whole ? plan.weight(paths[j]) : cut.boundary_weight) / tail.k *
            move(factors[i]);
      if (j >= worst_count) continue;
      WorstPath& worst = explanation.worst_paths.emplace_back();
      worst.path = paths[j];
      if (!inputs.covariance.dates.empty()) worst.date = inputs.covariance.dates[paths[j]];
      worst.loss_usd = static_cast<double>(core::tail_loss(keys[j])) * usd;
      for (const std::uint32_t f : factors) worst.moves.push_back(move(f));
      for (const core::Holding& holding : plan.holdings) {
        const std::size_t priced = holding.instrument & core::Holding::index_mask;
        const float value = values.values[priced * values.path_count + p];
        worst.losses_usd.push_back(-static_cast<double>(value) *
                                   static_cast<double>(holding.weight) * usd);
      }
    }
  });
}

void add_once(const std::vector<std::string>& more, std::vector<std::string>& warnings) {
  for (const std::string& warning : more)
    if (std::ranges::find(warnings, warning) == warnings.end()) warnings.push_back(warning);
}

}  // namespace

Explanation explain(const RunConfig& config, const std::string& account, const Progress& progress) {
  Explanation explanation;
  explanation.config = config;
  RunBackends backends(config.compute);
  MarginRun run(config, backends, progress, explanation.warnings);
  BaseRun base = run.plan(load_account(config, account));
  if (base.revaluations.front().plan.groups.empty()) throw_empty(config, account);
  run.simulate(base);
  const std::vector<AccountMargin> margins = run.margins(base);
  explanation.margin = margins.front();
  explanation.attribution = run.attribute(base, margins);
  Account& own = base.inputs.book.accounts.front();
  if (own.mode != MarginMode::portfolio) {
    own.mode = MarginMode::portfolio;
    std::vector<std::string> again;
    MarginRun as_one(config, backends, progress, again);
    base = as_one.plan_simulated(std::move(base.inputs));
    as_one.simulate(base);
    add_once(again, explanation.warnings);
  }
  add_tail(base.inputs, base.revaluations[base.revaluation_of.front()], run, explanation);
  return explanation;
}

}  // namespace shortfall
