// Where expected shortfalls come from: components add up to them, are what Euler's theorem says,
// and have the same bytes whatever computes them.
#include "host/run/attribution.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "host/run/margin_run.hpp"
#include "shortfall/core/tail.hpp"
#include "tests/books.hpp"
#include "tests/demo_run.hpp"

namespace shortfall {
namespace {

/// A device that the CPU plays. It hands over few paths at a time, and fails once it has handed
/// over `lifetime` of them.
class FakeDevice final : public Backend {
 public:
  FakeDevice(std::size_t chunk, std::size_t lifetime) : chunk_(chunk), left_(lifetime) {
    ComputeConfig config;
    config.backend = BackendChoice::cpu;
    config.thread_count = 1;
    cpu_ = make_backend(config);
  }
  BackendDescription describe(const Plan&) const override { return {"cuda", "fake", "", 0, 64}; }
  std::uint64_t bytes_needed(const Plan& plan) const override { return cpu_->bytes_needed(plan); }
  Tails simulate(const Plan& plan, PathRange range, const Progress& progress) override {
    return cpu_->simulate(plan, range, progress);
  }
  void replay(const Plan& plan, std::span<const std::uint32_t> paths,
              const UseValues& use) override {
    for (std::size_t first = 0; first < paths.size(); first += chunk_) {
      const std::size_t count = std::min(chunk_, paths.size() - first);
      if (left_ < count) throw DeviceError("fake device: lost", {0, plan.path_count});
      left_ -= count;
      cpu_->replay(plan, paths.subspan(first, count),
                   [&](std::size_t at, const PathValues& values) { use(first + at, values); });
    }
  }
  PathTrace trace(const Plan& plan, std::uint64_t first_path, std::uint32_t count) override {
    return cpu_->trace(plan, first_path, count);
  }

 private:
  std::size_t chunk_, left_;
  std::unique_ptr<Backend> cpu_;
};

constexpr std::size_t never = ~std::size_t{0};

struct Attributed {
  BaseRun base;
  std::vector<AccountMargin> margins;
  Attribution attribution;
  std::vector<std::string> warnings;

