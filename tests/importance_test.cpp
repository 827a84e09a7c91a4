// Importance sampling: the tilt against the distribution it claims to be, the estimators against
// closed forms and plain simulations, and the same bytes everywhere.
#include "shortfall/importance.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "books.hpp"
#include "demo_run.hpp"
#include "host/analysis/one_account.hpp"
#include "host/analysis/tilt.hpp"
#include "host/analysis/weighted_tail.hpp"
#include "straddles.hpp"

namespace shortfall {
namespace {

constexpr double spot_usd = 100;

/// Two coins that move together, and a holder of both or of one.
MemoryBook two_coins(Distribution distribution, double first, double second) {
  MemoryBook made(100'000);
  made.config.model.distribution = distribution;
  std::vector<std::uint32_t> perpetuals;
  for (const double deviation : {0.03, 0.05}) {
    const std::uint32_t coin = made.add_underlying(spot_usd);
    made.add_factor(coin, FactorKind::spot, deviation);
    perpetuals.push_back(
        made.add({"", InstrumentType::perpetual, Settlement::linear, coin, 0, 0, 1, 0, 0}));
  }
  made.correlate(0, 1, 0.6);
  const std::uint32_t account = made.add_account();
  if (first != 0) made.hold(account, perpetuals[0], first);
  if (second != 0) made.hold(account, perpetuals[1], second);
  made.sort_positions();
  return made;
}

/// Some tilt that is none of the special cases.
Tilt some_tilt() { return {{0.6, 0.8, -0.8, 0.6}, {0.7, -0.2}, {1.4, 0.8}, 0.4}; }

struct Mean {
  double sum = 0, square = 0, count = 0;
  void add(double x) {
    sum += x;
    square += x * x;
    ++count;
  }
  double value() const { return sum / count; }
  double error() const { return std::sqrt((square / count - value() * value()) / count); }
};

/// Under either density the ratio to the other has mean 1, and weighs moments into the other's: of
/// the directions, of the mixing variable and of the factor moves.
TEST(Tilt, RatioIsThatOfTheDensities) {
  for (const Distribution distribution : {Distribution::gaussian, Distribution::student_t}) {
    SCOPED_TRACE(to_string(distribution));
    MemoryBook made = two_coins(distribution, 1, 1);
    made.config.model.tail_floor = 0.0005;  // often enough that its atom matters
    const Plan plan = made.plan();
    const Tilt tilt = some_tilt();
    const TiltRatio ratio(plan.model, tilt);
    Plan drawn = plan, turned = plan;
    drawn.model = tilted(plan.model, tilt);
    turned.model = tilted(plan.model, tilt.plain());
    const std::uint32_t count = 400'000;
    const PathTrace under_tilt = trace_paths(drawn, 0, count);
    const PathTrace under_model = trace_paths(turned, 0, count);
    std::vector<double> of_tilt(count), of_model(count);
    ratio.logs_of(TiltRatio::Drawn::by_tilt, under_tilt.normals.data(), count,
                  under_tilt.mixing.data(), count, of_tilt.data());
    ratio.logs_of(TiltRatio::Drawn::by_model, under_model.normals.data(), count,
                  under_model.mixing.data(), count, of_model.data());
    Mean one, move, square, mixing, floor, inverse, tilted_move;
    double most = 0;
    for (const double m : under_model.mixing) most = std::max(most, m);
    for (std::size_t p = 0; p < count; ++p) {
      const double m = under_tilt.mixing[p];
      const double weight = std::exp(-of_tilt[p]);
      one.add(weight);
      move.add(weight * under_tilt.factors[p] / 0.03);
      square.add(weight * std::pow(under_tilt.factors[p] / 0.03, 2));
      mixing.add(weight / (m * m));
      floor.add(m >= most ? weight : 0);
      inverse.add(std::exp(of_model[p]));
      tilted_move.add(std::exp(of_model[p]) * under_model.factors[p] - under_tilt.factors[p]);
    }
    EXPECT_NEAR(one.value(), 1, 4 * one.error());
    EXPECT_NEAR(inverse.value(), 1, 4 * inverse.error());
    EXPECT_NEAR(move.value(), 0, 4 * move.error());
    EXPECT_NEAR(square.value(), 1, 4 * square.error());
    EXPECT_NEAR(tilted_move.value(), 0, 4 * tilted_move.error());
    const bool is_student_t = distribution == Distribution::student_t;
    EXPECT_NEAR(mixing.value(), is_student_t ? 5 * plan.model.kappa : 1,
                4 * mixing.error() + 1e-3);  // E max(W, w0) is above 5 by less than w0 p
    EXPECT_NEAR(floor.value(), is_student_t ? 0.0005 : 1, 4 * floor.error());
    // Small enough for the above to mean something.
    EXPECT_LT(one.error() + square.error(), 0.03);
  }
}

TEST(Tilt, WeightsAreBounded) {
  EXPECT_DOUBLE_EQ(defensive_weight(0, 0.1), 1);
  EXPECT_DOUBLE_EQ(defensive_weight(-1e4, 0.1), 10);
  EXPECT_EQ(defensive_weight(1e4, 0.1), 0);
  EXPECT_DOUBLE_EQ(defensive_weight(std::log(3.0), 0.25), 1 / (0.25 + 0.75 * 3));
}

/// Black's own delta and gamma in ln F, which the bump is small against.
TEST(DeltaGamma, OfAStraddleIsBlacks) {
  Straddle straddle;
  MemoryBook made = straddle.book();
  constexpr double deviation = 0.04;
  made.add_factor(0, FactorKind::spot, deviation);
  made.config.risk.revalue_at = RevalueAt::now;
  const Plan plan = made.plan();
  const DeltaGamma loss = delta_gamma(plan, std::vector<std::uint32_t>{0}, 0.25);
  const double usd = std::ldexp(1.0, plan.groups[0].scale_exponent);
  const double h = 1e-3;
  const auto value = [&](double x) { return -straddle.pnl_usd(std::expm1(x), straddle.iv); };
  const double slope = (value(h) - value(-h)) / (2 * h);
  const double curvature = (value(h) + value(-h)) / (h * h);
  // A bump of 1 % moves the second difference by a share of about bump^2 / v^2, v = 0.13.
  EXPECT_NEAR(loss.slope[0] * usd, slope * deviation, 0.01 * std::abs(curvature) * deviation);
  EXPECT_NEAR(loss.curvature[0] * usd, curvature / 2 * deviation * deviation,
              0.01 * std::abs(curvature) * deviation * deviation);
}

/// Of a loss that is linear in the moves nothing is curved, and the slope is that of all factors.
TEST(DeltaGamma, TurnsLinearBooksIntoOneSlope) {
  const MemoryBook made = two_coins(Distribution::gaussian, 1, -2);
  const Plan plan = build_plan(made.config, made.inputs);
  const DeltaGamma loss = delta_gamma(plan, std::vector<std::uint32_t>{0, 1}, 0.01);
  const double usd = std::ldexp(1.0, plan.groups[0].scale_exponent);
  const double square = std::pow(loss.slope[0], 2) + std::pow(loss.slope[1], 2);
  const double a = spot_usd * 0.03, b = -2 * spot_usd * 0.05;
  EXPECT_NEAR(std::sqrt(square) * usd, std::sqrt(a * a + b * b + 2 * 0.6 * a * b), 1e-2);
}

/// Identical densities have weights of one: the estimators are those of plain tails.
TEST(WeightedTail, OfWeightsOfOneIsThePlainTail) {
  const MemoryBook made = two_coins(Distribution::student_t, 1, -2);
  const Plan whole = build_plan(made.config, made.inputs);
  const auto backend = make_backend(made.config.compute);
  AllLosses parts[2];
  Tails all;
  const std::uint64_t cut = 70'000;
  for (int part = 0; part < 2; ++part) {
    Plan plan = whole;
    plan.tail = {0, whole.path_count, whole.path_count};
    const Tails tails =
        backend->simulate(plan, part ? PathRange{cut, whole.path_count} : PathRange{0, cut}, {});
    parts[part] = {plan, tails.keys};
  }
  const Tilt none{{1, 0, 0, 1}, {0, 0}, {1, 1}, 1};
  const WeightedTail got = weighted_tail(whole.model, none, parts[0], parts[1], whole.tail.k, 1);
  const AccountMargin want =
      compute_margins(whole, made.book(), backend->simulate(whole, {0, whole.path_count}, {}), {})
          .front();
  const double usd = std::ldexp(1.0, whole.groups[0].scale_exponent);
  EXPECT_DOUBLE_EQ(got.value_at_risk * usd, want.value_at_risk_usd);
  EXPECT_NEAR(got.expected_shortfall * usd, want.expected_shortfall_usd,
              1e-9 * want.expected_shortfall_usd);
  // Of two simulations of fixed size rather than one: the mean of a part is its own.
  EXPECT_NEAR(got.standard_error * usd, want.standard_error_usd, 1e-3 * want.standard_error_usd);
  EXPECT_NEAR(got.plain_error * usd, want.standard_error_usd, 1e-9 * want.standard_error_usd);
  EXPECT_NEAR(got.effective_count, whole.tail.k, 1e-6);
}

ImportanceEstimate sampled(const MemoryBook& made) {
  return sample_importance(made.config, made.inputs);
}

/// Expected shortfall of one lognormal coin, long and short: McNeil, Frey and Embrechts 2015,
/// example 2.16, for ln S.
TEST(Importance, OfALognormalIsItsClosedForm) {
  for (const double confidence : {0.975, 0.99, 0.999}) {
    for (const double size : {1.0, -1.0}) {
      SCOPED_TRACE(fmt::format("{} at {}", size, confidence));
      MemoryBook made = two_coins(Distribution::gaussian, 0, size);
      made.config.risk.confidence_level = confidence;
      const boost::math::normal normal;
      const double s = 0.05, z = quantile(normal, confidence), mean = std::exp(s * s / 2);
      const double truth = size > 0 ? spot_usd * (1 - mean * cdf(normal, -s - z) / (1 - confidence))
                                    : spot_usd * (mean * cdf(normal, s - z) / (1 - confidence) - 1);
      int covered = 0;
      constexpr int seed_count = 200;
      double spread = 0, reported = 0;
      for (int seed = 0; seed < seed_count; ++seed) {
        made.config.risk.seed = static_cast<std::uint64_t>(seed);
        made.config.risk.path_count = confidence > 0.99 ? 100'000 : 20'000;
        const ImportanceEstimate estimate = sampled(made);
        covered += estimate.confidence_low_usd <= truth && truth <= estimate.confidence_high_usd;
        spread += std::pow(estimate.expected_shortfall_usd - truth, 2);
        reported += std::pow(estimate.standard_error_usd, 2);
        EXPECT_GT(estimate.variance_ratio, 20);
      }
      fmt::print(
          "confidence {} size {:2}: {} of {} intervals hold the truth, variance reported / "
          "found {:.2f}\n",
          confidence, size, covered, seed_count, reported / spread);
      EXPECT_GE(covered, 178);                 // 190 expected, four standard deviations of 3.1
      EXPECT_NEAR(reported / spread, 1, 0.4);  // a variance of 200 has a relative error of 0.1
    }
  }
}

/// Accounts of the demonstration book, of every mode, against plain paths: in many standard errors
/// together, so that none can be wrong by much or all by little.
TEST(Importance, AgreesWithPlainPaths) {
  DemoRun run("", 1, 2'000'000);
  RunConfig& config = run.config();
  const RunInputs inputs = load_inputs(config);
  const std::vector<AccountMargin> plain = shortfall::run(config).margins;
  config.risk.path_count = 50'000;
  double squares = 0;
  int count = 0, better = 0;
  for (std::uint32_t a = 0; a < plain.size(); a += 5) {
    const ImportanceEstimate estimate = sample_importance(config, inputs_of_account(inputs, a));
    const double error = std::hypot(estimate.standard_error_usd, plain[a].standard_error_usd);
    const double z = (estimate.expected_shortfall_usd - plain[a].expected_shortfall_usd) / error;
    EXPECT_LT(std::abs(z), 4.5) << plain[a].account;
    EXPECT_DOUBLE_EQ(estimate.gross_notional_usd, plain[a].gross_notional_usd);
    EXPECT_EQ(estimate.position_count, plain[a].position_count);
    squares += z * z;
    ++count;
    better += estimate.variance_ratio > 20;
  }
  fmt::print("{} accounts, root of mean z^2 {:.2f}, {} with a variance ratio above 20\n", count,
             std::sqrt(squares / count), better);
  EXPECT_GT(count, 15);
  EXPECT_LT(squares / count, 1.6);  // 20 or so of z^2 have a mean of 1 within 0.3; shared paths
  EXPECT_GE(better, count * 8 / 10);
}

TEST(Importance, BytesAreEqualOnEveryInstructionSetAndThread) {
  for (const char* account : {"market-maker-03", "calendar-02"}) {  // portfolio, isolated
    DemoRun run("sampling_uplift = 1\n", 1, 20'000);
    RunConfig& config = run.config();
    config.compute.thread_count = 1;
    const std::string want = format_importance(sample_importance(config, account));
    for (const InstructionSet set : usable_instruction_sets())
      for (const std::uint32_t threads : {1u, 3u}) {
        config.compute.instruction_set = set;
        config.compute.thread_count = threads;
        config.compute.tile_path_count = threads * 64;
        EXPECT_EQ(format_importance(sample_importance(config, account)), want);
      }
  }
}

/// Nothing to tilt towards: the loss is the premium on nearly every path.
TEST(Importance, OfALossThatIsTheSameOnMostPaths) {
  MemoryBook made(50'000);
  const std::uint32_t coin = made.add_underlying(spot_usd);
  made.add_factor(coin, FactorKind::spot, 0.01);
  const std::uint32_t call =
      made.add({"", InstrumentType::call, Settlement::linear, coin,
                made.config.as_of + day_seconds / 2, 2 * spot_usd, 1, spot_usd, 0.5});
  made.add_holder(call, 10);
  const ImportanceEstimate estimate = sampled(made);
  EXPECT_EQ(estimate.standard_error_usd, 0);
  EXPECT_EQ(estimate.expected_shortfall_usd, estimate.value_at_risk_usd);
  EXPECT_EQ(estimate.variance_ratio, 1);
  EXPECT_NEAR(estimate.effective_tail_count, 500, 1);
}

std::string refusal(const RunConfig& config, const std::string& account) {
  try {
    sample_importance(config, account);
  } catch (const InputError& error) {
    return error.what();
  } catch (const OperatingError& error) {
    return error.what();
  }
  return "";
}

TEST(Importance, BadInputIsRefused) {
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  DemoRun run("", 1, 20'000);
  RunConfig config = run.config();
  expect(refusal(config, "market-maker-33"), "has no account \"market-maker-33\"; names close");
  config.risk.path_count = 9'999;
  expect(refusal(config, "market-maker-03"),
         "importance sampling at confidence 0.99 takes at least 10000 paths");
  config.risk.path_count = 1u << 15;
  config.risk.sampler = Sampler::sobol;
  expect(refusal(config, "market-maker-03"), "set [risk] sampler = \"philox\"");
  config = run.config();
  config.risk.is_automatic = true;
  expect(refusal(config, "market-maker-03"), "give a number with --paths");
  MemoryBook made = two_coins(Distribution::gaussian, 1, 0);
  made.book().positions.front().quantity = {};
  try {
    sampled(made);
    FAIL() << "an account that holds nothing";
  } catch (const InputError& error) {
    expect(error.what(), "account \"A0\" holds nothing");
  }
}

/// Most of the tail is that of a long coin, most of the excess beyond it that of a few calls sold:
/// the tilt goes up, and down there are the paths of the model alone, ten times too heavy.
TEST(Importance, TooFewEffectivePathsAreRefused) {
  MemoryBook made = two_coins(Distribution::gaussian, 1, 0);
  made.config.risk.path_count = 10'000;
  const std::uint32_t call =
      made.add({"", InstrumentType::call, Settlement::linear, 0,
                made.config.as_of + day_seconds / 2, spot_usd * std::exp(0.085), 1, spot_usd, 0.1});
  made.hold(0, call, -100);
  made.sort_positions();
  try {
    const ImportanceEstimate estimate = sampled(made);
    FAIL() << estimate.effective_tail_count << " effective paths";
  } catch (const OperatingError& error) {
    EXPECT_NE(std::string(error.what()).find("account A0: 10000 paths drawn by importance are"),
              std::string::npos)
        << error.what();
  }
  made.config.risk.path_count = 1'000'000;  // the remedy
  const AccountMargin plain = margins_of(made).front();
  const ImportanceEstimate estimate = sampled(made);
  EXPECT_GT(estimate.effective_tail_count, 100);
  EXPECT_NEAR(estimate.expected_shortfall_usd, plain.expected_shortfall_usd,
              4 * std::hypot(estimate.standard_error_usd, plain.standard_error_usd));
}

}  // namespace
}  // namespace shortfall
