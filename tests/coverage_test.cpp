// How often a 95 % interval holds the truth, and whether the standard error is about right, over
// 2,000 seeds on books whose expected shortfall is known.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/quadrature/gauss.hpp>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "books.hpp"

namespace shortfall {
namespace {

using Gauss = boost::math::quadrature::gauss<double, 20>;

double normal_cdf(double x) { return boost::math::cdf(boost::math::normal(), x); }
double normal_pdf(double x) { return boost::math::pdf(boost::math::normal(), x); }

struct Node {
  double at, weight;
};

/// Gauss's rule on equal panels.
std::vector<Node> panels(double from, double to, int count) {
  std::vector<Node> nodes;
  const double half = (to - from) / count / 2;
  for (int panel = 0; panel < count; ++panel)
    for (std::size_t n = 0; n < Gauss::abscissa().size(); ++n)
      for (const double sign : {-1.0, 1.0})
        nodes.push_back({from + (2 * panel + 1 + sign * Gauss::abscissa()[n]) * half,
                         Gauss::weights()[n] * half});
  return nodes;
}

constexpr double degrees_of_freedom = 5, tail_floor = 1e-4;

/// What a Student t multiplies normals by, and how probable it is: 1 / sqrt(kappa max(W, w0)), an
/// atom at w0 and Gauss's rule in ln W above it; what lies beyond has probability 1e-15.
std::vector<Node> mixing_factors(Distribution distribution) {
  if (distribution == Distribution::gaussian) return {{1, 1}};
  const boost::math::chi_squared w(degrees_of_freedom), w_less_2(degrees_of_freedom - 2);
  const double w0 = quantile(w, tail_floor);
  const double kappa = cdf(complement(w_less_2, w0)) / (degrees_of_freedom - 2) + tail_floor / w0;
  std::vector<Node> factors{{1 / std::sqrt(kappa * w0), tail_floor}};
  for (const Node& ln_w : panels(std::log(w0), std::log(quantile(complement(w, 1e-15))), 4)) {
    const double at = std::exp(ln_w.at);
    factors.push_back({1 / std::sqrt(kappa * at), ln_w.weight * at * pdf(w, at)});
  }
  return factors;
}

constexpr double spot_usd = 100, confidence_level = 0.9;

/// Coins held of two underlyings that move independently but for the mixing variable.
struct Holder {
  const char* name;
  double u, v;
  MarginMode mode = MarginMode::portfolio;

  /// Whether every margin group is on one underlying.
  bool is_single() const { return u == 0 || mode == MarginMode::cross; }
};

/// E max(0, b e^x - strike) and the probability that it is above 0, x normal: Black's formula.
struct Excess {
  double mean, probability;
};
Excess lognormal_excess(double b, double deviation, double strike) {
  const double forward = b * std::exp(deviation * deviation / 2);
  // A call on b e^x where b > 0, a put on -b e^x where b < 0.
  const double ratio = strike / b;
  if (ratio <= 0) return b > 0 ? Excess{forward - strike, 1} : Excess{0, 0};
  const double sign = b > 0 ? 1 : -1, d2 = -std::log(ratio) / deviation;
  const double probability = normal_cdf(sign * d2);
  return {forward * normal_cdf(sign * (d2 + deviation)) - strike * probability, probability};
}

/// Of a day, of two coins as in the demonstration market.
using Deviations = std::array<double, 2>;
constexpr Deviations deviations = {0.03, 0.036};

/// Expected shortfall by Rockafellar and Uryasev's form: v + E max(0, L - v) / (1 - level) at the
/// v with P(L > v) = 1 - level.
double exact_shortfall(const Holder& holder, Distribution distribution,
                       const Deviations& of_spots = deviations) {
  const std::vector<Node> mixing = mixing_factors(distribution), normals = panels(-8, 8, 8);
  const auto excess_over = [&](double level) {
    Excess sum{0, 0};
    for (const Node& m : mixing)
      for (const Node& z : normals) {
        const double known = -holder.u * spot_usd * std::expm1(m.at * of_spots[0] * z.at);
        const Excess given = lognormal_excess(-holder.v * spot_usd, m.at * of_spots[1],
                                              level - known - holder.v * spot_usd);
        const double weight = m.weight * z.weight * normal_pdf(z.at);
        sum.mean += weight * given.mean;
        sum.probability += weight * given.probability;
      }
    return sum;
  };
  double below = -5 * spot_usd, above = 5 * spot_usd;
  for (int step = 0; step < 40; ++step) {
    const double middle = (below + above) / 2;
    (excess_over(middle).probability > 1 - confidence_level ? below : above) = middle;
  }
  return above + excess_over(above).mean / (1 - confidence_level);
}

constexpr Holder holders[] = {{"short", 0, -1},       {"long", 0, 1},
                              {"short both", -1, -1}, {"long both", 1, 1},
                              {"spread", 1, -1},      {"apart", -1, -1, MarginMode::cross}};
constexpr std::size_t holder_count = std::size(holders);
constexpr int seed_count = 2000;

/// Each underlying for itself in cross mode.
double exact_margin(const Holder& holder, Distribution distribution) {
  if (holder.mode == MarginMode::portfolio) return exact_shortfall(holder, distribution);
  return exact_shortfall({"u", 0, holder.u}, distribution, {deviations[1], deviations[0]}) +
         exact_shortfall({"v", 0, holder.v}, distribution);
}

struct Outcome {
  int below = 0, above = 0;  ///< intervals that miss the truth because they are
  double error_sum = 0, error_square_sum = 0, reported_variance_sum = 0;

