// From a configuration to tests and reports.
#include <gtest/gtest.h>

#include <regex>

#include "host/backtest/backtest_config.hpp"
#include "host/backtest/backtest_report.hpp"
#include "tests/calibrate/temporary_histories.hpp"

namespace shortfall::backtest {
namespace {

constexpr const char* settings_text =
    "[backtest]\nfrom = \"2020-02-01\"\nto = \"2020-03-01\"\nout = \"out\"\n";
constexpr const char* prices_text = "[prices]\nfile = \"prices.csv\"\n";

TEST(BacktestConfig, ReadsEveryKey) {
  const TemporaryFolder folder;
  const auto file = folder.write("backtest.toml", R"([backtest]
from = "2020-02-01"
to = "2020-03-01"
calibrated_to = "2020-01-31"
methods = ["garch", "ewma"]
correlations = "ewma"
half_life_days = 20
method_weight = 0.75
min_observations = 120
window = 0
max_gap_days = 9
distribution = "student_t"
degrees_of_freedom = 6
paths = 2000
seed = 7
threads = 3
histories = 99
out = "out"
[prices]
file = "prices.csv"
time = "day"
columns = ["BTC"]
[books]
"one & two" = {BTC = 10, ETH = -5.5}
)");
  const BacktestConfig config = load_backtest_config(file);
  EXPECT_EQ(config.methods, (std::vector{CalibrationMethod::garch, CalibrationMethod::ewma}));
  EXPECT_EQ(config.walk.to - config.walk.from, 29 * 86'400);
  EXPECT_EQ(*config.walk.calibration_date, config.walk.from - 86'400);
  EXPECT_EQ(config.walk.calibration.correlations, CorrelationMethod::ewma);
  EXPECT_EQ(config.walk.calibration.half_life_days, 20);
  EXPECT_EQ(config.walk.calibration.method_weight, 0.75);
  EXPECT_EQ(config.walk.calibration.observations_min, 120u);
  EXPECT_EQ(config.walk.window_count, 0u);
  EXPECT_EQ(config.gap_days_max, 9);
  EXPECT_EQ(config.walk.distribution, Distribution::student_t);
  EXPECT_EQ(config.walk.degrees_of_freedom, 6);
  EXPECT_EQ(config.walk.path_count, 2000u);
  EXPECT_EQ(config.walk.seed, 7u);
  EXPECT_EQ(config.walk.thread_count, 3u);
  EXPECT_EQ(config.history_count, 99u);
  EXPECT_EQ(config.out, folder.path("out"));
  EXPECT_EQ(config.sources[0].file, folder.path("prices.csv"));
  EXPECT_EQ(config.sources[0].time_column, "day");
  EXPECT_EQ(config.sources[0].columns[0].factor, "BTC.spot");
  ASSERT_EQ(config.books.size(), 1u);
  EXPECT_EQ(config.books[0].name, "one & two");
  EXPECT_EQ(config.books[0].positions[1].underlying, "ETH");
  EXPECT_EQ(config.books[0].positions[1].value_usd, -5.5);
}

TEST(BacktestConfig, AMissingDayIsWithinTheDefaults) {
  const TemporaryFolder folder;
  const auto load = [&](const std::string& keys) {
    return load_backtest_config(folder.write("b.toml", settings_text + keys + prices_text)).walk;
  };
  EXPECT_EQ(load("").window_count, 250u);
  EXPECT_EQ(load("").calibration.observations_min, 200u);
  EXPECT_EQ(load("window = 100\n").calibration.observations_min, 80u);
  EXPECT_EQ(load("window = 0\n").calibration.observations_min, 250u);
  EXPECT_EQ(load("window = 1\n").calibration.observations_min, 2u);
}

constexpr const char* vol_text =
    "[histories.v]\nfile = \"v.csv\"\ncolumns = {dvol = \"BTC.vol.30d\"}\nunit = \"percent\"\n"
    "strike = \"at_the_money\"\nslope = -0.1\n";

TEST(BacktestConfig, ReadsOptions) {
  const TemporaryFolder folder;
  const BacktestConfig config = load_backtest_config(folder.write(
      "backtest.toml", std::string(settings_text) + prices_text + vol_text +
                           "[books]\na = {\"BTC straddle 30d\" = -7}\n"
                           "b = {BTC = 2, \"BTC call 30d\" = -1, \"BTC put 7d\" = 3}\n"));
  ASSERT_EQ(config.sources.size(), 2u);
  EXPECT_EQ(config.sources[1].scale, 0.01);
  EXPECT_EQ(config.sources[1].slope, -0.1);
  const auto describe = [](const WalkPosition& p) {
    return fmt::format("{} {} {} {}", p.underlying, to_string(p.type), p.tenor_days, p.value_usd);
  };
  std::vector<std::string> positions;
  for (const HeldBook& book : config.books)
    for (const WalkPosition& position : book.positions) positions.push_back(describe(position));
  EXPECT_EQ(positions, (std::vector<std::string>{"BTC call 30 -7", "BTC put 30 -7", "BTC spot 0 2",
                                                 "BTC call 30 -1", "BTC put 7 3"}));
}

TEST(BacktestConfig, NoBooksAreEachCoinBothWaysABasketAndStraddles) {
  FactorChanges changes;
  changes.factors = {"BTC.spot", "ETH.spot", "BTC.vol.30d"};
  const auto books = books_of({}, changes);
  ASSERT_EQ(books.size(), 6u);
  EXPECT_EQ(books[1].name, "BTC short");
  EXPECT_EQ(books[1].positions[0].value_usd, -1000);
  EXPECT_EQ(books[4].positions[1].value_usd, 500);
  EXPECT_EQ(books[5].name, "BTC 30d straddle short");
  ASSERT_EQ(books[5].positions.size(), 2u);
  EXPECT_EQ(books[5].positions[1].type, InstrumentType::put);
  EXPECT_EQ(books[5].positions[1].value_usd, -1000);
}

TEST(BacktestConfig, Refuses) {
  const TemporaryFolder folder;
  folder.write("prices.csv", "date,BTC\n2020-01-01,1\n");
  std::filesystem::create_directories(folder.path("out"));
  folder.write("out/sample.csv", "date,BTC\n2020-01-01,1\n");
  struct Row {
    std::string text, message;
  };
  const std::string settings = settings_text, prices = prices_text;
  const Row rows[] = {
      {prices, "[backtest] from is missing; write a date"},
      {prices, "[backtest] to is missing; write a date"},
      {prices, "[backtest] out is missing; write the folder"},
      {settings, "[prices] file is missing; write the path"},
      {settings + "methods = [\"sampl\"]\n" + prices,
       "methods is \"sampl\"; write one of sample, ewma, ledoit_wolf, garch"},
      {settings + "methods = [\"ewma\", \"ewma\"]\n" + prices, "has \"ewma\" twice; remove one"},
      {settings + "methods = []\n" + prices, "methods is empty; name a method"},
      {settings + prices + "[books]\n\"a\\nb\" = {BTC = 1}\n", "control character"},
      {settings + "calibrated_to = \"yesterday\"\n" + prices, "calibrated_to is \"yesterday\""},
      {settings + "paths = 1\n" + prices, "paths is 1; it must be from 1000 to 10000000"},
      {settings + "degrees_of_freedom = 2\n" + prices, "degrees_of_freedom is 2"},
      {settings + "windows = 2\n" + prices, "windows"},
      {settings + prices + "[books]\nx = 5\n", "[books] x"},
      {settings + prices + "[books]\n\"a\" = {\"BTC strangle 30d\" = 1}\n",
       "\"a\" has \"BTC strangle 30d\", which is no position; write BTC, \"BTC call 30d\""},
      {settings + prices + "[books]\na = {\"BTC call 30\" = 1}\n", "which is no position"},
      {settings + prices + "[books]\na = {\"BTC call\" = 1}\n", "which is no position"},
      {settings + prices + "[books]\na = {\"BTC call 30d x\" = 1}\n", "which is no position"},
      {settings + prices + "[histories.v]\nfile = \"v.csv\"\nunit = \"decimal\"\n",
       "[histories.v] columns is missing"},
      {settings + prices +
           "[histories.v]\nfile = \"v.csv\"\nunit = \"decimal\"\ncolumns = {x = \"BTC.basis\"}\n",
       "has \"BTC.basis\"; coins and options at the money move with prices and volatilities alone"},
      {settings + prices + "[books]\nx = {BTC = 0}\n", "has 0 for \"BTC\""},
      {settings + prices + "[book]\nx = {BTC = 1}\n", "book"},
      {settings + "[prices]\nfile = \"out/sample.csv\"\n",
       "would write out/sample.csv over an input; give another out"},
  };
  for (const Row& row : rows) {
    const auto file = folder.write("backtest.toml", row.text);
    const std::string problems = folder.problems_of([&] { load_backtest_config(file); });
    EXPECT_NE(problems.find(row.message), std::string::npos) << row.message << "\nnot in\n"
                                                             << problems;
  }
}

/// A hundred dates of a value at risk of 10, with losses of 20 on the dates given. The tail of 100
/// simulated losses at 97.5 % is two and a half: 20, 12, and half of 10, which is no exceedance.
Walk walk_with(const std::string& book, const std::vector<std::size_t>& exceedance_dates) {
  Walk walk;
  walk.confidence_levels = {0.975};
  walk.path_count = 100;
  BookSeries series;
  series.book = book;
  series.levels.resize(1);
  for (std::size_t t = 0; t < 100; ++t) {
    series.times.push_back(86'400 * static_cast<std::int64_t>(t));
    series.calibrated_to.push_back(86'400 * (static_cast<std::int64_t>(t) - 1));
    series.levels[0].push_back({10, 15, -1});
    series.worst_losses_usd.push_back({20, 12, 10});
  }
  for (const std::size_t t : exceedance_dates) series.levels[0][t].loss_usd = 20;
  walk.books.push_back(std::move(series));
  return walk;
}

TEST(BacktestEvaluation, IsThatOfTheTests) {
  const Walk walk = walk_with("b", {10, 11, 12, 50, 51, 52, 53, 54});
  const auto results = evaluate(walk, 999, 3);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].exceedance_count, 8u);
  EXPECT_EQ(results[0].proportion.statistic, test_proportion(8, 100, 0.975).statistic);
  // P(8 or fewer of 100) = 0.9991, of binomial(100, 0.025).
  EXPECT_EQ(results[0].zone, TrafficLight::yellow);
  EXPECT_NEAR(*shortfall_statistics(walk.books[0].levels[0], 0.975).z1, 1 - 20. / 15, 1e-12);
  EXPECT_EQ(results[0].shortfall.z2.p_value, 0.001);  // (0 + 1) / 1000
  EXPECT_EQ(results[0].procyclicality.peak_to_trough, 1);
  // Not by Z1: histories of a right model have two or three exceedances, and often all are at
  // their worst.
  EXPECT_EQ(results[0].rejected_by(),
            (std::vector<std::string>{"proportion", "independence", "joint", "Z2"}));
  EXPECT_TRUE(evaluate(walk_with("b", {20, 70}), 999, 3)[0].rejected_by().empty());
}

TEST(BacktestEvaluation, RefusesWhatCannotBeTested) {
  Walk walk = walk_with("flat", {});
  walk.books[0].levels[0][3].expected_shortfall_usd = 0;
  walk.books.push_back(
      {.book = "unseen", .times = {}, .calibrated_to = {}, .levels = {{}}, .worst_losses_usd = {}});
  try {
    evaluate(walk, 99, 1);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_EQ(std::string(error.what()),
              "backtest: book flat: its expected shortfall at 0.975 is 0 USD on 1970-01-04, and "
              "losses are compared with it; leave books without risk out\n"
              "backtest: book unseen: no date has the prices of all that it holds");
  }
}

MethodResult result_with(const std::string& book) {
  MethodResult result{"sample", walk_with(book, {20, 70}), {}, 1.5};
  result.evaluations = evaluate(result.walk, 99, 1);
  result.walk.warnings = {"1970-01-01: a < b"};
  return result;
}

TEST(BacktestReport, SaysWhatIsTooHigh) {
  MethodResult result{"sample", walk_with("b", {}), {}, 1.5};
  for (BookSeries& series : result.walk.books) {  // 400 dates without an exceedance
    for (std::size_t t = 100; t < 400; ++t) {
      series.times.push_back(86'400 * static_cast<std::int64_t>(t));
      series.levels[0].push_back(series.levels[0][0]);
      series.worst_losses_usd.push_back(series.worst_losses_usd[0]);
    }
  }
  result.evaluations = evaluate(result.walk, 999, 1);
  const std::string text = format_backtest({result});
  // The proportion rejects, too; Z2 alone does not.
  EXPECT_NE(text.find("1.000+ fails"), std::string::npos) << text;
  EXPECT_NE(format_html({}, {result}).find("<td class=\"yellow\">1.000"), std::string::npos);
}

TEST(BacktestReport, SaysWhatPasses) {
  const std::string text = format_backtest({result_with("b")});
  EXPECT_NE(text.find("sample: 1970-01-01 to 1970-04-10, 100 dates, 100 paths"), std::string::npos)
      << text;
  EXPECT_NE(text.find("sample at 0.975: no test rejects 1 of 1 books at 5 %"), std::string::npos)
      << text;
}

TEST(BacktestReport, IsOneFileThatNeedsNoOther) {
  const std::string html = format_html({{"a<b", "c&d"}}, {result_with("<script>&\"")});
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("://"), std::string::npos);
  EXPECT_EQ(html.find("src="), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;&amp;&quot;"), std::string::npos);
  EXPECT_NE(html.find("a &lt; b"), std::string::npos);
  const auto count = [&](const char* pattern) {
    const std::regex regex(pattern);
    return std::distance(std::sregex_iterator(html.begin(), html.end(), regex),
                         std::sregex_iterator());
  };
  EXPECT_NE(html.find("a&lt;b</th><td>c&amp;d"), std::string::npos);
  // A picture, and four in the key to it.
  const std::size_t picture = html.find("<svg viewBox=\"0 0 960");
  ASSERT_NE(picture, std::string::npos);
  const auto dots = [&](const std::string& kind) {
    const std::size_t begin = html.find("<path class=\"" + kind, picture);
    const std::string path = html.substr(begin, html.find('>', begin) - begin);
    return std::count(path.begin(), path.end(), 'M');
  };
  EXPECT_EQ(dots("over"), 2);
  EXPECT_EQ(dots("loss"), 98);
  EXPECT_EQ(count("<polyline"), 2);
  EXPECT_EQ(count("<svg"), 5);
  EXPECT_EQ(count("</svg>"), 5);
  EXPECT_EQ(count("nan|inf[^o]"), 0);
  EXPECT_NE(html.find("<td class=\"yes\">passes</td>"), std::string::npos);
}

TEST(BacktestReport, OneDateIsAPictureToo) {
  MethodResult result = result_with("b");
  BookSeries& series = result.walk.books[0];
  series.times.resize(1);
  series.calibrated_to.resize(1);
  series.levels[0].resize(1);
  series.worst_losses_usd.resize(1);
  series.times[0] = 5 * 3'600;
  result.evaluations = evaluate(result.walk, 99, 1);
  const std::string html = format_html({}, {result});
  EXPECT_EQ(html.find("nan"), std::string::npos);
  // No day begins in it.
  EXPECT_NE(html.find(">1970-01-01T05:00:00Z</text>"), std::string::npos);
}

}  // namespace
}  // namespace shortfall::backtest
