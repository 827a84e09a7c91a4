#include <algorithm>
#include <utility>

#include "components.hpp"
#include "model/canonical_math.hpp"
#include "shortfall/core/portable.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

void require_summable(std::uint32_t group, const std::uint64_t* keys, std::uint64_t count) {
  constexpr double largest = core::fixed_point_max / (1u << core::fixed_point_bits);
  for (std::uint64_t j = 0; j < count; ++j) {
    const float loss = core::tail_loss(keys[j]);
    if (!(core::abs(loss) < static_cast<float>(largest)))
      throw LossError(group, core::tail_path(keys[j]), core::none);
  }
}

/// Of an expected shortfall from a tail of points of several scramblings, in units of q, from the
/// spread of the scramblings' own: with the value at risk of all, VaR, scrambling r has
///   ES_r = VaR + (R / k) sum over its points of max(0, L - VaR),
/// whose mean over r is ES exactly (the form of Rockafellar and Uryasev 2000, "Optimization of
/// conditional value-at-risk", equation 4, which is stationary in VaR, so that a VaR in common adds
/// no error of first order); se^2 = sum of (ES_r - ES)^2 / (R (R - 1)).
double scrambling_error(const Plan& plan, const std::uint64_t* keys) {
  const std::uint64_t whole = plan.tail.whole;
  const std::uint32_t count = plan.scrambling_count;
  const std::int64_t least = core::fixed_point(core::tail_loss(keys[whole]));
  std::vector<core::Int128> excess(count);
  for (std::uint64_t j = 0; j < whole; ++j)
    excess[core::tail_path(keys[j]) % count] += core::fixed_point(core::tail_loss(keys[j])) - least;
  core::Int128 sum = 0;
  for (const core::Int128 of_one : excess) sum += of_one;
  double square_sum = 0;
  for (const core::Int128 of_one : excess) {
    const double deviation = static_cast<double>(of_one * count - sum);
    square_sum += deviation * deviation;
  }
  // Deviations are R times those of the sums, and ES_r is R / k of its sum.
  return __builtin_sqrt(square_sum / (static_cast<double>(count) * (count - 1.0))) / plan.tail.k;
}

/// core::tail_statistics of paths with weights w that add up to their number N. With psi(p) =
/// max(0, L(p) - VaR), ES = VaR + (1/k) sum w psi, and for independent rows
///   se^2 = (1/k^2) sum over all of w^2 (psi - m)^2,   m = (1/N) sum w psi,
/// which is that of equal weights where they are equal. Sums are in the order of the tail.
core::TailStatistics weighted_statistics(const Plan& plan, const std::uint64_t* keys,
                                         double weight_square_sum) {
  const TailCut cut = tail_cut(plan, keys);
  const std::int64_t least = core::fixed_point(core::tail_loss(keys[cut.whole]));
  double sum = 0, linear = 0, square = 0;
  for (std::uint64_t j = 0; j < cut.whole; ++j) {
    const double weight = plan.weight(core::tail_path(keys[j]));
    const double psi = static_cast<double>(core::fixed_point(core::tail_loss(keys[j])) - least);
    sum += weight * psi;
    linear += weight * weight * psi;
    square += weight * weight * (psi * psi);
  }
  const double mean = sum / static_cast<double>(plan.path_count), k = plan.tail.k;
  const double variance = square - 2 * mean * linear + mean * mean * weight_square_sum;
  const double value_at_risk = static_cast<double>(least);
  return {value_at_risk, value_at_risk + sum / k, variance > 0 ? __builtin_sqrt(variance) / k : 0};
}

/// The accounts' risks at one time of revaluation.
std::vector<GroupRisk> risks_at(RevalueAt time, RunConfig config, const RunInputs& inputs,
                                const Simulate& simulate, const FactorModel* model) {
  config.risk.revalue_at = time;
  const Plan plan = model ? build_plan(config, inputs, *model) : build_plan(config, inputs);
  const std::vector<GroupRisk> of_groups = group_risks(plan, simulate(plan));
  std::vector<GroupRisk> risks(inputs.book.accounts.size());
  for (std::size_t g = 0; g < of_groups.size(); ++g) risks[plan.groups[g].account] = of_groups[g];
  return risks;
}

}  // namespace

