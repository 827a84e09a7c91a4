#include "shortfall/margin.hpp"

#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

/// 2^exponent, exact; gross notionals are within 2^+-400.
double power_of_two(int exponent) {
  SHORTFALL_ASSERT(exponent > -1000 && exponent < 1000);
  return core::bit_cast<double>(static_cast<std::uint64_t>(1023 + exponent) << 52);
}

void require_summable(std::uint32_t group, const std::uint64_t* keys, std::uint64_t count) {
  constexpr double largest = core::fixed_point_max / (1u << core::fixed_point_bits);
  for (std::uint64_t j = 0; j < count; ++j) {
    const float loss = core::tail_loss(keys[j]);
    if (!(core::abs(loss) < static_cast<float>(largest)))
      throw LossError(group, core::tail_path(keys[j]), core::none);
  }
}

}  // namespace

std::vector<AccountMargin> compute_margins(const Plan& plan, const Book& book, const Tails& tails,
                                           const MarginConfig& config) {
  SHORTFALL_ASSERT(tails.path_count == plan.path_count && tails.count == plan.tail.count);
  SHORTFALL_ASSERT(plan.tail.whole >= 1 && plan.tail.count == plan.tail.whole + 1);
  std::vector<AccountMargin> margins;
  margins.reserve(plan.accounts.size());
  for (std::size_t a = 0; a < plan.accounts.size(); ++a) {
    const Plan::AccountSummary& summary = plan.accounts[a];
    AccountMargin margin;
    margin.account = book.accounts[a].name;
    margin.mode = summary.mode;
    margin.position_count = summary.position_count;
    margin.gross_notional_usd = summary.gross_notional_usd;
    for (std::uint32_t g = summary.group_begin; g < summary.group_end; ++g) {
      require_summable(g, tails.group(g), tails.count);
      const core::TailStatistics tail = core::tail_statistics(tails.group(g), plan.tail.whole,
                                                              plan.tail.k, plan.confidence_level);
      const double usd = power_of_two(plan.groups[g].scale_exponent - core::fixed_point_bits);
      margin.value_at_risk_usd += tail.value_at_risk * usd;
      margin.expected_shortfall_usd += tail.expected_shortfall * usd;
      margin.standard_error_usd += tail.standard_error * usd;
      const double charge = config.multiplier * (tail.expected_shortfall * usd);
      margin.margin_usd += charge > 0 ? charge : 0;
    }
    margins.push_back(std::move(margin));
  }
  return margins;
}

}  // namespace shortfall
