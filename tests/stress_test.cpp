// Stress scenarios: those of a file and the built-in grid, beside closed forms in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "books.hpp"
#include "host/margin/components.hpp"
#include "shortfall/trace.hpp"

namespace shortfall {
namespace {

constexpr double year_days = 365;
/// The largest S1/S0 of the grid: +500 %.
constexpr double grid_ratio_max = 6;

StressLosses stress_of(MemoryBook& book) {
  book.sort_positions();
  const Simulate simulate = [](const Plan&) -> Tails {
    throw std::logic_error("stress simulates nothing");
  };
  const std::vector<GroupRisk> base;
  return stress_losses({book.config, book.inputs, simulate, base});
}

StressConfig without_far_moves() {
  StressConfig stress;
  stress.has_far_moves = false;
  return stress;
}

Instrument spot_of(std::uint32_t underlying) {
  Instrument spot;
  spot.underlying = underlying;
  return spot;
}

Instrument option_of(const MemoryBook& book, InstrumentType type, double strike, double days,
                     double volatility) {
  Instrument option;
  option.type = type;
  option.expiry =
      book.config.as_of + static_cast<std::int64_t>(std::lround(days * double{day_seconds}));
  option.strike = strike;
  option.mark_iv = volatility;
  return option;
}

/// Methodology, section 3, with T1 = T.
double value_usd(const Instrument& i, double spot, double growth, double volatility_growth,
                 double years) {
  const double forward = i.mark_price * growth;
  switch (i.type) {
    case InstrumentType::spot:
      return spot * growth;
    case InstrumentType::future:
    case InstrumentType::perpetual:
      return i.settlement == Settlement::linear ? forward
                                                : (1 / i.mark_price - 1 / forward) * spot * growth;
    default:
      break;
  }
  const double sigma = std::clamp(i.mark_iv * volatility_growth, 0.01, 10.0);
  const double v = sigma * std::sqrt(years);
  const double d1 = std::log(forward / i.strike) / v + v / 2;
  const auto cdf = [](double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); };
  const double value = i.type == InstrumentType::call ? forward * cdf(d1) - i.strike * cdf(d1 - v)
                                                      : i.strike * cdf(v - d1) - forward * cdf(-d1);
  return i.settlement == Settlement::linear ? value : value / forward * spot * growth;
}

/// The grid in double precision and by the formulas: the sum over underlyings of the worst.
double grid_loss_usd(const MemoryBook& book, std::uint32_t account) {
  const StressConfig& stress = *book.config.margin.stress;
  struct Case {
    double move, weight;
    int volatility;
  };
  std::vector<Case> cases;
  for (int step = -4; step <= 4; ++step)
    for (int volatility : {-1, 0, 1}) cases.push_back({stress.range * step / 4, 1, volatility});
  if (stress.has_far_moves)
    for (double move : {-.66, -.5, -.33, .5, 1., 2., 3., 4., 5.})
      cases.push_back({move, stress.range / std::abs(move), 0});
  double sum = 0;
  for (std::uint32_t u = 0; u < book.book().underlyings.size(); ++u) {
    double worst = 0;
    for (const Case& c : cases) {
      double loss = 0;
      for (const Position& p : book.book().positions) {
        const Instrument& i = book.book().instruments[p.instrument];
        if (p.account != account || i.underlying != u) continue;
        const double spot = book.book().underlyings[u].spot_usd;
        const double days = static_cast<double>(i.expiry - book.config.as_of) / day_seconds;
        const double tenor = std::pow(30 / std::max(days, 1.0), stress.vol_power);
        const double growth = c.volatility > 0   ? 1 + stress.vol_up * tenor
                              : c.volatility < 0 ? std::max(1 - stress.vol_down * tenor, 0.001)
                                                 : 1.0;
        const double years = days / year_days;
        loss -= p.quantity.contracts() * i.multiplier *
                (value_usd(i, spot, 1 + c.move, growth, years) - value_usd(i, spot, 1, 1, years));
      }
      worst = std::max(worst, c.weight * loss);
    }
    sum += worst;
  }
  return sum;
}

double gross_notional_usd(const MemoryBook& book, std::uint32_t account) {
  double gross = 0;
  for (const Position& p : book.book().positions) {
    if (p.account != account) continue;
    const Instrument& i = book.book().instruments[p.instrument];
    const bool is_in_usd =
        i.settlement == Settlement::inverse &&
        (i.type == InstrumentType::future || i.type == InstrumentType::perpetual);
    gross += std::abs(p.quantity.contracts() * i.multiplier) *
             (is_in_usd ? 1 : book.book().underlyings[i.underlying].spot_usd);
  }
  return gross;
}

TEST(StressGrid, LongSpotLosesTheRangeAndNamesTheNearMove) {
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  const std::uint32_t spot = book.add(spot_of(book.add_underlying(100'000)));
  book.add_holder(spot, 10);
  book.add_holder(spot, -10);
  book.add_account();  // holds nothing
  const StressLosses losses = stress_of(book);
  // 10 * 100000 * 0.16 either way. Far moves weigh 0.16 / |m|: -66 % loses as much, and is not
  // named.
  EXPECT_NEAR(losses.loss_usd[0], 160'000, 1);
  EXPECT_NEAR(losses.loss_usd[1], 160'000, 6);  // 1e-6 * gross * 6
  EXPECT_EQ(losses.loss_usd[2], 0);
  EXPECT_EQ(losses.scenario, (std::vector<std::string>{"grid: U0 -16%", "grid: U0 +16%", ""}));
}

TEST(StressGrid, ShortCallIsWorstFarAway) {
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  book.add_underlying(100'000);
  const std::uint32_t call = book.add(option_of(book, InstrumentType::call, 100'000, 30, 0.5));
  book.add_holder(call, -1);
  const StressLosses far = stress_of(book);
  // v = 0.5 sqrt(30/365) = 0.143346; at the money C = 100000 (2 N(v/2) - 1) = 5713.8. At 600000 it
  // is 500000: loss 494286.2, weight 0.16 / 5. At 500000: 394286.2 * 0.04 = 15771.4.
  EXPECT_NEAR(far.loss_usd[0], 0.032 * 494'286.2, 0.1);
  EXPECT_EQ(far.scenario[0], "grid: U0 +500%");

  book.config.margin.stress = without_far_moves();
  const StressLosses near = stress_of(book);
  EXPECT_NEAR(near.loss_usd[0],
              value_usd(book.book().instruments[call], 100'000, 1.16, 1.5, 30 / year_days) - 5713.8,
              0.1 + 0.116);
  EXPECT_EQ(near.scenario[0], "grid: U0 +16% vol up");
}

struct Straddle {
  double days, vol_power, vol_growth_up, vol_growth_down;
};

class StraddleVolatility : public testing::TestWithParam<Straddle> {};

TEST_P(StraddleVolatility, MovesWithThePowerOfTheTenor) {
  const Straddle& param = GetParam();
  MemoryBook book;
  StressConfig stress = without_far_moves();
  stress.range = 1e-9;  // volatility alone
  stress.vol_up = 0.5;
  stress.vol_down = 0.25;
  stress.vol_power = param.vol_power;
  book.config.margin.stress = stress;
  book.add_underlying(100'000);
  const std::uint32_t call =
      book.add(option_of(book, InstrumentType::call, 100'000, param.days, 0.6));
  const std::uint32_t put =
      book.add(option_of(book, InstrumentType::put, 100'000, param.days, 0.6));
  for (double side : {-1.0, 1.0}) {
    const std::uint32_t account = book.add_holder(call, side);
    book.hold(account, put, side);
  }
  const StressLosses losses = stress_of(book);
  // A straddle at the money is worth 2 F (2 N(sigma sqrt(T) / 2) - 1) = 2 F erf(x).
  const auto value = [&](double growth) {
    return 200'000 * std::erf(0.6 * growth * std::sqrt(param.days / year_days / 8));
  };
  const double bound_usd = loss_error_max * 200'000;
  EXPECT_NEAR(losses.loss_usd[0], value(param.vol_growth_up) - value(1), bound_usd);
  EXPECT_NEAR(losses.loss_usd[1], value(1) - value(param.vol_growth_down), bound_usd);
  EXPECT_EQ(losses.scenario[0], "grid: U0 vol up");
  EXPECT_EQ(losses.scenario[1], "grid: U0 vol down");
}

INSTANTIATE_TEST_SUITE_P(Stress, StraddleVolatility,
                         testing::Values(Straddle{30, 0.3, 1.5, 0.75},     // the reference tenor
                                         Straddle{120, 0.5, 1.25, 0.875},  // (30/120)^0.5 = 1/2
                                         Straddle{7.5, 0.5, 2, 0.5},       // (30/7.5)^0.5 = 2
                                         Straddle{7.5, 0, 1.5, 0.75},
                                         // Within a day like one of a day: 30^1, and volatility
                                         // falls to its least, 0.01.
                                         Straddle{0.25, 1, 16, 0.01 / 0.6}));

TEST(StressGrid, UnderlyingsDoNotOffset) {
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  const std::uint32_t first = book.add(spot_of(book.add_underlying(100'000)));
  const std::uint32_t second = book.add(spot_of(book.add_underlying(2500)));
  const std::uint32_t account = book.add_holder(first, 1);
  book.hold(account, second, -40);
  book.add_factor(0, FactorKind::spot, 0.03);
  book.add_factor(1, FactorKind::spot, 0.04);
  const double fall = std::log(0.5);

  // Long 100000 and short 100000: 16 % of each, whereas both falling by half is no loss at all.
  book.inputs.scenarios = {{"both", 1, {{0, fall}, {1, fall}}}};
  StressLosses losses = stress_of(book);
  EXPECT_NEAR(losses.loss_usd[0], 32'000, 1.2);
  EXPECT_EQ(losses.scenario[0], "grid: U0 -16%; U1 +16%");

  book.config.margin.stress->has_grid = false;
  losses = stress_of(book);
  EXPECT_NEAR(losses.loss_usd[0], 0, 0.2);  // 1e-6 of 200000

  // A scenario stands alone: neither helps the other.
  book.inputs.scenarios = {{"rise", 1, {{1, std::log(1.5)}}}, {"fall", 1, {{0, std::log(0.7)}}}};
  losses = stress_of(book);
  EXPECT_NEAR(losses.loss_usd[0], 50'000, 0.3);
  EXPECT_EQ(losses.scenario[0], "rise");
}

TEST(StressGrid, MatchesTheFormulasOnRandomBooks) {
  std::mt19937_64 random(5);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution(low, high)(random);
  };
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  for (double spot : {100'000.0, 2500.0, 0.2}) {
    const std::uint32_t u = book.add_underlying(spot);
    for (Settlement settlement : {Settlement::linear, Settlement::inverse}) {
      for (InstrumentType type : {InstrumentType::call, InstrumentType::put, InstrumentType::future,
                                  InstrumentType::perpetual}) {
        for (double days : {0.2, 1.0, 9.4, 200.0}) {  // two expire within the horizon
          Instrument i = option_of(book, type, spot * uniform(0.8, 1.2), days, uniform(0.3, 1.5));
          i.underlying = u;
          i.settlement = settlement;
          i.mark_price = spot * uniform(0.97, 1.04);
          if (type == InstrumentType::perpetual) i.expiry = 0;
          if (settlement == Settlement::inverse && type >= InstrumentType::future)
            i.multiplier = spot;
          book.add(i);
        }
      }
    }
  }
  const auto count = static_cast<std::uint32_t>(book.book().instruments.size());
  for (int account = 0; account < 40; ++account) {
    const std::uint32_t holder = book.add_account();
    for (std::uint32_t i = 0; i < count; ++i)
      if (uniform(0, 1) < 0.3) book.hold(holder, i, uniform(-3, 3));
  }
  const StressLosses losses = stress_of(book);
  for (std::uint32_t a = 0; a < 40; ++a) {
    EXPECT_GT(losses.loss_usd[a], 0);
    EXPECT_TRUE(losses.scenario[a].starts_with("grid: U")) << losses.scenario[a];
    EXPECT_NEAR(losses.loss_usd[a], grid_loss_usd(book, a),
                loss_error_max * grid_ratio_max * gross_notional_usd(book, a));
  }
}

TEST(StressGrid, FarMovesWithinAWideRangeCountOnce) {
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  book.config.margin.stress->range = 0.9;
  book.add_underlying(100);
  // A put spread, 60 short and 50 long, loses no more than 10, at -66 % too: not 0.9 / 0.66 times
  // that. It is worth 2e-5 before (60 is 3.6 deviations away).
  const std::uint32_t account =
      book.add_holder(book.add(option_of(book, InstrumentType::put, 60, 30, 0.5)), -1);
  book.hold(account, book.add(option_of(book, InstrumentType::put, 50, 30, 0.5)), 1);
  EXPECT_NEAR(stress_of(book).loss_usd[0], 10, 1e-2);
}

/// A book with every kind of factor, long and short.
MemoryBook factor_book() {
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  book.config.margin.stress->has_grid = false;
  const std::uint32_t u = book.add_underlying(50'000);
  book.add_factor(u, FactorKind::spot, 0.03);
  book.add_factor(u, FactorKind::vol, 0.05, 7);
  book.add_factor(u, FactorKind::vol, 0.03, 90);
  book.add_factor(u, FactorKind::skew, 0.01);
  book.add_factor(u, FactorKind::basis, 0.02);
  book.add_factor(u, FactorKind::perp, 0.001);
  Instrument future = option_of(book, InstrumentType::future, 0, 60, 0), perpetual;
  perpetual.type = InstrumentType::perpetual;
  perpetual.settlement = Settlement::inverse;
  perpetual.multiplier = 100;
  for (double side : {-1.0, 1.0}) {
    const std::uint32_t account = book.add_account();
    book.hold(account, book.add(option_of(book, InstrumentType::put, 45'000, 20, 0.7)), 2 * side);
    book.hold(account, book.add(option_of(book, InstrumentType::call, 52'000, 0.5, 0.4)), side);
    book.hold(account, book.add(future), -3 * side);
    book.hold(account, book.add(perpetual), 700 * side);
  }
  book.inputs.scenarios = {{"crash", 0.8, {{0, -0.4}, {1, 0.9}, {2, 0.4}, {3, -0.1}}},
                           {"carry", 1.5, {{4, 0.3}, {5, 0.02}}},
                           {"rally", 1, {{0, 0.3}, {1, -0.2}, {5, -0.01}}},
                           {"calm", 2, {{1, -0.5}, {2, -0.3}}}};
  return book;
}

TEST(StressScenarios, MatchTheReferenceEngine) {
  MemoryBook book = factor_book();
  const StressLosses losses = stress_of(book);
  const std::vector<StressScenario>& scenarios = book.inputs.scenarios;
  std::vector<double> moves(book.inputs.covariance.factors.size() * scenarios.size());
  for (std::size_t s = 0; s < scenarios.size(); ++s)
    for (const auto& [factor, move] : scenarios[s].shocks)
      moves[factor * scenarios.size() + s] = move;
  book.config.risk.revalue_at = RevalueAt::now;  // as stress always is
  const reference::GroupLosses expected =
      reference::group_losses(book.config, book.inputs, {moves.data(), scenarios.size()});
  for (std::size_t a = 0; a < 2; ++a) {
    double worst = 0;
    std::string name;
    for (std::size_t s = 0; s < scenarios.size(); ++s) {
      const double loss = scenarios[s].weight * expected.row(a)[s];
      if (loss > worst) std::tie(worst, name) = std::pair(loss, scenarios[s].name);
    }
    // Weights up to 2, S1/S0 up to e^0.3.
    EXPECT_NEAR(losses.loss_usd[a], worst,
                2 * std::exp(0.3) * loss_error_max * expected.gross_notional_usd[a]);
    EXPECT_EQ(losses.scenario[a], name);
  }
  EXPECT_NE(losses.scenario[0], losses.scenario[1]);
}

TEST(StressScenarios, WeightsDecideAndTheFirstOfEqualsIsNamed) {
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  book.config.margin.stress->has_grid = false;
  const std::uint32_t u = book.add_underlying(1000);
  book.add_factor(u, FactorKind::spot, 0.03);
  const std::uint32_t spot = book.add(spot_of(u));
  book.add_holder(spot, 1);
  book.add_holder(spot, -1);
  // More than a row of paths: 100 that lose nothing, then weights 0.5 of -50 % and 2 of -20 %.
  book.inputs.scenarios.assign(100, {"still", 10, {{0, 0.0}}});
  book.inputs.scenarios.push_back({"far", 0.5, {{0, std::log(0.5)}}});
  book.inputs.scenarios.push_back({"near", 2, {{0, std::log(0.8)}}});
  book.inputs.scenarios.push_back({"near again", 2, {{0, std::log(0.8)}}});
  const StressLosses losses = stress_of(book);
  EXPECT_NEAR(losses.loss_usd[0], 400, 2e-3);
  EXPECT_EQ(losses.scenario[0], "near");
  EXPECT_EQ(losses.loss_usd[1], 0);  // it gains, or nothing moves
  EXPECT_EQ(losses.scenario[1], "");

  book.inputs.scenarios = {{"fall", 1, {{0, -0.5}}}};  // the last account only gains
  EXPECT_EQ(stress_of(book).scenario, (std::vector<std::string>{"fall", ""}));
}

TEST(StressScenarios, ALossThatIsNotFiniteIsNamed) {
  MemoryBook book;
  book.config.margin.stress = StressConfig{};
  const std::uint32_t u = book.add_underlying(1000);
  book.add_factor(u, FactorKind::spot, 0.03);
  book.add_factor(u, FactorKind::basis, 0.03);
  // e^(5 * 20) is beyond the range of floats.
  book.add_holder(book.add(option_of(book, InstrumentType::future, 0, 20 * year_days, 0)), -1);
  book.inputs.scenarios = {{"steep", 1, {{1, 5.0}}}};
  try {
    stress_of(book);
    FAIL() << "no exception";
  } catch (const OperatingError& error) {
    EXPECT_STREQ(error.what(),
                 "stress: the loss of account \"A0\" in scenario \"steep\" is not finite; its "
                 "moves are too large");
  }
}

TEST(Stress, HasTheSameBitsOnEveryInstructionSetAndDoublesExactly) {
  MemoryBook book = factor_book();
  book.config.margin.stress->has_grid = true;
  MemoryBook doubled = book;
  for (Position& p : doubled.book().positions)
    p.quantity = Quantity::from_units(2 * p.quantity.units());
  book.config.compute.instruction_set = InstructionSet::generic;
  const StressLosses generic = stress_of(book), twice = stress_of(doubled);
  for (std::size_t a = 0; a < generic.loss_usd.size(); ++a) {
    EXPECT_GT(generic.loss_usd[a], 0);
    EXPECT_EQ(twice.loss_usd[a], 2 * generic.loss_usd[a]);
  }
  EXPECT_EQ(twice.scenario, generic.scenario);
  for (InstructionSet set : {InstructionSet::avx2, InstructionSet::avx512}) {
    book.config.compute.instruction_set = set;
    try {
      const StressLosses other = stress_of(book);
      EXPECT_EQ(other.loss_usd, generic.loss_usd);
      EXPECT_EQ(other.scenario, generic.scenario);
    } catch (const InputError&) {  // this machine lacks it
    }
  }
}

TEST(Stress, MovesOfAPathGiveTheLossesOfThatPath) {
  MemoryBook book = factor_book();
  const Plan plan = book.plan();
  for (std::uint32_t path_count : {1u, 64u, 150u}) {
    const PathTrace trace = trace_paths(plan, 3, path_count);
    EXPECT_EQ(losses_of_moves(plan, trace.factors, path_count), trace.losses);
  }
}

}  // namespace
}  // namespace shortfall
