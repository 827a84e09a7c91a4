#include "maximise.hpp"

#include <algorithm>
#include <cmath>
#include <nlopt.hpp>

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

}  // namespace

std::vector<double> maximise(const Function& function, const Box& box,
                             const std::vector<std::vector<double>>& starts,
                             const std::string& source, const std::string& what) {
  std::vector<double> x;
  double best = -HUGE_VAL;
  for (std::vector<double> start : starts) {
    for (std::size_t i = 0; i < start.size(); ++i)
      start[i] = std::clamp(start[i], box.lower[i], box.upper[i]);
    const double value = function(start);
    if (!(value > best)) continue;
    best = value;
    x = std::move(start);
  }
  if (!std::isfinite(best)) fail(source, what);

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
  try {
    if (optimiser.optimize(x, best) == nlopt::MAXEVAL_REACHED) fail(source, what);
  } catch (const nlopt::roundoff_limited&) {
    // The trust region is at rounding level: as near as doubles get.
  } catch (const std::runtime_error&) {
    fail(source, what);
  }
  if (!std::isfinite(best)) fail(source, what);
  return x;
}

}  // namespace shortfall::calibration
