// The files of the charges by underlying: what they say, and one row per reason to reject one.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "books.hpp"
#include "host/input/load_charges.hpp"
#include "temporary_book.hpp"

namespace shortfall {
namespace {

/// What is loaded from a file of each kind, over BTC and ETH at a horizon of 2 days.
struct ChargeFiles {
  TemporaryBook folder;
  RunConfig config;
  RunInputs inputs;
  NameTable<Underlying> underlyings{inputs.book.underlyings};
  Problems problems;

  ChargeFiles() {
    config.inputs.underlyings = "underlyings.csv";
    config.risk.horizon_days = 2;
    for (const char* name : {"BTC", "ETH"}) underlyings.insert(name);
  }
  void load(const std::string& name, const std::string& text) {
    folder.write(name, text);
    if (name == "liquidity.csv")
      load_liquidity(folder.path(name), underlyings, config, inputs.liquidity, problems);
    else
      load_funding(folder.path(name), underlyings, config, inputs.funding, problems);
  }
  /// Every problem on a line, with files named relative to their folder.
  std::string messages() const {
    try {
      problems.throw_if_any();
      return {};
    } catch (const InputError& error) {
      std::string text;
      for (Problem problem : error.problems()) {
        problem.file = std::filesystem::path(problem.file).filename().string();
        text += to_string(problem) + "\n";
      }
      return text;
    }
  }
};

TEST(ChargeFiles, AreRead) {
  ChargeFiles files;
  files.load("liquidity.csv",
             "vol_spread,underlying,liquidation_days,daily_volume_usd,half_spread_bps,impact\n"
             "0.01,ETH,,2e9,1.5,0.7\n0,BTC,2.0,3e10,0,0\n");
  files.load("funding.csv", "underlying,long_pays,short_pays\nETH,0.0038,0\n");
  EXPECT_EQ(files.messages(), "");
  ASSERT_EQ(files.inputs.liquidity.size(), 2u);
  const LiquidityTerms eth = files.inputs.liquidity[1].value();
  EXPECT_EQ(eth.daily_volume_usd, 2e9);
  EXPECT_EQ(eth.half_spread_bps, 1.5);
  EXPECT_EQ(eth.impact, 0.7);
  EXPECT_EQ(eth.vol_spread, 0.01);
  EXPECT_EQ(eth.liquidation_days, std::nullopt);
  EXPECT_EQ(files.inputs.liquidity[0].value().liquidation_days, 2.0) << "the horizon is allowed";
  ASSERT_EQ(files.inputs.funding.size(), 2u);
  EXPECT_FALSE(files.inputs.funding[0].has_value());
  EXPECT_EQ(files.inputs.funding[1].value().long_pays, 0.0038);
  EXPECT_EQ(files.inputs.funding[1].value().short_pays, 0);
}

TEST(ChargeFiles, AnOptionalColumnMayBeAbsentAndNothingElse) {
  ChargeFiles files;
  files.load("liquidity.csv",
             "underlying,daily_volume_usd,half_spread_bps,impact,vol_spread\nBTC,1e9,1,1,0.01\n");
  EXPECT_EQ(files.messages(), "");
  EXPECT_EQ(files.inputs.liquidity[0].value().daily_volume_usd, 1e9);
  EXPECT_EQ(files.inputs.liquidity[0]->liquidation_days, std::nullopt);
}

class ChargeFileRejection : public testing::TestWithParam<Rejection> {};

TEST_P(ChargeFileRejection, IsReported) {
  ChargeFiles files;
  const std::string place = GetParam().place;
  files.load(place.substr(0, place.find(':')), GetParam().text);
  const std::string messages = files.messages();
  EXPECT_TRUE(messages.starts_with(place + ": ")) << messages;
  EXPECT_NE(messages.find(GetParam().message), std::string::npos) << messages;
  EXPECT_EQ(std::ranges::count(messages, '\n'), 1) << "more than one problem:\n" << messages;
}

std::string liquidity_rows(const std::string& rows) {
  return "underlying,daily_volume_usd,half_spread_bps,impact,vol_spread,liquidation_days\n" + rows;
}
std::string funding_rows(const std::string& rows) {
  return "underlying,long_pays,short_pays\n" + rows;
}

INSTANTIATE_TEST_SUITE_P(
    Liquidity, ChargeFileRejection,
    testing::Values(
        Rejection{"Empty", "", "liquidity.csv", "is empty; begin it with the header underlying"},
        Rejection{"MissingColumn", "underlying,daily_volume_usd,half_spread_bps,impact\n",
                  "liquidity.csv:1", "missing column \"vol_spread\""},
        Rejection{"UnknownColumn", liquidity_rows("").insert(0, "depth,"), "liquidity.csv:1",
                  "unknown column \"depth\""},
        Rejection{"TwiceTheOptionalColumn",
                  "underlying,daily_volume_usd,half_spread_bps,impact,vol_spread,"
                  "liquidation_days,liquidation_days\n",
                  "liquidity.csv:1", "duplicate column \"liquidation_days\""},
        Rejection{"MissingField", liquidity_rows("BTC,1e9,1,1,0.01\n"), "liquidity.csv:2",
                  "has 5 fields; the header has 6"},
        Rejection{"FieldOfAnAbsentColumn",
                  "underlying,daily_volume_usd,half_spread_bps,impact,vol_spread\n"
                  "BTC,1e9,1,1,0.01,4\n",
                  "liquidity.csv:2", "has 6 fields; the header has 5"},
        Rejection{"Unlisted", liquidity_rows("BTC,1e9,1,1,0,\nXRP,1e9,1,1,0,\n"), "liquidity.csv:3",
                  "underlying \"XRP\" is unknown; list it in underlyings.csv"},
        Rejection{"Duplicate", liquidity_rows("BTC,1e9,1,1,0,\nBTC,1e9,1,1,0,\n"),
                  "liquidity.csv:3", "\"BTC\" is a duplicate of line 2; remove one"},
        Rejection{"NoVolume", liquidity_rows("BTC,0,1,1,0,\n"), "liquidity.csv:2",
                  "daily_volume_usd 0 must be greater than 0"},
        Rejection{"EmptyVolume", liquidity_rows("BTC,,1,1,0,\n"), "liquidity.csv:2",
                  "daily_volume_usd is empty"},
        Rejection{"NegativeSpread", liquidity_rows("BTC,1e9,-1,1,0,\n"), "liquidity.csv:2",
                  "half_spread_bps -1 is outside [0, 10000]; write basis points"},
        Rejection{"SpreadBeyondThePrice", liquidity_rows("BTC,1e9,10001,1,0,\n"), "liquidity.csv:2",
                  "half_spread_bps 10001 is outside"},
        Rejection{"NegativeImpact", liquidity_rows("BTC,1e9,1,-1,0,\n"), "liquidity.csv:2",
                  "impact -1 is outside [0, 1000]"},
        Rejection{"NoNumber", liquidity_rows("BTC,1e9,1,nan,0,\n"), "liquidity.csv:2",
                  "impact \"nan\" is not a finite decimal number"},
        Rejection{"VolSpreadInPoints", liquidity_rows("BTC,1e9,1,1,50,\n"), "liquidity.csv:2",
                  "vol_spread 50 is outside [0, 10]; write a spread of one volatility point as"},
        Rejection{"ShorterThanTheHorizon", liquidity_rows("BTC,1e9,1,1,0,1.5\n"), "liquidity.csv:2",
                  "liquidation_days 1.5 is below horizon_days 2; leave it empty for the horizon"},
        Rejection{"LongerThanAnything", liquidity_rows("BTC,1e9,1,1,0,1e6\n"), "liquidity.csv:2",
                  "liquidation_days 1000000 is more than 100000"},
        Rejection{"DaysInWords", liquidity_rows("BTC,1e9,1,1,0,two\n"), "liquidity.csv:2",
                  "liquidation_days \"two\" is not a finite"}),
    [](const auto& test) { return std::string(test.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Funding, ChargeFileRejection,
    testing::Values(Rejection{"MissingColumn", "underlying,long_pays\n", "funding.csv:1",
                              "missing column \"short_pays\""},
                    Rejection{"Unlisted", funding_rows("XRP,0,0\n"), "funding.csv:2",
                              "underlying \"XRP\" is unknown; list it in underlyings.csv"},
                    Rejection{"Duplicate", funding_rows("ETH,0,0\nBTC,0,0\nETH,0,0\n"),
                              "funding.csv:4", "\"ETH\" is a duplicate of line 2"},
                    Rejection{"Negative", funding_rows("ETH,-0.01,0\n"), "funding.csv:2",
                              "long_pays -0.01 is outside [0, 1]; write what the side pays a day"},
                    Rejection{"InBasisPoints", funding_rows("ETH,0,38\n"), "funding.csv:2",
                              "short_pays 38 is outside [0, 1]"},
                    Rejection{"NoRate", funding_rows("ETH,0,\n"), "funding.csv:2",
                              "short_pays is empty"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(ChargeFiles, AMissingFileIsReported) {
  ChargeFiles files;
  load_funding(files.folder.path("funding.csv"), files.underlyings, files.config,
               files.inputs.funding, files.problems);
  EXPECT_TRUE(files.messages().starts_with("funding.csv: ")) << files.messages();
}

TEST(ChargeFiles, HaveToCoverWhatIsHeld) {
  using enum InstrumentType;
  using enum Settlement;
  MemoryBook book;
  book.config.margin.liquidity = LiquidityConfig{"liquidity.csv"};
  book.config.margin.funding = FundingConfig{"funding.csv"};
  for (int u = 0; u < 3; ++u) book.add_underlying(100);
  book.inputs.liquidity.assign(3, LiquidityTerms{});
  book.inputs.funding.assign(3, FundingRates{});
  book.add_holder(book.add({"PERP-0", perpetual, linear, 0, 0, 0, 1, 0, 0}), 1);
  book.hold(0, book.add({"COIN-1", spot, linear, 1, 0, 0, 1, 0, 0}), -1);
  book.hold(0, book.add({"PERP-2", perpetual, linear, 2, 0, 0, 1, 0, 0}), 0);
  book.book().collateral = {{"A0", 2, 0.5}, {"A0", Collateral::usd, 100}};
  const auto messages = [&] {
    ChargeFiles files;
    check_charges_cover(book.config, book.inputs, files.problems);
    return files.messages();
  };
  EXPECT_EQ(messages(), "");
  book.inputs.liquidity.assign(3, std::nullopt);
  book.inputs.funding.assign(3, std::nullopt);
  const std::string expected =
      "liquidity.csv: has no row for U0, of which instrument \"PERP-0\" is held; add a row for U0\n"
      "liquidity.csv: has no row for U1, of which instrument \"COIN-1\" is held; add a row for "
      "U1\n";
  const std::string funding =
      "funding.csv: has no row for U0, of which perpetual \"PERP-0\" is held; add a row for U0\n";
  EXPECT_EQ(messages(), expected + funding);
  book.config.margin.collateral = CollateralConfig{true, {}};
  EXPECT_EQ(messages(), expected +
                            "liquidity.csv: has no row for U2, of which collateral of account "
                            "\"A0\" is held; add a row for U2\n" +
                            funding);
  book.config.margin.liquidity.reset();
  book.config.margin.funding.reset();
  EXPECT_EQ(messages(), "") << "nothing is charged";
}

}  // namespace
}  // namespace shortfall
