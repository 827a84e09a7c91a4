// Why a margin is what it is: the same numbers as the run's, the worst paths of all, and a text.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "host/input/close_names.hpp"
#include "host/program/terminal.hpp"
#include "shortfall/attribution.hpp"
#include "tests/books.hpp"
#include "tests/demo_run.hpp"

namespace shortfall {
namespace {

/// Of every mode, and one with collateral.
const char* const accounts[] = {"covered-call-06", "short-straddle-03", "basis-trade-14",
                                "protective-put-01", "market-maker-01"};

struct ExplainCase {
  const char* name;
  const char* margin;
  void (*change)(RunConfig&);
};

class Explained : public testing::TestWithParam<ExplainCase> {};

// Margin, attribution: as if the other accounts were there.
TEST_P(Explained, IsTheAccountOfTheRun) {
  DemoRun demo(GetParam().margin, 1, 3000);
  GetParam().change(demo.config());
  demo.config().output.has_attribution = true;
  const RunResult result = run(demo.config());
  const MarginConfig& margin = demo.config().margin;
  for (const char* const account : accounts) {
    SCOPED_TRACE(account);
    const Explanation explanation = explain(demo.config(), account);
    const auto row = std::ranges::find(result.margins, account, &AccountMargin::account);
    ASSERT_NE(row, result.margins.end());
    EXPECT_EQ(format_margins({explanation.margin}, margin), format_margins({*row}, margin));
    Attribution alone = *result.attribution;
    const auto& of = alone.accounts[static_cast<std::size_t>(row - result.margins.begin())];
    alone.accounts = {of};
    EXPECT_EQ(format_attribution(explanation.attribution), format_attribution(alone));
    EXPECT_EQ(explanation.warnings, result.record.warnings);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Demo, Explained,
    testing::Values(ExplainCase{"Plain", "", [](RunConfig&) {}},
                    ExplainCase{"Worst", "",
                                [](RunConfig& c) { c.risk.revalue_at = RevalueAt::worst; }},
                    ExplainCase{"EveryComponent", every_component, [](RunConfig&) {}},
                    ExplainCase{"SimulatedCollateral", "[margin.collateral]\nsimulate = true\n",
                                [](RunConfig&) {}}),
    [](const auto& row) { return row.param.name; });

/// The whole book with one account in portfolio mode, on every path: an independent way to its
/// worst paths.
struct EveryPath {
  RunInputs inputs;
  Plan plan;
  PathTrace trace;
  std::size_t group = 0;

  EveryPath(const RunConfig& config, const std::string& account) : inputs(load_inputs(config)) {
    for (Account& other : inputs.book.accounts)
      if (other.name == account) other.mode = MarginMode::portfolio;
    plan = build_plan(config, inputs);
    while (inputs.book.accounts[plan.groups[group].account].name != account) ++group;
    trace = trace_paths(plan, 0, static_cast<std::uint32_t>(plan.path_count));
  }
  float loss(std::size_t path) const { return trace.losses[group * plan.path_count + path]; }
  double move(std::size_t factor, std::size_t path) const {
    return trace.factors[factor * plan.path_count + path];
  }
  /// The worst first, ties to the lower path.
  std::vector<std::uint32_t> worst(std::size_t count) const {
    std::vector<std::uint32_t> order(plan.path_count);
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_sort(order, std::ranges::greater(), [&](auto p) { return loss(p); });
    order.resize(count);
    return order;
  }
};

TEST(Explain, NamesTheWorstPathsOfTheAccountAsOnePortfolio) {
  for (const std::size_t tail_count : {30u, 5u, 3u}) {
    const std::uint64_t path_count = tail_count == 3 ? 250 : 100 * tail_count;  // k = 2.5
    DemoRun demo("", 1, path_count);
    for (const char* const account : accounts) {
      SCOPED_TRACE(account);
      const Explanation explanation = explain(demo.config(), account);
      const EveryPath every(demo.config(), account);
      const std::vector<std::uint32_t> tail = every.worst(tail_count);
      ASSERT_EQ(explanation.worst_paths.size(), std::min<std::size_t>(10, tail_count));
      const MarginGroup& group = every.plan.groups[every.group];
      const std::vector<double> ratios = spot_ratios(every.plan, every.inputs, every.trace);
      for (std::size_t j = 0; j < explanation.worst_paths.size(); ++j) {
        const WorstPath& path = explanation.worst_paths[j];
        EXPECT_EQ(path.path, tail[j]);
        EXPECT_EQ(path.loss_usd, std::ldexp(every.loss(tail[j]), group.scale_exponent));
        // Of the same values in float and in double: the error of losses.
        EXPECT_NEAR(
            std::accumulate(path.losses_usd.begin(), path.losses_usd.end(), 0.0), path.loss_usd,
            loss_error_max * group.gross_notional_usd * ratios[every.group * path_count + tail[j]]);
        EXPECT_EQ(path.losses_usd.size(), explanation.attribution.positions.size());
      }
    }
  }
}

// With revalue_at = "worst" they are those of the revaluation that the margin is from.
TEST(Explain, WorstPathsAreOfTheWorseRevaluation) {
  DemoRun demo("", 1, 3000);
  const auto at = [&](RevalueAt time, const char* account) {
    demo.config().risk.revalue_at = time;
    return explain(demo.config(), account);
  };
  std::size_t now_count = 0;
  const char* const portfolios[] = {"protective-put-01", "covered-call-01", "long-straddle-01",
                                    "short-straddle-01"};
  for (const char* const account : portfolios) {
    const Explanation horizon = at(RevalueAt::horizon, account), now = at(RevalueAt::now, account);
    const bool is_now = now.margin.expected_shortfall_usd > horizon.margin.expected_shortfall_usd;
    now_count += is_now;
    EXPECT_EQ(at(RevalueAt::worst, account).worst_paths[0].loss_usd,
              (is_now ? now : horizon).worst_paths[0].loss_usd)
        << account;
    EXPECT_NE(now.worst_paths[0].loss_usd, horizon.worst_paths[0].loss_usd);
  }
  EXPECT_GT(now_count, 0u);
  EXPECT_LT(now_count, std::size(portfolios));
}

TEST(Explain, TellsHowFactorsMove) {
  constexpr std::size_t path_count = 250;  // k = 2.5
  DemoRun demo("", 1, path_count);
  demo.config().risk.horizon_days = 4;
  for (const char* const account : accounts) {
    SCOPED_TRACE(account);
    const Explanation explanation = explain(demo.config(), account);
    const EveryPath every(demo.config(), account);
    const std::vector<std::uint32_t> tail = every.worst(3);
    const Covariance& covariance = every.inputs.covariance;
    std::vector<bool> is_held(every.inputs.book.underlyings.size());
    for (const Position& p : every.inputs.book.positions)
      if (every.inputs.book.accounts[p.account].name == account)
        is_held[every.inputs.book.instruments[p.instrument].underlying] = true;
    std::size_t shown = 0;
    for (std::size_t f = 0; f < covariance.factors.size(); ++f) {
      if (!is_held[covariance.factors[f].underlying]) continue;
      ASSERT_LT(shown, explanation.factors.size());
      const FactorMove& factor = explanation.factors[shown];
      EXPECT_EQ(factor.name, covariance.factors[f].name);
      EXPECT_DOUBLE_EQ(factor.standard_deviation,
                       2 * std::sqrt(covariance.matrix[f * covariance.factors.size() + f]));
      for (std::size_t j = 0; j < 3; ++j)
        EXPECT_EQ(explanation.worst_paths[j].moves[shown], every.move(f, tail[j]));
      const double mean =
          (every.move(f, tail[0]) + every.move(f, tail[1]) + 0.5 * every.move(f, tail[2])) / 2.5;
      EXPECT_NEAR(factor.tail_mean, mean, 1e-14);
      ++shown;
    }
    EXPECT_EQ(shown, explanation.factors.size());
  }
}

TEST(Explain, AccountsThatCannotBeAreErrorsWithARemedy) {
  TemporaryBook book;
  book.write("positions.csv",
             "account,instrument,quantity\nzoe,BTC-C,-1\nann,ETH-PERP,3\nnet,BTC-F,2\n"
             "net,BTC-F,-2\nzora,BTC-C,1\n");
  RunConfig config = load_config(book.path("run.toml"));
  config.risk.path_count = 1000;
  config.compute.backend = BackendChoice::cpu;
  const struct {
    const char *account, *message;
  } rows[] = {
      {"zo", "has no account \"zo\"; names close to it are \"zoe\", \"zora\""},
      {"Ann", "has no account \"Ann\"; names close to it are \"ann\""},
      {"somebody", "has no account \"somebody\"; name one of its accounts"},
      {"", "has no account \"\"; names close to it are \"ann\", \"net\", \"zoe\""},
      // Of accounts.csv, without a position; and one whose positions cancel.
      {"bob",
       "account \"bob\" holds nothing, so that it has no margin; name one that holds "
       "positions"},
      {"net",
       "account \"net\" holds nothing, so that it has no margin; name one that holds "
       "positions"},
  };
  for (const auto& row : rows) {
    try {
      explain(config, row.account);
      ADD_FAILURE() << row.account;
    } catch (const InputError& error) {
      ASSERT_EQ(error.problems().size(), 1u);
      EXPECT_EQ(error.problems()[0].file, book.path("positions.csv").string());
      EXPECT_EQ(error.problems()[0].message, row.message);
    }
  }
}

// Coins are positions where they are simulated.
TEST(Explain, AnAccountOfCollateralAloneIfItIsSimulated) {
  TemporaryBook book;
  RunConfig config = load_config(book.path("run.toml"));
  config.risk.path_count = 1000;
  config.compute.backend = BackendChoice::cpu;
  config.margin.collateral = CollateralConfig{true, {}};
  const Explanation explanation = explain(config, "bob");  // -0.5 BTC
  ASSERT_EQ(explanation.attribution.positions.size(), 1u);
  EXPECT_EQ(explanation.attribution.positions[0].quantity, -0.5);
  EXPECT_EQ(explanation.attribution.instruments[0].name, "BTC-collateral");
  EXPECT_GT(explanation.margin.margin_usd, 0);
}

TEST(CloseNames, AreFewAndTheClosestFirst) {
  const std::vector<std::string_view> names = {"mm-10", "mm-08", "hedger", "mm-01", "Hedge", "x"};
  EXPECT_EQ(close_names("mm-8", names), "\"mm-08\", \"mm-01\", \"mm-10\"");
  EXPECT_EQ(close_names("hedge", names), "\"Hedge\", \"hedger\"");
  EXPECT_EQ(close_names("mm-", names), "\"mm-01\", \"mm-08\", \"mm-10\"");
  EXPECT_EQ(close_names("portfolio", names), "");
  EXPECT_EQ(close_names("a", {}), "");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(ExplanationText, FitsTheTerminalAndHasEveryPart) {
  DemoRun demo(every_component, 1, 3000);
  for (const char* const account : accounts) {
    const Explanation explanation = explain(demo.config(), account);
    const std::string text = format_explanation(explanation);
    const std::string heading =
        fmt::format("{}, {} margin: {} USD\n", account, to_string(explanation.margin.mode),
                    format_usd(explanation.margin.margin_usd));
    EXPECT_TRUE(text.starts_with(heading)) << text;
    for (const std::string& line : lines_of(text))
      EXPECT_TRUE(line.size() <= 100 || line.starts_with("warning: ")) << line;
    for (const char* part :
         {"expected shortfall", "value at risk", "gross notional", "\nmargin component", "\nbase  ",
          "\nunderlying  ", "\nposition  ", "\nworst paths", " sd)", "On average over the tail ",
          " moves ", "-day volatility"})
      EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
    EXPECT_EQ(text.find("\nfunding") != std::string::npos,
              explanation.margin.components.funding != 0);
  }
}

/// Of one underlying, with the shares of its positions given.
Explanation made_up(const std::vector<double>& shares) {
  Explanation e;
  e.config.risk.path_count = 1'000'000;
  e.margin.account = "made-up";
  e.margin.expected_shortfall_usd = 1000;
  e.attribution.accounts = {{"made-up", 0, shares.size(), 0.25}};
  for (const double usd : shares) {
    const auto i = static_cast<std::uint32_t>(e.attribution.instruments.size());
    e.attribution.instruments.push_back({fmt::format("I{}", i), "U"});
    e.attribution.positions.push_back({i, 1.5, usd});
  }
  return e;
}

// Thirteen that add and seven that offset: ten, five, and five in one line.
TEST(ExplanationText, ShowsTheLargestAndAddsUpTheRest) {
  std::vector<double> shares;
  for (int i = 1; i <= 13; ++i) shares.push_back(100 * i);
  for (int i = 1; i <= 7; ++i) shares.push_back(-1000 * i);
  const std::vector<std::string> lines = lines_of(format_explanation(made_up(shares)));
  const auto table = std::ranges::find_if(
      lines, [](const std::string& line) { return line.starts_with("position "); });
  ASSERT_GE(lines.end() - table, 18);
  EXPECT_TRUE(table[1].starts_with("I12 ")) << table[1];
  EXPECT_TRUE(table[1].ends_with(" 1.5            1,300    130.0 %")) << table[1];
  EXPECT_TRUE(table[10].starts_with("I3 ")) << table[10];
  EXPECT_TRUE(table[11].starts_with("5 more positions ")) << table[11];
  EXPECT_TRUE(table[11].ends_with(" -2,400   -240.0 %")) << table[11];  // 600 - 3000
  EXPECT_TRUE(table[12].starts_with("I15 ")) << table[12];
  EXPECT_TRUE(table[16].ends_with(" -7,000   -700.0 %")) << table[16];
  EXPECT_TRUE(table[17].starts_with("rounding ")) << table[17];
  EXPECT_TRUE(table[17].ends_with(" 0.25")) << table[17];

  Explanation few = made_up({3, -2});
  few.attribution.accounts.front().rounding_usd = 0;
  few.margin.expected_shortfall_usd = 0;  // then there are no shares
  const std::string text = format_explanation(few);
  for (const char* absent : {"more position", "rounding", "margin component", " 0.0 %"})
    EXPECT_EQ(text.find(absent), std::string::npos) << text;
}

// Beyond two deviations, at most six; else the three largest.
TEST(ExplanationText, NamesTheFactorsThatMovedMost) {
  Explanation e = made_up({700, 400, -100});
  for (const char* name : {"U.spot", "U.vol.7d", "U.vol.25d", "U.vol.90d", "U.skew", "U.basis",
                           "U.perp", "U.vol.180d"})
    e.factors.push_back({name, 0.1, 0});
  e.factors.front().tail_mean = std::log(0.8);
  e.factors[2].tail_mean = std::log(1.5);
  // 4, 3, 2.9, ... deviations, and one of 1.
  WorstPath wild{123456, 900, {-0.4, 0.3, 0.29, 0.28, 0.27, 0.26, 0.25, 0.1}, {800, 200, -100}};
  WorstPath calm{7, 500, {0.1, 0, -0.2, 0, 0.05, 0, 0, 0}, {500, 0, -1}};
  e.worst_paths = {wild, calm};
  const std::string text = format_explanation(e);
  for (const char* part :
       {"\n123456                      900   I0 800, I1 200\n",
        // e^-0.4 - 1 and e^0.3 - 1; a skew is not a per cent.
        "U.spot -33.0 % (-4.0 sd), U.vol.7d +35.0 % (+3.0 sd),", "U.skew +0.27 (+2.7 sd)",
        "1 more beyond 2 sd\n", "\n7                           500   I0 500\n",
        " U.vol.25d -18.1 % (-2.0 sd), U.spot +10.5 % (+1.0 sd),\n",
        "\nOn average over the tail U moves -20.0 % and its 25-day volatility +50.0 %.\n"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
}

}  // namespace
}  // namespace shortfall
