#include "calibrate_config.hpp"

#include <cmath>
#include <set>

#include "fmt/format.h"
#include "history_tables.hpp"
#include "input/date.hpp"
#include "input/toml_document.hpp"
#include "input/toml_section.hpp"
#include "method_names.hpp"
#include "setting_domains.hpp"

namespace shortfall::calibration {
namespace {

constexpr RealDomain days_domain{"from 1e-9 to 100000",
                                 [](double x) { return x >= 1e-9 && x <= 1e5; }};
constexpr RealDomain beta_domain{"from -100 to 100",
                                 [](double x) { return x >= -100 && x <= 100; }};
constexpr RealDomain residual_domain{"from 0 to 10", [](double x) { return x >= 0 && x <= 10; }};
constexpr IntegerRange observations_range{2, 1'000'000}, paths_range{1'000, 10'000'000};

constexpr const char* option_file = "command line";

/// The file's tables.
class ConfigReader {
 public:
  ConfigReader(const toml::table& document, const std::filesystem::path& file, Problems& problems)
      : document_(document), file_(file), problems_(problems) {}

  void read(CalibrateConfig& config) {
    static constexpr std::string_view tables[] = {"calibrate", "prices", "histories", "fill",
                                                  "stressed"};
    report_unknown_tables(document_, file_, "a calibration", tables, problems_);
    read_settings(config);
    config.sources = read_history_tables(document_, file_, problems_);
    for (const auto& [name, section] : tables_of(document_, "fill", file_, problems_))
      config.fills.push_back(read_fill(name, section));
    if (document_.contains("stressed")) config.stressed = read_stressed();
  }

 private:
  void read_settings(CalibrateConfig& config) {
    TomlSection section(document_, "calibrate", file_.string(), problems_);
    CalibrationSettings& settings = config.settings;
    section.choice("method", settings.method, methods);
    section.choice("correlations", settings.correlations, correlation_methods);
    section.real("horizon_days", settings.horizon_days, days_domain);
    section.real("half_life_days", settings.half_life_days, half_life_domain);
    section.real("method_weight", settings.method_weight, weight_domain);
    section.integer("min_observations", settings.observations_min, observations_range, "",
                    std::optional<std::size_t>());
    if (section.find("standardise")) {
      bool is_standardised = false;
      section.boolean("standardise", is_standardised);
      settings.is_standardised = is_standardised;
    }
    section.boolean("degrees_of_freedom", settings.fits_degrees_of_freedom);
    section.real("max_gap_days", config.window.gap_days_max, gap_domain);
    config.window.from = read_time(section, "from");
    config.window.to = read_time(section, "to");
    section.strings("factors", config.factors);
    section.path("out", config.out);
    section.path("moves", config.moves_out);
    section.report_unknown_keys();
  }

  FillRule read_fill(const std::string& factor, TomlSection section) {
    FillRule rule{factor, section.string("like").value_or(""), 1, 0};
    if (!parse_factor_name(factor))
      section.report("like", "is for no factor; write [fill.\"SOL.vol.30d\"]");
    if (rule.like.empty()) section.report_missing("like", "name the factor that it moves with");
    section.required_real("beta", rule.beta, beta_domain, "write how much of the other's move");
    section.real("residual_daily", rule.residual_daily, residual_domain);
    section.report_unknown_keys();
    return rule;
  }

  StressedSearch read_stressed() {
    TomlSection section(document_, "stressed", file_.string(), problems_);
    StressedSearch stressed;
    if (!section.path("book", stressed.book))
      section.report_missing("book", "write the path of the run configuration");
    section.real("window_days", stressed.window_days, days_domain);
    section.real("step_days", stressed.step_days, days_domain);
    section.integer("paths", stressed.path_count, paths_range, "", std::optional<std::uint64_t>());
    section.report_unknown_keys();
    return stressed;
  }

  const toml::table& document_;
  const std::filesystem::path& file_;
  Problems& problems_;
};

/// Puts what was typed in place of the file's keys.
class OptionReader {
 public:
  OptionReader(const CalibrateArguments& typed, Problems& problems)
      : typed_(typed), problems_(problems) {}

  void read(CalibrateConfig& config) {
    CalibrationSettings& settings = config.settings;
    if (!typed_.prices.empty())
      read_prices(config);
    else if (!typed_.columns.empty())
      problems_.add(option_file, 0, "--columns is for --prices; give both, or the file's keys");
    choice("--method", typed_.method, settings.method, methods);
    choice("--correlations", typed_.correlations, settings.correlations, correlation_methods);
    real("--horizon-days", typed_.horizon_days, settings.horizon_days, days_domain);
    real("--half-life", typed_.half_life, settings.half_life_days, half_life_domain);
    real("--method-weight", typed_.method_weight, settings.method_weight, weight_domain);
    if (!typed_.min_observations.empty()) {
      double count = 100;
      real("--min-observations", typed_.min_observations, count,
           {"a whole number from 2 to 1000000",
            [](double x) { return x >= 2 && x <= 1e6 && x == std::floor(x); }});
      settings.observations_min = static_cast<std::size_t>(count);
    }
    if (typed_.has_no_degrees_of_freedom) settings.fits_degrees_of_freedom = false;
    time("--from", typed_.from, config.window.from);
    time("--to", typed_.to, config.window.to);
    if (!typed_.out.empty()) config.out = typed_.out;
    if (!typed_.moves.empty()) config.moves_out = typed_.moves;
    read_stressed(config);
  }

 private:
  void read_prices(CalibrateConfig& config) {
    HistorySource source;
    source.file = typed_.prices;
    std::string_view rest = typed_.columns;
    while (!rest.empty()) {
      const std::string_view item = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), item.size() + 1));
      const std::size_t equals = item.find('=');
      const std::string column(item.substr(0, equals));
      const std::string coin(equals == std::string_view::npos ? item : item.substr(equals + 1));
      if (column.empty() || coin.empty()) {
        report("--columns", typed_.columns, "columns separated by commas, BTC,ETH or price=BTC");
        return;
      }
      source.columns.push_back({column, coin + ".spot"});
    }
    if (!config.sources.empty() && parse_spots(config.sources.front()))
      config.sources.front() = source;
    else
      config.sources.insert(config.sources.begin(), source);
  }

