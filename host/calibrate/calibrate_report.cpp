#include "calibrate_report.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "estimate.hpp"
#include "input/date.hpp"
#include "output/atomic_file.hpp"
#include "output/csv_text.hpp"
#include "output/sha256.hpp"
#include "shortfall/shortfall.hpp"

namespace shortfall::calibration {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t windows_shown_max = 20;

std::string covariance_csv(const NamedCovariance& covariance) {
  std::string text = "factor";
  for (const std::string& factor : covariance.factors) text += "," + factor;
  text += "\n";
  const std::size_t count = covariance.factors.size();
  for (std::size_t i = 0; i < count; ++i) {
    text += covariance.factors[i];
    for (std::size_t j = 0; j < count; ++j) {
      text += ",";
      append_number(text, covariance.matrix[i * count + j]);
    }
    text += "\n";
  }
  return text;
}

/// The moves of the window over horizon_days, at times that have all of them.
std::string moves_csv(const CalibrateOutcome& outcome) {
  const FactorChanges& changes = outcome.history.changes;
  const std::vector<std::string>& factors = outcome.model.covariance.factors;
  std::vector<std::size_t> columns;
  std::string text = "date";
  for (const std::string& factor : factors) {
    const auto at = std::ranges::find(changes.factors, factor);
    if (at == changes.factors.end() ||
        std::ranges::find(outcome.model.estimated, factor) == outcome.model.estimated.end())
      throw InputError({{outcome.config.file.string(), 0,
                         "factor " + factor +
                             " is filled and has no history, so that its moves cannot be written; "
                             "leave it out of factors, or do without moves"}},
                       0);
    columns.push_back(static_cast<std::size_t>(at - changes.factors.begin()));
    text += "," + factor;
  }
  text += "\n";
  const double scale = std::sqrt(outcome.model.covariance.horizon_days / changes.interval_days);
  std::size_t row_count = 0;
  for (std::size_t t = outcome.rows.begin; t < outcome.rows.end; ++t) {
    const double* const row = changes.values.data() + t * changes.factors.size();
    if (std::ranges::any_of(columns, [&](std::size_t f) { return std::isnan(row[f]); })) continue;
    ++row_count;
    text += format_date(changes.times[t]);
    for (const std::size_t f : columns) {
      text += ",";
      append_number(text, row[f] * scale);
    }
    text += "\n";
  }
  if (row_count == 0)
    throw InputError({{outcome.config.file.string(), 0,
                       "no time in the window has the moves of all factors; leave out the factor "
                       "with the shortest history, or do without moves"}},
                     0);
  return text;
}

template <typename Number>
Json square(const std::vector<Number>& values, std::size_t count) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < count; ++i)
    rows.push_back(
        std::vector<Number>(values.begin() + static_cast<std::ptrdiff_t>(i * count),
                            values.begin() + static_cast<std::ptrdiff_t>((i + 1) * count)));
  return rows;
}

Json settings_json(const CalibrateOutcome& outcome) {
  const CalibrationSettings& settings = outcome.config.settings;
  Json json;
  json["method"] = to_string(settings.method);
  if (settings.method == CalibrationMethod::garch)
    json["correlations"] = to_string(settings.correlations);
  json["horizon_days"] = settings.horizon_days;
  const bool is_weighted = settings.method == CalibrationMethod::ewma ||
                           (settings.method == CalibrationMethod::garch &&
                            settings.correlations == CorrelationMethod::ewma);
  if (is_weighted) json["half_life_days"] = settings.half_life_days;
  if (settings.method == CalibrationMethod::ledoit_wolf)
    json["standardise"] = outcome.model.calibration.is_standardised;
  json["method_weight"] = settings.method_weight;
  json["min_observations"] = observations_min(settings);
  json["max_gap_days"] = outcome.config.window.gap_days_max;
  return json;
}

Json series_json(const CalibrateOutcome& outcome) {
  const BuiltModel& model = outcome.model;
  const Calibration& calibration = model.calibration;
  Json all = Json::array();
  for (std::size_t i = 0; i < model.estimated.size(); ++i) {
    const auto& records = outcome.history.series;
    const auto record = std::find_if(records.begin(), records.end(), [&](const SeriesRecord& r) {
      return r.factor == model.estimated[i];
    });
    Json json;
    json["factor"] = record->factor;
    json["file"] = record->file;
    json["column"] = record->column;
    json["first"] = format_date(record->first);
    json["last"] = format_date(record->last);
    json["observations"] = calibration.observations[i * model.estimated.size() + i];
    json["missing"] = record->missing_count;
    json["largest_change_left_out"] = record->largest_left_out;
    if (record->slope) {
      json["slope"] = *record->slope;
      json["fixed_strike"] =
          "log-change less slope * dlnF / sqrt(max(T, 7/365)) / volatility: at the money to a "
          "fixed "
          "strike";
    }
    json["annual_volatility"] = calibration.volatilities[i];
    if (!calibration.garch.empty()) {
      const GarchFit& fit = calibration.garch[i];
      json["garch"] = {{"mean", fit.mean},
                       {"omega", fit.parameters.omega},
                       {"alpha", fit.parameters.alpha},
                       {"beta", fit.parameters.beta},
                       {"log_likelihood", fit.log_likelihood},
                       {"long_run_variance", fit.long_run_variance},
                       {"next_variance", fit.next_variance}};
    }
    all.push_back(json);
  }
  return all;
}

