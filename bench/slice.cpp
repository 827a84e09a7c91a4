#include "slice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace shortfall::bench {
namespace {

/// Methodology, section 4, in plain double precision.
double expected_shortfall(std::vector<double> losses, const TailSize& tail) {
  const auto next = losses.begin() + static_cast<std::ptrdiff_t>(tail.whole);
  std::nth_element(losses.begin(), next, losses.end(), std::greater<>());
  double sum = (tail.k - static_cast<double>(tail.whole)) * *next;
  for (auto loss = losses.begin(); loss != next; ++loss) sum += *loss;
  return sum / tail.k;
}

}  // namespace

Slice::Slice(const Job& job, std::uint32_t path_count, std::optional<double> confidence_level)
    : job_(job),
      config_(job.config),
      trace_(trace_paths(job.plan, 0, path_count)),
      growth_(path_count, 1.0) {
  config_.risk.path_count = path_count;
  config_.risk.confidence_level = confidence_level.value_or(config_.risk.confidence_level);
  const std::vector<Factor>& factors = job.inputs.covariance.factors;
  for (std::size_t f = 0; f < factors.size(); ++f)
    for (std::size_t p = 0; factors[f].kind == FactorKind::spot && p < path_count; ++p)
      growth_[p] = std::max(growth_[p], std::exp(trace_.factors[f * path_count + p]));

  const Plan plan = build_plan(config_, job.inputs);
  const Tails tails = make_backend(config_.compute)->simulate(plan, {0, path_count}, {});
  for (const AccountMargin& margin : compute_margins(plan, job.inputs.book, tails, config_.margin))
    shortfalls_usd_.push_back(margin.expected_shortfall_usd);
}

double Slice::growth_max() const { return *std::max_element(growth_.begin(), growth_.end()); }

void Slice::check_losses(const std::vector<double>& losses_usd) const {
  const std::size_t n = path_count();
  const TailSize tail = tail_size(n, config_.risk.confidence_level);
  for (std::size_t a = 0; a < job_.plan.accounts.size(); ++a) {
    const Plan::AccountSummary& account = job_.plan.accounts[a];
    const double* const own = losses_usd.data() + a * n;
    for (std::size_t p = 0; p < n; ++p) {
      double loss_usd = 0;
      for (std::uint32_t g = account.group_begin; g < account.group_end; ++g)
        loss_usd += std::ldexp(trace_.losses[g * n + p], job_.plan.groups[g].scale_exponent);
      const double error_max = loss_error_max * growth_[p] * account.gross_notional_usd;
      if (!(std::fabs(loss_usd - own[p]) <= error_max))
        throw OperatingError(fmt::format("account {}, path {}: loss {} here, {} in the engine",
                                         job_.inputs.book.accounts[a].name, p, own[p], loss_usd));
    }
    // Several margin groups have tails of their own, which the account's losses do not tell.
    if (account.group_end - account.group_begin != 1) continue;
    const double shortfall = expected_shortfall({own, own + n}, tail);
    const double error_max = loss_error_max * growth_max() * account.gross_notional_usd;
    if (!(std::fabs(shortfall - shortfalls_usd_[a]) <= error_max))
      throw OperatingError(fmt::format("account {}: expected shortfall {} here, {} in the engine",
                                       job_.inputs.book.accounts[a].name, shortfall,
                                       shortfalls_usd_[a]));
  }
}

double Slice::check_shortfalls(const std::vector<double>& shortfalls_usd) const {
  if (shortfalls_usd.size() != shortfalls_usd_.size())
    throw OperatingError(fmt::format("{} expected shortfalls for {} accounts",
                                     shortfalls_usd.size(), shortfalls_usd_.size()));
  double worst = 0;
  for (std::size_t a = 0; a < shortfalls_usd.size(); ++a) {
    const double gross_usd = job_.plan.accounts[a].gross_notional_usd;
    if (gross_usd == 0) continue;
    const double error =
        std::fabs(shortfalls_usd[a] - shortfalls_usd_[a]) / (gross_usd * growth_max());
    if (!(error <= loss_error_max))
      throw OperatingError(fmt::format("account {}: expected shortfall {} here, {} in the engine",
                                       job_.inputs.book.accounts[a].name, shortfalls_usd[a],
                                       shortfalls_usd_[a]));
    worst = std::max(worst, error);
  }
  return worst;
}

}  // namespace shortfall::bench