  void add(const AccountMargin& margin, double truth) {
    const double error = margin.expected_shortfall_usd - truth;
    below += margin.confidence_high_usd < truth;
    above += truth < margin.confidence_low_usd;
    error_sum += error;
    error_square_sum += error * error;
    reported_variance_sum += margin.standard_error_usd * margin.standard_error_usd;
  }
  int covered() const { return seed_count - below - above; }
  double variance() const {
    return (error_square_sum - error_sum * error_sum / seed_count) / (seed_count - 1);
  }
  double bias() const { return error_sum / seed_count; }
  double reported_variance() const { return reported_variance_sum / seed_count; }
};

/// An account per holder, with 16,384 paths: a tenth of them is above 1,000.
class Coverage : public testing::TestWithParam<std::tuple<Sampler, Distribution>> {
 protected:
  Coverage() : made_(16384) {
    RunConfig& config = made_.config;
    config.risk.sampler = std::get<0>(GetParam());
    config.risk.confidence_level = confidence_level;
    config.model.distribution = std::get<1>(GetParam());
    config.model.degrees_of_freedom = degrees_of_freedom;
    config.model.tail_floor = tail_floor;
    std::array<std::uint32_t, 2> perpetuals{};
    for (std::size_t u = 0; u < 2; ++u) {
      const std::uint32_t underlying = made_.add_underlying(spot_usd);
      made_.add_factor(underlying, FactorKind::spot, deviations[u]);
      perpetuals[u] = made_.add({"", InstrumentType::perpetual, Settlement::linear, underlying});
    }
    for (const Holder& holder : holders) {
      const std::uint32_t account = made_.add_account(holder.mode);
      if (holder.u != 0) made_.hold(account, perpetuals[0], holder.u);
      made_.hold(account, perpetuals[1], holder.v);
    }
    made_.sort_positions();
  }

  std::array<Outcome, holder_count> outcomes() {
    const Distribution distribution = made_.config.model.distribution;
    std::array<double, holder_count> truths{};
    for (std::size_t h = 0; h < holder_count; ++h)
      truths[h] = exact_margin(holders[h], distribution);
    Problems problems;
    const FactorModel model = build_factor_model(made_.inputs.covariance, made_.config, problems);
    const auto backend = make_backend(made_.config.compute);
    std::array<Outcome, holder_count> of_holders;
    for (std::uint64_t seed = 0; seed < seed_count; ++seed) {
      made_.config.risk.seed = seed;
      const Plan plan = build_plan(made_.config, made_.inputs, model);
      const Tails tails = backend->simulate(plan, {0, plan.path_count}, {});
      const std::vector<AccountMargin> margins = compute_margins(plan, made_.book(), tails, {});
      for (std::size_t h = 0; h < holder_count; ++h) of_holders[h].add(margins[h], truths[h]);
    }
    return of_holders;
  }