  /// Whether it is [prices] of the file.
  static bool parse_spots(const HistorySource& source) {
    return source.columns.empty() || source.columns.front().factor.ends_with(".spot");
  }

  void read_stressed(CalibrateConfig& config) {
    if (!typed_.book.empty()) {
      if (!config.stressed) config.stressed.emplace();
      config.stressed->book = typed_.book;
    }
    if (typed_.window_days.empty()) return;
    double days = 250;
    real("--window-days", typed_.window_days, days, days_domain);
    if (config.stressed)
      config.stressed->window_days = days;
    else
      problems_.add(option_file, 0, "--window-days is for --stressed; give its book as well");
  }

  template <typename Enum, std::size_t count>
  void choice(const char* option, const std::string& text, Enum& value,
              const Choice<Enum> (&choices)[count]) {
    if (text.empty()) return;
    if (const std::optional<Enum> found = find_choice(choices, text))
      value = *found;
    else
      problems_.add(option_file, 0, fmt::format("{} {}", option, choice_problem(choices, text)));
  }

  void real(const char* option, const std::string& text, double& value, const RealDomain& domain) {
    if (text.empty()) return;
    const std::optional<double> found = parse_real(text);
    if (found && domain.contains(*found))
      value = *found;
    else
      report(option, text, domain.description);
  }

  void time(const char* option, const std::string& text, std::optional<std::int64_t>& value) {
    if (text.empty()) return;
    value = parse_date(text);
    if (!value) report(option, text, "a date such as 2026-01-14 or 2026-01-14T08:00:00Z");
  }

  void report(const char* option, const std::string& text, const std::string& wanted) {
    problems_.add(option_file, 0,
                  fmt::format("{} is {}; it must be {}", option, in_quotes(text), wanted));
  }

  const CalibrateArguments& typed_;
  Problems& problems_;
};

void check_together(const CalibrateConfig& config, Problems& problems) {
  const std::string where = config.file.empty() ? option_file : config.file.string();
  if (config.sources.empty())
    problems.add(where, 0, "has no history; give [prices], or --prices FILE");
  if (config.out.empty()) problems.add(where, 0, "has no file to write; give out, or --out FILE");
  std::vector<std::filesystem::path> inputs = {config.file};
  for (const HistorySource& source : config.sources) inputs.push_back(source.file);
  if (config.stressed) inputs.push_back(config.stressed->book);
  check_not_inputs({config.out, report_path(config.out), config.moves_out}, inputs, where,
                   problems);
  if (!config.moves_out.empty() &&
      (config.moves_out == config.out || config.moves_out == report_path(config.out)))
    problems.add(where, 0, "moves would be written over out, or its report; give another file");
  std::set<std::string> names;
  for (const std::string& factor : config.factors) {
    if (!parse_factor_name(factor))
      problems.add(
          where, 0,
          fmt::format("factors has {}, which is none; write one like BTC.spot", in_quotes(factor)));
    if (!names.insert(factor).second)
      problems.add(where, 0, fmt::format("factors has {} twice; remove one", in_quotes(factor)));
  }
}

}  // namespace

std::filesystem::path report_path(const std::filesystem::path& out) {
  std::filesystem::path path = out;
  path.replace_extension(".report.json");
  return path;
}

CalibrateConfig load_calibrate_config(const CalibrateArguments& arguments) {
  CalibrateConfig config;
  Problems problems;
  if (!arguments.config.empty()) {
    config.file = arguments.config;
    const std::optional<toml::table> document = read_toml(config.file, "a calibration", problems);
    if (document) ConfigReader(*document, config.file, problems).read(config);
    problems.throw_if_any();
  }
  OptionReader(arguments, problems).read(config);
  check_together(config, problems);
  problems.throw_if_any();
  return config;
}

}  // namespace shortfall::calibration
