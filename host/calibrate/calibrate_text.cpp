#include <algorithm>
#include <cmath>

#include "calibrate_report.hpp"
#include "fmt/format.h"
#include "input/date.hpp"
#include "program/terminal.hpp"

namespace shortfall::calibration {
namespace {

double average_correlation(const Calibration& calibration, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < i; ++j) sum += calibration.correlations[i * count + j];
  return 2 * sum / static_cast<double>(count * (count - 1));
}

std::string format_series(const BuiltModel& model, double interval_days) {
  const Calibration& calibration = model.calibration;
  const std::size_t count = model.estimated.size();
  const bool has_garch = !calibration.garch.empty();
  std::string text = fmt::format("{:<20} {:>8} {:>12} {:>17}", "factor", "changes", "annual vol.",
                                 "mean correlation");
  text += has_garch ? fmt::format(" {:>8} {:>8} {:>14}\n", "alpha", "beta", "long-run vol.") : "\n";
  for (std::size_t i = 0; i < count; ++i) {
    double sum = -1;
    for (std::size_t j = 0; j < count; ++j) sum += calibration.correlations[i * count + j];
    text += fmt::format("{:<20} {:>8} {:>12.4f} {:>17.3f}", clip(model.estimated[i], 20),
                        calibration.observations[i * count + i], calibration.volatilities[i],
                        count < 2 ? 1 : sum / static_cast<double>(count - 1));
    if (has_garch) {
      const GarchFit& fit = calibration.garch[i];
      const double long_run = std::sqrt(fit.long_run_variance * 365 / interval_days);
      text += fmt::format(" {:>8.4f} {:>8.4f} {:>14.4f}", fit.parameters.alpha, fit.parameters.beta,
                          long_run);
    }
    text += "\n";
  }
  for (const FillRule& rule : model.filled)
    text += fmt::format("{:<20} filled: {} * {}, daily residual {}\n", clip(rule.factor, 20),
                        rule.beta, rule.like, rule.residual_daily);
  return text;
}

std::string format_fits(const Calibration& calibration, std::size_t count) {
  std::string text;
  if (count > 1)
    text +=
        fmt::format("average correlation {:.3f}; smallest eigenvalue of the correlations {:.3g}\n",
                    average_correlation(calibration, count), calibration.eigenvalues.back());
  if (calibration.shrinkage)
    text += fmt::format("shrinkage {:.4f}, {}\n", *calibration.shrinkage,
                        calibration.is_standardised
                            ? "of the correlations towards none, variances as they are"
                            : "towards the mean variance times the identity");
  if (calibration.dcc)
    text += fmt::format("dynamic correlations: a {:.4f}, b {:.4f}\n", calibration.dcc->parameters.a,
                        calibration.dcc->parameters.b);
  if (calibration.repair)
    text += fmt::format(
        "correlations repaired: smallest eigenvalue was {:.3g}; the largest change is {:.3g}\n",
        calibration.repair->smallest_eigenvalue, calibration.repair->largest_change);
  if (calibration.tail)
    text +=
        calibration.tail->is_gaussian
            ? "degrees of freedom: at least 200, use distribution = \"gaussian\"\n"
            : fmt::format("degrees of freedom {:.2f} (standard error {:.2f})\n",
                          calibration.tail->degrees_of_freedom, calibration.tail->standard_error);
  return text;
}

std::string format_stressed(const StressedWindow& stressed) {
  std::string text = fmt::format(
      "worst window: {} to {}, expected shortfall {} USD; with the book's own covariance {}\n"
      "{} windows simulated on {} paths, {} skipped{}{}\n",
      format_date(stressed.worst.from), format_date(stressed.worst.to),
      format_usd(stressed.worst.expected_shortfall_usd), format_usd(stressed.current_usd),
      stressed.windows.size(), stressed.path_count, stressed.skipped_count,
      stressed.skipped_count > 0 ? ": " : "", stressed.skipped_because);
  return text;
}

}  // namespace

std::string format_outcome(const CalibrateOutcome& outcome) {
  const FactorChanges& changes = outcome.history.changes;
  const Calibration& calibration = outcome.model.calibration;
  const auto interval = static_cast<std::int64_t>(changes.interval_days * 86'400 + 0.5);
  std::string text = fmt::format("{} over {} to {}, every {} days; covariance over {} days\n",
                                 to_string(outcome.config.settings.method),
                                 format_date(changes.times[outcome.rows.begin] - interval),
                                 format_date(changes.times[outcome.rows.end - 1]),
                                 changes.interval_days, outcome.config.settings.horizon_days);
  text += format_series(outcome.model, changes.interval_days);
  text += format_fits(calibration, outcome.model.estimated.size());
  for (const SeriesRecord& record : outcome.history.series) {
    if (record.missing_count > 0)
      text += fmt::format("{}: {} levels are missing; the largest change left out is {:.3g}\n",
                          record.factor, record.missing_count, record.largest_left_out);
    if (record.slope)
      text += fmt::format("{}: at the money; moves along the smile taken out with slope {}\n",
                          record.factor, *record.slope);
  }
  if (outcome.stressed) text += format_stressed(*outcome.stressed);
  for (const std::string& warning : calibration.warnings) text += "warning: " + warning + "\n";
  return text + fmt::format("estimated in {:.3f} s; wrote {} and {}\n", outcome.seconds,
                            outcome.config.out.string(), report_path(outcome.config.out).string());
}

}  // namespace shortfall::calibration
