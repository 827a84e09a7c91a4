// The [margin] tables of a run configuration: what they read, and one row per reason to reject.
#include <gtest/gtest.h>

#include <string>

#include "shortfall/config.hpp"
#include "temporary_book.hpp"

namespace shortfall {
namespace {

const std::string head =
    "[inputs]\nunderlyings = \"underlyings.csv\"\ninstruments = \"instruments.csv\"\n"
    "positions = \"positions.csv\"\ncovariance = \"covariance.csv\"\n"
    "[market]\nas_of = 2025-06-27T08:00:00Z\n";

MarginConfig read(const TemporaryBook& book, const std::string& text) {
  book.write("run.toml", head + text);
  return load_config(book.path("run.toml")).margin;
}

TEST(MarginConfig, IsOffByDefault) {
  const TemporaryBook book;
  for (const char* text : {"", "[margin]\n"}) {
    const MarginConfig margin = read(book, text);
    EXPECT_EQ(margin.multiplier, 1);
    EXPECT_EQ(margin.sampling_uplift, 0);
    EXPECT_EQ(margin.floor_usd, 0);
    EXPECT_FALSE(margin.maintenance_ratio || margin.maintenance_confidence_level);
    EXPECT_FALSE(margin.dependence || margin.liquidity || margin.stress || margin.procyclicality ||
                 margin.funding || margin.short_option_minimum_rate || margin.collateral);
  }
}

TEST(MarginConfig, ReadsEveryKey) {
  const TemporaryBook book;
  const MarginConfig margin =
      read(book,
           "[margin]\nmultiplier = 1.25\nsampling_uplift = 2\nfloor = 100\nmaintenance = 0.75\n"
           "[margin.dependence]\nweight = 0.5\nconfidence = 0.975\ncombine = \"sum\"\n"
           "[margin.liquidity]\nfile = \"liquidity.csv\"\n"
           "[margin.stress]\nfile = \"sub/stress.csv\"\ngrid = false\nrange = 0.2\nvol_up = 0.6\n"
           "vol_down = 0.3\nvol_power = 0.4\nfar_moves = false\n"
           "[margin.procyclicality]\ncovariance = \"stressed.csv\"\nweight = 0.5\n"
           "[margin.funding]\nfile = \"funding.csv\"\n"
           "[margin.short_option_minimum]\nrate = 0.01\n"
           "[margin.collateral]\nsimulate = false\nhaircuts = {BTC = 0.1, ETH = 1}\n");
  EXPECT_EQ(margin.multiplier, 1.25);
  EXPECT_EQ(margin.sampling_uplift, 2);
  EXPECT_EQ(margin.floor_usd, 100);
  EXPECT_EQ(margin.maintenance_ratio, 0.75);
  EXPECT_FALSE(margin.maintenance_confidence_level);
  EXPECT_EQ(margin.dependence->weight, 0.5);
  EXPECT_EQ(margin.dependence->confidence_level, 0.975);
  EXPECT_TRUE(margin.dependence->is_sum);
  EXPECT_EQ(margin.liquidity->file, book.path("liquidity.csv"));
  EXPECT_EQ(margin.stress->file, book.path("sub/stress.csv"));
  EXPECT_FALSE(margin.stress->has_grid);
  EXPECT_EQ(margin.stress->range, 0.2);
  EXPECT_EQ(margin.stress->vol_up, 0.6);
  EXPECT_EQ(margin.stress->vol_down, 0.3);
  EXPECT_EQ(margin.stress->vol_power, 0.4);
  EXPECT_FALSE(margin.stress->has_far_moves);
  EXPECT_EQ(margin.procyclicality->covariance, book.path("stressed.csv"));
  EXPECT_EQ(margin.procyclicality->weight, 0.5);
  EXPECT_EQ(margin.funding->file, book.path("funding.csv"));
  EXPECT_EQ(margin.short_option_minimum_rate, 0.01);
  EXPECT_FALSE(margin.collateral->is_simulated);
  EXPECT_EQ(margin.collateral->haircuts, (std::map<std::string, double>{{"BTC", 0.1}, {"ETH", 1}}));
}

TEST(MarginConfig, EmptyTablesHaveTheDefaultsOfTheFormat) {
  const TemporaryBook book;
  const MarginConfig margin = read(book,
                                   "[margin.dependence]\n[margin.stress]\n[margin.collateral]\n"
                                   "[margin.procyclicality]\ncovariance = \"covariance.csv\"\n");
  EXPECT_EQ(margin.dependence->weight, 0.25);
  EXPECT_EQ(margin.dependence->confidence_level, 0.995);
  EXPECT_FALSE(margin.dependence->is_sum);
  EXPECT_FALSE(margin.stress->file);
  EXPECT_TRUE(margin.stress->has_grid);
  EXPECT_EQ(margin.stress->range, 0.16);
  EXPECT_EQ(margin.stress->vol_up, 0.5);
  EXPECT_EQ(margin.stress->vol_down, 0.25);
  EXPECT_EQ(margin.stress->vol_power, 0.3);
  EXPECT_TRUE(margin.stress->has_far_moves);
  EXPECT_EQ(margin.procyclicality->weight, 0.25);
  EXPECT_FALSE(margin.collateral->is_simulated);
  EXPECT_TRUE(margin.collateral->haircuts.empty());
}

TEST(MarginConfig, MaintenanceMayHaveItsOwnConfidence) {
  const TemporaryBook book;
  for (const char* text : {"[margin]\nmaintenance = {confidence = 0.95}\n",
                           "[margin.maintenance]\nconfidence = 0.95\n"}) {
    const MarginConfig margin = read(book, text);
    EXPECT_EQ(margin.maintenance_confidence_level, 0.95);
    EXPECT_FALSE(margin.maintenance_ratio);
  }
}

TEST(MarginConfig, RangesIncludeTheirEnds) {
  const TemporaryBook book;
  for (const char* text :
       {"[margin]\nsampling_uplift = 0", "[margin]\nsampling_uplift = 10", "[margin]\nfloor = 0",
        "[margin]\nfloor = 1e15", "[margin]\nmaintenance = 1",
        "[margin]\nmaintenance = {confidence = 0.5}", "[margin.dependence]\nweight = 0",
        "[margin.dependence]\nweight = 10", "[margin.dependence]\nconfidence = 0.5",
        "[margin.stress]\nrange = 0.9", "[margin.stress]\nvol_up = 10",
        "[margin.stress]\nvol_down = 0.95", "[margin.stress]\nvol_power = 1",
        "[margin.procyclicality]\ncovariance = \"c\"\nweight = 1",
        "[margin.short_option_minimum]\nrate = 1", "[margin.short_option_minimum]\nrate = 0",
        "[margin.collateral]\nhaircuts = {BTC = 0}"})
    EXPECT_NO_THROW(read(book, std::string(text) + "\n")) << text;
}

TEST(MarginConfig, ConfidencesOfComponentsLeaveATail) {
  const TemporaryBook book;
  const auto problems = [&](const std::string& text) {
    book.write("run.toml", head + "[risk]\npaths = 1000\n" + text);
    return book.problems();
  };
  EXPECT_EQ(problems("[margin.dependence]\nconfidence = 0.999\n"), "");
  EXPECT_EQ(problems("[margin]\nmaintenance = {confidence = 0.999}\n"), "");
  EXPECT_EQ(problems("[margin.dependence]\nconfidence = 0.9995\n"),
            "run.toml: [margin.dependence] confidence 0.9995 leaves no tail of 1000 paths; lower "
            "it, or use 2000 paths");
  EXPECT_TRUE(problems("[margin]\nmaintenance = {confidence = 0.9995}\n")
                  .starts_with("run.toml: [margin] maintenance 0.9995 leaves no tail"));
}

TEST(MarginConfig, FilesMustExist) {
  for (const char* text : {"[margin.liquidity]\nfile = ", "[margin.stress]\nfile = ",
                           "[margin.procyclicality]\ncovariance = ", "[margin.funding]\nfile = "}) {
    const TemporaryBook book;
    book.write("run.toml", head + text + "\"no.csv\"\n");
    EXPECT_EQ(book.problems(), "no.csv: does not exist; correct the path") << text;
  }
}

class MarginConfigRejection : public testing::TestWithParam<Rejection> {};
TEST_P(MarginConfigRejection, IsReported) { expect_rejection("run.toml", GetParam()); }

/// The assignment is in line 9, after the table's name in line 8.
Rejection value(const char* name, const std::string& table, const std::string& assignment,
                const char* message) {
  return {name, head + "[" + table + "]\n" + assignment + "\n", "run.toml:9", message};
}
/// What concerns the table, in line 8.
Rejection table(const char* name, const std::string& text, const char* message) {
  return {name, head + text + "\n", "run.toml:8", message};
}

INSTANTIATE_TEST_SUITE_P(
    Keys, MarginConfigRejection,
    testing::Values(
        value("Margin", "margin", "uplift = 1", "unknown key \"uplift\" in [margin]; it has mult"),
        value("Dependence", "margin.dependence", "wieght = 1",
              "unknown key \"wieght\" in [margin.dependence]; it has weight, confidence, combine"),
        value("Liquidity", "margin.liquidity", "files = 1\nfile = \"l.csv\"",
              "in [margin.liquidity]; it has file"),
        value("Stress", "margin.stress", "vol = 1", "in [margin.stress]; it has file, grid, range"),
        value("Procyclicality", "margin.procyclicality", "w = 1\ncovariance = \"c.csv\"",
              "in [margin.procyclicality]; it has covariance, weight"),
        value("Funding", "margin.funding", "rate = 1\nfile = \"f.csv\"",
              "in [margin.funding]; it has file"),
        value("ShortOptions", "margin.short_option_minimum", "rat = 1\nrate = 0.1",
              "in [margin.short_option_minimum]; it has rate"),
        value("Collateral", "margin.collateral", "haircut = 0.1",
              "in [margin.collateral]; it has simulate, haircuts"),
        value("Maintenance", "margin", "maintenance = {ratio = 0.5, confidence = 0.9}",
              "unknown key \"ratio\" in [margin.maintenance]; it has confidence"),
        value("UnknownTable", "margin", "concentration = {weight = 1}",
              "unknown key \"concentration\" in [margin]")),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Missing, MarginConfigRejection,
    testing::Values(
        table("Liquidity", "[margin.liquidity]", "[margin.liquidity] file is missing; write"),
        table("Procyclicality", "[margin.procyclicality]", "covariance is missing; write"),
        table("Funding", "[margin.funding]", "[margin.funding] file is missing; write"),
        table("Rate", "[margin.short_option_minimum]", "rate is missing; write the share"),
        table("MaintenanceConfidence", "[margin.maintenance]",
              "[margin.maintenance] confidence is missing"),
        value("NoScenarios", "margin.stress", "grid = false", "there is no file: name a file")),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Values, MarginConfigRejection,
    testing::Values(
        value("Multiplier", "margin", "multiplier = -1", "is -1; it must be above 0"),
        value("NegativeUplift", "margin", "sampling_uplift = -0.1", "it must be from 0 to 10"),
        value("LargeUplift", "margin", "sampling_uplift = 11", "it must be from 0 to 10"),
        value("NegativeFloor", "margin", "floor = -5", "is -5; it must be from 0 to 1e15 USD"),
        value("InfiniteFloor", "margin", "floor = inf", "is inf; it must be from 0"),
        value("ZeroMaintenance", "margin", "maintenance = 0", "it must be above 0 and at most 1"),
        value("LargeMaintenance", "margin", "maintenance = 1.5", "it must be above 0 and at most"),
        value("MaintenanceConfidence", "margin", "maintenance = {confidence = 1}",
              "[margin.maintenance] confidence is 1; it must be at least 0.5 and below 1"),
        value("NegativeWeight", "margin.dependence", "weight = -0.25", "it must be from 0 to 10"),
        value("LargeWeight", "margin.dependence", "weight = 25", "it must be from 0 to 10"),
        value("Confidence", "margin.dependence", "confidence = 99.5",
              "it must be at least 0.5 and below 1"),
        value("Combine", "margin.dependence", "combine = \"max\"", "write one of larger, sum"),
        value("ZeroRange", "margin.stress", "range = 0", "it must be above 0 and at most 0.9"),
        value("LargeRange", "margin.stress", "range = 1.6", "it must be above 0 and at most 0.9"),
        value("NegativeVolUp", "margin.stress", "vol_up = -0.5", "it must be from 0 to 10"),
        value("VolDown", "margin.stress", "vol_down = 1", "it must be from 0 to 0.95"),
        value("VolPower", "margin.stress", "vol_power = nan", "is nan; it must be from 0 to 1"),
        value("StressedWeight", "margin.procyclicality", "weight = 1.25\ncovariance = \"c.csv\"",
              "weight is 1.25; it must be from 0 to 1"),
        value("NegativeRate", "margin.short_option_minimum", "rate = -0.01",
              "rate is -0.01; it must be from 0 to 1"),
        value("LargeRate", "margin.short_option_minimum", "rate = 15", "it must be from 0 to 1"),
        value("NegativeHaircut", "margin.collateral", "haircuts = {BTC = -0.1}",
              "haircuts has -0.1 for \"BTC\"; it must be from 0 to 1"),
        value("LargeHaircut", "margin.collateral", "haircuts = {BTC = 0.1, ETH = 20}",
              "haircuts has 20 for \"ETH\"; it must be from 0 to 1")),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Types, MarginConfigRejection,
    testing::Values(
        value("Table", "margin", "dependence = 0.25",
              "margin.dependence is a real number; write it as the table [margin.dependence]"),
        value("Floor", "margin", "floor = \"100\"", "floor is a string; write a number"),
        value("Maintenance", "margin", "maintenance = \"0.75\"",
              "maintenance is a string; write a number"),
        value("File", "margin.liquidity", "file = 1", "file is an integer; write a string"),
        value("EmptyFile", "margin.funding", "file = \"\"", "is no path"),
        value("StressFile", "margin.stress", "file = [\"a.csv\"]", "write a string"),
        value("Grid", "margin.stress", "grid = \"yes\"", "grid is a string; write true or false"),
        value("FarMoves", "margin.stress", "far_moves = 1",
              "far_moves is an integer; write true or false"),
        value("Covariance", "margin.procyclicality", "covariance = true", "write a string"),
        value("Rate", "margin.short_option_minimum", "rate = \"1%\"", "write a number"),
        value("Simulate", "margin.collateral", "simulate = 1", "write true or false"),
        value("Haircuts", "margin.collateral", "haircuts = 0.1",
              "haircuts is a real number; write a table of numbers, like {BTC = 0.1}"),
        value("Haircut", "margin.collateral", "haircuts = {BTC = \"10%\"}",
              "haircuts has a string for \"BTC\"; write a number")),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace shortfall
