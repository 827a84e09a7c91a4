// Configurations, fills, stressed windows, and the files that a run loads.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/calibrate/calibrate_report.hpp"
#include "host/input/date.hpp"
#include "shortfall/shortfall.hpp"
#include "simulated.hpp"
#include "temporary_histories.hpp"
#include "tests/temporary_book.hpp"

namespace shortfall::calibration {
namespace {

/// Days of BTC and ETH, the days [turmoil, turmoil + 40) with three times the moves; and a
/// volatility of BTC.
struct Market {
  std::string prices = "date,BTC,ETH\n", volatility = "date,dvol\n";

  explicit Market(int days, int turmoil = -1) {
    Draws draws(31);
    double btc = 20'000, eth = 1'000, level = 60;
    for (int i = 0; i < days; ++i) {
      prices += fmt::format("{},{},{}\n", day(i), btc, eth);
      volatility += fmt::format("{},{}\n", day(i), level);
      const double size = turmoil >= 0 && i >= turmoil && i < turmoil + 40 ? 0.06 : 0.02;
      const double common = draws.normal(), own = draws.normal(), moved = draws.normal();
      btc *= std::exp(size * common);
      eth *= std::exp(size * (common + 0.5 * own));
      level *= std::exp(0.03 * (moved - 0.5 * common) - 0.02 * std::log(level / 60));
    }
  }
};

CalibrateOutcome calibrated(const CalibrateArguments& arguments) {
  CalibrateOutcome outcome;
  outcome.config = load_calibrate_config(arguments);
  outcome.history = read_history(outcome.config.sources, outcome.config.window);
  outcome.rows = outcome.history.window;
  if (outcome.config.stressed) {
    outcome.stressed = find_stressed_window(outcome.config, outcome.history.changes,
                                            outcome.history.window, [](std::size_t) {});
    outcome.model = outcome.stressed->model;
    outcome.rows = outcome.stressed->worst.rows;
  } else {
    outcome.model = build_model(outcome.history.changes, outcome.rows, outcome.config.settings,
                                {outcome.config.factors, outcome.config.fills});
  }
  return outcome;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

CalibrateArguments arguments_for(const std::filesystem::path& config) {
  CalibrateArguments arguments;
  arguments.config = config.string();
  return arguments;
}

const std::string complete_config =
    "[calibrate]\nmethod = \"garch\"\ncorrelations = \"ewma\"\nhorizon_days = 2\n"
    "half_life_days = 20\nfrom = \"2020-01-05\"\nto = \"2020-12-31\"\nmethod_weight = 0.75\n"
    "min_observations = 50\nstandardise = true\ndegrees_of_freedom = false\nmax_gap_days = 5\n"
    "factors = [\"ETH.spot\", \"BTC.spot\"]\nout = \"covariance.csv\"\n"
    "[prices]\nfile = \"prices.csv\"\ntime = \"date\"\ncolumns = [\"BTC\", \"ETH\"]\n"
    "[histories.dvol]\nfile = \"dvol.csv\"\ncolumns = {dvol = \"BTC.vol.30d\"}\n"
    "unit = \"percent\"\nstrike = \"at_the_money\"\nslope = -0.05\n"
    "[histories.funding]\nfile = \"f.csv\"\ncolumns = {x = \"BTC.perp\"}\n"
    "quantity = \"funding\"\nunit = \"decimal\"\npremium_per_rate = 3\n"
    "[fill.\"ETH.vol.30d\"]\nlike = \"BTC.vol.30d\"\nbeta = 1.2\nresidual_daily = 0.01\n"
    "[stressed]\nbook = \"run.toml\"\nwindow_days = 100\nstep_days = 10\npaths = 2000\n";

TEST(CalibrateConfiguration, ReadsEveryKey) {
  TemporaryFolder folder;
  const CalibrateConfig config =
      load_calibrate_config(arguments_for(folder.write("c.toml", complete_config)));
  EXPECT_EQ(config.settings.method, CalibrationMethod::garch);
  EXPECT_EQ(config.settings.correlations, CorrelationMethod::ewma);
  EXPECT_EQ(config.settings.horizon_days, 2);
  EXPECT_EQ(config.settings.half_life_days, 20);
  EXPECT_EQ(config.settings.method_weight, 0.75);
  EXPECT_EQ(config.settings.observations_min, 50u);
  EXPECT_EQ(config.settings.is_standardised, true);
  EXPECT_FALSE(config.settings.fits_degrees_of_freedom);
  EXPECT_EQ(format_date(*config.window.from), "2020-01-05");
  EXPECT_EQ(format_date(*config.window.to), "2020-12-31");
  EXPECT_EQ(config.window.gap_days_max, 5);
  EXPECT_EQ(config.factors, (std::vector<std::string>{"ETH.spot", "BTC.spot"}));
  EXPECT_EQ(config.out, folder.path("covariance.csv"));
  ASSERT_EQ(config.sources.size(), 3u);
  EXPECT_EQ(config.sources[0].file, folder.path("prices.csv"));
  EXPECT_EQ(config.sources[0].columns[1].factor, "ETH.spot");
  EXPECT_TRUE(config.sources[1].is_at_the_money);
  EXPECT_EQ(config.sources[1].scale, 0.01);
  EXPECT_EQ(config.sources[1].slope, -0.05);
  EXPECT_EQ(config.sources[2].quantity, Quantity::funding);
  EXPECT_EQ(config.sources[2].scale, 3);
  ASSERT_EQ(config.fills.size(), 1u);
  EXPECT_EQ(config.fills[0].beta, 1.2);
  EXPECT_EQ(config.fills[0].residual_daily, 0.01);
  ASSERT_TRUE(config.stressed);
  EXPECT_EQ(config.stressed->book, folder.path("run.toml"));
  EXPECT_EQ(config.stressed->window_days, 100);
  EXPECT_EQ(config.stressed->step_days, 10);
  EXPECT_EQ(config.stressed->path_count, 2000u);
}

TEST(CalibrateConfiguration, TakesTheCommandLineFirst) {
  TemporaryFolder folder;
  CalibrateArguments arguments = arguments_for(folder.write("c.toml", complete_config));
  arguments.prices = "other.csv";
  arguments.columns = "price=BTC,ETH";
  arguments.method = "ewma";
  arguments.half_life = "11.5";
  arguments.to = "2020-11-30";
  arguments.window_days = "60";
  arguments.out = "o.csv";
  const CalibrateConfig config = load_calibrate_config(arguments);
  ASSERT_EQ(config.sources.size(), 3u);
  EXPECT_EQ(config.sources[0].file, "other.csv");
  EXPECT_EQ(config.sources[0].columns[0].column, "price");
  EXPECT_EQ(config.sources[0].columns[0].factor, "BTC.spot");
  EXPECT_EQ(config.settings.method, CalibrationMethod::ewma);
  EXPECT_EQ(config.settings.half_life_days, 11.5);
  EXPECT_EQ(format_date(*config.window.to), "2020-11-30");
  EXPECT_EQ(config.stressed->window_days, 60);
  EXPECT_EQ(config.out, "o.csv");
}

struct BadConfig {
  const char* name;
  std::string from, to;  ///< replaced in the complete one
  const char* message;
};

class CalibrateConfigurationRefuses : public testing::TestWithParam<BadConfig> {};

TEST_P(CalibrateConfigurationRefuses, WithTheKey) {
  TemporaryFolder folder;
  std::string text = complete_config;
  const std::size_t at = text.find(GetParam().from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, GetParam().from.size(), GetParam().to);
  const CalibrateArguments arguments = arguments_for(folder.write("c.toml", text));
  const std::string problems = folder.problems_of([&] { load_calibrate_config(arguments); });
  EXPECT_TRUE(problems.starts_with("c.toml")) << problems;
  EXPECT_NE(problems.find(GetParam().message), std::string::npos) << problems;
}

INSTANTIATE_TEST_SUITE_P(
    Reasons, CalibrateConfigurationRefuses,
    testing::Values(
        BadConfig{"method", "\"garch\"", "\"arma\"", "method is \"arma\"; write one of sample"},
        BadConfig{"horizon", "horizon_days = 2", "horizon_days = 0", "it must be from 1e-9"},
        BadConfig{"weight", "0.75", "1.5", "it must be from 0 to 1"},
        BadConfig{"from", "\"2020-01-05\"", "\"5 Jan\"", "from is \"5 Jan\"; write"},
        BadConfig{"unknown_key", "standardise", "standardize", "unknown key \"standardize\""},
        BadConfig{"unknown_table", "[stressed]", "[stress]", "unknown table \"stress\""},
        BadConfig{"factor", "\"ETH.spot\"", "\"ETH\"", "factors has \"ETH\", which is none"},
        BadConfig{"factor_twice", "\"ETH.spot\"", "\"BTC.spot\"", "factors has \"BTC.spot\" twice"},
        BadConfig{"no_unit", "unit = \"percent\"\n", "", "unit is missing; write decimal or"},
        BadConfig{"no_strike", "strike = \"at_the_money\"\nslope = -0.05\n", "",
                  "strike is missing; write fixed or at_the_money"},
        BadConfig{"no_slope", "slope = -0.05\n", "", "need the slope of the smile"},
        BadConfig{"no_quantity", "quantity = \"funding\"\n", "",
                  "quantity is missing; write premium, price or funding"},
        BadConfig{"no_premium", "premium_per_rate = 3\n", "", "the premium that a rate of 1"},
        BadConfig{"no_columns", "columns = {dvol = \"BTC.vol.30d\"}\n", "",
                  "write the factor of each column"},
        BadConfig{"spot_history", "\"BTC.perp\"", "\"BTC.spot\"", "spots belong into [prices]"},
        BadConfig{"mixed", "{x = \"BTC.perp\"}", "{x = \"BTC.perp\", y = \"BTC.basis\"}",
                  "mixes kinds of factors"},
        BadConfig{"no_beta", "beta = 1.2\n", "", "write how much of the other's move"},
        BadConfig{"no_like", "like = \"BTC.vol.30d\"\n", "", "name the factor that it moves with"},
        BadConfig{"fill_of_nothing", "[fill.\"ETH.vol.30d\"]", "[fill.ETH]", "is for no factor"},
        BadConfig{"no_book", "book = \"run.toml\"\n", "", "write the path of the run"},
        BadConfig{"no_out", "out = \"covariance.csv\"\n", "", "has no file to write"},
        BadConfig{"over_an_input", "out = \"covariance.csv\"", "out = \"c.toml\"",
                  "over an input; give another out"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Fill, MovesLikeAnotherWithAResidual) {
  const NamedCovariance estimated{{"A.spot", "B.spot"}, {4, 1, 1, 9}, 2};
  Problems problems;
  const NamedCovariance filled = fill_factors(estimated, {"B.spot", "C.spot", "A.spot"},
                                              {{"C.spot", "A.spot", 1.5, 0.5}}, "c.toml", problems);
  ASSERT_TRUE(problems.empty());
  EXPECT_EQ(filled.matrix, (std::vector<double>{9, 1.5, 1, 1.5, 9 + 0.5, 6, 1, 6, 4}));
}

TEST(Fill, RefusesWhatHasNoRule) {
  const NamedCovariance estimated{{"A.spot"}, {4}, 1};
  Problems problems;
  fill_factors(estimated, {"A.spot", "B.spot", "C.spot"}, {{"C.spot", "B.spot", 1, 0}}, "c.toml",
               problems);
  try {
    problems.throw_if_any();
    FAIL();
  } catch (const InputError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("factor B.spot has no history that is long enough"), std::string::npos);
    EXPECT_NE(text.find("C.spot is to be filled like B.spot, which is not estimated"),
              std::string::npos);
  }
}

/// A calibration of the temporary book's factors: BTC.spot, BTC.vol.30d, ETH.spot.
std::string book_config(const TemporaryBook& book, const char* more) {
  return fmt::format(
      "[calibrate]\nfactors = [\"BTC.spot\", \"BTC.vol.30d\", \"ETH.spot\"]\n{}\n"
      "[prices]\nfile = \"{}\"\n[histories.dvol]\nfile = \"{}\"\n"
      "columns = {{dvol = \"BTC.vol.30d\"}}\nunit = \"percent\"\nstrike = \"at_the_money\"\n"
      "slope = -0.05\n",
      more, book.path("prices.csv").string(), book.path("dvol.csv").string());
}

TEST(CalibrateCommand, WritesWhatARunLoads) {
  TemporaryBook book;
  const Market market(600);
  book.write("prices.csv", market.prices);
  book.write("dvol.csv", market.volatility);
  for (const char* const method : {"sample", "ewma", "ledoit_wolf", "garch"}) {
    book.write("c.toml",
               book_config(
                   book, fmt::format("method = \"{}\"\nout = \"covariance.csv\"", method).c_str()));
    const CalibrateOutcome outcome = calibrated(arguments_for(book.path("c.toml")));
    write_outcome(outcome);
    const RunInputs inputs = book.load();
    // Shortest round-trip numbers: every bit.
    EXPECT_EQ(inputs.covariance.matrix, outcome.model.covariance.matrix) << method;
    Problems problems;
    const FactorModel model =
        build_factor_model(inputs.covariance, load_config(book.path("run.toml")), problems);
    EXPECT_TRUE(problems.empty());
    EXPECT_FALSE(model.is_repaired || model.is_singular);

    const auto report = nlohmann::json::parse(text_of(book.path("covariance.report.json")));
    EXPECT_EQ(report["settings"]["method"], method);
    EXPECT_EQ(report["window"]["to"], day(599));
    EXPECT_EQ(report["series"][0]["observations"], 599);
    EXPECT_EQ(report["series"].size(), 3u);
    EXPECT_EQ(report["correlations"][1][1], 1.0);
    EXPECT_EQ(report["eigenvalues"].size(), 3u);
    EXPECT_GT(report["degrees_of_freedom"]["estimate"], 2.5);
    EXPECT_EQ(report["sha256"]["inputs"].size(), 3u);
    EXPECT_NE(format_outcome(outcome).find("moves along the smile taken out with slope -0.05"),
              std::string::npos);
  }
}

/// The moves that the covariance is of are historical scenarios of the same book.
TEST(CalibrateCommand, WritesMovesThatAHistoryIs) {
  TemporaryFolder folder;
  CalibrateArguments arguments;
  arguments.prices = folder.write("prices.csv", Market(400).prices).string();
  arguments.horizon_days = "4";
  arguments.out = folder.path("covariance.csv").string();
  arguments.moves = folder.path("moves/history.csv").string();
  const CalibrateOutcome outcome = calibrated(arguments);
  write_outcome(outcome);
  TemporaryBook book;
  book.write("history.csv", text_of(arguments.moves));
  book.write("run.toml",
             "[inputs]\nunderlyings = \"underlyings.csv\"\ninstruments = \"instruments.csv\"\n"
             "positions = \"positions.csv\"\nhistory = \"history.csv\"\n[market]\n"
             "as_of = 2025-06-27T08:00:00Z\n[model]\nscenarios = \"history\"\n"
             "covariance_horizon_days = 4\n[risk]\nhorizon_days = 4\n");
  ASSERT_EQ(book.problems(), "");
  const Covariance read = book.load().covariance;
  const FactorChanges& changes = outcome.history.changes;
  ASSERT_EQ(read.history.size(), 399 * 2u);
  EXPECT_EQ(read.dates.front(), day(1));
  for (std::size_t i = 0; i < read.history.size(); ++i)
    EXPECT_NEAR(read.history[i], 2 * changes.values[i], 1e-15);

  arguments.moves = arguments.out;
  EXPECT_NE(folder.problems_of([&] { load_calibrate_config(arguments); })
                .find("moves would be written over out"),
            std::string::npos);
}

TEST(CalibrateCommand, MovesOfAFilledFactorAreRefused) {
  TemporaryFolder folder;
  folder.write("prices.csv", Market(400).prices);
  CalibrateArguments arguments = arguments_for(folder.write(
      "c.toml",
      "[calibrate]\nout = \"covariance.csv\"\nmoves = \"history.csv\"\n[prices]\nfile = "
      "\"prices.csv\"\n[fill.\"SOL.spot\"]\nlike = \"ETH.spot\"\nbeta = 1.2\n"));
  const CalibrateOutcome outcome = calibrated(arguments);
  EXPECT_NE(folder.problems_of([&] { write_outcome(outcome); })
                .find("SOL.spot is filled and has no history"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder.path("covariance.csv")));
  EXPECT_FALSE(std::filesystem::exists(folder.path("history.csv")));
}

TEST(CalibrateCommand, RefusalsLeaveNoFile) {
  TemporaryBook book;
  book.write("prices.csv", Market(60).prices);
  CalibrateArguments arguments;
  arguments.prices = book.path("prices.csv").string();
  arguments.out = book.path("o.csv").string();
  EXPECT_THROW(calibrated(arguments), InputError);
  EXPECT_FALSE(std::filesystem::exists(book.path("o.csv")));
}

TEST(Stressed, FindsTheTurmoilAndWritesWhatTheMarginReads) {
  TemporaryBook book;
  const Market market(500, 200);
  book.write("prices.csv", market.prices);
  book.write("dvol.csv", market.volatility);
  book.write("c.toml", book_config(book, "min_observations = 30\nout = \"stressed.csv\"") +
                           "[stressed]\nbook = \"run.toml\"\nwindow_days = 50\n"
                           "step_days = 20\npaths = 4000\n");
  const CalibrateOutcome outcome = calibrated(arguments_for(book.path("c.toml")));
  const StressedWindow& stressed = *outcome.stressed;
  // The turmoil moves prices on the days 201 to 240; the window holds all of it but a day or so,
  // whose move may have been small.
  EXPECT_LE(stressed.worst.from, *parse_date(day(203)));
  EXPECT_GE(stressed.worst.to, *parse_date(day(237)));
  for (const WindowRisk& window : stressed.windows)
    EXPECT_LE(window.expected_shortfall_usd, stressed.worst.expected_shortfall_usd);
  EXPECT_EQ(stressed.skipped_count, 0u);
  EXPECT_FALSE(outcome.model.calibration.tail);

  write_outcome(outcome);
  const std::string run_toml = text_of(book.path("run.toml"));
  book.write("run.toml", run_toml +
                             "[margin.procyclicality]\ncovariance = \"stressed.csv\"\n"
                             "[risk]\npaths = 4000\n");
  const RunResult result = shortfall::run(load_config(book.path("run.toml")));
  double charge = 0;
  for (const AccountMargin& margin : result.margins) charge += margin.components.procyclicality;
  EXPECT_GT(charge, 0);
}

TEST(Stressed, SkipsWindowsWithoutAFactorUnlessItIsFilled) {
  TemporaryBook book;
  const Market market(400);
  book.write("prices.csv", market.prices);
  // Volatility is known for the second half only.
  std::string late = "date,dvol\n";
  const std::size_t at = market.volatility.find(day(200));
  book.write("dvol.csv", late + market.volatility.substr(at));
  const std::string config =
      book_config(book, "min_observations = 50\nout = \"stressed.csv\"") +
      "[stressed]\nbook = \"run.toml\"\nwindow_days = 100\nstep_days = 100\npaths = 2000\n";
  book.write("c.toml", config);
  const StressedWindow without = *calibrated(arguments_for(book.path("c.toml"))).stressed;
  EXPECT_GT(without.skipped_count, 0u);
  EXPECT_NE(without.skipped_because.find("BTC.vol.30d has"), std::string::npos);
  book.write("c.toml", config + "[fill.\"BTC.vol.30d\"]\nlike = \"BTC.spot\"\nbeta = -1.5\n");
  EXPECT_EQ(calibrated(arguments_for(book.path("c.toml"))).stressed->skipped_count, 0u);
}

TEST(CalibrateRealData, EveryMethodOnEightCoins) {
  const char* const shared = std::getenv("SHORTFALL_SHARED");
  if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set";
  TemporaryFolder folder;
  CalibrateArguments arguments;
  arguments.prices =
      std::string(shared) + "/data/prices_daily/closes_binance_usdt_8coins_20200101_20260115.csv";
  arguments.to = "2026-01-14";
  arguments.out = folder.path("covariance.csv").string();
  for (const char* const method : {"sample", "ewma", "ledoit_wolf", "garch"}) {
    arguments.method = method;
    const CalibrateOutcome outcome = calibrated(arguments);
    const Calibration& found = outcome.model.calibration;
    ASSERT_EQ(outcome.model.estimated.size(), 8u);
    EXPECT_EQ(found.observations[0], 2205u);
    for (const double volatility : found.volatilities) {
      EXPECT_GT(volatility, 0.3);
      EXPECT_LT(volatility, 1.5);
    }
    EXPECT_GT(found.eigenvalues.back(), 0.05);
    EXPECT_GT(found.tail->degrees_of_freedom, 2.5);
    EXPECT_LT(found.tail->degrees_of_freedom, 6);
    EXPECT_FALSE(found.repair);
    write_outcome(outcome);
    if (outcome.config.settings.method == CalibrationMethod::sample) {
      // pandas: std(ddof = 1) of log-returns times sqrt(365); mean of corr() off the diagonal.
      EXPECT_NEAR(found.volatilities[0], 0.6273, 5e-5);
      EXPECT_NEAR(found.volatilities[5], 1.3472, 5e-5);
      double sum = -8;
      for (const double correlation : found.correlations) sum += correlation;
      EXPECT_NEAR(sum / 56, 0.5889845761722937, 1e-12);
    }
    if (outcome.config.settings.method == CalibrationMethod::garch) {
      // The maximum by another optimiser (Nelder and Mead, scipy) of a likelihood written apart.
      EXPECT_NEAR(found.garch[0].parameters.alpha, 0.1189973, 2e-6);
      EXPECT_NEAR(found.garch[0].parameters.beta, 0.8661667, 2e-6);
      EXPECT_NEAR(found.garch[0].log_likelihood, 4563.983423398857, 1e-6);
      EXPECT_FALSE(found.warnings.empty());  // BNB and DOGE have no long-run variance
    }
  }
}

TEST(CalibrateRealData, LedoitWolfIntensityIsScikitLearns) {
  const char* const shared = std::getenv("SHORTFALL_SHARED");
  if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set";
  CalibrateArguments arguments;
  arguments.prices =
      std::string(shared) + "/data/prices_daily/closes_binance_usdt_8coins_20200101_20260115.csv";
  arguments.from = "2020-09-22";  // the first day of AVAX: every row is complete
  arguments.to = "2026-01-14";
  arguments.method = "ledoit_wolf";
  arguments.out = "never-written.csv";
  // sklearn.covariance.ledoit_wolf (1.9.1) of the same rows.
  EXPECT_NEAR(*calibrated(arguments).model.calibration.shrinkage, 0.022619211530085743, 1e-12);
}

}  // namespace
}  // namespace shortfall::calibration
