// stress.csv: what is read, and a row per reason to refuse it.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "host/input/load_stress.hpp"
#include "temporary_book.hpp"

namespace shortfall {
namespace {

const Covariance& file_covariance() {
  static const Covariance covariance{
      {},
      {{"BTC.spot", 0, FactorKind::spot, 0}, {"BTC.vol.30d", 0, FactorKind::vol, 30}},
      {1, 0, 0, 1}};
  return covariance;
}

std::string problems_of(const TemporaryBook& book, std::vector<StressScenario>& scenarios,
                        const Covariance& covariance = file_covariance()) {
  Problems problems;
  load_stress(book.path("stress.csv"), covariance, scenarios, problems);
  try {
    problems.throw_if_any();
    return {};
  } catch (const InputError& error) {
    std::string text = error.what();
    const std::string prefix = book.path("").string();
    for (std::size_t at; (at = text.find(prefix)) != std::string::npos;)
      text.erase(at, prefix.size());
    return text;
  }
}

TEST(StressFile, IsRead) {
  const TemporaryBook book;
  book.write("stress.csv",
             "weight,scenario,factor,shock\n"
             "1,\"rise, far\",BTC.spot,0.5\n"
             "0.25,Absturz \xc3\xbc,BTC.spot,-5\n"
             "1,\"rise, far\",BTC.vol.30d,0\n");
  std::vector<StressScenario> scenarios;
  ASSERT_EQ(problems_of(book, scenarios), "");
  ASSERT_EQ(scenarios.size(), 2u);
  EXPECT_EQ(scenarios[0].name, "rise, far");
  EXPECT_EQ(scenarios[0].weight, 1);
  using Shocks = std::vector<std::pair<std::uint32_t, double>>;
  EXPECT_EQ(scenarios[0].shocks, (Shocks{{0, 0.5}, {1, 0}}));
  EXPECT_EQ(scenarios[1].name, "Absturz \xc3\xbc");
  EXPECT_EQ(scenarios[1].weight, 0.25);
  EXPECT_EQ(scenarios[1].shocks, (Shocks{{0, -5}}));
}

TEST(StressFile, DoesNotCallAFactorUnknownWhereTheCovarianceIsNot) {
  const TemporaryBook book;
  book.write("stress.csv", "scenario,factor,shock,weight\na,ETH.spot,-1,1\n");
  std::vector<StressScenario> scenarios;
  EXPECT_EQ(problems_of(book, scenarios, {}), "");
}

class StressFileRejection : public testing::TestWithParam<Rejection> {};

TEST_P(StressFileRejection, SaysWhereAndWhy) {
  const TemporaryBook book;
  book.write("stress.csv", GetParam().text);
  std::vector<StressScenario> scenarios;
  const std::string problems = problems_of(book, scenarios);
  EXPECT_TRUE(problems.starts_with(std::string(GetParam().place) + ": ")) << problems;
  EXPECT_NE(problems.find(GetParam().message), std::string::npos) << problems;
  EXPECT_EQ(problems.find('\n'), std::string::npos) << "more than one problem:\n" << problems;
}

std::string file_of(const std::string& rows) { return "scenario,factor,shock,weight\n" + rows; }

std::string too_many_scenarios() {
  std::string rows;
  for (int s = 0; s <= 10'000; ++s) rows += std::to_string(s) + ",BTC.spot,-1,1\n";
  return file_of(rows);
}

INSTANTIATE_TEST_SUITE_P(
    Stress, StressFileRejection,
    testing::Values(
        Rejection{"no_weight_column", "scenario,factor,shock\na,BTC.spot,-1\n", "stress.csv:1",
                  "weight"},
        Rejection{"no_rows", file_of(""), "stress.csv", "has a header but no rows"},
        Rejection{"empty_name", file_of(",BTC.spot,-1,1\n"), "stress.csv:2", "scenario"},
        Rejection{"control_character", file_of("a\tb,BTC.spot,-1,1\n"), "stress.csv:2",
                  "scenario \"a\\x09b\""},
        Rejection{"unknown_factor", file_of("a,BTC.spot,-1,1\na,ETH.spot,-1,1\n"), "stress.csv:3",
                  "factor \"ETH.spot\" is not a factor of the covariance; name one of its header"},
        Rejection{"factor_twice", file_of("a,BTC.spot,-1,1\nb,BTC.spot,1,1\na,BTC.spot,-1,1\n"),
                  "stress.csv:4",
                  "factor \"BTC.spot\" is moved by scenario \"a\" on line 2 already"},
        Rejection{"weights_differ", file_of("a,BTC.spot,-1,1\na,BTC.vol.30d,1,0.5\n"),
                  "stress.csv:3",
                  "weight 0.5 differs from the 1 of line 2; give the rows of "
                  "scenario \"a\" one weight"},
        Rejection{"weight_zero", file_of("a,BTC.spot,-1,0\n"), "stress.csv:2",
                  "weight 0 must be above 0 and at most 10"},
        Rejection{"weight_negative", file_of("a,BTC.spot,-1,-1\n"), "stress.csv:2",
                  "weight -1 must be above 0"},
        Rejection{"weight_large", file_of("a,BTC.spot,-1,10.1\n"), "stress.csv:2", "at most 10"},
        Rejection{"weight_empty", file_of("a,BTC.spot,-1,\n"), "stress.csv:2", "weight is empty"},
        Rejection{"shock_percent", file_of("a,BTC.spot,-16,1\n"), "stress.csv:2",
                  "shock -16 is outside [-5, 5]; write the move in the factor's unit, a fall of "
                  "16 % as ln(0.84) = -0.174"},
        Rejection{"shock_text", file_of("a,BTC.spot,-16%,1\n"), "stress.csv:2",
                  "shock \"-16%\" is not a finite decimal number"},
        Rejection{"shock_nan", file_of("a,BTC.spot,nan,1\n"), "stress.csv:2", "shock \"nan\""},
        Rejection{"too_many", too_many_scenarios(), "stress.csv:10002",
                  "is past the limit of 10000 scenarios"}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace shortfall
