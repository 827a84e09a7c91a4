// Historical scenarios: what is read, filtered and weighed, and what becomes of it, against sums
// that are written out.
#include "host/input/history.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

#include "demo_run.hpp"
#include "host/margin/joint_error.hpp"
#include "host/run/margin_run.hpp"

namespace shortfall {
namespace {

TEST(HistoryFilter, IsHullAndWhites) {
  // Half-life of one row: s^2 <- (s^2 + x^2) / 2, begun with the mean square of all three rows.
  std::vector<double> moves = {0.1, 0, -0.2, 0, 0.3, 0};
  filter_volatility(moves, 2, 1);
  const double s0 = (0.01 + 0.04 + 0.09) / 3, s1 = (s0 + 0.01) / 2, s2 = (s1 + 0.04) / 2,
               last = (s2 + 0.09) / 2;
  EXPECT_NEAR(moves[0], 0.1 * std::sqrt(last / s0), 1e-15);
  EXPECT_NEAR(moves[2], -0.2 * std::sqrt(last / s1), 1e-15);
  EXPECT_NEAR(moves[4], 0.3 * std::sqrt(last / s2), 1e-15);
  EXPECT_EQ(moves[1], 0) << "what does not move stays";
  EXPECT_EQ(moves[5], 0);
}

TEST(HistoryFilter, BringsACalmPastToTodaysVolatility) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  constexpr std::size_t half = 2000;
  std::vector<double> moves(2 * half);
  for (std::size_t t = 0; t < moves.size(); ++t)
    moves[t] = (t < half ? 0.01 : 0.03) * normal(random);
  filter_volatility(moves, 1, 50);
  const auto deviation = [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t t = begin; t < end; ++t) sum += moves[t] * moves[t];
    return std::sqrt(sum / static_cast<double>(end - begin));
  };
  // The last volatility is that of some 70 rows: a standard error of 1 / sqrt(2 * 2 * 72) = 6 %.
  EXPECT_NEAR(deviation(100, half), 0.03, 4 * 0.06 * 0.03);
  EXPECT_NEAR(deviation(100, half) / deviation(half + 300, 2 * half), 1, 0.05);
}

TEST(HistoryWeights, HalveAndAddUp) {
  const std::vector<double> weights = decaying_weights(3, 1);
  ASSERT_EQ(weights.size(), 3u);
  for (int t = 0; t < 3; ++t) EXPECT_NEAR(weights[t], 3.0 / 7 * (1 << t), 1e-15);
  const std::vector<double> many = decaying_weights(5000, 250);
  EXPECT_NEAR(std::accumulate(many.begin(), many.end(), 0.0), 5000, 1e-9);
  EXPECT_NEAR(many[4750] / many[4500], 2, 1e-12);
}

TEST(HistoryMoments, AreWeighted) {
  const std::vector<double> moves = {1, 2, 3, -4};
  EXPECT_EQ(second_moment(moves, 2, {}), (std::vector<double>{5, -5, -5, 10}));
  EXPECT_EQ(second_moment(moves, 2, {0.5, 1.5}), (std::vector<double>{7, -8.5, -8.5, 13}));
}