std::vector<GroupRisk> group_risks(const Plan& plan, const Tails& tails) {
  SHORTFALL_ASSERT(tails.path_count == plan.path_count && tails.count == plan.tail.count);
  SHORTFALL_ASSERT(plan.is_weighted() ||
                   (plan.tail.whole >= 1 && plan.tail.count == plan.tail.whole + 1));
  double weight_square_sum = 0;
  for (const double weight : plan.model.weights) weight_square_sum += weight * weight;
  std::vector<GroupRisk> risks;
  risks.reserve(plan.groups.size());
  for (std::uint32_t g = 0; g < plan.groups.size(); ++g) {
    require_summable(g, tails.group(g), tails.count);
    const core::TailStatistics tail =
        plan.is_weighted() ? weighted_statistics(plan, tails.group(g), weight_square_sum)
                           : core::tail_statistics(tails.group(g), plan.tail.whole, plan.tail.k,
                                                   plan.confidence_level);
    const double usd =
        canonical::power_of_two(plan.groups[g].scale_exponent - core::fixed_point_bits);
    const double error =
        plan.scrambling_count > 1 ? scrambling_error(plan, tails.group(g)) : tail.standard_error;
    risks.push_back({tail.value_at_risk * usd, tail.expected_shortfall * usd, error * usd});
  }
  return risks;
}

GroupedInputs group_accounts(const RunInputs& inputs) {
  GroupedInputs grouped{inputs, {}};
  Book& book = grouped.inputs.book;
  book.accounts.clear();
  book.positions.clear();
  const std::vector<Position>& positions = inputs.book.positions;
  std::vector<Position> own;
  for (auto p = positions.begin(); p != positions.end();) {
    const std::uint32_t account = p->account;
    const MarginMode mode = inputs.book.accounts[account].mode;
    const auto key = [&](const Position& position) {
      if (mode == MarginMode::portfolio) return 0u;
      return mode == MarginMode::isolated ? position.instrument
                                          : inputs.book.instruments[position.instrument].underlying;
    };
    own.clear();
    for (; p != positions.end() && p->account == account; ++p)
      if (!p->quantity.is_zero()) own.push_back(*p);
    // Instruments stay ascending within a group.
    std::stable_sort(own.begin(), own.end(),
                     [&](const Position& a, const Position& b) { return key(a) < key(b); });
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (i == 0 || key(own[i]) != key(own[i - 1])) {
        book.accounts.push_back({inputs.book.accounts[account].name, MarginMode::portfolio});
        grouped.account.push_back(account);
      }
      own[i].account = static_cast<std::uint32_t>(book.accounts.size() - 1);
    }
    book.positions.insert(book.positions.end(), own.begin(), own.end());
  }
  return grouped;
}

std::vector<GroupRisk> simulate_risks(const RunConfig& config, const RunInputs& inputs,
                                      const Simulate& simulate, double confidence_level,
                                      const FactorModel* model) {
  RunConfig at = config;
  at.risk.confidence_level = confidence_level;
  if (config.risk.revalue_at != RevalueAt::worst)
    return risks_at(config.risk.revalue_at, at, inputs, simulate, model);
  std::vector<GroupRisk> risks = risks_at(RevalueAt::horizon, at, inputs, simulate, model);
  const std::vector<GroupRisk> now = risks_at(RevalueAt::now, at, inputs, simulate, model);
  for (std::size_t a = 0; a < risks.size(); ++a)
    if (now[a].expected_shortfall_usd > risks[a].expected_shortfall_usd) risks[a] = now[a];
  return risks;
}

}  // namespace shortfall