  MemoryBook made_;
};

/// 93 to 97 % are four standard errors of a count either way. One underlying under Sobol does not
/// get there with 16 scramblings. Every point of a scrambling is confined to a stratum, but that of
/// the outermost is unbounded: a normal there makes up nine tenths of the variance of a scrambling
/// with 1,024 points, whose estimate has a skewness of 1.4 (a lognormal's, short) and, with a
/// Student t, more. Such estimates have the right mean and variance, and Student's interval for
/// their mean is too low: it misses on one side. More paths do not help, there being one outermost
/// point still; more scramblings and more underlyings do, but not where each is margined apart.
TEST_P(Coverage, OfTheTruthByIntervals) {
  const bool is_sobol = std::get<0>(GetParam()) == Sampler::sobol;
  const std::array<Outcome, holder_count> of_holders = outcomes();
  for (std::size_t h = 0; h < holder_count; ++h) {
    SCOPED_TRACE(holders[h].name);
    const Outcome& outcome = of_holders[h];
    fmt::print(
        "{:10}: {} of {} intervals hold the truth, {} are below, {} above; variance "
        "reported / found {:.3f}\n",
        holders[h].name, outcome.covered(), seed_count, outcome.below, outcome.above,
        outcome.reported_variance() / outcome.variance());
    EXPECT_LE(outcome.covered(), 1940);
    if (is_sobol && holders[h].is_single()) {
      EXPECT_GE(outcome.covered(), 1840);           // 92 %
      EXPECT_GT(outcome.below, 3 * outcome.above);  // were this not so, the reason would be another
    } else {
      EXPECT_GE(outcome.covered(), 1860);
    }
    // A variance over 2,000 seeds has a standard error of 3 %, the tail's fourth moment a little.
    EXPECT_NEAR(outcome.reported_variance() / outcome.variance(), 1, 0.1);
    // Of second order in the error (Rockafellar and Uryasev's minimum over a sample is too low).
    EXPECT_LE(std::abs(outcome.bias()), 0.1 * std::sqrt(outcome.variance()));
  }
}

INSTANTIATE_TEST_SUITE_P(, Coverage,
                         testing::Combine(testing::Values(Sampler::philox, Sampler::sobol),
                                          testing::Values(Distribution::gaussian,
                                                          Distribution::student_t)),
                         [](const auto& row) {
                           return fmt::format("{}_{}", to_string(std::get<0>(row.param)),
                                              to_string(std::get<1>(row.param)));
                         });

// The quadrature itself.

TEST(ExactShortfall, OfALognormalIsItsFormula) {
  const double s = deviations[1], z = quantile(boost::math::normal(), confidence_level);
  const double mean = std::exp(s * s / 2), tail = 1 - confidence_level;
  EXPECT_NEAR(exact_shortfall({"short", 0, -1}, Distribution::gaussian),
              spot_usd * (mean * normal_cdf(s - z) / tail - 1), 1e-8);
  EXPECT_NEAR(exact_shortfall({"long", 0, 1}, Distribution::gaussian),
              spot_usd * (1 - mean * normal_cdf(-s - z) / tail), 1e-8);
}

/// Each of the two underlyings is integrated in another way.
TEST(ExactShortfall, HasNoOrderOfUnderlyings) {
  for (const Distribution distribution : {Distribution::gaussian, Distribution::student_t})
    for (const Holder& holder : holders)
      if (holder.u != 0) {
        EXPECT_NEAR(exact_shortfall(holder, distribution),
                    exact_shortfall({"swapped", holder.v, holder.u}, distribution,
                                    {deviations[1], deviations[0]}),
                    1e-6);
      }
}

}  // namespace
}  // namespace shortfall