/// The demonstration book under a history of its factors.
class HistoryRun : public DemoRun {
 public:
  explicit HistoryRun(const std::string& model = "", const std::string& margin = "",
                      std::size_t row_count = 1600)
      : DemoRun("", 1) {
    const std::filesystem::path folder = config().file.parent_path();
    std::ifstream covariance(folder / "covariance.csv");
    std::string header;
    std::getline(covariance, header);
    std::istringstream names(header);
    std::string name, text = "date";
    std::vector<double> deviations;
    std::getline(names, name, ',');
    while (std::getline(names, name, ',')) {
      text += "," + name;
      deviations.push_back(name.ends_with("spot")                  ? 0.03
                           : name.find("vol") != std::string::npos ? 0.05
                                                                   : 0.002);
    }
    std::mt19937 random(11);
    std::student_t_distribution<double> fat(5);
    for (std::size_t t = 0; t < row_count; ++t) {
      text += "\n" + format_date_time(static_cast<std::int64_t>(t) * 86400 + 1'600'000'000);
      const double common = fat(random);
      for (const double deviation : deviations)
        text += fmt::format(",{:.17g}", 0.7 * deviation * (common + fat(random)));
    }
    std::ofstream(folder / "history.csv") << text << "\n";
    std::ofstream(folder / "run.toml")
        << "[inputs]\nunderlyings = \"underlyings.csv\"\ninstruments = \"instruments.csv\"\n"
           "positions = \"positions.csv\"\naccounts = \"accounts.csv\"\nhistory = \"history.csv\"\n"
           "[market]\nas_of = 2026-01-02T09:30:00Z\n[model]\nscenarios = \"history\"\n"
        << model << "[risk]\nconfidence = 0.975\n[margin]\n"
        << margin << "[compute]\nbackend = \"cpu\"\n";
    config() = load_config(folder / "run.toml");
  }
};

/// The definitions, summed plainly: VaR, ES and its standard error of weighted losses.
GroupRisk plain_risk(std::vector<std::pair<double, double>> losses, double confidence_level) {
  std::ranges::sort(losses, std::greater<>());
  double total = 0, squares = 0;
  for (const auto& [loss, weight] : losses) {
    total += weight;
    squares += weight * weight;
  }
  const double k = (1 - confidence_level) * total;
  GroupRisk risk;
  double below = 0;
  std::size_t j = 0;
  for (; below + losses[j].second <= k * (1 + 1e-12); ++j) {
    below += losses[j].second;
    risk.expected_shortfall_usd += losses[j].first * losses[j].second / k;
  }
  risk.value_at_risk_usd = losses[j].first;
  risk.expected_shortfall_usd += (k - below) / k * losses[j].first;
  double mean = 0, variance = 0;
  const auto excess = [&](double loss) { return std::max(0.0, loss - risk.value_at_risk_usd); };
  for (const auto& [loss, weight] : losses) mean += weight * excess(loss) / total;
  for (const auto& [loss, weight] : losses) variance += std::pow(weight * (excess(loss) - mean), 2);
  risk.standard_error_usd = std::sqrt(variance) / k;
  return risk;
}

struct HistoryCase {
  const char* name;
  const char* model;
};
constexpr HistoryCase cases[] = {
    {"equal", ""},
    {"decaying", "weight_half_life = 300\n"},
    {"filtered", "history_filter = \"volatility\"\nfilter_half_life = 30\n"},
    {"both", "history_filter = \"volatility\"\nweight_half_life = 500.5\n"}};

class HistoryMargins : public testing::TestWithParam<HistoryCase> {};
INSTANTIATE_TEST_SUITE_P(, HistoryMargins, testing::ValuesIn(cases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(HistoryMargins, MarginsAreThoseOfTheDefinition) {
  HistoryRun run(GetParam().model);
  const RunInputs inputs = load_inputs(run.config());
  ASSERT_EQ(run.config().risk.path_count, 1600u);
  ASSERT_EQ(inputs.covariance.dates.size(), 1600u);
  const Plan plan = build_plan(run.config(), inputs);
  const PathTrace trace = trace_paths(plan, 0, 1600);
  const std::vector<AccountMargin> margins = run.margins();
  int compared = 0;
  for (std::uint32_t a = 0; a < margins.size(); ++a) {
    const Plan::AccountSummary& account = plan.accounts[a];
    double shortfall = 0;
    std::vector<std::pair<double, double>> losses(1600);
    for (std::uint32_t g = account.group_begin; g < account.group_end; ++g) {
      const double usd = std::ldexp(1.0, plan.groups[g].scale_exponent);
      for (std::uint32_t p = 0; p < 1600; ++p)
        losses[p] = {static_cast<double>(trace.losses[g * 1600 + p]) * usd,
                     inputs.covariance.weights.empty() ? 1 : inputs.covariance.weights[p]};
      shortfall += plain_risk(losses, 0.975).expected_shortfall_usd;
    }
    // Losses are taken as integers of 2^-30 of the gross notional or so.
    const double near = 1e-8 * margins[a].gross_notional_usd;
    EXPECT_NEAR(margins[a].expected_shortfall_usd, shortfall, near) << margins[a].account;
    if (account.group_end - account.group_begin != 1) continue;
    const GroupRisk want = plain_risk(losses, 0.975);
    EXPECT_NEAR(margins[a].value_at_risk_usd, want.value_at_risk_usd, near);
    EXPECT_NEAR(margins[a].standard_error_usd, want.standard_error_usd,
                near + 1e-9 * want.standard_error_usd);
    compared += want.standard_error_usd > 0;
  }
  EXPECT_GT(compared, 50);
}

TEST_P(HistoryMargins, HasTheSameBytesOnEveryMachine) {
  HistoryRun run(GetParam().model);
  const std::string want = run.text();
  for (const InstructionSet set : usable_instruction_sets())
    for (const std::uint32_t threads : {1u, 3u})
      for (const std::uint32_t tile : {64u, 192u}) {
        run.config().compute.instruction_set = set;
        run.config().compute.thread_count = threads;
        run.config().compute.tile_path_count = tile;
        EXPECT_EQ(run.text(), want) << to_string(set) << ", " << threads << " threads";
      }
}

TEST_P(HistoryMargins, EverythingElseFollows) {
  HistoryRun run(GetParam().model);
  run.config().output.has_attribution = true;
  const RunResult result = shortfall::run(run.config());
  for (std::size_t a = 0; a < result.margins.size(); ++a) {
    const AccountMargin& margin = result.margins[a];
    const Attribution::Of& of = result.attribution->accounts[a];
    EXPECT_NEAR(of.rounding_usd, 0, 1e-6 * margin.gross_notional_usd) << margin.account;
  }
  const Explanation why = explain(run.config(), "market-maker-03");
  ASSERT_FALSE(why.worst_paths.empty());
  EXPECT_EQ(why.worst_paths[0].date,
            format_date_time(std::int64_t{why.worst_paths[0].path} * 86400 + 1'600'000'000));
  WhatIfSession session(run.config());
  session.hold_accounts();
  for (const char* const account : {"market-maker-03", "calendar-02"}) {
    const WhatIfQuery query{account, {parse_trade("SOL-PERPETUAL:500")}};
    const WhatIf want = session.all(query);
    const BaseWhatIf got = session.base(query);
    const double near = 1e-6 * want.after.gross_notional_usd;
    EXPECT_NEAR(got.before_usd, want.before.margin_usd, near);
    EXPECT_NEAR(got.after_usd, want.after.margin_usd, near);
    EXPECT_NEAR(got.standard_error_usd, want.standard_error_usd, near);
    EXPECT_NE(want.after.margin_usd, want.before.margin_usd);
  }
}

TEST(HistoryPlain, WeightsOfOneAreNone) {
  HistoryRun run;
  const RunInputs inputs = load_inputs(run.config());
  RunInputs weighted = inputs;
  weighted.covariance.weights.assign(1600, 1.0);
  const auto risks_of = [&](const RunInputs& of) {
    const Plan plan = build_plan(run.config(), of);
    const Tails tails = make_backend(run.config().compute)->simulate(plan, {0, 1600}, {});
    return group_risks(plan, tails);
  };
  const std::vector<GroupRisk> want = risks_of(inputs), got = risks_of(weighted);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t g = 0; g < got.size(); ++g) {
    EXPECT_EQ(got[g].value_at_risk_usd, want[g].value_at_risk_usd);
    EXPECT_NEAR(got[g].expected_shortfall_usd, want[g].expected_shortfall_usd,
                1e-12 * std::abs(want[g].expected_shortfall_usd));
    EXPECT_NEAR(got[g].standard_error_usd, want[g].standard_error_usd,
                1e-6 * want[g].standard_error_usd);
  }
}

TEST(HistoryPlain, ScalesWithTheHorizon) {
  HistoryRun run;
  run.config().risk.horizon_days = 4;
  const RunInputs inputs = load_inputs(run.config());
  const Plan plan = build_plan(run.config(), inputs);
  EXPECT_EQ(plan.model.history[5], 2 * inputs.covariance.history[5]);
}

TEST(HistoryPlain, LongerLiquidationsScaleIt) {
  HistoryRun run("", "[margin.liquidity]\nfile = \"liquidity.csv\"\n");
  const RunInputs read = load_inputs(run.config()),
                  simulated = simulated_inputs(run.config(), read);
  bool has_longer = false;
  for (std::size_t f = 0; f < read.covariance.factors.size(); ++f) {
    const double ratio = simulated.covariance.history[f] / read.covariance.history[f];
    const bool is_ether = read.covariance.factors[f].name.starts_with("ETH");
    EXPECT_NEAR(ratio, is_ether ? std::sqrt(2.0) : 1, 1e-12);
    has_longer |= is_ether;
  }
  EXPECT_TRUE(has_longer);
  EXPECT_GT(run.margins()[0].margin_usd, 0);
}

TEST(HistoryPlain, RunJsonSaysSo) {
  HistoryRun run("history_filter = \"volatility\"\nweight_half_life = 500\n");
  const RunResult result = shortfall::run(run.config());
  const std::filesystem::path out = run.config().file.parent_path() / "out";
  write_report(out, result.margins, result.record);
  const std::string text = read_file(out / "run.json");
  for (const char* const part : {"\"scenarios\": \"history\"", "\"history_filter\": \"volatility\"",
                                 "\"weight_half_life\": 500", "history.csv"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  EXPECT_EQ(text.find("\"distribution\""), std::string::npos);
}

constexpr const char* history_config =
    "[inputs]\nunderlyings = \"underlyings.csv\"\ninstruments = \"instruments.csv\"\n"
    "positions = \"positions.csv\"\nhistory = \"history.csv\"\n"
    "[market]\nas_of = 2025-06-27T08:00:00Z\n[model]\nscenarios = \"history\"\n";

std::string rows(int count) {
  std::string text = "date,BTC.spot,ETH.spot\n";
  for (int t = 0; t < count; ++t)
    text += fmt::format("2020-{:02}-{:02},0.0{},-0.01\n", 1 + t / 28, 1 + t % 28, 1 + t % 9);
  return text;
}

class HistoryFile : public testing::TestWithParam<Rejection> {};

TEST_P(HistoryFile, SaysWhereAndWhy) {
  TemporaryBook book;
  book.write("run.toml", history_config);
  book.write("history.csv", rows(200));
  ASSERT_EQ(book.problems(), "");
  expect_rejection_in(book, "history.csv", GetParam());
}

/// The 200 good rows, and one more.
std::string with_row(const char* row) { return rows(200) + row + "\n"; }

INSTANTIATE_TEST_SUITE_P(
    , HistoryFile,
    testing::Values(
        Rejection{"empty", "", "history.csv", "is empty; begin it with date,<name>"},
        Rejection{"header", "day,BTC.spot\n", "history.csv:1", "header begins with \"day\""},
        Rejection{"unknown_factor", "date,BTC.smile" + rows(200).substr(13), "history.csv:1",
                  "of no known kind"},
        Rejection{"no_rows", "date,BTC.spot\n", "history.csv", "has no rows"},
        Rejection{"gap", with_row("2021-01-01,0.01"), "history.csv:202", "1 numbers for 2 factors"},
        Rejection{"blank", with_row("2021-01-01,0.01,"), "history.csv:202",
                  "column ETH.spot: \"\" is not a finite decimal number"},
        Rejection{"huge", with_row("2021-01-01,0.01,11"), "history.csv:202", "is beyond 10"},
        Rejection{"no_number", with_row("2021-01-01,nan,0"), "history.csv:202",
                  "column BTC.spot: \"nan\""},
        Rejection{"no_date", with_row("1/1/2021,0,0"), "history.csv:202", "is no date"},
        Rejection{"unsorted", with_row("2020-01-01,0,0"), "history.csv:202",
                  "\"2020-01-01\" does not follow \"2020-08-04\""},
        Rejection{"twice", with_row("2020-08-04,0,0"), "history.csv:202", "does not follow"},
        Rejection{"too_few", rows(99), "history.csv", "99 rows at confidence 0.99 leave no tail"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(HistoryFiles, MayBeAbsent) {
  TemporaryBook book;
  book.write("run.toml", history_config);
  EXPECT_NE(book.problems().find("history.csv"), std::string::npos) << book.problems();
}

class HistoryConfig : public testing::TestWithParam<Rejection> {};

TEST_P(HistoryConfig, SaysWhereAndWhy) {
  TemporaryBook book;
  book.write("history.csv", rows(200));
  book.write("run.toml", history_config + GetParam().text);
  const std::string problems = book.problems();
  EXPECT_TRUE(problems.starts_with(GetParam().place)) << problems;
  EXPECT_NE(problems.find(GetParam().message), std::string::npos) << problems;
}

INSTANTIATE_TEST_SUITE_P(
    , HistoryConfig,
    testing::Values(
        Rejection{"distribution", "distribution = \"student_t\"\n", "run.toml:10",
                  "[model] distribution has no meaning with scenarios = \"history\""},
        Rejection{"half_life", "weight_half_life = 0.5\n", "run.toml:10", "at least 1"},
        Rejection{"filter", "history_filter = \"garch\"\n", "run.toml:10", "volatility"},
        Rejection{"paths", "[risk]\npaths = 1000\n", "run.toml:11", "[risk] paths has no meaning"},
        Rejection{"sampler", "[risk]\nsampler = \"sobol\"\n", "run.toml:11",
                  "[risk] sampler has no meaning"},
        Rejection{"one_row_is_all", "weight_half_life = 5\n", "run.toml",
                  "the last row counts 0.129 of all rows, more than the tail of 0.01"},
        Rejection{"dependence", "[margin.dependence]\n", "run.toml",
                  "[margin] dependence resamples a distribution"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(HistoryConfigKeys, KeysNeedTheirScenarios) {
  TemporaryBook book;
  std::string text = read_file(book.path("run.toml"));
  book.write("run.toml", text + "[model]\nweight_half_life = 100\n");
  EXPECT_NE(book.problems().find("needs scenarios = \"history\""), std::string::npos);
  text.insert(text.find("[market]"), "history = \"history.csv\"\n");
  book.write("run.toml", text);
  EXPECT_NE(book.problems().find("[inputs] history needs [model] scenarios"), std::string::npos);
  RunOverrides overrides;
  overrides.path_count = 1000;
  book.write("history.csv", rows(200));
  book.write("run.toml", history_config);
  EXPECT_NE(book.problems(overrides).find("--paths has no meaning"), std::string::npos);
}

}  // namespace
}  // namespace shortfall
