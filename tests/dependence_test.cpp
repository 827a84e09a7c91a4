// Charges for dependence that fails, for concentration and for procyclicality: closed forms, and
// exact arithmetic on made-up losses.
#include <gtest/gtest.h>

#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "block_models.hpp"
#include "books.hpp"
#include "host/margin/components.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

using enum BetweenUnderlyings;
using enum FactorKind;

struct Charges {
  std::vector<GroupRisk> base;
  DependenceCharges dependence;
};

Simulate on_cpu(const RunConfig& config) {
  return [config](const Plan& plan) { return simulate(config, plan, {0, plan.path_count}); };
}

Charges charges_of(MemoryBook& made, const Simulate& simulate) {
  made.sort_positions();
  Charges charges;
  charges.base =
      simulate_risks(made.config, made.inputs, simulate, made.config.risk.confidence_level);
  charges.dependence = dependence_charges({made.config, made.inputs, simulate, charges.base});
  return charges;
}
Charges charges_of(MemoryBook& made) { return charges_of(made, on_cpu(made.config)); }

// Closed forms. Spot moves have a deviation of 1e-4, so that e^x - 1 is x to within 2e-4 of an
// expected shortfall: nothing beside its standard error, 0.9 % and more.
constexpr double small_move = 1e-4;

/// The tail of a standard normal, of which a sum of positions is a multiple.
struct NormalTail {
  double shortfall = 0;
  double standard_error = 0;  ///< of an estimate: Manistre and Hancock (2005)

  NormalTail(double confidence_level, std::uint64_t path_count) {
    const boost::math::normal normal;
    const double z = quantile(normal, confidence_level), tail = 1 - confidence_level;
    shortfall = pdf(normal, z) / tail;
    const double variance = 1 + z * shortfall - shortfall * shortfall;
    standard_error = std::sqrt((variance + confidence_level * (shortfall - z) * (shortfall - z)) /
                               (tail * static_cast<double>(path_count)));
  }
};

/// Coins at 100 USD that are equally correlated.
struct Coins : MemoryBook {
  Coins(std::size_t count, double correlation) : MemoryBook(200'000) {
    config.margin.dependence = DependenceConfig{};
    for (std::uint32_t u = 0; u < count; ++u) {
      add_underlying(100);
      add_factor(u, spot, small_move);
      add({"", InstrumentType::spot, Settlement::linear, u});
      for (std::uint32_t v = 0; v < u; ++v) correlate(u, v, correlation);
    }
  }
  void add_account_of(const std::vector<double>& coins) {
    const std::uint32_t account = add_account();
    for (std::uint32_t u = 0; u < coins.size(); ++u)
      if (coins[u] != 0) hold(account, u, coins[u]);
  }
  NormalTail base_tail() const {
    return NormalTail(config.risk.confidence_level, config.risk.path_count);
  }
  NormalTail far_tail() const {
    return NormalTail(config.margin.dependence->confidence_level, config.risk.path_count);
  }
};

struct DependenceCase {
  const char* name;
  double correlation;
  std::vector<double> coins;
  double base_deviation, worst_deviation;  ///< of the sum, in deviations of one coin
};