Json stressed_json(const StressedWindow& stressed, const CalibrateConfig& config) {
  const auto window_json = [](const WindowRisk& window) {
    return Json{{"from", format_date(window.from)},
                {"to", format_date(window.to)},
                {"expected_shortfall_usd", window.expected_shortfall_usd}};
  };
  std::vector<WindowRisk> worst = stressed.windows;
  std::stable_sort(worst.begin(), worst.end(), [](const WindowRisk& a, const WindowRisk& b) {
    return a.expected_shortfall_usd > b.expected_shortfall_usd;
  });
  worst.resize(std::min(worst.size(), windows_shown_max));
  Json json;
  json["book"] = config.stressed->book.string();
  json["window_days"] = config.stressed->window_days;
  json["paths"] = stressed.path_count;
  json["worst"] = window_json(stressed.worst);
  json["own_covariance_usd"] = stressed.current_usd;
  json["windows_simulated"] = stressed.windows.size();
  json["windows_skipped"] = stressed.skipped_count;
  if (stressed.skipped_count > 0) json["skipped_because"] = stressed.skipped_because;
  json["windows"] = Json::array();
  for (const WindowRisk& window : worst) json["windows"].push_back(window_json(window));
  return json;
}

void add_fits(Json& json, const Calibration& calibration) {
  if (calibration.tail)
    json["degrees_of_freedom"] = {
        {"estimate", calibration.tail->degrees_of_freedom},
        {"standard_error", calibration.tail->standard_error},
        {"is_gaussian", calibration.tail->is_gaussian},
        {"log_likelihood_over_gaussian", calibration.tail->log_likelihood_gain},
        {"observations", calibration.tail->observations}};
  if (calibration.shrinkage) json["shrinkage"] = *calibration.shrinkage;
  if (calibration.dcc)
    json["dcc"] = {{"a", calibration.dcc->parameters.a},
                   {"b", calibration.dcc->parameters.b},
                   {"composite_log_likelihood", calibration.dcc->composite_log_likelihood}};
  if (calibration.repair)
    json["repair"] = {{"method", "nearest correlation matrix (Higham 2002)"},
                      {"smallest_eigenvalue", calibration.repair->smallest_eigenvalue},
                      {"largest_change", calibration.repair->largest_change},
                      {"frobenius_distance", calibration.repair->frobenius_distance}};
}

Json sha256_json(const CalibrateOutcome& outcome, const std::string& covariance) {
  Json json, inputs = Json::object();
  Sha256 written;
  written.add(covariance);
  json[outcome.config.out.filename().string()] = written.finish_hex();
  if (!outcome.config.file.empty())
    inputs[outcome.config.file.string()] = sha256_of_file(outcome.config.file);
  for (const HistorySource& source : outcome.config.sources)
    inputs[source.file.string()] = sha256_of_file(source.file);
  if (outcome.config.stressed)
    inputs[outcome.config.stressed->book.string()] = sha256_of_file(outcome.config.stressed->book);
  json["inputs"] = inputs;
  return json;
}

std::string report_json(const CalibrateOutcome& outcome, const std::string& covariance) {
  const FactorChanges& changes = outcome.history.changes;
  const BuiltModel& model = outcome.model;
  const Calibration& calibration = model.calibration;
  const std::size_t count = model.estimated.size();
  Json json;
  json["format_version"] = 1;
  json["program"] = "shortfall";
  json["version"] = version();
  json["settings"] = settings_json(outcome);
  const auto interval = static_cast<std::int64_t>(changes.interval_days * 86'400 + 0.5);
  json["window"] = {{"from", format_date(changes.times[outcome.rows.begin] - interval)},
                    {"to", format_date(changes.times[outcome.rows.end - 1])},
                    {"interval_days", changes.interval_days},
                    {"intervals", outcome.rows.end - outcome.rows.begin}};
  json["series"] = series_json(outcome);
  json["observations"] = square(calibration.observations, count);
  json["correlations"] = square(calibration.correlations, count);
  json["eigenvalues"] = calibration.eigenvalues;
  add_fits(json, calibration);
  json["filled"] = Json::array();
  for (const FillRule& rule : model.filled)
    json["filled"].push_back({{"factor", rule.factor},
                              {"like", rule.like},
                              {"beta", rule.beta},
                              {"residual_daily", rule.residual_daily}});
  if (outcome.stressed) json["stressed"] = stressed_json(*outcome.stressed, outcome.config);
  json["warnings"] = calibration.warnings;
  json["seconds"] = outcome.seconds;
  json["sha256"] = sha256_json(outcome, covariance);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

void write_outcome(const CalibrateOutcome& outcome) {
  const std::filesystem::path& out = outcome.config.out;
  require_factor_model(outcome.model.covariance);
  const std::string covariance = covariance_csv(outcome.model.covariance);
  const std::string report = report_json(outcome, covariance);
  if (out.has_parent_path()) create_directory_for(out.parent_path());
  const std::filesystem::path& moves_out = outcome.config.moves_out;
  AtomicFile covariance_file(out), report_file(report_path(out));
  std::optional<AtomicFile> moves_file;
  if (!moves_out.empty()) {
    if (moves_out.has_parent_path()) create_directory_for(moves_out.parent_path());
    moves_file.emplace(moves_out);
    moves_file->write(moves_csv(outcome));
    moves_file->sync();
  }
  covariance_file.write(covariance);
  report_file.write(report);
  covariance_file.sync();
  if (moves_file) moves_file->publish();
  report_file.publish();
  covariance_file.publish();
}

}  // namespace shortfall::calibration
