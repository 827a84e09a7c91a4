// Every loss of the engine against the double-precision reference.
#include "reference_engine.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "books.hpp"

namespace shortfall {
namespace {

namespace fs = std::filesystem;

/// The largest error of a loss, and where.
struct WorstLoss {
  double ratio = 0;  ///< |error| / (scale times gross notional)
  std::size_t group = 0;
  std::uint64_t path = 0;
  double engine_usd = 0, reference_usd = 0, scale = 1;
};

/// What the bound grows with, per margin group and path: spot_ratios, or more.
using Scales = std::vector<double> (*)(const Plan&, const RunInputs&, const PathTrace&);

/// Compares the losses of every margin group on the paths [0, path_count), a few at a time.
WorstLoss worst_loss(const RunConfig& config, const RunInputs& inputs, const Plan& plan,
                     std::uint32_t path_count, Scales scales_of = spot_ratios) {
  WorstLoss worst;
  constexpr std::uint32_t step = 512;
  for (std::uint32_t first = 0; first < path_count; first += step) {
    const PathTrace trace = trace_paths(plan, first, std::min(step, path_count - first));
    const std::vector<double> scales = scales_of(plan, inputs, trace);
    const reference::GroupLosses expected =
        reference::group_losses(config, inputs, {trace.factors.data(), trace.path_count},
                                reference::Revaluation::per_instrument);
    EXPECT_EQ(expected.groups.size(), plan.groups.size());
    for (std::size_t g = 0; g < plan.groups.size(); ++g) {
      const std::size_t at = reference_group(plan, inputs.book, expected, g);
      const double gross = expected.gross_notional_usd[at];
      // Sums of the same terms in two orders.
      EXPECT_NEAR(plan.groups[g].gross_notional_usd / gross, 1, 1e-12);
      for (std::uint32_t p = 0; p < trace.path_count; ++p) {
        const std::size_t cell = g * trace.path_count + p;
        const double usd =
            std::ldexp(static_cast<double>(trace.losses[cell]), plan.groups[g].scale_exponent);
        const double ratio = std::abs(usd - expected.row(at)[p]) / (scales[cell] * gross);
        // Written so that a NaN is the worst.
        if (!(ratio <= worst.ratio))
          worst = {ratio, g, first + p, usd, expected.row(at)[p], scales[cell]};
      }
    }
  }
  return worst;
}

void expect_within_bound(const WorstLoss& worst, const std::string& name) {
  testing::Test::RecordProperty("worst_loss_error", fmt::format("{:.3e}", worst.ratio));
  fmt::print("{}: largest error of a loss {:.2e} of gross (bound {:.0e})\n", name, worst.ratio,
             loss_error_max);
  EXPECT_LE(worst.ratio, loss_error_max)
      << name << ": group " << worst.group << ", path " << worst.path << ", scale " << worst.scale
      << ": " << worst.engine_usd << " instead of " << worst.reference_usd;
}

struct FileBook {
  RunConfig config;
  RunInputs inputs;