// Of +-1 coin each with correlation r: sqrt(2 + 2 r) or sqrt(2 - 2 r). Together: 2 or 0.
TEST(Dependence, ClosedForms) {
  const DependenceCase cases[] = {
      {"one coin: the confidence alone", 0.5, {1, 0}, 1, 1},
      {"long both: together is worst", 0.5, {1, 1}, std::sqrt(3.0), 2},
      {"long both, r < 0: together is worst", -0.5, {1, 1}, 1, 2},
      {"hedged: uncorrelated is worst", 0.5, {1, -1}, 1, std::sqrt(2.0)},
      {"hedged the more", 0.98, {1, -1}, 0.2, std::sqrt(2.0)},
      {"hedged, r < 0: the model is worst", -0.5, {1, -1}, std::sqrt(3.0), std::sqrt(3.0)},
      {"unequal hedge", 0.8, {2, -1}, std::sqrt(5 - 3.2), std::sqrt(5.0)},
  };
  for (const DependenceCase& row : cases) {
    SCOPED_TRACE(row.name);
    Coins made(2, row.correlation);
    made.config.margin.dependence->weight = 0.5;
    made.add_account_of(row.coins);
    const NormalTail base = made.base_tail(), far = made.far_tail();
    const double one_usd = 100 * small_move;
    const double expected =
        0.5 * (row.worst_deviation * far.shortfall - row.base_deviation * base.shortfall) * one_usd;
    const double standard_error =
        0.5 * one_usd *
        (row.worst_deviation * far.standard_error + row.base_deviation * base.standard_error);
    EXPECT_NEAR(charges_of(made).dependence.dependence_usd[0], expected, 4 * standard_error);
  }
}

TEST(Dependence, OfOneUnderlyingIsTheConfidenceAloneToTheBit) {
  Coins made(1, 0);
  made.add_account_of({3});
  made.add_account_of({-2});
  const std::vector<GroupRisk> far =
      simulate_risks(made.config, made.inputs, on_cpu(made.config), 0.995);
  const Charges charges = charges_of(made);
  for (std::size_t a = 0; a < 2; ++a) {
    const double expected =
        0.25 * (far[a].expected_shortfall_usd - charges.base[a].expected_shortfall_usd);
    EXPECT_GT(expected, 0);
    EXPECT_EQ(charges.dependence.dependence_usd[a], expected);
    EXPECT_EQ(charges.dependence.concentration_usd[a], expected);
  }
}