  std::string text() const { return format_attribution(attribution); }
  const PositionShortfall& position(std::size_t account, std::size_t i) const {
    return attribution.positions[attribution.accounts[account].begin + i];
  }
};

Attributed attributed(const RunConfig& config, RunInputs inputs, RunBackends& backends,
                      const Progress& progress = {}) {
  Attributed result;
  MarginRun run(config, backends, progress, result.warnings);
  result.base = run.plan(std::move(inputs));
  run.simulate(result.base);
  result.margins = run.margins(result.base);
  result.attribution = run.attribute(result.base, result.margins);
  return result;
}

Attributed attributed(const RunConfig& config, RunInputs inputs) {
  RunBackends backends(config.compute);
  return attributed(config, std::move(inputs), backends);
}

Attributed attributed(MemoryBook& book) {
  book.sort_positions();
  return attributed(book.config, book.inputs);
}

/// Every account: as many positions as it has, which with the rounding add up to its shortfall; the
/// rounding is within the error of losses.
void expect_sums(const std::vector<AccountMargin>& margins, const Attribution& attribution) {
  ASSERT_EQ(attribution.accounts.size(), margins.size());
  std::size_t end = 0;
  for (std::size_t a = 0; a < margins.size(); ++a) {
    const Attribution::Of& of = attribution.accounts[a];
    const AccountMargin& margin = margins[a];
    EXPECT_EQ(of.account, margin.account);
    EXPECT_EQ(of.begin, end);
    EXPECT_EQ(of.end - of.begin, margin.position_count);
    end = of.end;
    double sum = 0;
    for (std::size_t p = of.begin; p < of.end; ++p) {
      sum += attribution.positions[p].expected_shortfall_usd;
      EXPECT_NE(attribution.positions[p].quantity, 0);
    }
    // Two roundings of a double.
    EXPECT_NEAR(sum + of.rounding_usd, margin.expected_shortfall_usd,
                1e-15 * margin.gross_notional_usd);
    EXPECT_LE(std::abs(of.rounding_usd), loss_error_max * margin.gross_notional_usd) << of.account;
  }
  EXPECT_EQ(end, attribution.positions.size());
}

struct SumCase {
  const char* name;
  const char* margin;
  void (*change)(RunConfig&);
};

class AttributionSums : public testing::TestWithParam<SumCase> {};

// The book has accounts in every mode.
TEST_P(AttributionSums, AreTheExpectedShortfall) {
  DemoRun demo(GetParam().margin);
  GetParam().change(demo.config());
  demo.config().output.has_attribution = true;
  const RunResult result = run(demo.config());
  ASSERT_TRUE(result.attribution);
  expect_sums(result.margins, *result.attribution);
  EXPECT_EQ(result.record.seconds_by_stage.back().first, "attribution");

  demo.config().output.has_attribution = false;
  const RunResult without = run(demo.config());
  EXPECT_FALSE(without.attribution);
  EXPECT_EQ(without.record.seconds_by_stage.back().first, "margin");
  EXPECT_EQ(format_margins(without.margins), format_margins(result.margins));
}

constexpr auto as_it_is = [](RunConfig&) {};
INSTANTIATE_TEST_SUITE_P(
    Demo, AttributionSums,
    testing::Values(
        SumCase{"StudentT", "", as_it_is},
        SumCase{"Gaussian", "",
                [](RunConfig& c) { c.model.distribution = Distribution::gaussian; }},
        SumCase{"Now", "", [](RunConfig& c) { c.risk.revalue_at = RevalueAt::now; }},
        SumCase{"Worst", "", [](RunConfig& c) { c.risk.revalue_at = RevalueAt::worst; }},
        // k = 151.5: half a boundary path.
        SumCase{"Boundary", "",
                [](RunConfig& c) {
                  c.risk.path_count = 6060;
                  c.risk.confidence_level = 0.975;
                }},
        SumCase{"SimulatedCollateral", "[margin.collateral]\nsimulate = true\n", as_it_is},
        SumCase{"EveryComponent", every_component, as_it_is}),
    [](const auto& row) { return row.param.name; });

// Of worst, each group has the components of its own revaluation: those of the run at that time.
TEST(Attribution, OfTheWorseRevaluation) {
  DemoRun demo("");
  const auto at = [&](RevalueAt time) {
    demo.config().risk.revalue_at = time;
    return attributed(demo.config(), load_inputs(demo.config()));
  };
  const Attributed horizon = at(RevalueAt::horizon), now = at(RevalueAt::now);
  const Attributed worst = at(RevalueAt::worst);
  std::size_t count[2] = {0, 0};
  const Plan& plan = worst.base.revaluations.front().plan;
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const std::uint32_t time = worst.base.revaluation_of[g];
    ++count[time];
    const Attribution& own = (time == 0 ? horizon : now).attribution;
    for (std::uint64_t h = plan.group_begin[g]; h < plan.group_begin[g + 1]; ++h)
      EXPECT_EQ(worst.attribution.positions[h].expected_shortfall_usd,
                own.positions[h].expected_shortfall_usd);
  }
  EXPECT_GT(count[0], 10u);
  EXPECT_GT(count[1], 10u);
}

// Two spots at 1 USD, of which an account holds 2 and -1: gross 3, so that losses are in units of
// 2 USD and weights are 1 and -0.5; of ten paths at 75 % k = 2.5.
// Values on the tail's paths, the worst first, and the loss in USD, -2 a + b:
//   path 7: a = -0.5,   b = -0.25    loss 0.75
//   path 3: a = -0.25,  b =  0.125   loss 0.625
//   path 9: a = -0.125, b =  0.125   loss 0.375, with weight 0.5
// Component of a: 2 (0.5 + 0.25 + 0.5 * 0.125) / 2.5 = 0.65 USD.
// Component of b: (-0.25 + 0.125 + 0.5 * 0.125) / 2.5 = -0.025 USD.
TEST(Attribution, WeighsTheBoundaryPath) {
  MemoryBook book(10);
  book.config.risk.confidence_level = 0.75;
  const std::uint32_t account = book.add_account();
  for (const double contracts : {2.0, -1.0}) {
    const std::uint32_t underlying = book.add_underlying(1);
    book.add_factor(underlying, FactorKind::spot, 0.01);
    book.hold(account, book.add({"", InstrumentType::spot, Settlement::linear, underlying}),
              contracts);
  }
  BaseRun base;
  base.inputs = book.inputs;
  Tails tails;
  tails.path_count = 10;
  tails.count = 3;
  tails.keys = {core::tail_key(0.375f, 7), core::tail_key(0.3125f, 3), core::tail_key(0.1875f, 9)};
  base.revaluations = {{book.plan(), tails}};
  ASSERT_EQ(base.revaluations[0].plan.groups[0].scale_exponent, 1);
  base.revaluation_of = {0};
  AccountMargin margin;
  margin.account = "A0";
  margin.expected_shortfall_usd = 0.75;
  const std::vector<std::uint32_t> paths = {3, 7, 9};
  const float values[2][3] = {{-0.25f, -0.5f, -0.125f}, {0.125f, -0.25f, 0.125f}};
  for (const std::uint32_t chunk : {1u, 2u, 3u}) {
    const Replay replay = [&](const Plan&, std::span<const std::uint32_t> asked,
                              const UseValues& use) {
      ASSERT_TRUE(std::ranges::equal(asked, paths));
      for (std::uint32_t first = 0; first < 3; first += chunk) {
        PathValues part;
        part.path_count = std::min(chunk, 3 - first);
        for (const float(&row)[3] : values)
          part.values.insert(part.values.end(), row + first, row + first + part.path_count);
        use(first, part);
      }
    };
    const Attribution attribution = attribute(base, {margin}, replay, 1);
    ASSERT_EQ(attribution.positions.size(), 2u);
    EXPECT_EQ(attribution.positions[0].quantity, 2);
    EXPECT_EQ(attribution.positions[1].quantity, -1);
    EXPECT_DOUBLE_EQ(attribution.positions[0].expected_shortfall_usd, 0.65);
    EXPECT_DOUBLE_EQ(attribution.positions[1].expected_shortfall_usd, -0.025);
    EXPECT_NEAR(attribution.accounts[0].rounding_usd, 0.125, 1e-15);
    EXPECT_EQ(attribution.instruments[1].underlying, "U1");
  }
}

// For normal P&L the component of a position is its share of the variance (Tasche 1999, section 5):
// w_i (S w)_i / w' S w. Of +2 and -1 coin with correlation 0.8: 2.4 and -0.6 of 1.8.
// Given the loss X of the account, the position's is beta X + e with e independent of X, so the
// share differs from that by the mean of e over the tail, sd |w_i| sigma sqrt(1 - rho_i^2) / sqrt
// k, and by the curvature of e^x - 1, half a relative move.
TEST(Attribution, IsTheShareOfTheVarianceUnderNormalMoves) {
  constexpr double deviation = 1e-3;
  MemoryBook book(100'000);
  const std::uint32_t account = book.add_account();
  const double coins[] = {2, -1};
  for (const double contracts : coins) {
    const std::uint32_t underlying = book.add_underlying(100);
    book.add_factor(underlying, FactorKind::spot, deviation);
    book.hold(account, book.add({"", InstrumentType::spot, Settlement::linear, underlying}),
              contracts);
  }
  book.correlate(0, 1, 0.8);
  const Attributed result = attributed(book);
  const double shortfall = result.margins[0].expected_shortfall_usd;
  const double covariance[] = {1.2, 0.6};  // (S w)_i in units of the variance of a coin
  for (std::size_t i = 0; i < 2; ++i) {
    const double rho = covariance[i] / std::sqrt(1.8);
    const double error = 100 * std::abs(coins[i]) * deviation * std::sqrt((1 - rho * rho) / 1000);
    EXPECT_NEAR(result.position(0, i).expected_shortfall_usd,
                coins[i] * covariance[i] / 1.8 * shortfall,
                4 * error + 10 * deviation * deviation * 100);
  }
  EXPECT_LT(result.position(0, 1).expected_shortfall_usd, 0) << "a hedge";
  EXPECT_GT(result.position(0, 0).expected_shortfall_usd, shortfall) << "what it hedges";
}

/// Two underlyings with options, a perpetual and a spot.
struct Mixed : MemoryBook {
  std::uint32_t call, put, perpetual, spot;

  explicit Mixed(std::uint64_t path_count = 10'000) : MemoryBook(path_count) {
    config.model.distribution = Distribution::student_t;
    for (std::uint32_t u = 0; u < 2; ++u) {
      add_underlying(100.0 + 900.0 * u);
      add_factor(u, FactorKind::spot, 0.04);
      add_factor(u, FactorKind::vol, 0.06, 30);
      correlate(2 * u, 2 * u + 1, -0.4);
    }
    correlate(0, 2, 0.7);
    const std::int64_t expiry = config.as_of + 30 * day_seconds;
    call = add({"", InstrumentType::call, Settlement::linear, 0, expiry, 105, 1, 100, 0.8});
    put = add({"", InstrumentType::put, Settlement::inverse, 1, expiry, 900, 1, 1000, 0.9});
    perpetual = add({"", InstrumentType::perpetual, Settlement::linear, 0});
    spot = add({"", InstrumentType::spot, Settlement::linear, 1});
  }
  std::uint32_t add_mixed(MarginMode mode = MarginMode::portfolio, double calls = -50) {
    const std::uint32_t account = add_account(mode);
    hold(account, call, calls);
    hold(account, put, -3);
    hold(account, perpetual, 40);
    hold(account, spot, 2);
    return account;
  }
};

// A group's components are its own: those of accounts that hold the group and nothing else.
TEST(Attribution, AddsUpOverMarginGroups) {
  Mixed book;
  book.add_mixed(MarginMode::cross);
  book.add_mixed(MarginMode::isolated);
  const std::uint32_t first = book.add_account(), second = book.add_account();
  book.hold(first, book.call, -50);
  book.hold(first, book.perpetual, 40);
  book.hold(second, book.put, -3);
  book.hold(second, book.spot, 2);
  const std::uint32_t call_alone = book.add_holder(book.call, -50);
  const std::uint32_t perpetual_alone = book.add_holder(book.perpetual, 40);
  const Attributed result = attributed(book);
  const auto usd = [&](std::size_t account, std::size_t i) {
    return result.position(account, i).expected_shortfall_usd;
  };
  for (std::size_t i = 0; i < 2; ++i) {  // of an underlying options come first
    EXPECT_EQ(usd(0, i), usd(first, i));
    EXPECT_EQ(usd(0, 2 + i), usd(second, i));
  }
  EXPECT_EQ(usd(1, 0), usd(call_alone, 0));
  EXPECT_EQ(usd(1, 1), usd(perpetual_alone, 0));
  for (const std::uint32_t alone : {call_alone, perpetual_alone})
    EXPECT_NEAR(usd(alone, 0), result.margins[alone].expected_shortfall_usd,
                loss_error_max * result.margins[alone].gross_notional_usd);
  expect_sums(result.margins, result.attribution);
}

/// (L - VaR)^+ of a group on every path, USD.
std::vector<double> excesses(const Attributed& result, const PathTrace& trace, std::size_t group) {
  const MarginGroup& of = result.base.revaluations[0].plan.groups[group];
  std::vector<double> excess(trace.path_count);
  for (std::size_t p = 0; p < excess.size(); ++p) {
    const double loss = std::ldexp(trace.losses[group * excess.size() + p], of.scale_exponent);
    excess[p] = std::max(0.0, loss - result.margins[group].value_at_risk_usd);
  }
  return excess;
}

// On given paths ES is a convex function of a position's size, and a component per contract one of
// its subgradients. Subgradients of a convex function do not fall, and the central difference lies
// between those at its ends: so both do, which bounds how far apart they are, but for the error of
// losses. And they are within four standard errors of the difference, on the same paths: with
// e = (L+ - VaR+)^+ - (L- - VaR-)^+, se^2 = (sum e^2 - (sum e)^2 / N) / k^2.
TEST(Attribution, IsTheFiniteDifferenceInThePositionsSize) {
  constexpr std::uint32_t path_count = 20'000;
  for (const double step : {0.1, 0.01}) {
    SCOPED_TRACE(step);
    constexpr double calls = -50;
    Mixed book(path_count);
    for (const double size : {1 - step, 1.0, 1 + step})
      book.add_mixed(MarginMode::portfolio, calls * size);
    const Attributed result = attributed(book);
    const auto slope = [&](std::size_t account) {
      const PositionShortfall& position = result.position(account, 0);
      return position.expected_shortfall_usd / position.quantity;
    };
    const double contracts = 2 * step * std::abs(calls);
    const double difference =
        result.margins[2].expected_shortfall_usd - result.margins[0].expected_shortfall_usd;
    // The last account is the shortest of calls.
    const double slope_usd = -difference / contracts;
    const double error = 2 * loss_error_max * result.margins[2].gross_notional_usd / contracts;
    EXPECT_LE(slope(2), slope(1) + error);
    EXPECT_LE(slope(1), slope(0) + error);
    EXPECT_LE(slope(2), slope_usd + error);
    EXPECT_LE(slope_usd, slope(0) + error);

    const PathTrace trace = trace_paths(result.base.revaluations[0].plan, 0, path_count);
    const std::vector<double> less = excesses(result, trace, 0), more = excesses(result, trace, 2);
    double sum = 0, squares = 0;
    for (std::size_t p = 0; p < path_count; ++p) {
      sum += more[p] - less[p];
      squares += (more[p] - less[p]) * (more[p] - less[p]);
    }
    const double k = result.base.revaluations[0].plan.tail.k;
    const double standard_error = std::sqrt(squares - sum * sum / path_count) / k / contracts;
    EXPECT_GT(std::abs(slope_usd), 10 * standard_error) << "the test can see nothing";
    EXPECT_NEAR(slope(1), slope_usd, 4 * standard_error);
  }
}

std::string bytes_on(const RunConfig& config, std::vector<std::unique_ptr<Backend>> devices,
                     MakeFallback make_fallback, std::vector<std::string>& warnings) {
  RunBackends backends(std::move(devices), std::move(make_fallback));
  const Attributed result = attributed(config, load_inputs(config), backends);
  warnings = result.warnings;
  return result.text();
}

// Both models and two revaluations.
TEST(Attribution, HasTheSameBytesWhateverComputesIt) {
  DemoRun demo("", 1, 3001);
  RunConfig& config = demo.config();
  config.risk.revalue_at = RevalueAt::worst;
  config.compute.instruction_set = InstructionSet::generic;
  config.compute.thread_count = 1;
  const auto text = [&] { return attributed(config, load_inputs(config)).text(); };
  const std::string wanted = text();
  for (const InstructionSet set : usable_instruction_sets()) {
    config.compute.instruction_set = set;
    EXPECT_EQ(text(), wanted) << to_string(set);
  }
  for (const std::uint32_t threads : {2u, 3u, 4u}) {
    config.compute.thread_count = threads;
    EXPECT_EQ(text(), wanted) << threads << " threads";
  }
  for (const std::uint32_t tile : {64u, 256u}) {
    config.compute.tile_path_count = tile;
    EXPECT_EQ(text(), wanted) << "tiles of " << tile;
  }
  const struct {
    const char* name;
    std::size_t chunk, lifetimes[2];
    bool has_fallback;
    std::size_t failures;
  } rows[] = {{"two devices", 64, {never, never}, false, 0},
              {"a path at a time", 1, {never, never}, false, 0},
              {"the first fails at once", 64, {0, never}, false, 1},
              {"the first fails midway", 100, {150, never}, false, 1},
              {"both fail", 32, {100, 64}, true, 2}};
  const auto cpu = [&] { return make_backend(config.compute); };
  for (const auto& row : rows) {
    std::vector<std::unique_ptr<Backend>> devices;
    for (const std::size_t lifetime : row.lifetimes)
      devices.push_back(std::make_unique<FakeDevice>(row.chunk, lifetime));
    std::vector<std::string> warnings;
    EXPECT_EQ(
        bytes_on(config, std::move(devices), row.has_fallback ? cpu : MakeFallback(), warnings),
        wanted)
        << row.name;
    EXPECT_EQ(
        std::ranges::count_if(
            warnings, [](const std::string& w) { return w.starts_with("fake device: lost"); }),
        static_cast<std::ptrdiff_t>(row.failures))
        << row.name;
  }
}

TEST(Attribution, WithoutAnyDeviceLeftFailsAndSaysWhatHelps) {
  DemoRun demo("", 1, 3001);
  std::vector<std::unique_ptr<Backend>> devices;
  devices.push_back(std::make_unique<FakeDevice>(64, 100));
  std::vector<std::string> warnings;
  try {
    bytes_on(demo.config(), std::move(devices), {}, warnings);
    ADD_FAILURE();
  } catch (const DeviceError& error) {
    EXPECT_STREQ(error.what(),
                 "fake device: lost; no device is left: fallback = \"cpu\" lets the CPU redo such "
                 "paths");
  }
}

// A second run of the tail is not deaf to an interrupt.
TEST(Attribution, StopsWhenProgressSaysSo) {
  DemoRun demo("", 1, 3001);
  RunBackends backends(demo.config().compute);
  std::vector<std::string> warnings;
  bool is_simulated = false;
  const Progress progress = [&](std::uint64_t) {
    if (is_simulated) throw OperatingError("interrupted");
  };
  MarginRun run(demo.config(), backends, progress, warnings);
  BaseRun base = run.plan(load_inputs(demo.config()));
  run.simulate(base);
  const std::vector<AccountMargin> margins = run.margins(base);
  is_simulated = true;
  EXPECT_THROW(run.attribute(base, margins), OperatingError);
}

// Rows of an account in another order, and a position in parts.
TEST(Attribution, DoesNotDependOnTheOrderOfPositions) {
  const auto text = [](const char* positions) {
    TemporaryBook book;
    book.write("positions.csv", std::string("account,instrument,quantity\n") + positions);
    RunConfig config = load_config(book.path("run.toml"));
    config.risk.path_count = 2000;
    return attributed(config, load_inputs(config)).text();
  };
  const std::string wanted =
      text("zoe,BTC-C,-12.5\nann,ETH-PERP,1e3\nzoe,BTC-F,40\nzoe,ETH-P,-7\n");
  EXPECT_EQ(text("zoe,ETH-P,-7\nzoe,BTC-F,15\nann,ETH-PERP,1e3\nzoe,BTC-C,-12.5\nzoe,BTC-F,25\n"),
            wanted);
  EXPECT_NE(wanted.find("\nzoe,BTC,BTC-F,40,"), std::string::npos) << wanted;
}

// The real book, where the archive of data is.
TEST(Attribution, OfARealBookSums) {
  const char* const shared = std::getenv("SHORTFALL_SHARED");
  if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set";
  RunOverrides overrides;
  overrides.path_count = 20'000;
  overrides.backend = BackendChoice::cpu;
  overrides.attribution = true;
  const RunResult result = run(
      load_config(std::filesystem::path(shared) / "books/deribit_2026-01-15/run.toml", overrides));
  expect_sums(result.margins, *result.attribution);
}

}  // namespace
}  // namespace shortfall
