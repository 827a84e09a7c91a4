#include "backtest_config.hpp"

#include <cmath>
#include <map>
#include <set>

#include "calibrate/method_names.hpp"
#include "fmt/format.h"
#include "toml_document.hpp"
#include "toml_section.hpp"

namespace shortfall::backtest {
namespace {

constexpr double book_usd = 1'000;

constexpr Choice<Distribution> distributions[] = {{"gaussian", Distribution::gaussian},
                                                  {"student_t", Distribution::student_t}};
constexpr RealDomain half_life_domain{"from 0.01 to 100000",
                                      [](double x) { return x >= 0.01 && x <= 1e5; }};
constexpr RealDomain freedom_domain{"above 2 and at most 200",
                                    [](double x) { return x > 2 && x <= 200; }};
constexpr RealDomain weight_domain{"from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};
constexpr RealDomain value_domain{
    "from 0.01 to 1e12, or below 0 from -1e12 to -0.01",
    [](double x) { return std::abs(x) >= value_usd_min && std::abs(x) <= value_usd_max; }};
constexpr IntegerRange window_range{0, 1'000'000}, observations_range{2, 1'000'000},
    paths_range{1'000, 10'000'000}, histories_range{19, 1'000'000}, threads_range{0, 1'024},
    seed_range{0, 0xffffffffffffffffu};

class ConfigReader {
 public:
  ConfigReader(const toml::table& document, BacktestConfig& config, Problems& problems)
      : document_(document), config_(config), problems_(problems) {}

  void read() {
    static constexpr std::string_view tables[] = {"backtest", "prices", "books"};
    report_unknown_tables(document_, config_.file, "a backtest", tables, problems_);
    read_settings();
    read_prices();
    read_books();
  }

 private:
  TomlSection section(const char* name) {
    return TomlSection(document_, name, config_.file.string(), problems_);
  }

  void read_settings() {
    TomlSection table = section("backtest");
    WalkSettings& walk = config_.walk;
    CalibrationSettings& calibration = walk.calibration;
    walk.from = required_time(table, "from");
    walk.to = required_time(table, "to");
    if (table.find("calibrated_to")) walk.calibration_date = time(table, "calibrated_to");
    read_methods(table);
    table.choice("correlations", calibration.correlations, calibration::correlation_methods);
    table.real("half_life_days", calibration.half_life_days, half_life_domain);
    table.real("method_weight", calibration.method_weight, weight_domain);
    table.integer("min_observations", calibration.observations_min, observations_range, "",
                  std::optional<std::size_t>());
    table.integer("window", walk.window_count, window_range, "", std::optional<std::size_t>());
    table.choice("distribution", walk.distribution, distributions);
    if (table.find("degrees_of_freedom")) {
      double degrees = 5;
      table.real("degrees_of_freedom", degrees, freedom_domain);
      walk.degrees_of_freedom = degrees;
    }
    table.integer("paths", walk.path_count, paths_range, "", std::optional<std::uint64_t>());
    table.integer("seed", walk.seed, seed_range, "", std::optional<std::uint64_t>());
    table.integer("threads", walk.thread_count, threads_range, "", std::optional<std::uint32_t>());
    table.integer("histories", config_.history_count, histories_range, "",
                  std::optional<std::size_t>());
    if (!table.path("out", config_.out))
      table.report_missing("out", "write the folder for the results");
    table.report_unknown_keys();
  }

  std::int64_t required_time(TomlSection& table, const char* key) {
    if (!table.find(key)) table.report_missing(key, "write a date such as \"2025-01-15\"");
    return time(table, key);
  }

  std::int64_t time(TomlSection& table, const char* key) {
    const std::optional<std::string> text = table.string(key);
    if (!text) return 0;
    const std::optional<std::int64_t> seconds = calibration::parse_time(*text);
    if (!seconds)
      table.report(key, fmt::format("is {}; write \"2026-01-14\" or \"2026-01-14T08:00:00Z\"",
                                    in_quotes(*text)));
    return seconds.value_or(0);
  }

  void read_methods(TomlSection& table) {
    std::vector<std::string> names;
    table.strings("methods", names);
    if (!table.find("methods")) return;
    if (names.empty()) return table.report("methods", "is empty; name a method, or leave it out");
    config_.methods.clear();
    std::set<std::string> seen;
    for (const std::string& name : names) {
      const auto method = find_choice(calibration::methods, name);
      if (!method)
        table.report("methods", choice_problem(calibration::methods, name));
      else if (!seen.insert(name).second)
        table.report("methods", fmt::format("has {} twice; remove one", in_quotes(name)));
      else
        config_.methods.push_back(*method);
    }
  }

  void read_prices() {
    TomlSection table = section("prices");
    if (!table.path("file", config_.prices.file))
      table.report_missing("file", "write the path of the history");
    config_.prices.time_column = table.string("time").value_or("");
    std::vector<std::string> coins;
    table.strings("columns", coins);
    for (const std::string& coin : coins) config_.prices.columns.push_back({coin, coin + ".spot"});
    table.report_unknown_keys();
  }

  /// [books] "name" = {coin = USD}, or [books.name] and a coin a line.
  void read_books() {
    TomlSection books = section("books");
    const toml::table* const table = document_["books"].as_table();
    if (!table) return;
    for (const auto& [key, node] : *table) {
      std::map<std::string, double> positions;
      books.reals(key.str().data(), positions, value_domain);
      LinearBook book{std::string(key.str()), {}};
      const std::string problem = name_problem(book.name);
      if (!problem.empty())  // not by TomlSection, which would print the key as it is
        problems_.add(config_.file.string(), key.source().begin.line, "[books] " + problem);
      for (const auto& [coin, value_usd] : positions) book.positions.push_back({coin, value_usd});
      config_.books.push_back(std::move(book));
    }
  }

  const toml::table& document_;
  BacktestConfig& config_;
  Problems& problems_;
};

/// A result must not replace what it is made from.
void check_out(const BacktestConfig& config, Problems& problems) {
  std::vector<std::filesystem::path> results = {config.out / html_name};
  for (const CalibrationMethod method : config.methods) results.push_back(csv_path(config, method));
  std::error_code none_of_two;
  for (const std::filesystem::path& result : results)
    for (const std::filesystem::path& input : {config.file, config.prices.file})
      if (std::filesystem::equivalent(result, input, none_of_two))
        problems.add(
            config.file.string(), 0,
            fmt::format("would write {} over an input; give another out", result.string()));
}

}  // namespace

std::filesystem::path csv_path(const BacktestConfig& config, CalibrationMethod method) {
  return config.out / (std::string(to_string(method)) + ".csv");
}

BacktestConfig load_backtest_config(const std::filesystem::path& file) {
  BacktestConfig config;
  config.file = file;
  // A year of market's history, below which neither variances nor tails are worth testing.
  config.walk.calibration.observations_min = 250;
  Problems problems;
  const std::optional<toml::table> document = read_toml(file, "a backtest", problems);
  if (document) ConfigReader(*document, config, problems).read();
  check_out(config, problems);
  problems.throw_if_any();
  return config;
}

std::vector<LinearBook> books_of(const BacktestConfig& config, const FactorChanges& changes) {
  if (!config.books.empty()) return config.books;
  std::vector<LinearBook> books;
  LinearBook basket{"equal weights", {}};
  for (const std::string& factor : changes.factors) {
    const std::string coin = factor.substr(0, factor.find('.'));
    books.push_back({coin + " long", {{coin, book_usd}}});
    books.push_back({coin + " short", {{coin, -book_usd}}});
    basket.positions.push_back({coin, book_usd / static_cast<double>(changes.factors.size())});
  }
  if (changes.factors.size() > 1) books.push_back(std::move(basket));
  return books;
}

}  // namespace shortfall::backtest