// With the factors in another order the draws differ: an estimate of the same.
TEST(Dependence, OfOneUnderlyingIsWithinFourStandardErrors) {
  MemoryBook made(100'000);
  made.config.margin.dependence = DependenceConfig{};
  made.add_underlying(100);
  made.add_factor(0, perp, 0.01);
  made.add_factor(0, spot, 0.03);
  made.correlate(0, 1, 0.4);
  const std::uint32_t spot_held = made.add({"", InstrumentType::spot, Settlement::linear, 0});
  const std::uint32_t perpetual = made.add({"", InstrumentType::perpetual, Settlement::linear, 0});
  made.hold(made.add_account(), perpetual, 1);
  made.hold(0, spot_held, -0.5);
  made.sort_positions();
  const auto risk = [&](const FactorModel& model) {
    return simulate_risks(made.config, made.inputs, on_cpu(made.config), 0.995, &model)[0];
  };
  const GroupRisk own = risk(model_of(made)), block = risk(model_of(made, together));
  EXPECT_NE(own.expected_shortfall_usd, block.expected_shortfall_usd);
  EXPECT_NEAR(own.expected_shortfall_usd, block.expected_shortfall_usd,
              4 * std::hypot(own.standard_error_usd, block.standard_error_usd));
  EXPECT_EQ(block.expected_shortfall_usd,
            risk(model_of(made, uncorrelated)).expected_shortfall_usd);
}

TEST(Dependence, GrowsWithHedgesAcrossUnderlyings) {
  Coins made(2, 0.9);
  for (const double hedge : {0.0, 0.25, 0.5, 0.75, 1.0}) made.add_account_of({1, -hedge});
  const std::vector<double> charges = charges_of(made).dependence.dependence_usd;
  for (std::size_t a = 1; a < charges.size(); ++a) EXPECT_GT(charges[a], charges[a - 1]) << a;
  // sqrt(2) far less sqrt(0.2) base, over far less base: about 11.
  EXPECT_GT(charges.back(), 5 * charges.front());
}

// Long a coin of each of two underlyings that nothing correlates, under Student's t with 3 degrees
// of freedom: with one mixing variable the sum is t again and has sqrt(2) the shortfall of one;
// with one each it would have 1.295 times (400,000 draws by other means), ten standard errors less.
TEST(Dependence, StudentMixingVariableIsShared) {
  Coins made(2, 0.5);
  made.config.risk.path_count = 2'000'000;
  made.config.model.distribution = Distribution::student_t;
  made.config.model.degrees_of_freedom = 3;
  made.add_account_of({1, 0});
  made.add_account_of({1, -1});
  made.sort_positions();
  const FactorModel apart = model_of(made, uncorrelated);
  const std::vector<GroupRisk> risks =
      simulate_risks(made.config, made.inputs, on_cpu(made.config), 0.995, &apart);
  EXPECT_NEAR(
      risks[1].expected_shortfall_usd, std::sqrt(2.0) * risks[0].expected_shortfall_usd,
      4 * std::hypot(risks[1].standard_error_usd, std::sqrt(2.0) * risks[0].standard_error_usd));
}

struct ConcentrationCase {
  const char* name;
  std::vector<double> coins;
  double parts;  ///< of the two largest, in deviations of one coin
  double rest, whole;
};

// Correlations of 1/2: the variance of a sum is (sum of n^2 + (sum of n)^2) / 2.
TEST(Concentration, ClosedForms) {
  const ConcentrationCase cases[] = {
      {"three long", {1, 2, 3}, 5, 1, std::sqrt((14 + 36) / 2.0)},
      {"hedged", {1, -3, 2}, 5, 1, std::sqrt((14 + 0) / 2.0)},
      {"two coins, no rest", {2, 0, -1}, 3, 0, std::sqrt((5 + 1) / 2.0)},
      {"a rest of two", {4, 1, 1, -5}, 9, std::sqrt(3.0), std::sqrt((43 + 1) / 2.0)},
  };
  for (const ConcentrationCase& row : cases) {
    SCOPED_TRACE(row.name);
    Coins made(row.coins.size(), 0.5);
    made.add_account_of(row.coins);
    const NormalTail base = made.base_tail(), far = made.far_tail();
    const double one_usd = 0.25 * 100 * small_move;
    const double expected =
        one_usd * (row.parts * far.shortfall + (row.rest - row.whole) * base.shortfall);
    const double standard_error =
        one_usd * (row.parts * far.standard_error + (row.rest + row.whole) * base.standard_error);
    EXPECT_NEAR(charges_of(made).dependence.concentration_usd[0], expected, 4 * standard_error);
  }
}

/// Losses by what a group holds, the same on every path of the tail, in place of a simulation.
struct MadeUpLosses {
  FactorModel together_model, uncorrelated_model;
  /// By model ('H', 'P', 'Z'), whether at the dependence confidence, and a letter per holding.
  std::map<std::string, double> loss_usd;
  std::vector<std::string> asked;

  std::string name(const Plan& plan, std::size_t group) const {
    std::string name = plan.model.loading == together_model.loading       ? "P"
                       : plan.model.loading == uncorrelated_model.loading ? "Z"
                                                                          : "H";
    name += plan.confidence_level == 0.99 ? " base " : " far ";
    for (std::uint64_t h = plan.group_begin[group]; h < plan.group_begin[group + 1]; ++h)
      name += static_cast<char>(
          'a' + plan.instruments[plan.holdings[h].instrument & core::Holding::index_mask]);
    return name;
  }

  Tails operator()(const Plan& plan) {
    Tails tails{plan.path_count, plan.tail.count, {}};
    for (std::size_t g = 0; g < plan.groups.size(); ++g) {
      asked.push_back(name(plan, g));
      const double loss = std::ldexp(loss_usd.at(asked.back()), -plan.groups[g].scale_exponent);
      for (std::uint32_t path = 0; path < tails.count; ++path)
        tails.keys.push_back(core::tail_key(static_cast<float>(loss), path));
    }
    asked.push_back("|");
    return tails;
  }
};

// Worked by hand, weight 0.25. Account abc: base 20, H 22, P 30, Z 25; alone a 8, b 16, c 4, the
// rest (c) at the base confidence 3.
//   dependence    0.25 (30 - 20) = 2.5
//   concentration 0.25 (8 + 16 + 3 - 20) = 1.75
// Account ab: base 6, H 7, P 1, Z 5: 0.25 (7 - 6) = 0.25; no rest: 0.25 (8 + 16 - 6) = 4.5.
// Account c: base 3, H 4, P 2, Z 3.5: both 0.25 (4 - 3) = 0.25, c being its own part.
// Account ac: base 12.5 above H 9, P 10, Z 12 and above 8 + 4: nothing.
// Account cd: c and d gain: base -6, H -5, P -5.5, Z -6; alone c 4 and d -9:
//   0.25 (-5 + 6) = 0.25; 0.25 (4 - 9 + 6) = 0.25.
// Account acd: base 2, H 3, P 2, Z 2: 0.25. Alone a 8, c 4, d -9, the rest (d) at the base
//   confidence -8: 0.25 (8 + 4 - 8 - 2) = 0.5.
TEST(Dependence, ArithmeticByHand) {
  Coins made(4, 0.5);
  made.config.risk.path_count = 10'000;
  made.add_account_of({1, 1, 1, 0});
  made.add_account();
  made.add_account_of({1, 1, 0, 0});
  made.add_account_of({0, 0, 1, 0});
  made.add_account_of({1, 0, 1, 0});
  made.add_account_of({0, 0, 1, 1});
  made.add_account_of({1, 0, 1, 1});
  MadeUpLosses losses{
      model_of(made, together),
      model_of(made, uncorrelated),
      {{"H base abc", 20},  {"H far abc", 22}, {"P far abc", 30},  {"Z far abc", 25},
       {"H far a", 8},      {"H far b", 16},   {"H far c", 4},     {"H far d", -9},
       {"H base c", 3},     {"P far c", 2},    {"Z far c", 3.5},   {"H base d", -8},
       {"H base ab", 6},    {"H far ab", 7},   {"P far ab", 1},    {"Z far ab", 5},
       {"H base ac", 12.5}, {"H far ac", 9},   {"P far ac", 10},   {"Z far ac", 12},
       {"H base cd", -6},   {"H far cd", -5},  {"P far cd", -5.5}, {"Z far cd", -6},
       {"H base acd", 2},   {"H far acd", 3},  {"P far acd", 2},   {"Z far acd", 2}},
      {}};
  const Charges charges = charges_of(made, std::ref(losses));
  EXPECT_EQ(charges.dependence.dependence_usd,
            (std::vector<double>{2.5, 0, 0.25, 0.25, 0, 0.25, 0.25}));
  EXPECT_EQ(charges.dependence.concentration_usd,
            (std::vector<double>{1.75, 0, 4.5, 0.25, 0, 0.25, 0.5}));
  // The base, then four simulations, the last of the rests alone.
  EXPECT_EQ(std::ranges::count(losses.asked, "|"), 5);
  const std::vector<std::string> last{"|", "H base c", "H base d", "|"};
  EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), losses.asked.rbegin()));
}

