#include "maximise.hpp"

#include <algorithm>
#include <cmath>
#include <nlopt.hpp>
#include <utility>

#include "shortfall/error.hpp"

namespace shortfall::calibration {
namespace {

using Function = std::function<double(const std::vector<double>&)>;

double call(const std::vector<double>& x, std::vector<double>&, void* function) {
  return (*static_cast<const Function*>(function))(x);
}

[[noreturn]] void fail(const std::string& source, const std::string& what) {
  throw InputError({{source, 0,
                     what + " did not converge; use a longer history, another method, or leave the "
                            "series out"}},
                   0);
}

/// One local search; the value at its end is returned and x is moved there.
double climb(const Function& function, const Box& box, std::vector<double>& x,
             const std::string& source, const std::string& what) {
  nlopt::opt optimiser(nlopt::LN_BOBYQA, static_cast<unsigned>(x.size()));
  optimiser.set_lower_bounds(box.lower);
  optimiser.set_upper_bounds(box.upper);
  std::vector<double> step(x.size()), tolerance(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double width = box.upper[i] - box.lower[i];
    step[i] = 0.05 * width;
    tolerance[i] = 1e-7 * width;
  }
  optimiser.set_initial_step(step);
  optimiser.set_xtol_abs(tolerance);
  optimiser.set_maxeval(2000);
  optimiser.set_max_objective(call, const_cast<Function*>(&function));
  double value = 0;
  try {
    if (optimiser.optimize(x, value) == nlopt::MAXEVAL_REACHED) fail(source, what);
  } catch (const nlopt::roundoff_limited&) {
    // The trust region is at rounding level: as near as doubles get.
    value = function(x);
  } catch (const std::runtime_error&) {
    fail(source, what);
  }
  return value;
}

}  // namespace

std::vector<double> maximise(const Function& function, const Box& box,
                             const std::vector<std::vector<double>>& starts,
                             std::size_t climb_count, const std::string& source,
                             const std::string& what) {
  std::vector<std::pair<double, std::vector<double>>> ranked;
  for (std::vector<double> start : starts) {
    for (std::size_t i = 0; i < start.size(); ++i)
      start[i] = std::clamp(start[i], box.lower[i], box.upper[i]);
    const double value = function(start);
    if (std::isfinite(value)) ranked.emplace_back(value, std::move(start));
  }
  if (ranked.empty()) fail(source, what);
  std::sort(ranked.rbegin(), ranked.rend());
  ranked.resize(std::min(ranked.size(), climb_count));
  for (auto& [value, x] : ranked) value = climb(function, box, x, source, what);
  const auto& [value, x] = *std::max_element(ranked.begin(), ranked.end());
  if (!std::isfinite(value)) fail(source, what);
  return x;
}

}  // namespace shortfall::calibration
