// The core's arithmetic: the emulated fused multiply-add to the bit, the claimed errors of the
// elementary functions and of Black's formula, and what the stages make of special values.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "host/cpu/cpu_backend.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/core/black76.hpp"
#include "shortfall/core/elementary.hpp"
#include "shortfall/core/normal.hpp"
#include "shortfall/core/revalue.hpp"

namespace shortfall {
namespace {

using core::bit_cast;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float denormal = std::numeric_limits<float>::denorm_min();
constexpr float specials[] = {0.0f,
                              -0.0f,
                              denormal,
                              -denormal,
                              std::numeric_limits<float>::min(),
                              1.0f,
                              -1.0f,
                              0x1.000002p0f,
                              1e-20f,
                              -1e20f,
                              std::numeric_limits<float>::max(),
                              -std::numeric_limits<float>::max(),
                              infinity,
                              -infinity,
                              not_a_number};

/// Bits, with all NaN alike: IEEE leaves their sign and payload open.
std::uint32_t bits(float value) {
  return std::isnan(value) ? 0x7fc00000u : bit_cast<std::uint32_t>(value);
}

struct Triple {
  float a, b, c;
};

/// Half of the products are met by an addend that is the rounded product, a neighbour of it, or
/// nearly a tie away: there the second rounding of a naive emulation goes wrong.
Triple random_triple(std::mt19937_64& random, int i) {
  const auto any = [&] { return bit_cast<float>(static_cast<std::uint32_t>(random())); };
  const auto with_exponent = [&](std::uint32_t lowest, std::uint32_t count) {
    const std::uint64_t word = random();
    const auto exponent = lowest + static_cast<std::uint32_t>(word >> 40) % count;
    return bit_cast<float>((static_cast<std::uint32_t>(word) & 0x807fffffu) | exponent << 23);
  };
  switch (i % 8) {
    case 0:
      return {any(), any(), any()};
    case 1:  // results that are denormal, and denormal arguments
      return {with_exponent(0, 70), with_exponent(0, 70), with_exponent(0, 8)};
    case 2:  // results that overflow or nearly
      return {with_exponent(185, 8), with_exponent(185, 8), with_exponent(247, 8)};
    case 3: {  // few bits, so that ties are frequent
      const auto few = [&] { return with_exponent(120, 14); };
      const auto keep = [](float x, std::uint32_t mask) {
        return bit_cast<float>(bit_cast<std::uint32_t>(x) & mask);
      };
      return {keep(few(), 0xfffff000u), keep(few(), 0xfffff800u), keep(few(), 0xff800000u)};
    }
    default: {
      const float a = with_exponent(100, 54), b = with_exponent(100, 54);
      const float product = a * b;
      const auto ulps = static_cast<std::uint32_t>(random() % 5) - 2u;
      const float near = bit_cast<float>(bit_cast<std::uint32_t>(product) + ulps);
      if (i % 8 < 6) return {a, b, -near};  // cancellation
      // The addend above by 24 to 48 bits, or below by as many: the sticky part decides.
      const int shift = 24 + static_cast<int>(random() % 25);
      return {a, b,
              std::ldexp(with_exponent(127, 1), std::ilogb(product) + (i % 2 ? shift : -shift))};
    }
  }
}

TEST(Core, EmulatedFmaIsFused) {
#if defined(__FP_FAST_FMAF)
  GTEST_SKIP() << "these tests were compiled for a processor with FMA: nothing is emulated";
#endif
  for (const float a : specials)
    for (const float b : specials)
      for (const float c : specials)
        ASSERT_EQ(bits(core::fma(a, b, c)), bits(std::fma(a, b, c))) << a << " " << b << " " << c;
  std::mt19937_64 random(1);
  int differs_from_unfused = 0;
  for (int i = 0; i < 10'000'000; ++i) {
    const auto [a, b, c] = random_triple(random, i);
    const float fused = core::fma(a, b, c);
    ASSERT_EQ(bits(fused), bits(std::fma(a, b, c)))
        << std::hexfloat << a << " " << b << " " << c << " (" << i << ")";
    differs_from_unfused += bits(fused) != bits(a * b + c);
  }
  EXPECT_GT(differs_from_unfused, 1'000'000);  // the triples are hard
}

TEST(Core, EmulatedFmaIsNotRoundedTwice) {
  // a b + c = 1 + 2^-23 + 2^-24 - 2^-70: to a double it is the tie 1 + 2^-23 + 2^-24, which would
  // go up to the even neighbour.
  const float a = 0x1.000002p-12f, b = 0x1.fffffcp-13f, c = 0x1.000002p0f;
  EXPECT_EQ(core::fma(a, b, c), c);
  EXPECT_NE(static_cast<float>(static_cast<double>(a) * b + c), c);
}

TEST(Core, SelectsAndNan) {
  EXPECT_TRUE(std::isnan(core::clamp(not_a_number, 0.0f, 1.0f)));
  EXPECT_EQ(core::clamp(-infinity, 0.0f, 1.0f), 0.0f);
  EXPECT_EQ(core::clamp(infinity, 0.0f, 1.0f), 1.0f);
  EXPECT_EQ(bits(core::clamp(-0.0f, 0.0f, 1.0f)), bits(-0.0f));
  EXPECT_EQ(core::max(not_a_number, 1.0f), 1.0f);
  EXPECT_TRUE(std::isnan(core::max(1.0f, not_a_number)));
  EXPECT_EQ(core::min(not_a_number, 1.0f), 1.0f);
  EXPECT_TRUE(std::isnan(core::min(1.0f, not_a_number)));
  EXPECT_EQ(bits(core::max(0.0f, -0.0f)), bits(-0.0f));
  for (const float x : specials) EXPECT_EQ(bits(core::abs(x)), bits(std::fabs(x)));
}

/// Asserts every error <= 1 of its bound, and prints the largest share of the bound that was seen.
class LargestError {
 public:
  explicit LargestError(const char* what) : what_(what) {}
  ~LargestError() { std::printf("%-22s largest error %.3g of the bound\n", what_, largest_); }
  bool within(double got, double exact, double bound) {
    const double share = std::abs(got - exact) / bound;
    largest_ = std::max(largest_, share);
    return share <= 1;
  }