TEST(Concentration, OfEqualUnderlyingsTheEarlierCount) {
  Coins made(3, 0.5);
  made.config.risk.path_count = 10'000;
  made.add_account_of({1, 1, 1});
  MadeUpLosses losses{model_of(made, together),
                      model_of(made, uncorrelated),
                      {{"H base abc", 20},
                       {"H far abc", 22},
                       {"P far abc", 22},
                       {"Z far abc", 22},
                       {"H far a", 8},
                       {"H far b", 8},
                       {"H far c", 8},
                       {"H base c", 8}},
                      {}};
  EXPECT_EQ(charges_of(made, std::ref(losses)).dependence.concentration_usd[0], 0.25 * (24 - 20));
}

TEST(Dependence, AccountsWithoutPositionsAreNotCharged) {
  Coins made(2, 0.5);
  made.config.risk.path_count = 1000;
  made.add_account();
  made.hold(made.add_account(), 0, 0);
  const Charges empty = charges_of(made);
  EXPECT_EQ(empty.dependence.dependence_usd, (std::vector<double>{0, 0}));
  EXPECT_EQ(empty.dependence.concentration_usd, (std::vector<double>{0, 0}));
  made.add_account_of({1, 1});
  made.add_account();
  const Charges charges = charges_of(made);
  ASSERT_EQ(charges.dependence.dependence_usd.size(), 4u);
  for (const std::size_t a : {0u, 1u, 3u}) {
    EXPECT_EQ(charges.dependence.dependence_usd[a], 0);
    EXPECT_EQ(charges.dependence.concentration_usd[a], 0);
  }
  EXPECT_GT(charges.dependence.dependence_usd[2], 0);
  EXPECT_GT(charges.dependence.concentration_usd[2], 0);
}