  explicit FileBook(const fs::path& file)
      : config(load_config(file, {10'000, {}, 1, {}, {}})), inputs(load_inputs(config)) {}
};

fs::path demo_file() {
  return fs::path(__FILE__).parent_path().parent_path() / "configs/demo/run.toml";
}

void expect_margins(const FileBook& book) {
  const Plan plan = build_plan(book.config, book.inputs);
  const PathTrace trace = trace_paths(plan, 0, static_cast<std::uint32_t>(plan.path_count));
  const std::vector<AccountMargin> actual =
      compute_margins(plan, book.inputs.book, simulate(book.config, plan, {0, plan.path_count}),
                      book.config.margin);
  const std::vector<AccountMargin> expected = reference::margins(
      book.config, book.inputs.book,
      reference::group_losses(book.config, book.inputs, {trace.factors.data(), plan.path_count},
                              reference::Revaluation::per_instrument));
  double ratio_max = 1;
  for (const double ratio : spot_ratios(plan, book.inputs, trace))
    ratio_max = std::max(ratio_max, ratio);
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t a = 0; a < actual.size(); ++a) {
    SCOPED_TRACE(expected[a].account);
    EXPECT_EQ(actual[a].account, expected[a].account);
    EXPECT_EQ(actual[a].mode, expected[a].mode);
    EXPECT_EQ(actual[a].position_count, expected[a].position_count);
    // Quantiles and tail means move by no more than the losses do.
    const double error_max = loss_error_max * ratio_max * expected[a].gross_notional_usd;
    EXPECT_NEAR(actual[a].value_at_risk_usd, expected[a].value_at_risk_usd, error_max);
    EXPECT_NEAR(actual[a].expected_shortfall_usd, expected[a].expected_shortfall_usd, error_max);
    EXPECT_NEAR(actual[a].margin_usd, expected[a].margin_usd, error_max);
    // Three times: a deviation and a difference of two, over sqrt(k) = 10.
    EXPECT_NEAR(actual[a].standard_error_usd, expected[a].standard_error_usd, 0.3 * error_max);
  }
}

TEST(Reference, EveryLossOfTheDemonstrationBook) {
  const FileBook book(demo_file());
  const Plan plan = build_plan(book.config, book.inputs);
  expect_within_bound(worst_loss(book.config, book.inputs, plan, 10'000), "demonstration book");
}

TEST(Reference, MarginsOfTheDemonstrationBook) { expect_margins(FileBook(demo_file())); }

TEST(Reference, EveryLossOfTheRealBook) {
  const char* const shared = std::getenv("SHORTFALL_SHARED");
  if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set";
  const FileBook book(fs::path(shared) / "books/deribit_2026-01-15/run.toml");
  const Plan plan = build_plan(book.config, book.inputs);
  expect_within_bound(worst_loss(book.config, book.inputs, plan, 10'000), "real book");
}

TEST(Reference, ValuingOnceOrPerPositionIsTheSame) {
  const FileBook book(demo_file());
  const PathTrace trace = trace_paths(build_plan(book.config, book.inputs), 0, 64);
  const reference::Scenarios scenarios{trace.factors.data(), trace.path_count};
  const auto naive = reference::group_losses(book.config, book.inputs, scenarios);
  const auto shared = reference::group_losses(book.config, book.inputs, scenarios,
                                              reference::Revaluation::per_instrument);
  ASSERT_EQ(naive.groups, shared.groups);
  for (std::size_t g = 0; g < naive.groups.size(); ++g)
    for (std::size_t p = 0; p < naive.path_count; ++p)
      // Two orders of a sum of at most 300 terms in double.
      EXPECT_NEAR(naive.row(g)[p], shared.row(g)[p], 1e-13 * naive.gross_notional_usd[g]);
}

constexpr double spot_usd = 97'531.25;

struct GridCase {
  const char* name;
  double forward_ratio;  ///< F0/S0
  double basis_deviation;
  RevalueAt revalue_at;
  std::vector<double> strikes;  ///< K/S0
  Scales scales_of;
};

void PrintTo(const GridCase& grid, std::ostream* out) { *out << grid.name; }

class InstrumentGrid : public testing::TestWithParam<GridCase> {};

constexpr std::size_t grid_spot_factor = 0, grid_basis_factor = 1;

/// Options over strikes, volatilities and expiries, and what is linear; in groups of their own.
MemoryBook make_grid(const GridCase& grid) {
  MemoryBook made;
  made.config.risk.revalue_at = grid.revalue_at;
  const std::uint32_t coin = made.add_underlying(spot_usd);
  // Two deviations of spot are -95 % and +1900 %; +500 % is 1.2.
  made.add_factor(coin, FactorKind::spot, 1.5);
  made.add_factor(coin, FactorKind::basis, grid.basis_deviation);
  made.add_factor(coin, FactorKind::vol, 0.8, 7);
  made.add_factor(coin, FactorKind::vol, 0.5, 180);
  made.add_factor(coin, FactorKind::skew, 0.3);
  made.add_factor(coin, FactorKind::perp, 0.02);
  const std::uint32_t account = made.add_account(MarginMode::isolated);
  const double forward = spot_usd * grid.forward_ratio;
  const auto hold = [&](const Instrument& instrument) {
    // Not a power of two: weights round as well.
    made.hold(account, made.add(instrument), 1.37);
  };
  constexpr std::int64_t expiries[] = {hour_seconds,     25 * hour_seconds, 3 * day_seconds,
                                       30 * day_seconds, 180 * day_seconds, 1095 * day_seconds};
  for (const Settlement settlement : {Settlement::linear, Settlement::inverse}) {
    const double size = settlement == Settlement::linear ? 1 : 10;
    hold({"", InstrumentType::perpetual, settlement, coin, 0, 0, size, forward, 0});
    for (const std::int64_t expiry : expiries) {
      const std::int64_t at = made.config.as_of + expiry;
      hold({"", InstrumentType::future, settlement, coin, at, 0, size, forward, 0});
      for (const double strike : grid.strikes)
        for (const double volatility : {0.01, 0.1, 0.5, 1.0, 3.0, 10.0})
          for (const InstrumentType type : {InstrumentType::call, InstrumentType::put})
            hold({"", type, settlement, coin, at, strike * spot_usd, 0.1, forward, volatility});
    }
  }
  hold({"", InstrumentType::spot, Settlement::linear, coin, 0, 0, 1, spot_usd, 0});
  return made;
}

/// The largest price that enters the value of a grid's instrument, in units of S0: S1, F1 and, in
/// coin, what an inverse option's strike buys. No float can do better than round the largest.
std::vector<double> price_ratios(const Plan& plan, const RunInputs& inputs,
                                 const PathTrace& trace) {
  const std::size_t n = trace.path_count;
  std::vector<double> ratios = spot_ratios(plan, inputs, trace);
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const std::uint32_t priced =
        plan.holdings[plan.group_begin[g]].instrument & core::Holding::index_mask;
    const Instrument& i = inputs.book.instruments[plan.instruments[priced]];
    for (std::size_t p = 0; p < n; ++p) {
      const double spot_ratio = std::exp(trace.factors[grid_spot_factor * n + p]);
      // Three years: no instrument of the grid is longer.
      const double carry = std::exp(3 * std::abs(trace.factors[grid_basis_factor * n + p]));
      double& ratio = ratios[g * n + p];
      ratio = std::max(ratio, i.mark_price / spot_usd * spot_ratio * carry);
      if (i.settlement == Settlement::inverse)
        ratio = std::max(ratio, std::max(i.strike, spot_usd) / i.mark_price * carry);
    }
  }
  return ratios;
}

TEST_P(InstrumentGrid, EveryValueIsWithinTheBound) {
  const GridCase& grid = GetParam();
  MemoryBook made = make_grid(grid);
  const Plan plan = made.plan();
  const WorstLoss worst = worst_loss(made.config, made.inputs, plan, 2048, grid.scales_of);
  const std::uint32_t priced =
      plan.holdings[plan.group_begin[worst.group]].instrument & core::Holding::index_mask;
  const Instrument& i = made.book().instruments[plan.instruments[priced]];
  expect_within_bound(
      worst, fmt::format("{} ({} {}, strike {:.2f}, {} h, volatility {})", grid.name,
                         to_string(i.settlement), to_string(i.type), i.strike / spot_usd,
                         i.expiry ? (i.expiry - made.config.as_of) / hour_seconds : 0, i.mark_iv));
}

const std::vector<double> listed_strikes = {0.05, 0.3, 0.7, 0.9, 0.99, 1.0,
                                            1.01, 1.1, 1.5, 2.5, 5.0};
const std::vector<double> far_strikes = {0.05, 0.9, 1.1, 8.0, 20.0};

INSTANTIATE_TEST_SUITE_P(
    Marks, InstrumentGrid,
    testing::Values(
        GridCase{"forward at spot", 1.0, 0.05, RevalueAt::horizon, listed_strikes, spot_ratios},
        GridCase{"valued now", 1.01, 0.05, RevalueAt::now, listed_strikes, spot_ratios},
        GridCase{"contango", 1.2, 0.05, RevalueAt::horizon, listed_strikes, spot_ratios},
        GridCase{"backwardation", 0.8, 0.05, RevalueAt::horizon, listed_strikes, spot_ratios},
        GridCase{"far strikes", 1.0, 0.05, RevalueAt::horizon, far_strikes, price_ratios},
        GridCase{"forward twice the spot", 2.0, 0.05, RevalueAt::horizon, far_strikes,
                 price_ratios},
        GridCase{"forward half the spot", 0.5, 0.05, RevalueAt::horizon, far_strikes, price_ratios},
        GridCase{"wild basis", 1.0, 0.3, RevalueAt::horizon, far_strikes, price_ratios}));

struct HorizonCase {
  double horizon_days;
  std::int64_t expiry_seconds;
};

void PrintTo(const HorizonCase& horizon, std::ostream* out) {
  *out << horizon.horizon_days << " days";
}

class ExpiryAtTheHorizon : public testing::TestWithParam<HorizonCase> {};

// Times are to the second: what expires at the horizon settles on the index, though neither 0.3 nor
// 1/24 days are whole seconds in double.
TEST_P(ExpiryAtTheHorizon, SettlesOnTheIndex) {
  const HorizonCase& horizon = GetParam();
  MemoryBook made;
  made.config.risk.horizon_days = horizon.horizon_days;
  const std::uint32_t coin = made.add_underlying(spot_usd);
  made.add_factor(coin, FactorKind::spot, 0.03);
  made.add_factor(coin, FactorKind::basis, 50);  // so that forward and index differ within hours
  const std::uint32_t account = made.add_account(MarginMode::isolated);
  const std::int64_t expiry = made.config.as_of + horizon.expiry_seconds;
  for (const Settlement settlement : {Settlement::linear, Settlement::inverse}) {
    for (const InstrumentType type : {InstrumentType::call, InstrumentType::put})
      made.hold(account, made.add({"", type, settlement, coin, expiry, spot_usd, 1, 0, 0.5}), 1);
    made.hold(account, made.add({"", InstrumentType::future, settlement, coin, expiry, 0, 1, 0, 0}),
              1);
  }
  expect_within_bound(worst_loss(made.config, made.inputs, made.plan(), 256),
                      fmt::format("expiry at {} days", horizon.horizon_days));
}

INSTANTIATE_TEST_SUITE_P(Days, ExpiryAtTheHorizon,
                         testing::Values(HorizonCase{1, 86'400}, HorizonCase{0.3, 25'920},
                                         HorizonCase{1.0 / 24, 3'600}, HorizonCase{2.3, 198'720},
                                         HorizonCase{6.5 / 24, 23'400}));

enum class Sameness { equal, varied };

struct SumCase {
  const char* name;
  InstrumentType type;
  Settlement settlement;
  Sameness instruments, sizes;
  std::size_t listed_per_held;  ///< 32: each position is alone in its block of the listing
  std::size_t position_count = 2'000;
};

void PrintTo(const SumCase& sum, std::ostream* out) { *out << sum.name; }

class AccountSum : public testing::TestWithParam<SumCase> {};

/// Accounts that are short so many instruments each.
MemoryBook make_one_sided(const SumCase& sum) {
  const std::size_t position_count = sum.position_count;
  MemoryBook made;
  std::mt19937_64 engine(7);
  const auto uniform = [&] { return static_cast<double>(engine() >> 11) * 0x1p-53; };
  const std::uint32_t coin = made.add_underlying(100);
  made.add_factor(coin, FactorKind::spot, 1.0);
  const bool is_option = sum.type == InstrumentType::call;
  for (std::size_t i = 0; i < position_count * sum.listed_per_held; ++i) {
    const bool is_varied = sum.instruments == Sameness::varied;
    const double strike = is_varied ? 50 + 100 * uniform() : 100;
    const std::int64_t days = is_varied ? 30 + static_cast<std::int64_t>(300 * uniform()) : 30;
    made.add({"", sum.type, sum.settlement, coin,
              is_option ? made.config.as_of + days * day_seconds : 0, is_option ? strike : 0, 1,
              100, is_option ? 0.5 : 0});
  }
  for (std::size_t a = 0; a < 50'000 / position_count; ++a) {
    const std::uint32_t account = made.add_account();
    const double size = 1 + uniform();
    for (std::size_t i = 0; i < position_count; ++i)
      made.hold(account, static_cast<std::uint32_t>(i * sum.listed_per_held),
                sum.sizes == Sameness::varied ? -0.1 - 10 * uniform() : -size);
  }
  return made;
}

// Equal terms are the worst: every addition within a power of two rounds the same way.
TEST_P(AccountSum, OfOneSidedPositionsIsWithinTheBound) {
  MemoryBook made = make_one_sided(GetParam());
  const Plan plan = made.plan();
  constexpr std::uint32_t path_count = 1024;
  const PathTrace trace = trace_paths(plan, 0, path_count);
  const auto plus_500_percent = std::ranges::count_if(
      trace.factors, [](double x) { return std::abs(std::exp(x) / 6 - 1) < 0.05; });
  ASSERT_GE(plus_500_percent, 5);
  expect_within_bound(worst_loss(made.config, made.inputs, plan, path_count), GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(
    Positions, AccountSum,
    testing::Values(SumCase{"equal spot", InstrumentType::spot, Settlement::linear, Sameness::equal,
                            Sameness::equal, 1},
                    SumCase{"equal calls", InstrumentType::call, Settlement::inverse,
                            Sameness::equal, Sameness::equal, 1},
                    SumCase{"calls of every size", InstrumentType::call, Settlement::linear,
                            Sameness::varied, Sameness::varied, 1},
                    SumCase{"calls, one of each block", InstrumentType::call, Settlement::linear,
                            Sameness::varied, Sameness::varied, 32},
                    SumCase{"equal spot, one of each block", InstrumentType::spot,
                            Settlement::linear, Sameness::equal, Sameness::equal, 32},
                    SumCase{"40,000 equal spot", InstrumentType::spot, Settlement::linear,
                            Sameness::equal, Sameness::equal, 1, 40'000},
                    SumCase{"10,000 equal spot, one of each block", InstrumentType::spot,
                            Settlement::linear, Sameness::equal, Sameness::equal, 32, 10'000}));

}  // namespace
}  // namespace shortfall
