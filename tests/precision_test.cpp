// paths = "auto": rounds that double until accounts are precise.
#include "host/run/precision.hpp"

#include <gtest/gtest.h>

#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "demo_run.hpp"
#include "host/model/confidence_interval.hpp"

namespace shortfall {
namespace {

AccountMargin margin_of(const char* account, double shortfall, double error, double gross) {
  AccountMargin margin;
  margin.account = account;
  margin.expected_shortfall_usd = margin.margin_usd = shortfall;
  margin.standard_error_usd = error;
  margin.gross_notional_usd = gross;
  return margin;
}

using Names = std::vector<std::string>;

TEST(Precision, OfAnAccountIsRelativeToItsShortfallOrItsGross) {
  RiskConfig risk;  // 0.005
  const std::vector<AccountMargin> margins = {
      margin_of("at the target", 1000, 5, 1e5), margin_of("above it", 1000, 5.01, 1e5),
      margin_of("a gain", -1000, 5, 1e5),       margin_of("hedged", 0, 1, 1e5),
      margin_of("nearly", 0, 1.01, 1e5),        margin_of("empty", 0, 0, 0)};
  const Precision all = precision_of(risk, margins);
  EXPECT_FALSE(all.is_reached);
  EXPECT_EQ(all.imprecise_accounts, (Names{"above it", "nearly"}));
  risk.precise_accounts = {"hedged", "a gain"};
  EXPECT_TRUE(precision_of(risk, margins).is_reached);
  risk.precise_accounts = {"hedged", "nearly"};
  EXPECT_EQ(precision_of(risk, margins).imprecise_accounts, Names{"nearly"});
}

TEST(Precision, OfAShareOfTheMargin) {
  RiskConfig risk;
  const std::vector<AccountMargin> margins = {margin_of("a", 900, 1, 1e5),
                                              margin_of("b", 100, 50, 1e5)};
  risk.precise_margin_share = 0.9;
  EXPECT_TRUE(precision_of(risk, margins).is_reached);
  EXPECT_EQ(precision_of(risk, margins).imprecise_accounts, Names{"b"});
  risk.precise_margin_share = 0.91;
  EXPECT_FALSE(precision_of(risk, margins).is_reached);
}

/// Student's t and the normal's quantiles are those of Boost.
TEST(Precision, IntervalsHaveTheirQuantiles) {
  EXPECT_DOUBLE_EQ(interval_quantile(1), boost::math::quantile(boost::math::normal(), 0.975));
  for (std::uint32_t count = 2; count <= scrambling_count_max; ++count)
    EXPECT_DOUBLE_EQ(interval_quantile(count),
                     static_cast<double>(boost::math::quantile(
                         boost::math::students_t_distribution<long double>(count - 1.0L), 0.975L)));
}

/// The demonstration book with paths = "auto".
RunConfig automatic(DemoRun& demo, Sampler sampler, double target) {
  RunConfig config = demo.config();
  config.risk.sampler = sampler;
  config.risk.is_automatic = true;
  config.risk.path_count = 16384;
  config.risk.target_relative_error = target;
  config.risk.path_count_max = 1u << 17;
  return config;
}

class AutomaticPaths : public testing::TestWithParam<Sampler> {};

TEST_P(AutomaticPaths, StopAtTheBytesOfARun) {
  DemoRun demo(every_component);
  RunConfig config = automatic(demo, GetParam(), GetParam() == Sampler::sobol ? 0.04 : 0.05);
  config.output.has_attribution = true;
  const RunResult result = run(config);
  ASSERT_GT(result.record.rounds.size(), 1u);
  EXPECT_LT(result.record.path_count, config.risk.path_count_max);
  EXPECT_EQ(result.record.rounds.front(), 16384u);
  EXPECT_EQ(result.record.rounds.back(), result.record.path_count);
  EXPECT_TRUE(result.record.imprecise_accounts.empty());
  RunConfig fixed = config;
  fixed.risk.is_automatic = false;
  fixed.risk.path_count = result.record.path_count;
  const RunResult same = run(fixed);
  EXPECT_EQ(format_margins(result.margins, config.margin),
            format_margins(same.margins, config.margin));
  EXPECT_EQ(format_attribution(*result.attribution), format_attribution(*same.attribution));
  EXPECT_EQ(result.record.plan_hash, same.record.plan_hash);
  fixed.risk.path_count /= 2;  // the round before was not enough
  EXPECT_FALSE(precision_of(config.risk, run(fixed).margins).is_reached);
}

TEST_P(AutomaticPaths, SayWhoDidNotGetThere) {
  DemoRun demo("");
  const RunConfig config = automatic(demo, GetParam(), 1e-4);
  const RunResult result = run(config);
  EXPECT_EQ(result.record.path_count, config.risk.path_count_max);
  EXPECT_GT(result.record.imprecise_accounts.size(), 50u);
  const std::string json = [&] {
    TemporaryBook folder;
    write_report(folder.path("out"), result.margins, result.record);
    return read_file(folder.path("out") / "run.json");
  }();
  EXPECT_NE(json.find("\"imprecise_accounts\""), std::string::npos);
  EXPECT_NE(json.find("\"paths\": 131072"), std::string::npos);
  EXPECT_NE(json.find("\"paths\": \"auto\""), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(, AutomaticPaths, testing::Values(Sampler::philox, Sampler::sobol),
                         [](const auto& row) { return std::string(to_string(row.param)); });

TEST(AutomaticPathsOf, AreForRunsOnlyAndForKnownAccounts) {
  DemoRun demo("");
  RunConfig config = automatic(demo, Sampler::philox, 0.1);
  EXPECT_THROW(explain(config, "market-maker-03"), InputError);
  EXPECT_THROW(compare(config), InputError);
  EXPECT_THROW(WhatIfSession session(config), InputError);
  config.risk.precise_accounts = {"market-maker-3"};
  try {
    run(config);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("\"market-maker-3\""), std::string::npos);
  }
}

/// What 2,000 seeds make of a short perpetual, whose expected shortfall is known.
struct Coverage {
  int covered = 0;  ///< intervals that hold the truth
  int longer = 0;   ///< runs of more than one round
};

/// A target of 0 takes the paths of the first round, 16,384, and no more.
Coverage coverage(Sampler sampler, double target) {
  TemporaryBook book;
  book.write("underlyings.csv", "underlying,spot\nU,100\nV,100\n");
  book.write("instruments.csv",
             "instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n"
             "U-PERP,perpetual,U,linear,,,1,,\n");
  book.write("positions.csv", "account,instrument,quantity\nshort,U-PERP,-1\n");
  // Three dimensions that count, none of them alone.
  book.write("covariance.csv",
             "factor,V.spot,U.perp,U.spot\nV.spot,0.01,0,0.008\n"
             "U.perp,0,0.0036,0\nU.spot,0.008,0,0.01\n");
  book.write("run.toml", fmt::format("[inputs]\nunderlyings = \"underlyings.csv\"\n"
                                     "instruments = \"instruments.csv\"\n"
                                     "positions = \"positions.csv\"\n"
                                     "covariance = \"covariance.csv\"\n[market]\n"
                                     "as_of = 2026-01-01T00:00:00Z\n[risk]\npaths = {}\n"
                                     "sampler = \"{}\"\nconfidence = 0.9\n[compute]\n"
                                     "backend = \"cpu\"\nthreads = 1\n",
                                     target > 0 ? "\"auto\"" : "16384", to_string(sampler)));
  RunConfig config = load_config(book.path("run.toml"));
  EXPECT_EQ(config.risk.path_count, 16384u);  // a tenth of it is above 1,000
  if (target > 0) config.risk.target_relative_error = target;
  const boost::math::normal normal;
  const double deviation = std::sqrt(0.01 + 0.0036);
  const double beyond = boost::math::quantile(normal, 0.9) - deviation;
  const double truth =
      100 * (std::exp(deviation * deviation / 2) * cdf(complement(normal, beyond)) / 0.1 - 1);
  Coverage coverage;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    config.risk.seed = seed;
    const RunResult result = run(config);
    const AccountMargin& margin = result.margins.front();
    coverage.covered += margin.confidence_low_usd <= truth && truth <= margin.confidence_high_usd;
    coverage.longer += result.record.rounds.size() > 1;
  }
  std::printf("%s, target %g: %d of 2000 intervals hold the truth, %d runs of several rounds\n",
              to_string(sampler), target, coverage.covered, coverage.longer);
  return coverage;
}

TEST_P(AutomaticPaths, FixedPathsCoverTheTruth) {
  const Coverage of = coverage(GetParam(), 0);
  EXPECT_GE(of.covered, 1860);
  EXPECT_LE(of.covered, 1940);
}

/// Stopping when the error looks small does not make it look much smaller than it is. The targets
/// are such that some runs stop at once and others do not.
TEST_P(AutomaticPaths, CoverTheTruth) {
  const Coverage of = coverage(GetParam(), GetParam() == Sampler::sobol ? 0.0008 : 0.0095);
  EXPECT_GT(of.longer, 100);
  EXPECT_LT(of.longer, 1990);
  EXPECT_GE(of.covered, 1860);
  EXPECT_LE(of.covered, 1940);
}

}  // namespace
}  // namespace shortfall