// What others hold, and in which order the accounts come, changes no bit of a charge.
TEST(Dependence, DependsOnTheAccountAlone) {
  const std::vector<std::vector<double>> coins{{1, -2, 3}, {0, 1, 0}, {2, 2, -1}, {0, -1, 1}};
  Coins all(3, 0.4);
  all.config.risk.path_count = 10'000;
  for (const std::vector<double>& held : coins) all.add_account_of(held);
  const DependenceCharges together_charges = charges_of(all).dependence;
  for (std::size_t a = 0; a < coins.size(); ++a) {
    Coins alone(3, 0.4);
    alone.config.risk.path_count = 10'000;
    alone.add_account_of(coins[a]);
    const DependenceCharges own = charges_of(alone).dependence;
    EXPECT_EQ(own.dependence_usd[0], together_charges.dependence_usd[a]) << a;
    EXPECT_EQ(own.concentration_usd[0], together_charges.concentration_usd[a]) << a;
  }
}

TEST(Dependence, NeedsATailAtItsConfidence) {
  Coins made(2, 0.5);
  made.config.risk.path_count = 150;
  made.add_account_of({1, 1});
  EXPECT_THROW(charges_of(made), InputError);
}

/// Every instrument type on two underlyings with every kind of factor, Student's t.
MemoryBook rich_book() {
  MemoryBook made = mixed_book();
  made.config.risk.path_count = 5000;
  made.config.model.distribution = Distribution::student_t;
  made.config.margin.dependence = DependenceConfig{};
  made.config.margin.procyclicality = ProcyclicalityConfig{{}, 0.25};
  made.inputs.stressed_covariance = made.inputs.covariance;
  for (double& entry : made.inputs.stressed_covariance->matrix) entry *= 2.5;
  const std::uint32_t account = made.add_account();
  for (std::uint32_t u = 0; u < 2; ++u) {
    const double price = made.book().underlyings[u].spot_usd;
    const std::int64_t expiry = made.config.as_of + 40 * day_seconds;
    for (const Settlement settlement : {Settlement::linear, Settlement::inverse}) {
      made.add({"", InstrumentType::call, settlement, u, expiry, 1.1 * price, 1, price, 0.6});
      made.add({"", InstrumentType::put, settlement, u, expiry, 0.9 * price, 1, price, 0.7});
      made.add({"", InstrumentType::future, settlement, u, expiry, 0, 1, 1.01 * price, 0});
      made.add({"", InstrumentType::perpetual, settlement, u, 0, 0, 1, price, 0});
    }
  }
  for (std::uint32_t i = 0; i < made.book().instruments.size(); ++i)
    made.hold(account, i, std::cos(1.0 + i));
  made.hold(made.add_account(), 1, -2);
  return made;
}

