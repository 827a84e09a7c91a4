// The loaders of the book: what they read, and one row per reason to reject a file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "host/input/load.hpp"
#include "shortfall/book.hpp"
#include "temporary_book.hpp"

namespace shortfall {
namespace {

TEST(Load, ReadsTheWholeBook) {
  const RunInputs inputs = TemporaryBook().load();
  const Book& book = inputs.book;
  ASSERT_EQ(book.underlyings.size(), 2u);
  EXPECT_EQ(book.underlyings[1].name, "ETH");
  EXPECT_EQ(book.underlyings[1].spot_usd, 2500.5);

  ASSERT_EQ(book.instruments.size(), 5u);
  const Instrument& call = book.instruments[0];
  EXPECT_EQ(call.type, InstrumentType::call);
  EXPECT_EQ(call.settlement, Settlement::inverse);
  EXPECT_EQ(call.underlying, 0u);
  EXPECT_EQ(format_date_time(call.expiry), "2025-09-26T08:00:00Z");
  EXPECT_EQ(call.strike, 110000);
  EXPECT_EQ(call.mark_price, 101500);
  EXPECT_EQ(call.mark_iv, 0.55);
  EXPECT_EQ(book.instruments[2].expiry, call.expiry) << "the offset counts";
  EXPECT_EQ(book.instruments[2].mark_price, 2500.5) << "an empty mark is the spot";
  EXPECT_EQ(book.instruments[3].expiry, 0);

  ASSERT_EQ(book.accounts.size(), 2u);
  EXPECT_EQ(book.accounts[0].name, "zoe") << "in order of first appearance";
  EXPECT_EQ(book.accounts[0].mode, MarginMode::portfolio);
  EXPECT_EQ(book.accounts[1].mode, MarginMode::cross);
  ASSERT_EQ(book.positions.size(), 3u);
  EXPECT_EQ(book.positions[0].quantity.contracts(), -12.5);
  EXPECT_EQ(book.positions[1].instrument, 1u);
  EXPECT_EQ(book.positions[2].quantity.contracts(), 1000);

  ASSERT_EQ(book.collateral.size(), 2u);
  EXPECT_EQ(book.collateral[0].asset, Collateral::usd);
  EXPECT_EQ(book.collateral[1].asset, 0u);
  EXPECT_EQ(book.collateral[1].amount, -0.5);

  const Covariance& covariance = inputs.covariance;
  ASSERT_EQ(covariance.factors.size(), 3u);
  EXPECT_EQ(covariance.factors[1].kind, FactorKind::vol);
  EXPECT_EQ(covariance.factors[1].tenor_days, 30u);
  EXPECT_EQ(covariance.factors[2].underlying, 1u);
  EXPECT_EQ(covariance.matrix[2], 5e-4);
}

TEST(Load, AcceptsEveryLegalSpelling) {
  TemporaryBook book;
  book.write("underlyings.csv", "\xef\xbb\xbf\"spot\",underlying\r\n100000,\"BTC\"\r\n2500.5,ETH");
  book.write("positions.csv",
             "account,instrument,quantity\r\n\"a \"\"b\"\", c\",\"BTC-C\",\"1\"\r\n"
             "k\xc3\xb6ln,ETH,.5\r\n\r\n\n");
  const Book loaded = book.load().book;
  EXPECT_EQ(loaded.underlyings[0].spot_usd, 100000);
  ASSERT_EQ(loaded.accounts.size(), 2u);
  EXPECT_EQ(loaded.accounts[0].name, "a \"b\", c");
  EXPECT_EQ(loaded.accounts[1].name, "k\xc3\xb6ln");
}

TEST(Load, AveragesTheCovarianceWithinItsTolerance) {
  TemporaryBook book;
  book.write("covariance.csv",
             "factor,BTC.spot,ETH.spot\nBTC.spot,4e-4,5.000000000001e-4\n"
             "ETH.spot,5.000000000003e-4,9e-4\n");
  const std::vector<double> matrix = book.load().covariance.matrix;
  EXPECT_EQ(matrix[1], matrix[2]);
  EXPECT_EQ(matrix[1], 0.5 * (5.000000000001e-4 + 5.000000000003e-4));
}

TEST(Load, ReadsQuantitiesExactly) {
  const Quantity::Units contract = 1'000'000'000'000;
  const struct {
    const char* text;
    Quantity::Units units;
  } rows[] = {{"1", contract},
              {"-12.5", -25 * contract / 2},
              {"0.000000000001", 1},
              {"1e-12", 1},
              {"-00012.340e+1", -1234 * contract / 10},
              {"1230E-2", 123 * contract / 10},
              {".5", contract / 2},
              {"5.", 5 * contract},
              {"0", 0},
              {"-0.000e99999999999", 0},
              {"1.0000000000000", contract},
              {"999999999999999999.999999999999", 1'000'000 * contract * contract - 1},
              {"0.0000000000000000000000000000000001e34", contract}};
  for (const auto& row : rows) {
    std::string_view reason;
    const std::optional<Quantity::Units> units = parse_quantity(row.text, reason);
    ASSERT_TRUE(units) << row.text << ' ' << reason;
    EXPECT_TRUE(*units == row.units) << row.text;
  }
}

TEST(Load, RefusesQuantitiesThatAreNotExact) {
  const struct {
    const char* text;
    const char* reason;
  } rows[] = {{"", "no decimal"},         {"-", "no decimal"},
              {"+1", "no decimal"},       {".", "no decimal"},
              {"1.2.3", "no decimal"},    {"1e", "no decimal"},
              {"1e+", "no decimal"},      {"1e5.0", "no decimal"},
              {"1e+-5", "no decimal"},    {"1,000", "no decimal"},
              {" 1", "no decimal"},       {"1 ", "no decimal"},
              {"--1", "no decimal"},      {"0x10", "no decimal"},
              {"nan", "no decimal"},      {"inf", "no decimal"},
              {"1e18", "below 1e18"},     {"-1000000000000000000", "below 1e18"},
              {"1e99999999999", "below"}, {"1e-13", "12 fractional digits"},
              {"1e-99999999999", "12 "},  {"0.1234567890123", "12 fractional digits"}};
  for (const auto& row : rows) {
    std::string_view reason;
    EXPECT_FALSE(parse_quantity(row.text, reason)) << row.text;
    EXPECT_NE(reason.find(row.reason), std::string_view::npos) << row.text << ' ' << reason;
  }
}

TEST(Load, AddsUpRowsExactlyInAnyOrder) {
  TemporaryBook book;
  std::vector<std::string> rows = {"a,ETH,0.1\n",     "a,ETH,0.2\n",    "a,ETH,-0.3\n",
                                   "a,BTC-F,9e17\n",  "a,BTC-F,9e17\n", "a,BTC-F,-9e17\n",
                                   "a,BTC-C,1e-12\n", "a,BTC-C,1e17\n", "a,BTC-C,-1e17\n"};
  std::mt19937_64 random(1);
  for (int i = 0; i < 20; ++i) {
    std::shuffle(rows.begin(), rows.end(), random);
    std::string text = "account,instrument,quantity\n";
    for (const std::string& row : rows) text += row;
    book.write("positions.csv", text);
    const std::vector<Position> positions = book.load().book.positions;
    ASSERT_EQ(positions.size(), 3u);
    EXPECT_TRUE(positions[0].quantity.units() == 1) << "BTC-C";
    EXPECT_EQ(positions[1].quantity.contracts(), 9e17) << "BTC-F: sums on the way do not matter";
    EXPECT_TRUE(positions[2].quantity.is_zero()) << "ETH";
  }
}

TEST(Load, ReportsTheProblemsOfAllFilesTogether) {
  TemporaryBook book;
  book.write("underlyings.csv", "underlying,spot\nBTC,-1\nETH,0\n");
  book.write("accounts.csv", "account,mode\nann,netted\n");
  book.write("collateral.csv", "account,asset,amount\nann,DOGE,1\n");
  book.write("positions.csv", "account,instrument,quantity\nann,ETH,1 000\n");
  const std::string problems = book.problems();
  for (const char* line :
       {"underlyings.csv:2: spot -1 must be greater than 0",
        "underlyings.csv:3: spot 0 must be greater than 0", "accounts.csv:2: mode is \"netted\"",
        "collateral.csv:2: asset \"DOGE\"", "positions.csv:2: quantity \"1 000\""}) {
    EXPECT_NE(problems.find(line), std::string::npos) << line << "\nin\n" << problems;
  }
  EXPECT_EQ(std::count(problems.begin(), problems.end(), '\n'), 4) << problems;
}

TEST(Load, KeepsTwentyProblemsAndCountsTheRest) {
  TemporaryBook book;
  std::string text = "account,instrument,quantity\n";
  for (int i = 0; i < 1000; ++i) text += "a,GONE,1\n";
  book.write("positions.csv", text);
  try {
    book.load();
    FAIL() << "loads";
  } catch (const InputError& error) {
    EXPECT_EQ(error.problems().size(), 20u);
    EXPECT_EQ(error.omitted_count(), 980u);
    EXPECT_NE(std::string(error.what()).find("\nand 980 more problems"), std::string::npos);
  }
}

TEST(Load, DoesNotRepeatAFailureInTheFilesThatReferToIt) {
  TemporaryBook book;
  std::filesystem::remove(book.path("underlyings.csv"));
  EXPECT_EQ(book.problems(), "underlyings.csv: does not exist; correct the path");
  TemporaryBook other;
  other.write("instruments.csv", "instrument;type\n");
  const std::string problems = other.problems();
  EXPECT_TRUE(problems.starts_with("instruments.csv:1: ")) << problems;
  EXPECT_EQ(problems.find('\n'), std::string::npos) << problems;
}

TEST(Load, NeedsASpotFactorOnlyForWhatIsHeld) {
  TemporaryBook book;
  book.write("covariance.csv", "factor,BTC.spot\nBTC.spot,4e-4\n");
  book.write("positions.csv",
             "account,instrument,quantity\nzoe,BTC-C,1\nzoe,ETH,2\nann,ETH-PERP,1\nann,ETH,1\n");
  const std::string problems = book.problems();
  EXPECT_TRUE(problems.starts_with("positions.csv:3: instrument \"ETH\" needs the factor ETH.spot"))
      << problems;
  EXPECT_EQ(problems.find('\n'), std::string::npos) << "once per underlying:\n" << problems;
  book.write("positions.csv",
             "account,instrument,quantity\nzoe,BTC-C,1\nzoe,ETH,2\nzoe,ETH,-2\nann,ETH-PERP,0\n");
  EXPECT_EQ(book.problems(), "") << "what nets to nothing is not held";
}

TEST(Load, NamesNothingHeldTooLarge) {
  TemporaryBook book;
  book.write("positions.csv", "account,instrument,quantity\nann,ETH,9e17\nann,ETH,9e17\n");
  const std::string problems = book.problems();
  EXPECT_TRUE(problems.starts_with("positions.csv: the rows of account \"ann\" in \"ETH\" add up"))
      << problems;
}

class UnderlyingRejection : public testing::TestWithParam<Rejection> {};
TEST_P(UnderlyingRejection, IsReported) { expect_rejection("underlyings.csv", GetParam()); }
INSTANTIATE_TEST_SUITE_P(
    Load, UnderlyingRejection,
    testing::Values(
        Rejection{"Spot", "underlying,spot\nBTC,1\nETH,0\n", "underlyings.csv:3", "greater than 0"},
        Rejection{"SpotTooLarge", "underlying,spot\nBTC,1e16\nETH,1\n", "underlyings.csv:2",
                  "outside [1e-12, 1e15]"},
        Rejection{"SpotTooSmall", "underlying,spot\nBTC,1e-13\nETH,1\n", "underlyings.csv:2",
                  "check its unit"},
        Rejection{"NotANumber", "underlying,spot\nBTC,nan\nETH,1\n", "underlyings.csv:2",
                  "spot \"nan\" is not a finite decimal number"},
        Rejection{"Infinite", "underlying,spot\nBTC,inf\nETH,1\n", "underlyings.csv:2",
                  "not a finite"},
        Rejection{"Overflow", "underlying,spot\nBTC,1e400\nETH,1\n", "underlyings.csv:2",
                  "not a finite"},
        Rejection{"Hexadecimal", "underlying,spot\nBTC,0x1p3\nETH,1\n", "underlyings.csv:2",
                  "not a finite"},
        Rejection{"Plus", "underlying,spot\nBTC,+1\nETH,1\n", "underlyings.csv:2", "not a finite"},
        Rejection{"Separator", "underlying,spot\nBTC,\"100,000\"\nETH,1\n", "underlyings.csv:2",
                  "not a finite"},
        Rejection{"EmptySpot", "underlying,spot\nBTC,\nETH,1\n", "underlyings.csv:2",
                  "spot is empty"},
        Rejection{"Duplicate", "underlying,spot\nBTC,1\nETH,1\nBTC,2\n", "underlyings.csv:4",
                  "duplicate of line 2"},
        Rejection{"Name", "underlying,spot\nBTC,1\nETH,1\nB.C,2\n", "underlyings.csv:4",
                  "use letters, digits"},
        Rejection{"EmptyName", "underlying,spot\nBTC,1\nETH,1\n,2\n", "underlyings.csv:4",
                  "underlying is empty"}),
    [](const auto& row) { return row.param.name; });

class InstrumentRejection : public testing::TestWithParam<Rejection> {};
TEST_P(InstrumentRejection, IsReported) {
  Rejection rejection = GetParam();
  rejection.text =
      "instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n"
      "BTC-C,call,BTC,inverse,2025-09-26T08:00:00Z,110000,1,101500,0.55\n"
      "BTC-F,future,BTC,inverse,2025-09-26T08:00:00Z,,10,101500,\n"
      "ETH-PERP,perpetual,ETH,linear,,,1,,\n" +
      rejection.text + "\n";
  expect_rejection("instruments.csv", rejection);
}
constexpr const char* row_5 = "instruments.csv:5";
INSTANTIATE_TEST_SUITE_P(
    Load, InstrumentRejection,
    testing::Values(
        Rejection{"MarkFarFromSpot", "X,perpetual,BTC,linear,,,1,1,", row_5,
                  "times the spot 100000; write USD per coin"},
        Rejection{"StrikeFarFromSpot", "X,call,BTC,linear,2025-09-26T08:00:00Z,1e12,1,,0.5", row_5,
                  "strike 1000000000000 is 1e+07 times the spot"},
        Rejection{"Type", "X,cal,BTC,linear,,,1,,", row_5,
                  "type is \"cal\"; write one of call, put"},
        Rejection{"Underlying", "X,spot,DOGE,linear,,,1,,", row_5,
                  "underlying \"DOGE\" is unknown"},
        Rejection{"Settlement", "X,spot,BTC,quanto,,,1,,", row_5, "write one of linear, inverse"},
        Rejection{"InverseSpot", "X,spot,BTC,inverse,,,1,,", row_5, "a spot is linear"},
        Rejection{"SpotMark", "X,spot,BTC,linear,,,1,5,", row_5, "mark_price is \"5\"; a spot has"},
        Rejection{"SpotExpiry", "X,spot,BTC,linear,2025-09-26T08:00:00Z,,1,,", row_5,
                  "expiry is \"2025-09-26T08:00:00Z\"; a spot has none"},
        Rejection{"NoExpiry", "X,future,BTC,linear,,,1,,", row_5,
                  "expiry is empty; a future needs"},
        Rejection{"LocalExpiry", "X,future,BTC,linear,2025-09-26T08:00:00,,1,,", row_5,
                  "is no date-time"},
        Rejection{"NoSuchDay", "X,future,BTC,linear,2025-02-29T08:00:00Z,,1,,", row_5,
                  "is no date-time"},
        Rejection{"Expired", "X,future,BTC,linear,2025-06-27T08:00:00Z,,1,,", row_5,
                  "is not after as_of 2025-06-27T08:00:00Z; remove the expired instrument"},
        Rejection{"PerpetualExpiry", "X,perpetual,BTC,linear,2025-09-26T08:00:00Z,,1,,", row_5,
                  "a perpetual has none"},
        Rejection{"NoStrike", "X,call,BTC,linear,2025-09-26T08:00:00Z,,1,,0.5", row_5,
                  "strike is empty; a call needs one"},
        Rejection{"Strike", "X,call,BTC,linear,2025-09-26T08:00:00Z,-5,1,,0.5", row_5,
                  "strike -5 must be greater than 0"},
        Rejection{"FutureStrike", "X,future,BTC,linear,2025-09-26T08:00:00Z,7,1,,", row_5,
                  "strike is \"7\"; a future has none"},
        Rejection{"NoMultiplier", "X,spot,BTC,linear,,,,,", row_5, "multiplier is empty"},
        Rejection{"Multiplier", "X,spot,BTC,linear,,,0,,", row_5, "multiplier 0 must be greater"},
        Rejection{"HugeMultiplier", "X,spot,BTC,linear,,,1e300,,", row_5,
                  "multiplier 1e+300 is out"},
        Rejection{"Mark", "X,future,BTC,linear,2025-09-26T08:00:00Z,,1,-1,", row_5,
                  "mark_price -1 must be greater than 0"},
        Rejection{"NoVolatility", "X,put,BTC,linear,2025-09-26T08:00:00Z,1,1,,", row_5,
                  "mark_iv is empty; a put needs one"},
        Rejection{"LowVolatility", "X,put,BTC,linear,2025-09-26T08:00:00Z,1,1,,0.009", row_5,
                  "mark_iv 0.009 is outside [0.01, 10]"},
        Rejection{"PercentVolatility", "X,put,BTC,linear,2025-09-26T08:00:00Z,1,1,,55", row_5,
                  "mark_iv 55 is outside [0.01, 10]"},
        Rejection{"FutureVolatility", "X,future,BTC,linear,2025-09-26T08:00:00Z,,1,,0.5", row_5,
                  "mark_iv is \"0.5\"; a future has none"},
        Rejection{"Duplicate", "BTC-F,spot,BTC,linear,,,1,,", row_5,
                  "instrument \"BTC-F\" is a duplicate of line 3"},
        Rejection{"EmptyName", ",spot,BTC,linear,,,1,,", row_5, "instrument is empty"},
        Rejection{"ControlCharacter", "a\tb,spot,BTC,linear,,,1,,", row_5,
                  "\"a\\x09b\" holds a control character"},
        Rejection{"LongName", std::string(257, 'n') + ",spot,BTC,linear,,,1,,", row_5,
                  "has 257 bytes; a name has at most 256"}),
    [](const auto& row) { return row.param.name; });

class PositionRejection : public testing::TestWithParam<Rejection> {};
TEST_P(PositionRejection, IsReported) {
  Rejection rejection = GetParam();
  rejection.text = "account,instrument,quantity\nann,ETH,1\n" + rejection.text + "\n";
  expect_rejection("positions.csv", rejection);
}
INSTANTIATE_TEST_SUITE_P(
    Load, PositionRejection,
    testing::Values(
        Rejection{"Instrument", "ann,GONE,1", "positions.csv:3", "instrument \"GONE\" is unknown"},
        Rejection{"Quantity", "ann,ETH,one", "positions.csv:3", "quantity \"one\" is no decimal"},
        Rejection{"TooFine", "ann,ETH,1e-13", "positions.csv:3", "more than 12 fractional digits"},
        Rejection{"TooLarge", "ann,ETH,-1e18", "positions.csv:3", "below 1e18"},
        Rejection{"Account", ",ETH,1", "positions.csv:3", "account is empty"}),
    [](const auto& row) { return row.param.name; });

class CovarianceRejection : public testing::TestWithParam<Rejection> {};
TEST_P(CovarianceRejection, IsReported) { expect_rejection("covariance.csv", GetParam()); }
INSTANTIATE_TEST_SUITE_P(
    Load, CovarianceRejection,
    testing::Values(
        Rejection{"Empty", "", "covariance.csv", "is empty; begin it with factor,"},
        Rejection{"OnlyHeader", "factor,BTC.spot\n", "covariance.csv", "ends before the row"},
        Rejection{"Header", "name,BTC.spot\nBTC.spot,1\n", "covariance.csv:1",
                  "write factor,<name>"},
        Rejection{"Delimiter", "factor;BTC.spot\nBTC.spot;1\n", "covariance.csv:1",
                  "separated by commas"},
        Rejection{"Kind", "factor,BTC.spots\nBTC.spots,1\n", "covariance.csv:1", "no known kind"},
        Rejection{"NoKind", "factor,BTC\nBTC,1\n", "covariance.csv:1", "no known kind"},
        Rejection{"NoTenor", "factor,BTC.vol.d\nBTC.vol.d,1\n", "covariance.csv:1",
                  "no known kind"},
        Rejection{"ZeroTenor", "factor,BTC.vol.0d\nBTC.vol.0d,1\n", "covariance.csv:1",
                  "N from 1 to"},
        Rejection{"PaddedTenor", "factor,BTC.vol.07d\n", "covariance.csv:1", "no known kind"},
        Rejection{"LongTenor", "factor,BTC.vol.99999999999d\n", "covariance.csv:1", "N from 1 to"},
        Rejection{"Underlying", "factor,DOGE.spot\nDOGE.spot,1\n", "covariance.csv:1",
                  "unknown underlying \"DOGE\""},
        Rejection{"Duplicate", "factor,BTC.spot,BTC.spot\n", "covariance.csv:1",
                  "duplicate factor \"BTC.spot\""},
        Rejection{"Order", "factor,BTC.spot,ETH.spot\nETH.spot,0,1\nBTC.spot,1,0\n",
                  "covariance.csv:2", "order the rows like the header"},
        Rejection{"MissingRow", "factor,BTC.spot,ETH.spot\nBTC.spot,1,0\n", "covariance.csv",
                  "ends before the row of factor \"ETH.spot\""},
        Rejection{"ExtraRow", "factor,BTC.spot\nBTC.spot,1\nETH.spot,0\n", "covariance.csv:3",
                  "follows the last factor"},
        Rejection{"Width", "factor,BTC.spot,ETH.spot\nBTC.spot,1\nETH.spot,0,1\n",
                  "covariance.csv:2", "has 1 numbers for 2 factors"},
        Rejection{"NotANumber", "factor,BTC.spot\nBTC.spot,nan\n", "covariance.csv:2",
                  "column BTC.spot: \"nan\" is not a finite decimal"},
        Rejection{"NegativeVariance", "factor,BTC.spot\nBTC.spot,-1\n", "covariance.csv:2",
                  "is a negative variance"},
        Rejection{"Huge", "factor,BTC.spot\nBTC.spot,1e7\n", "covariance.csv:2", "beyond 1e6"},
        Rejection{"Asymmetric",
                  "factor,BTC.spot,ETH.spot\nBTC.spot,4e-4,5e-4\nETH.spot,5.00001e-4,9e-4\n",
                  "covariance.csv:3", "have 0.000500001 here and 0.0005 on line 2"},
        Rejection{"TooManyFactors",
                  "factor" +
                      [] {
                        std::string names;
                        for (int i = 1; i <= 8193; ++i)
                          names += ",BTC.vol." + std::to_string(i) + "d";
                        return names;
                      }(),
                  "covariance.csv:1", "at most 8192"}),
    [](const auto& row) { return row.param.name; });

class AccountRejection : public testing::TestWithParam<Rejection> {};
TEST_P(AccountRejection, IsReported) { expect_rejection("accounts.csv", GetParam()); }
INSTANTIATE_TEST_SUITE_P(
    Load, AccountRejection,
    testing::Values(Rejection{"Mode", "account,mode\nann,\n", "accounts.csv:2",
                              "mode is \"\"; write one of portfolio, cross, isolated"},
                    Rejection{"Duplicate", "account,mode\nann,cross\nann,cross\n", "accounts.csv:3",
                              "duplicate of line 2"},
                    Rejection{"Name", "account,mode\n,cross\n", "accounts.csv:2", "is empty"}),
    [](const auto& row) { return row.param.name; });

class CollateralRejection : public testing::TestWithParam<Rejection> {};
TEST_P(CollateralRejection, IsReported) { expect_rejection("collateral.csv", GetParam()); }
INSTANTIATE_TEST_SUITE_P(Load, CollateralRejection,
                         testing::Values(Rejection{"Asset", "account,asset,amount\nann,usd,1\n",
                                                   "collateral.csv:2", "neither USD nor"},
                                         Rejection{"Amount", "account,asset,amount\nann,USD,inf\n",
                                                   "collateral.csv:2", "not a finite"},
                                         Rejection{"Account", "account,asset,amount\n,USD,1\n",
                                                   "collateral.csv:2", "account is empty"}),
                         [](const auto& row) { return row.param.name; });

TEST(Load, ReadsTheRealBook) {
  const char* const shared = std::getenv("SHORTFALL_SHARED");
  if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set";
  const RunInputs inputs =
      load_inputs(load_config(std::filesystem::path(shared) / "books/deribit_2026-01-15/run.toml"));
  EXPECT_EQ(inputs.book.underlyings.size(), 8u);
  EXPECT_EQ(inputs.book.instruments.size(), 1426u);
  EXPECT_EQ(inputs.book.accounts.size(), 400u);
  EXPECT_EQ(inputs.book.positions.size(), 21939u);
  EXPECT_EQ(inputs.covariance.factors.size(), 28u);
}

}  // namespace
}  // namespace shortfall
