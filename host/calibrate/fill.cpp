#include "fill.hpp"

#include <algorithm>

#include "fmt/format.h"

namespace shortfall::calibration {
namespace {

/// A factor as a multiple of an estimated one, with a variance beside it.
struct Loading {
  std::size_t estimated = 0;
  double beta = 1, residual_variance = 0;
};

std::size_t index_of(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

}  // namespace

NamedCovariance fill_factors(const NamedCovariance& estimated,
                             const std::vector<std::string>& wanted,
                             const std::vector<FillRule>& rules, const std::string& source,
                             Problems& problems) {
  const std::size_t estimated_count = estimated.factors.size();
  std::vector<Loading> loadings;
  for (const std::string& factor : wanted) {
    Loading loading{index_of(estimated.factors, factor), 1, 0};
    if (loading.estimated == estimated_count) {
      const auto rule = std::find_if(rules.begin(), rules.end(),
                                     [&](const FillRule& r) { return r.factor == factor; });
      if (rule == rules.end()) {
        problems.add(
            source, 0,
            fmt::format("factor {} has no history that is long enough; give one, or a rule "
                        "[fill.\"{}\"] with like and beta",
                        factor, factor));
        continue;
      }
      loading = {index_of(estimated.factors, rule->like), rule->beta,
                 rule->residual_daily * rule->residual_daily * estimated.horizon_days};
      if (loading.estimated == estimated_count)
        problems.add(source, 0,
                     fmt::format("factor {} is to be filled like {}, which is not estimated; name "
                                 "a factor with a history",
                                 factor, rule->like));
    }
    loadings.push_back(loading);
  }
  if (!problems.empty()) return {};
  NamedCovariance filled{wanted, {}, estimated.horizon_days};
  for (std::size_t i = 0; i < wanted.size(); ++i)
    for (std::size_t j = 0; j < wanted.size(); ++j) {
      const Loading &a = loadings[i], &b = loadings[j];
      double value =
          a.beta * b.beta * estimated.matrix[a.estimated * estimated_count + b.estimated];
      if (i == j) value += a.residual_variance;
      filled.matrix.push_back(value);
    }
  return filled;
}

}  // namespace shortfall::calibration
