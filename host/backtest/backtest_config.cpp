#include "backtest_config.hpp"

#include <cmath>
#include <map>
#include <set>

#include "calibrate/history_tables.hpp"
#include "calibrate/method_names.hpp"
#include "calibrate/setting_domains.hpp"
#include "fmt/format.h"
#include "input/toml_document.hpp"
#include "input/toml_section.hpp"

namespace shortfall::backtest {
namespace {

constexpr double book_usd = 1'000;

constexpr Choice<Distribution> distributions[] = {{"gaussian", Distribution::gaussian},
                                                  {"student_t", Distribution::student_t}};
constexpr RealDomain freedom_domain{"above 2 and at most 200",
                                    [](double x) { return x > 2 && x <= 200; }};
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
    static constexpr std::string_view tables[] = {"backtest", "prices", "histories", "books"};
    report_unknown_tables(document_, config_.file, "a backtest", tables, problems_);
    read_settings();
    read_histories();
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
    if (walk.to < walk.from) table.report("to", "is before from; exchange the two");
    walk.calibration_date = calibration::read_time(table, "calibrated_to");
    read_methods(table);
    table.choice("correlations", calibration.correlations, calibration::correlation_methods);
    table.real("half_life_days", calibration.half_life_days, calibration::half_life_domain);
    table.real("method_weight", calibration.method_weight, calibration::weight_domain);
    table.integer("window", walk.window_count, window_range, "", std::optional<std::size_t>());
    // Most of a window, so that a missing day does not end a walk; else a year of a market's days.
    calibration.observations_min =
        walk.window_count == 0 ? 250 : std::max<std::size_t>(2, walk.window_count * 4 / 5);
    table.integer("min_observations", calibration.observations_min, observations_range, "",
                  std::optional<std::size_t>());
    table.real("max_gap_days", config_.gap_days_max, calibration::gap_domain);
    table.choice("distribution", walk.distribution, distributions);
    if (table.find("degrees_of_freedom")) {
      if (walk.distribution == Distribution::gaussian)
        table.report("degrees_of_freedom", "is for student_t; leave it out, or the distribution");
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
    return calibration::read_time(table, key).value_or(0);
  }

