// Parameter files of the margin schemes: what they read, and one row per reason to reject.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <tuple>

#include "demo_run.hpp"
#include "shortfall/schemes.hpp"
#include "temporary_book.hpp"

namespace shortfall {
namespace {

const std::filesystem::path schemes_folder = demo_folder.parent_path() / "schemes";

auto fields(const SpanParameters::Ranges& r) { return std::tuple(r.price, r.volatility); }
auto fields(const PortfolioMarginParameters::Pair& p) {
  return std::tuple(p.price_range, p.volatility_up, p.volatility_down, p.short_term_vega_power,
                    p.long_term_vega_power, p.volatility_up_least, p.extended_table_factor,
                    p.delta_threshold_usd, p.delta_increment_per_coin, p.delta_shock_most);
}
auto fields(const PortfolioMarginParameters::Currency& c) {
  return std::tuple(c.extended_dampener_usd, c.annualised_move_risk, c.annualised_move_least);
}

void expect_equal(const SpanParameters& a, const SpanParameters& b) {
  EXPECT_EQ(fields(a.ranges), fields(b.ranges));
  EXPECT_EQ(a.extreme_multiple, b.extreme_multiple);
  EXPECT_EQ(a.extreme_share, b.extreme_share);
  ASSERT_EQ(a.by_underlying.size(), b.by_underlying.size());
  for (const auto& [name, ranges] : a.by_underlying)
    EXPECT_EQ(fields(ranges), fields(b.by_underlying.at(name))) << name;
}

void expect_equal(const PortfolioMarginParameters& a, const PortfolioMarginParameters& b) {
  EXPECT_EQ(fields(a.pair), fields(b.pair));
  EXPECT_EQ(fields(a.inverse), fields(b.inverse));
  EXPECT_EQ(fields(a.linear), fields(b.linear));
  EXPECT_EQ(a.maintenance_factor, b.maintenance_factor);
  ASSERT_EQ(a.by_underlying.size(), b.by_underlying.size());
  for (const auto& [name, pair] : a.by_underlying)
    EXPECT_EQ(fields(pair), fields(b.by_underlying.at(name))) << name;
}

std::string without_comments(const std::string& text) {
  std::istringstream lines(text);
  std::string line, kept;
  while (std::getline(lines, line)) kept += line.substr(0, line.find('#')) + "\n";
  return kept;
}

TEST(LoadSchemes, ShippedFilesHoldTheDefaults) {
  expect_equal(load_span_parameters(schemes_folder / "span.toml"), {});
  expect_equal(load_portfolio_margin_parameters(schemes_folder / "portfolio_margin.toml"), {});
}

// A default is used where a key is absent: the files are complete only if each is there.
TEST(LoadSchemes, ShippedFilesHaveEveryKey) {
  const std::string span = without_comments(read_file(schemes_folder / "span.toml"));
  for (const char* key : {"price_range", "volatility_range", "extreme_multiple", "extreme_share"})
    EXPECT_NE(span.find(std::string("\n") + key + " = "), std::string::npos) << key;
  const std::string margin = without_comments(read_file(schemes_folder / "portfolio_margin.toml"));
  const std::size_t inverse = margin.find("[portfolio_margin.inverse]"),
                    linear = margin.find("[portfolio_margin.linear]");
  ASSERT_LT(inverse, linear);
  ASSERT_NE(linear, std::string::npos);
  for (const char* key : {"price_range", "volatility_up", "volatility_down",
                          "short_term_vega_power", "long_term_vega_power", "volatility_up_least",
                          "extended_table_factor", "delta_threshold_usd",
                          "delta_increment_per_coin", "delta_shock_most", "maintenance_factor"})
    EXPECT_LT(margin.find(std::string("\n") + key + " = "), inverse) << key;
  for (const char* key :
       {"extended_dampener_usd", "annualised_move_risk", "annualised_move_least"}) {
    EXPECT_LT(margin.find(std::string("\n") + key + " = ", inverse), linear) << key;
    EXPECT_NE(margin.find(std::string("\n") + key + " = ", linear), std::string::npos) << key;
  }
}

TEST(LoadSchemes, EmptyFilesAreTheDefaults) {
  const TemporaryBook book;
  book.write("empty.toml", "");
  expect_equal(load_span_parameters(book.path("empty.toml")), {});
  expect_equal(load_portfolio_margin_parameters(book.path("empty.toml")), {});
}

TEST(LoadSchemes, ReadsEveryKeyOfTheScan) {
  const TemporaryBook book;
  book.write("span.toml",
             "[span]\nprice_range = 0.2\nvolatility_range = 0\nextreme_multiple = 2\n"
             "extreme_share = 1\n"
             "[span.underlyings.ETH]\nvolatility_range = 0.5\n"
             "[span.underlyings.SOL]\nprice_range = 0.25\n");
  expect_equal(load_span_parameters(book.path("span.toml")),
               {.ranges = {0.2, 0},
                .by_underlying = {{"ETH", {0.2, 0.5}}, {"SOL", {0.25, 0}}},
                .extreme_multiple = 2,
                .extreme_share = 1});
}

TEST(LoadSchemes, ReadsEveryKeyOfThePortfolioMargin) {
  const TemporaryBook book;
  book.write("margin.toml",
             "[portfolio_margin]\nprice_range = 0.2\nvolatility_up = 0.6\nvolatility_down = 0.3\n"
             "short_term_vega_power = 0.4\nlong_term_vega_power = 0.2\nvolatility_up_least = 0.7\n"
             "extended_table_factor = 2\ndelta_threshold_usd = 1e6\n"
             "delta_increment_per_coin = 0.001\ndelta_shock_most = 0.25\n"
             "maintenance_factor = 0.75\n"
             "[portfolio_margin.inverse]\nextended_dampener_usd = 1\nannualised_move_risk = 0.5\n"
             "annualised_move_least = 0.02\n"
             "[portfolio_margin.linear]\nextended_dampener_usd = 2\nannualised_move_risk = 0.25\n"
             "annualised_move_least = 0.03\n"
             "[portfolio_margin.underlyings.ETH]\ndelta_shock_most = 0.5\n");
  PortfolioMarginParameters expected{.pair = {0.2, 0.6, 0.3, 0.4, 0.2, 0.7, 2, 1e6, 0.001, 0.25},
                                     .inverse = {1, 0.5, 0.02},
                                     .linear = {2, 0.25, 0.03},
                                     .maintenance_factor = 0.75};
  expected.by_underlying["ETH"] = expected.pair;
  expected.by_underlying["ETH"].delta_shock_most = 0.5;
  expect_equal(load_portfolio_margin_parameters(book.path("margin.toml")), expected);
}

/// The one problem of a parameter file, named as scheme.toml.
template <class Load>
void expect_problem(const Rejection& rejection, Load load) {
  const TemporaryBook book;
  book.write("scheme.toml", rejection.text);
  std::string problems;
  try {
    load(book.path("scheme.toml"));
  } catch (const InputError& error) {
    problems = error.what();
  }
  const std::string place = book.path(rejection.place).string() + ": ";
  EXPECT_TRUE(problems.starts_with(place)) << problems;
  EXPECT_NE(problems.find(rejection.message), std::string::npos) << problems;
  EXPECT_EQ(problems.find('\n'), std::string::npos) << "more than one problem:\n" << problems;
}

class SpanRejection : public testing::TestWithParam<Rejection> {};
TEST_P(SpanRejection, IsReportedInItsPlace) { expect_problem(GetParam(), load_span_parameters); }

class PortfolioMarginRejection : public testing::TestWithParam<Rejection> {};
TEST_P(PortfolioMarginRejection, IsReportedInItsPlace) {
  expect_problem(GetParam(), load_portfolio_margin_parameters);
}

/// A key on the second line.
Rejection value(const char* name, const char* table, const char* assignment, const char* message) {
  return {name, std::string("[") + table + "]\n" + assignment + "\n", "scheme.toml:2", message};
}
/// Likewise, of the tables.
Rejection span(const char* name, const char* assignment, const char* message) {
  return value(name, "span", assignment, message);
}
Rejection margin(const char* name, const char* assignment, const char* message) {
  return value(name, "portfolio_margin", assignment, message);
}

INSTANTIATE_TEST_SUITE_P(
    Files, SpanRejection,
    testing::Values(
        Rejection{"NotToml", "[span\n", "scheme.toml:1", "is not TOML"},
        Rejection{"OtherScheme", "[portfolio_margin]\n", "scheme.toml:1",
                  "unknown table \"portfolio_margin\"; a file of the scan has the table span"},
        Rejection{"KeyOutside", "price_range = 0.1\n", "scheme.toml:1",
                  "unknown key \"price_range\"; a file of the scan has the table span"},
        Rejection{"NoTable", "span = 1\n", "scheme.toml:1",
                  "span is an integer; write it as the table [span]"},
        Rejection{"LongLine", "[span]\n#" + std::string(5000, 'x') + "\n", "scheme.toml:2",
                  "longer than 4096 bytes"},
        Rejection{"Large", std::string(1'100'000, '\n'), "scheme.toml",
                  "larger than 1 MiB; give the path of a file of the scan"}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Values, SpanRejection,
    testing::Values(
        span("UnknownKey", "range = 0.1", "unknown key \"range\" in [span]; it has price_range"),
        span("RangeType", "price_range = \"16%\"", "price_range is a string; write a number"),
        span("Range", "price_range = 16", "price_range is 16; it must be above 0"),
        span("NoRange", "price_range = 0", "price_range is 0; it must be above 0"),
        span("Volatility", "volatility_range = 1", "it must be from 0 to 0.95"),
        span("Multiple", "extreme_multiple = 0.5", "it must be from 1 to 20"),
        span("Share", "extreme_share = 33", "it must be above 0 and at most 1"),
        span("NotANumber", "extreme_share = nan", "it must be above 0 and at most 1"),
        span("UnderlyingsType", "underlyings = 1",
             "span.underlyings is an integer; write it as the table [span.underlyings]"),
        span("UnderlyingType", "underlyings = {BTC = 0.2}",
             "span.underlyings.BTC is a real number; write it as the table"),
        value("UnderlyingKey", "span.underlyings.BTC", "extreme_share = 0.3",
              "unknown key \"extreme_share\" in [span.underlyings.BTC]; it has price_range"),
        value("UnderlyingValue", "span.underlyings.BTC", "price_range = -0.1",
              "[span.underlyings.BTC] price_range is -0.1; it must be above 0")),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Values, PortfolioMarginRejection,
    testing::Values(
        Rejection{"OtherScheme", "[span]\n", "scheme.toml:1",
                  "a file of the portfolio margin has the table portfolio_margin"},
        margin("UnknownKey", "annualised_move_risk = 0.1",
               "unknown key \"annualised_move_risk\" in [portfolio_margin]; it has price_range"),
        margin("Type", "volatility_up = true", "volatility_up is a boolean; write a number"),
        margin("PriceRange", "price_range = 1.6", "price_range is 1.6; it must be above 0"),
        margin("VolatilityUp", "volatility_up = 50", "it must be from 0 to 10"),
        margin("VolatilityDown", "volatility_down = 1", "it must be from 0 to 0.95"),
        margin("ShortTerm", "short_term_vega_power = -0.3", "it must be from 0 to 1"),
        margin("LongTerm", "long_term_vega_power = 2", "it must be from 0 to 1"),
        margin("Least", "volatility_up_least = 50", "it must be from 0 to 10"),
        margin("Factor", "extended_table_factor = -1", "it must be from 0 to 10"),
        margin("Threshold", "delta_threshold_usd = inf", "it must be from 0 to 1e15 USD"),
        margin("Increment", "delta_increment_per_coin = 5", "it must be from 0 to 1"),
        margin("Most", "delta_shock_most = 10", "it must be from 0 to 1"),
        margin("Maintenance", "maintenance_factor = 0", "it must be above 0 and at most 1"),
        margin("InverseType", "inverse = 1", "portfolio_margin.inverse is an integer; write"),
        value("InverseKey", "portfolio_margin.inverse", "risk = 1",
              "unknown key \"risk\" in [portfolio_margin.inverse]; it has extended_dampener_usd"),
        value("Dampener", "portfolio_margin.inverse", "extended_dampener_usd = -1",
              "it must be from 0 to 1e15 USD"),
        value("Risk", "portfolio_margin.linear", "annualised_move_risk = 7.5",
              "[portfolio_margin.linear] annualised_move_risk is 7.5; it must be from 0 to 1"),
        value("MoveLeast", "portfolio_margin.linear", "annualised_move_least = -0.01",
              "it must be from 0 to 1"),
        value("UnderlyingKey", "portfolio_margin.underlyings.BTC", "maintenance_factor = 0.5",
              "unknown key \"maintenance_factor\" in [portfolio_margin.underlyings.BTC]"),
        value("UnderlyingValue", "portfolio_margin.underlyings.BTC", "price_range = 0",
              "[portfolio_margin.underlyings.BTC] price_range is 0; it must be above 0")),
    [](const auto& row) { return row.param.name; });

TEST(LoadSchemes, EveryProblemIsReported) {
  const TemporaryBook book;
  book.write("span.toml", "rnage = 1\n[span]\nprice_range = 2\nextreme = 3\n");
  try {
    load_span_parameters(book.path("span.toml"));
    FAIL() << "a file with three problems loads";
  } catch (const InputError& error) {
    EXPECT_EQ(error.problems().size(), 3u);
  }
}

TEST(LoadSchemes, FileThatIsMissing) {
  // expect_problem writes scheme.toml only.
  const auto elsewhere = [](auto load) {
    return [load](const std::filesystem::path& file) { load(file.parent_path() / "no.toml"); };
  };
  const Rejection rejection{"Missing", "", "no.toml", "does not exist; correct the path"};
  expect_problem(rejection, elsewhere(load_span_parameters));
  expect_problem(rejection, elsewhere(load_portfolio_margin_parameters));
}

}  // namespace
}  // namespace shortfall
