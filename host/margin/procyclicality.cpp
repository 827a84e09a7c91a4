#include "components.hpp"

namespace shortfall {

std::vector<double> procyclicality_charges(const ComponentContext& context) {
  const RunInputs& inputs = context.inputs;
  SHORTFALL_ASSERT(context.config.margin.procyclicality && inputs.stressed_covariance);
  const Covariance& covariance = *inputs.stressed_covariance;
  SHORTFALL_ASSERT(covariance.factors.size() == inputs.covariance.factors.size());
  Problems problems;
  const FactorModel model = build_factor_model(covariance, context.config, problems);
  problems.throw_if_any();

  const std::vector<GroupRisk> stressed = simulate_risks(
      context.config, inputs, context.simulate, context.config.risk.confidence_level, &model);
  const double weight = context.config.margin.procyclicality->weight;
  std::vector<double> charges;
  charges.reserve(stressed.size());
  for (std::size_t a = 0; a < stressed.size(); ++a) {
    // max(ES, (1 - w) ES + w ES_stressed) - ES, and exactly 0 where both are equal.
    const double more = stressed[a].expected_shortfall_usd - context.base[a].expected_shortfall_usd;
    charges.push_back(more > 0 ? weight * more : 0);
  }
  return charges;
}

}  // namespace shortfall