std::vector<double> all_charges(MemoryBook& made) {
  const Simulate simulate = on_cpu(made.config);
  Charges charges = charges_of(made, simulate);
  std::vector<double> all = charges.dependence.dependence_usd;
  const auto append = [&](const std::vector<double>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  append(charges.dependence.concentration_usd);
  append(procyclicality_charges({made.config, made.inputs, simulate, charges.base}));
  return all;
}

TEST(Dependence, HasTheSameBitsOnEveryInstructionSetAndThreads) {
  MemoryBook made = rich_book();
  for (const RevalueAt time : {RevalueAt::horizon, RevalueAt::worst}) {
    made.config.risk.revalue_at = time;
    made.config.compute.instruction_set = InstructionSet::generic;
    made.config.compute.thread_count = 1;
    const std::vector<double> expected = all_charges(made);
    for (const double charge : expected) EXPECT_GT(charge, 0);
    for (const InstructionSet set : usable_instruction_sets()) {
      for (const std::uint32_t threads : {1u, 3u}) {
        made.config.compute.instruction_set = set;
        made.config.compute.thread_count = threads;
        EXPECT_EQ(all_charges(made), expected) << to_string(set) << ' ' << threads;
      }
    }
  }
}

/// Charges of one coin long and of two that are hedged when the stressed covariance is `multiple`
/// times the other, and the expected shortfalls that they come from.
struct Procyclicality {
  std::vector<double> charges;
  std::vector<GroupRisk> base;

  Procyclicality(double multiple, double weight, Distribution distribution) {
    Coins made(2, 0.5);
    made.config.risk.path_count = 50'000;
    made.config.model.distribution = distribution;
    made.config.margin.procyclicality = ProcyclicalityConfig{{}, weight};
    made.inputs.stressed_covariance = made.inputs.covariance;
    for (double& entry : made.inputs.stressed_covariance->matrix) entry *= multiple;
    made.add_account_of({1, 0});
    made.add_account();
    made.add_account_of({1, -1});
    const Simulate simulate = on_cpu(made.config);
    base = simulate_risks(made.config, made.inputs, simulate, 0.99);
    charges = procyclicality_charges({made.config, made.inputs, simulate, base});
  }
};

// On the same draws moves are sqrt(multiple) times as large, and losses of linear positions too:
// the charge is w (sqrt(multiple) - 1) ES, to within the curvature of small moves.
TEST(Procyclicality, ClosedForm) {
  for (const Distribution distribution : {Distribution::gaussian, Distribution::student_t})
    for (const auto& [multiple, weight] :
         {std::pair{2.0, 0.25}, {2.0, 1.0}, {4.0, 0.25}, {4.0, 0.0}, {1.0, 0.25}, {0.5, 0.25}}) {
      SCOPED_TRACE(testing::Message() << multiple << ' ' << weight);
      const Procyclicality made(multiple, weight, distribution);
      const double factor = weight * std::max(0.0, std::sqrt(multiple) - 1);
      for (const std::size_t a : {0u, 2u}) {
        const double shortfall = made.base[a].expected_shortfall_usd;
        EXPECT_GT(shortfall, 0);
        EXPECT_NEAR(made.charges[a], factor * shortfall, 1e-3 * factor * shortfall);
      }
      EXPECT_EQ(made.charges[1], 0);
    }
}

// Stress may be of dependence alone: correlations of 0 for 1/2 make the hedge sqrt(2) as risky.
TEST(Procyclicality, OfCorrelation) {
  Coins made(2, 0.5);
  made.config.margin.procyclicality = ProcyclicalityConfig{{}, 0.25};
  made.inputs.stressed_covariance = made.inputs.covariance;
  made.inputs.stressed_covariance->matrix[1] = made.inputs.stressed_covariance->matrix[2] = 0;
  made.add_account_of({1, -1});
  made.add_account_of({1, 1});
  const Simulate simulate = on_cpu(made.config);
  const auto base = simulate_risks(made.config, made.inputs, simulate, 0.99);
  const auto charges = procyclicality_charges({made.config, made.inputs, simulate, base});
  const NormalTail tail = made.base_tail();
  const double one_usd = 0.25 * 100 * small_move;
  EXPECT_NEAR(charges[0], (std::sqrt(2.0) - 1) * tail.shortfall * one_usd,
              4 * (std::sqrt(2.0) + 1) * tail.standard_error * one_usd);
  EXPECT_EQ(charges[1], 0);
}

}  // namespace
}  // namespace shortfall