 private:
  const char* what_;
  double largest_ = 0;
};

constexpr int grid = 500'000;
double grid_point(int i, double low, double high) { return low + (high - low) * i / grid; }

TEST(Core, ExponentialsAreWithinTheirErrors) {
  LargestError exponential("exp_state"), minus_one("expm1_state"), power("exp2_nonpositive");
  for (int i = 0; i <= grid; ++i) {
    for (const double y :
         {grid_point(i, -87, 88), grid_point(i, -1, 1), grid_point(i, -1e-3, 1e-3)}) {
      const double e = std::exp(y);
      ASSERT_TRUE(exponential.within(core::exp_state(y), e, 2e-7 * e)) << y;
      ASSERT_TRUE(
          minus_one.within(core::expm1_state(y), std::expm1(y), 2e-7 * std::max(std::abs(y), e)))
          << y;
    }
    const auto t = static_cast<float>(grid_point(i, -125, 0));
    const double exact = std::exp2(static_cast<double>(t));
    ASSERT_TRUE(power.within(core::exp2_nonpositive(t), exact, 2.5e-7 * exact)) << t;
  }
}

TEST(Core, ExponentialsAtTheEdges) {
  struct Row {
    double y;
    float exponential, minus_one;
  };
  const double huge = std::numeric_limits<double>::infinity();
  const Row rows[] = {
      {0.0, 1.0f, 0.0f},           {-0.0, 1.0f, 0.0f},
      {5e-324, 1.0f, 0.0f},        {1e-300, 1.0f, 0.0f},
      {-87.0000001, 0.0f, -1.0f},  {-1e300, 0.0f, -1.0f},
      {-huge, 0.0f, -1.0f},        {88.0000001, infinity, infinity},
      {1e300, infinity, infinity}, {huge, infinity, infinity},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(core::exp_state(row.y), row.exponential) << row.y;
    EXPECT_EQ(core::expm1_state(row.y), row.minus_one) << row.y;
  }
  EXPECT_TRUE(std::isnan(core::exp_state(std::nan(""))));
  EXPECT_TRUE(std::isnan(core::expm1_state(std::nan(""))));
}

TEST(Core, LogUnitIsWithinItsError) {
  LargestError log("log_unit");
  const auto check = [&](float u) {
    const double exact = std::log(static_cast<double>(u));
    return log.within(core::log_unit(u), exact, 1.2e-7 * std::max(1.0, -exact));
  };
  for (int i = 0; i <= grid; ++i) {
    const auto deep = static_cast<float>(std::exp2(grid_point(i, -126, 0)));
    const auto near_one = static_cast<float>(grid_point(i + 1, 0, 1));
    ASSERT_TRUE(check(std::min(deep, 1.0f))) << deep;
    ASSERT_TRUE(check(std::min(near_one, 1.0f))) << near_one;
  }
  EXPECT_EQ(core::log_unit(1.0f), 0.0f);
}

TEST(Core, MillsRatioGivesTheNormalCdf) {
  // 1.2e-8 of the fit, and 1.8 units (2^-24) of float for a Horner scheme that ends below 1/2.
  constexpr double bound = 1.2e-7;
  LargestError cdf("scaled_mills_ratio");
  for (int i = 0; i <= grid; ++i) {
    const double x = grid_point(i, 0, 14);
    const auto s = static_cast<float>(1.0 / (1.0 + 0.28 * x));
    const double got = std::exp(-0.5 * x * x) * core::scaled_mills_ratio(s);
    ASSERT_TRUE(cdf.within(got, 0.5 * std::erfc(x / std::sqrt(2.0)), bound)) << x;
  }
}

double black_otm(double forward, double strike, double v) {
  const auto cdf = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  const double distance = std::abs(std::log(forward / strike)) / v;
  return std::min(forward, strike) * cdf(-distance + v / 2) -
         std::max(forward, strike) * cdf(-distance - v / 2);
}

TEST(Core, OtmValueIsWithinItsError) {
  LargestError near("otm_value, K/F <= 20"), far("otm_value, any K/F");
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> scale(-2, 2), distance(-8, 8),
      log_v(std::log(1e-4), std::log(60.0));
  for (int i = 0; i < 1'000'000; ++i) {
    const auto forward = static_cast<float>(std::exp(scale(random)));
    const auto v = static_cast<float>(std::exp(log_v(random)));
    // Strikes from at the money to where the value vanishes, in units of the total volatility.
    const double moneyness = std::clamp(distance(random) * v, -12.0, 12.0);
    const auto strike = static_cast<float>(forward * std::exp(moneyness));
    const auto log_moneyness = static_cast<float>(std::log(static_cast<double>(forward) / strike));
    const float got = core::otm_value(forward, strike, log_moneyness, v);
    const double exact = black_otm(forward, strike, v);
    // Far strikes at high volatility multiply the Mills ratio's error far out by a density near its
    // peak.
    ASSERT_TRUE(far.within(got, exact, 1.5e-6 * forward)) << forward << " " << strike << " " << v;
    if (std::abs(moneyness) > 3) continue;
    ASSERT_TRUE(near.within(got, exact, 5e-7 * forward)) << forward << " " << strike << " " << v;
  }
}

TEST(Core, OtmValueAtTheEdges) {
  EXPECT_EQ(core::otm_value(1.0f, 2.0f, std::log(0.5f), 1e-6f), 0.0f);  // far out of the money
  EXPECT_NEAR(core::otm_value(1.0f, 1.0f, 0.0f, 30.0f), 1.0f, 3e-7);    // all of the lesser
  EXPECT_NEAR(core::otm_value(1.0f, 1.0f, -0.0f, 0.01f), black_otm(1, 1, 0.01), 3e-7);
  EXPECT_TRUE(std::isnan(core::otm_value(1.0f, 1.0f, not_a_number, 0.5f)));
  EXPECT_TRUE(std::isnan(core::otm_value(1.0f, 1.0f, 0.0f, not_a_number)));
}

constexpr std::size_t row = core::row_path_count;

/// Factor moves that try everything, one path each; the rest are zero.
std::vector<double> special_moves() {
  const double huge = std::numeric_limits<double>::infinity();
  std::vector<double> moves = {0.0,  -0.0,  5e-324, -5e-324, 1e-310, 1e-45, -1e-45,      1e-8,
                               0.5,  -0.5,  -86.9,  -87.0,   -87.1,  87.9,  88.0,        88.1,
                               1e30, -1e30, 1e300,  -1e300,  huge,   -huge, std::nan("")};
  moves.resize(row);
  return moves;
}

template <class T>
void expect_same_bits(const T& got, const T& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(bits(got[i]), bits(want[i])) << what << " element " << i;
}

TEST(Core, StatesOfSpecialMovesOnEveryInstructionSet) {
  const core::StateRow rows[] = {{1, 0, 0, 0, core::StateKind::log, 0},
                                 {1, 0, 0, 0, core::StateKind::expm1, 0},
                                 {1, 0, 0, 0, core::StateKind::exp, 0}};
  core::PlanArrays plan{};
  plan.factor_count = 1;
  plan.state_rows = rows;
  plan.state_row_count = 3;
  const std::vector<double> moves = special_moves();
  for (const InstructionSet isa : usable_instruction_sets()) {
    SCOPED_TRACE(to_string(isa));
    std::vector<float> states(3 * row), want;
    EXPECT_FALSE(cpu_loops(isa).market_states(plan, moves.data(), states.data()));
    for (const double y : moves) want.push_back(static_cast<float>(1.0 * y + 0.0 * y));
    for (const double y : moves) want.push_back(core::expm1_state(1.0 * y + 0.0 * y));
    for (const double y : moves) want.push_back(core::exp_state(1.0 * y + 0.0 * y));
    expect_same_bits(states, want, "state");
    EXPECT_TRUE(std::isnan(states[22]) && std::isnan(states[row + 22]));
  }
}

TEST(Core, WildStatesAreReported) {
  const core::StateRow rows[] = {{1, 0, 0, 0, core::StateKind::exp, 0}};
  core::PlanArrays plan{};
  plan.factor_count = 1;
  plan.state_rows = rows;
  plan.state_row_count = 1;
  for (const InstructionSet isa : usable_instruction_sets())
    for (const double move : special_moves()) {
      std::vector<double> moves(row, 0.0);
      moves[41] = move;
      std::vector<float> states(row);
      const bool is_tame = cpu_loops(isa).market_states(plan, moves.data(), states.data());
      EXPECT_EQ(is_tame, states[41] < 0x1p80f) << to_string(isa) << " " << move;
    }
}

core::StrikeCell strike_cell(std::uint32_t twin_is_call) {
  core::StrikeCell cell{};
  cell.shock_row = 0;
  cell.forward_row = 1;
  cell.strike_row = 2;
  cell.volatility_row = 3;
  cell.skew_row = 4;
  cell.call = 0;
  cell.put = 1;
  cell.twin_is_call = twin_is_call;
  cell.log_moneyness = -0.09531018f;
  cell.forward = 1.0f;
  cell.strike = 1.1f;
  cell.volatility = 0.6f;
  cell.skew_moneyness = 0.3f;
  cell.sqrt_time = 0.5f;
  cell.base = 0.08f;
  return cell;
}

TEST(Core, ValuesOfSpecialStatesOnEveryInstructionSet) {
  const core::StrikeCell strikes[] = {strike_cell(1), strike_cell(0)};
  const core::SettledCell settled[] = {{1, 2, 1, 0, 0.9f, 0.1f, 0.02f},
                                       {1, 3, 0, 0, 1.1f, 0.1f, 0.0f}};
  const core::LinearCell linear[] = {{0, 1, 4, 1.0f, -1.0f, 0.0f}};
  core::PlanArrays plan{};
  plan.strike_cells = strikes;
  plan.settled_cells = settled;
  plan.settled_cell_count = 2;
  plan.linear_cells = linear;
  plan.linear_cell_count = 1;
  plan.strike_cell_count = 1;
  std::mt19937 random(6);
  // Every special value in every row of the state, then all mixed.
  for (int trial = 0; trial < 400; ++trial) {
    plan.strike_cells = strikes + trial % 2;
    std::vector<float> states(5 * row);
    for (float& state : states) {
      const std::size_t pick = random() % (2 * std::size(specials));
      state = pick < std::size(specials) ? specials[pick] : 0.01f * static_cast<float>(pick);
    }
    std::vector<float> want(5 * row);
    for (std::size_t p = 0; p < row; ++p) {
      const auto at = [&](std::size_t r) { return states[r * row + p]; };
      const core::StrikeValues value =
          core::revalue_strike(*plan.strike_cells, at(0), at(1), at(2), at(3), at(4));
      want[p] = value.call;
      want[row + p] = value.put;
      want[2 * row + p] = core::revalue_settled(settled[0], at(1));
      want[3 * row + p] = core::revalue_settled(settled[1], at(1));
      want[4 * row + p] = core::revalue_linear(linear[0], at(0), at(1));
      // A NaN of the path's moves is in the shock whenever it is anywhere but the volatility.
      if (std::isnan(at(0)) || std::isnan(at(3)) || std::isnan(at(4))) {
        ASSERT_TRUE(std::isnan(value.call) && std::isnan(value.put));
      }
      if (std::isnan(at(1))) {
        ASSERT_TRUE(std::isnan(want[2 * row + p]) && std::isnan(want[3 * row + p]));
      }
    }
    for (const InstructionSet isa : usable_instruction_sets()) {
      std::vector<float> values(5 * row);
      cpu_loops(isa).revalue(plan, states.data(), values.data());
      expect_same_bits(values, want, to_string(isa));
    }
  }
}

TEST(Core, LossesOfSpecialValuesOnEveryInstructionSet) {
  constexpr std::uint32_t last = core::Holding::last_of_block;
  constexpr std::uint32_t end = last | core::Holding::last_of_superblock;
  const core::Holding holdings[] = {
      {0, 1.0f}, {1 | last, -0.5f}, {2 | end, denormal}, {3, 2.0f}, {4 | end, -0.0f}};
  std::mt19937 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> values(5 * row);
    for (float& value : values) value = specials[random() % std::size(specials)];
    std::vector<float> want(row);
    for (std::size_t p = 0; p < row; ++p) {
      float total = 0.0f, lost = 0.0f, superblock = 0.0f, block = 0.0f;
      for (const core::Holding& h : holdings) {
        block = core::fma(h.weight, values[(h.instrument & core::Holding::index_mask) * row + p],
                          block);
        if (h.instrument & last) superblock += std::exchange(block, 0.0f);
        if ((h.instrument & end) != end) continue;
        const float part = std::exchange(superblock, 0.0f), sum = total + part, added = sum - total;
        lost += (total - (sum - added)) + (part - added);
        total = sum;
      }
      want[p] = 0.0f - (total + lost);
      ASSERT_FALSE(want[p] == 0.0f && std::signbit(want[p]));
    }
    const float threshold = specials[static_cast<std::size_t>(trial) % std::size(specials)];
    std::uint64_t want_mask = 0;
    for (std::size_t p = 0; p < row; ++p)
      want_mask |= static_cast<std::uint64_t>(!(want[p] < threshold)) << p;
    for (const InstructionSet isa : usable_instruction_sets()) {
      std::vector<float> losses(row);
      const std::uint64_t mask = cpu_loops(isa).aggregate(holdings, std::size(holdings),
                                                          values.data(), threshold, losses.data());
      expect_same_bits(losses, want, to_string(isa));
      EXPECT_EQ(mask, want_mask) << to_string(isa) << " threshold " << threshold;
    }
  }
}

}  // namespace
}  // namespace shortfall