  void read_methods(TomlSection& table) {
    std::vector<std::string> names;
    table.strings("methods", names);
    const toml::node* const node = table.find("methods");
    if (!node || !node->is_array()) return;
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

  void read_histories() {
    if (!document_.contains("prices"))
      section("prices").report_missing("file", "write the path of the history");
    config_.sources = calibration::read_history_tables(document_, config_.file, problems_);
    for (const calibration::HistorySource& source : config_.sources)
      for (const calibration::HistoryColumn& column : source.columns) {
        const auto name = calibration::parse_factor_name(column.factor);
        if (name && name->kind != FactorKind::spot && name->kind != FactorKind::vol)
          problems_.add(config_.file.string(), 0,
                        fmt::format("[histories] has {}; coins and options at the money move with "
                                    "prices and volatilities alone: leave it out",
                                    in_quotes(column.factor)));
      }
  }

  /// [books] "name" = {position = USD}, or [books.name] and a position a line.
  void read_books() {
    TomlSection books = section("books");
    const toml::table* const table = document_["books"].as_table();
    if (!table) return;
    for (const auto& [key, node] : *table) {
      std::map<std::string, double> positions;
      books.reals(key.str().data(), positions, value_domain);
      HeldBook book{std::string(key.str()), {}};
      // Not by TomlSection, which would print the key as it is.
      const auto report = [&, line = key.source().begin.line](const std::string& message) {
        problems_.add(config_.file.string(), line, "[books] " + message);
      };
      const std::string problem = name_problem(book.name);
      if (!problem.empty()) report(problem);
      for (const auto& [name, value_usd] : positions)
        if (!add_position(name, value_usd, book))
          report(
              fmt::format("{} has {}, which is no position; write BTC, \"BTC call 30d\", \"BTC "
                          "put 30d\" or \"BTC straddle 30d\"",
                          in_quotes(book.name), in_quotes(name)));
      config_.books.push_back(std::move(book));
    }
  }

  /// False where the name is none.
  static bool add_position(const std::string& name, double value_usd, HeldBook& book) {
    const std::size_t first = name.find(' '), second = name.find(' ', first + 1);
    const std::string coin = name.substr(0, first);
    if (!calibration::parse_factor_name(coin + ".spot")) return false;
    if (first == std::string::npos) {
      book.positions.push_back({coin, value_usd});
      return true;
    }
    if (second == std::string::npos) return false;
    const std::string kind = name.substr(first + 1, second - first - 1);
    // A tenor is what a factor's name has.
    const auto vol = calibration::parse_factor_name(coin + ".vol." + name.substr(second + 1));
    if (!vol || (kind != "call" && kind != "put" && kind != "straddle")) return false;
    if (kind != "put")
      book.positions.push_back({coin, value_usd, InstrumentType::call, vol->tenor_days});
    if (kind != "call")
      book.positions.push_back({coin, value_usd, InstrumentType::put, vol->tenor_days});
    return true;
  }

  const toml::table& document_;
  BacktestConfig& config_;
  Problems& problems_;
};

void check_out(const BacktestConfig& config, Problems& problems) {
  std::vector<std::filesystem::path> results = {config.out / html_name}, inputs = {config.file};
  for (const CalibrationMethod method : config.methods) results.push_back(csv_path(config, method));
  for (const calibration::HistorySource& source : config.sources) inputs.push_back(source.file);
  calibration::check_not_inputs(results, inputs, config.file.string(), problems);
  // Now, and not after minutes of work.
  std::error_code none;
  if (std::filesystem::exists(config.out, none) && !std::filesystem::is_directory(config.out, none))
    problems.add(config.file.string(), 0,
                 fmt::format("out is {}, which is no folder; give another", config.out.string()));
  for (const std::filesystem::path& result : results)
    if (std::filesystem::is_directory(result, none))
      problems.add(
          config.file.string(), 0,
          fmt::format("would write {}, which is a folder; give another out", result.string()));
}

}  // namespace

std::filesystem::path csv_path(const BacktestConfig& config, CalibrationMethod method) {
  return config.out / (std::string(to_string(method)) + ".csv");
}

BacktestConfig load_backtest_config(const std::filesystem::path& file) {
  BacktestConfig config;
  config.file = file;
  Problems problems;
  const std::optional<toml::table> document = read_toml(file, "a backtest", problems);
  if (document) ConfigReader(*document, config, problems).read();
  check_out(config, problems);
  problems.throw_if_any();
  return config;
}

std::vector<HeldBook> books_of(const BacktestConfig& config, const FactorChanges& changes) {
  if (!config.books.empty()) return config.books;
  std::vector<HeldBook> books, straddles;
  std::vector<std::string> coins;
  for (const std::string& factor : changes.factors) {
    const auto name = calibration::parse_factor_name(factor);
    SHORTFALL_ASSERT(name);
    if (name->kind == FactorKind::spot)
      coins.push_back(name->underlying);
    else
      straddles.push_back({fmt::format("{} {}d straddle short", name->underlying, name->tenor_days),
                           {{name->underlying, -book_usd, InstrumentType::call, name->tenor_days},
                            {name->underlying, -book_usd, InstrumentType::put, name->tenor_days}}});
  }
  HeldBook basket{"equal weights", {}};
  for (const std::string& coin : coins) {
    books.push_back({coin + " long", {{coin, book_usd}}});
    books.push_back({coin + " short", {{coin, -book_usd}}});
    basket.positions.push_back({coin, book_usd / static_cast<double>(coins.size())});
  }
  if (coins.size() > 1) books.push_back(std::move(basket));
  books.insert(books.end(), straddles.begin(), straddles.end());
  return books;
}

}  // namespace shortfall::backtest
