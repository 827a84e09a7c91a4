// What-if: the exact answer against full runs of the book with the trades in it, the fast one
// against the exact one, and the standard error of the difference against its spread over seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>

#include "demo_run.hpp"
#include "shortfall/whatif.hpp"

namespace shortfall {
namespace {

Quantity contracts(double count) {
  return Quantity::from_units(
      static_cast<Quantity::Units>(std::llround(count * 1e6) * static_cast<long long>(1'000'000)));
}

/// The demonstration book under one of many configurations.
struct Case {
  const char* name;
  std::string margin;
  Distribution distribution = Distribution::student_t;
  RevalueAt revalue_at = RevalueAt::horizon;
  Sampler sampler = Sampler::philox;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const std::string simulated_collateral =
    "multiplier = 1.2\nsampling_uplift = 2\n[margin.liquidity]\nfile = \"liquidity.csv\"\n"
    "[margin.dependence]\n[margin.collateral]\nsimulate = true\n";

const Case cases[] = {
    {"plain", ""},
    {"every_component", every_component},
    {"simulated_collateral", simulated_collateral, Distribution::gaussian, RevalueAt::worst},
    {"sobol", "sampling_uplift = 2\n", Distribution::student_t, RevalueAt::horizon, Sampler::sobol},
};

struct Demo : DemoRun {
  explicit Demo(const Case& c, std::uint64_t path_count = 6000) : DemoRun(c.margin, 1, path_count) {
    config().model.distribution = c.distribution;
    config().risk.revalue_at = c.revalue_at;
    config().risk.sampler = c.sampler;
    if (c.sampler == Sampler::sobol) config().risk.path_count = 8192;
    config().compute.thread_count = 1;
  }

  /// Adds the trades of queries to the file of positions.
  void add_positions(const std::vector<WhatIfQuery>& queries) {
    std::ofstream file(config().inputs.positions, std::ios::app);
    for (const WhatIfQuery& query : queries)
      for (const Trade& trade : query.trades)
        file << fmt::format("{},{},{:.6f}\n", query.account, trade.instrument,
                            trade.quantity.contracts());
  }

  /// Rows of margin.csv by account.
  std::map<std::string, std::string> rows() {
    std::map<std::string, std::string> rows;
    for (const AccountMargin& margin : shortfall::run(config()).margins)
      rows[margin.account] = row(margin);
    return rows;
  }
  std::string row(const AccountMargin& margin) { return format_margins({margin}, config().margin); }
};

/// Fifty queries of accounts that differ: some of one leg and some of three, of instruments that
/// are held, half held, closed or new to the account, and of accounts that there are not yet.
std::vector<WhatIfQuery> random_queries(const RunInputs& inputs, unsigned seed) {
  std::mt19937 random(seed);
  const Book& book = inputs.book;
  std::vector<WhatIfQuery> queries;
  for (std::uint32_t n = 0; n < 50; ++n) {
    const std::uint32_t account = (2 * n + seed) % static_cast<std::uint32_t>(book.accounts.size());
    const bool is_new = n % 10 == 7;
    WhatIfQuery query{is_new ? fmt::format("new-{}", n) : book.accounts[account].name, {}, is_new};
    std::vector<Position> own;
    for (const Position& p : book.positions)
      if (p.account == account && !is_new) own.push_back(p);
    for (std::uint32_t leg = 0; leg < (n % 4 == 3 ? 3 : 1); ++leg) {
      const Position* const held = own.empty() ? nullptr : &own[random() % own.size()];
      const std::uint32_t kind = random() % 4;
      if (held && kind == 0)  // closed
        query.trades.push_back({book.instruments[held->instrument].name,
                                Quantity::from_units(-held->quantity.units())});
      else if (held && kind == 1)
        query.trades.push_back({book.instruments[held->instrument].name,
                                contracts(held->quantity.contracts() * -0.4)});
      else
        query.trades.push_back(
            {book.instruments[random() % book.instruments.size()].name,
             contracts((random() % 2 ? 0.25 : -0.25) * static_cast<double>(1 + random() % 40))});
    }
    queries.push_back(query);
  }
  return queries;
}

class WhatIfCase : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Demo, WhatIfCase, testing::ValuesIn(cases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(WhatIfCase, BytesOfFullRuns) {
  Demo demo(GetParam());
  const std::vector<WhatIfQuery> queries = random_queries(load_inputs(demo.config()), 1);
  WhatIfSession session(demo.config());
  std::vector<WhatIf> answers;
  for (const WhatIfQuery& query : queries) answers.push_back(session.all(query));
  const auto before = demo.rows();
  demo.add_positions(queries);  // of accounts that do not see each other
  const auto after = demo.rows();
  int changed_count = 0;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const std::string& account = queries[q].account;
    if (!queries[q].may_open) {
      EXPECT_EQ(demo.row(answers[q].before), before.at(account)) << account;
    } else {
      EXPECT_EQ(answers[q].before.position_count, 0u);
      EXPECT_EQ(answers[q].before.margin_usd, 0);
    }
    EXPECT_EQ(demo.row(answers[q].after), after.at(account)) << account;
    changed_count += answers[q].after.margin_usd != answers[q].before.margin_usd;
  }
  EXPECT_GT(changed_count, 40);
}

TEST_P(WhatIfCase, TheSessionAgreesWithSimulatingAnew) {
  Demo demo(GetParam());
  WhatIfSession session(demo.config());
  std::map<MarginMode, int> changed_count;
  for (const unsigned seed : {2u, 3u})
    for (const WhatIfQuery& query : random_queries(load_inputs(demo.config()), seed)) {
      const WhatIf want = session.all(query);
      const BaseWhatIf got = session.base(query);
      const double tolerance =
          1e-6 * std::max(want.before.gross_notional_usd, want.after.gross_notional_usd);
      EXPECT_NEAR(got.before_usd, want.before.components.base, tolerance) << query.account;
      EXPECT_NEAR(got.after_usd, want.after.components.base, tolerance) << query.account;
      EXPECT_NEAR(got.before_shortfall_usd, want.before.expected_shortfall_usd, tolerance);
      EXPECT_NEAR(got.after_shortfall_usd, want.after.expected_shortfall_usd, tolerance);
      EXPECT_NEAR(got.standard_error_usd, want.standard_error_usd, tolerance) << query.account;
      if (want.before.mode == MarginMode::portfolio) {  // one group, and before the trade no rest
        EXPECT_EQ(got.before_shortfall_usd, want.before.expected_shortfall_usd) << query.account;
      }
      changed_count[want.before.mode] += got.after_usd != got.before_usd;
    }
  for (const MarginMode mode : {MarginMode::portfolio, MarginMode::cross, MarginMode::isolated})
    EXPECT_GT(changed_count[mode], 3) << to_string(mode);
}

/// Closes every position of the account.
WhatIfQuery closing(const RunInputs& inputs, std::uint32_t account) {
  WhatIfQuery query{inputs.book.accounts[account].name, {}};
  for (const Position& p : inputs.book.positions)
    if (p.account == account)
      query.trades.push_back(
          {inputs.book.instruments[p.instrument].name, Quantity::from_units(-p.quantity.units())});
  return query;
}

TEST(WhatIf, ClosingEverythingLeavesNothing) {
  Demo demo(cases[1]);
  const RunInputs inputs = load_inputs(demo.config());
  WhatIfSession session(demo.config());
  for (const std::uint32_t account : {0u, 5u, 11u}) {  // portfolio, cross, isolated
    const WhatIfQuery query = closing(inputs, account);
    const BaseWhatIf base = session.base(query);
    EXPECT_GT(base.before_usd, 0);
    EXPECT_EQ(base.after_usd, 0);
    EXPECT_EQ(base.after_shortfall_usd, 0);
    const WhatIf all = session.all(query);
    EXPECT_EQ(all.after.margin_usd, 0);
    EXPECT_EQ(all.after.position_count, 0u);
    // What remains of the difference is the account's own shortfall.
    if (all.before.mode == MarginMode::portfolio) {
      EXPECT_NEAR(all.standard_error_usd, all.before.standard_error_usd,
                  1e-9 * all.before.standard_error_usd);
    }
  }
}

TEST(WhatIf, WhatIsLeftOfMuchIsRevalued) {
  // Calls on 0.001 SOL beside a million SOL, whose losses are rounded to 2^-24 or so of themselves:
  // what was lost before less what is closed would say nothing of what is left.
  Demo demo(cases[0]);
  const Trade coins{"SOL-SPOT", contracts(1e6)};
  const WhatIfQuery calls{"whale",
                          {{"SOL-30JAN26-150-C", contracts(0.0001)},
                           {"SOL-30JAN26-160-C", contracts(-0.0001)},
                           {"SOL-27MAR26-150-C", contracts(0.0001)}}};
  demo.add_positions({calls, {"whale", {coins}}});
  const WhatIfQuery close{"whale", {{coins.instrument, contracts(-1e6)}}};
  WhatIfSession session(demo.config());
  const WhatIf want = session.all(close);
  ASSERT_EQ(want.after.position_count, 3u);
  EXPECT_GT(want.after.margin_usd, 0);
  EXPECT_EQ(session.base(close).after_usd, want.after.margin_usd);
}

TEST(WhatIf, AddingAndRemovingReturnsToTheStart) {
  Demo demo(cases[1]);
  const std::string account = "market-maker-01";
  const auto start = demo.rows();
  WhatIfQuery there{account,
                    {{"BTC-30JAN26-100000-C", contracts(7.5)}, {"SOL-PERPETUAL", contracts(-100)}}};
  WhatIfQuery back = there;
  for (Trade& trade : back.trades) trade.quantity = Quantity::from_units(-trade.quantity.units());
  WhatIfQuery both = there;
  both.trades.insert(both.trades.end(), back.trades.begin(), back.trades.end());
  WhatIfSession session(demo.config());
  EXPECT_EQ(demo.row(session.all(both).after), start.at(account));
  EXPECT_EQ(session.base(both).after_usd, session.base(both).before_usd);
  EXPECT_EQ(session.base(both).standard_error_usd, 0);
  EXPECT_NE(demo.row(session.all(there).after), start.at(account));

  demo.add_positions({there});
  EXPECT_EQ(demo.row(what_if(demo.config(), back).after), start.at(account));
}

TEST(WhatIf, ATradeOfNothingChangesNothing) {
  Demo demo(cases[1]);
  WhatIfSession session(demo.config());
  for (const std::vector<Trade>& trades :
       {std::vector<Trade>{}, {{"ETH-PERPETUAL", {}}, {"BTC-PERPETUAL", {}}}}) {
    const WhatIfQuery query{"market-maker-02", trades};
    const WhatIf all = session.all(query);
    EXPECT_EQ(demo.row(all.before), demo.row(all.after));
    EXPECT_EQ(all.standard_error_usd, 0);
    EXPECT_EQ(session.base(query).after_usd, all.before.components.base);
  }
  const WhatIf opened = session.all({"nobody", {{"ETH-PERPETUAL", {}}}, true});
  EXPECT_EQ(opened.after.margin_usd, 0);
  EXPECT_EQ(session.base({"nobody", {}, true}).after_usd, 0);
}

TEST(WhatIf, TheModeOfAnOpenedAccountIsThatOfTheAccountsFile) {
  Demo demo(cases[0]);
  std::ofstream(*demo.config().inputs.accounts, std::ios::app) << "late,isolated\n";
  const std::vector<Trade> spread = {{"BTC-PERPETUAL", contracts(1000)},
                                     {"BTC-9JAN26", contracts(-1000)}};
  WhatIfSession session(demo.config());
  const WhatIf listed = session.all({"late", spread, true});
  const WhatIf unlisted = session.all({"later", spread, true});
  EXPECT_EQ(listed.after.mode, MarginMode::isolated);
  EXPECT_EQ(unlisted.after.mode, MarginMode::portfolio);
  // A new group is revalued as a run does it.
  EXPECT_EQ(session.base({"later", spread, true}).after_usd, unlisted.after.margin_usd);
  EXPECT_GT(session.base({"late", spread, true}).after_usd,
            5 * session.base({"later", spread, true}).after_usd);
}

TEST(WhatIf, TheSameBitsWhateverComputesAndWhateverWasAskedBefore) {
  Demo demo(cases[2]);
  const std::vector<WhatIfQuery> queries = random_queries(load_inputs(demo.config()), 5);
  std::vector<double> want;
  for (const InstructionSet set : usable_instruction_sets())
    for (const std::uint32_t threads : {1u, 3u}) {
      demo.config().compute.instruction_set = set;
      demo.config().compute.thread_count = threads;
      WhatIfSession session(demo.config());
      std::vector<double> got;
      // More accounts than are kept, each twice.
      for (const std::size_t q : {0u, 3u, 7u, 9u, 11u, 13u, 0u, 3u, 13u}) {
        const BaseWhatIf base = session.base(queries[q]);
        got.insert(got.end(), {base.before_usd, base.after_usd, base.standard_error_usd});
      }
      if (want.empty()) want = got;
      EXPECT_EQ(got, want) << to_string(set) << ", " << threads << " threads";
      EXPECT_TRUE(std::equal(got.begin(), got.begin() + 6, got.begin() + 18));
    }
}

TEST(WhatIf, WhatIsHeldIsCounted) {
  Demo demo(cases[0], 20'000);
  WhatIfSession session(demo.config());
  const std::uint64_t moves = 20'032 * session.factor_count() * sizeof(double);
  EXPECT_EQ(session.factor_count(), 24u);
  EXPECT_GT(session.bytes(), moves);
  EXPECT_LT(session.bytes(), moves + 1'000'000);
  const std::uint64_t loaded = session.bytes();
  session.base({"market-maker-01", {{"BTC-PERPETUAL", contracts(5)}}});
  EXPECT_GE(session.bytes(), loaded + 20'032 * sizeof(float));
  EXPECT_GT(session.load_seconds(), 0);
}

/// Marks and positions that change under a session: the answers of a session begun anew, bit by
/// bit.
TEST(WhatIf, ASessionFollowsItsBook) {
  Demo demo(cases[0], 5000);
  RunConfig config = demo.config();
  RunInputs inputs = load_inputs(config);
  WhatIfSession session(config, inputs);
  const WhatIfQuery queries[] = {{"market-maker-01", {{"BTC-PERPETUAL", contracts(5)}}},
                                 {"calendar-02", {{"ETH-PERPETUAL", contracts(-3)}}}};
  const auto expect_equal_answers = [&] {
    WhatIfSession anew(config, inputs);
    for (const WhatIfQuery& query : queries) {
      const BaseWhatIf got = session.base(query), want = anew.base(query);
      EXPECT_EQ(got.before_shortfall_usd, want.before_shortfall_usd);
      EXPECT_EQ(got.after_shortfall_usd, want.after_shortfall_usd);
      EXPECT_EQ(got.after_value_at_risk_usd, want.after_value_at_risk_usd);
      EXPECT_EQ(got.after_error_usd, want.after_error_usd);
      EXPECT_EQ(got.standard_error_usd, want.standard_error_usd);
      EXPECT_EQ(demo.row(session.all(query).after), demo.row(anew.all(query).after));
    }
  };
  expect_equal_answers();
  const BaseWhatIf first = session.base(queries[0]);
  for (Position& p : inputs.book.positions)  // of one account
    if (inputs.book.accounts[p.account].name == "market-maker-01")
      p.quantity = Quantity::from_units(2 * p.quantity.units());
  session.replace(config, inputs);
  expect_equal_answers();
  EXPECT_NE(session.base(queries[0]).before_shortfall_usd, first.before_shortfall_usd);
  for (Underlying& underlying : inputs.book.underlyings) underlying.spot_usd *= 1.01;
  for (Instrument& instrument : inputs.book.instruments) instrument.mark_price *= 1.01;
  session.replace(config, inputs);
  expect_equal_answers();
  config.as_of += 3600;
  session.replace(config, inputs);
  expect_equal_answers();
  inputs.book.accounts.push_back({"new", MarginMode::portfolio});
  session.replace(config, inputs);
  EXPECT_EQ(session.base({"new", {{"BTC-PERPETUAL", contracts(1)}}}).before_usd, 0);
}

void expect_same_answer(const BaseWhatIf& got, const BaseWhatIf& want, const std::string& what) {
  EXPECT_EQ(got.before_usd, want.before_usd) << what;
  EXPECT_EQ(got.after_usd, want.after_usd) << what;
  EXPECT_EQ(got.before_shortfall_usd, want.before_shortfall_usd) << what;
  EXPECT_EQ(got.after_shortfall_usd, want.after_shortfall_usd) << what;
  EXPECT_EQ(got.before_value_at_risk_usd, want.before_value_at_risk_usd) << what;
  EXPECT_EQ(got.after_error_usd, want.after_error_usd) << what;
  EXPECT_EQ(got.standard_error_usd, want.standard_error_usd) << what;
}

/// Accounts that are held before they are asked for answer with the same bits.
TEST_P(WhatIfCase, AccountsHeldInAdvanceAnswerTheSame) {
  Demo demo(GetParam(), 5000);
  const RunInputs inputs = load_inputs(demo.config());
  WhatIfSession held(demo.config()), plain(demo.config());
  const std::uint64_t before = held.bytes();
  held.hold_accounts();
  const std::uint64_t after = held.bytes();
  EXPECT_GT(after, before + 50 * 5000 * sizeof(float));
  held.hold_accounts();  // nothing is left to hold
  EXPECT_EQ(held.bytes(), after);
  for (const WhatIfQuery& query : random_queries(inputs, 4))
    expect_same_answer(held.base(query), plain.base(query), query.account);
}

TEST(WhatIf, WhatIsHeldHasABound) {
  // 8 MB per account in portfolio mode: there is room for 32.
  Demo demo(cases[0], 2'000'000);
  WhatIfSession session(demo.config());
  const std::uint64_t before = session.bytes();
  session.hold_accounts();
  const std::uint64_t held = session.bytes() - before;
  EXPECT_LE(held, WhatIfSession::bytes_held_max + 1'000'000);   // and the inputs as simulated
  EXPECT_GT(held, WhatIfSession::bytes_held_max - 40'000'000);  // the next is in cross mode
  const RunInputs inputs = load_inputs(demo.config());
  for (std::uint32_t a = 60; a < 100; ++a)
    session.base({inputs.book.accounts[a].name, {{"BTC-PERPETUAL", contracts(1)}}});
  EXPECT_LE(session.bytes() - before, WhatIfSession::bytes_held_max + 1'000'000);
}

/// What work in between does to a session that is holding accounts.
TEST(WhatIf, HoldingAccountsGivesWay) {
  Demo demo(cases[0], 5000);
  const RunConfig config = demo.config();
  const RunInputs inputs = load_inputs(config);
  const WhatIfQuery query{"market-maker-01", {{"BTC-PERPETUAL", contracts(5)}}};
  WhatIfSession session(config, inputs);
  const std::uint64_t before = session.bytes();
  EXPECT_THROW(session.hold_accounts([](std::uint64_t) { throw std::runtime_error("stop"); }),
               std::runtime_error);
  EXPECT_LT(session.bytes(), before + 2'000'000);  // the inputs as simulated, no account

  RunInputs traded = inputs, marked = inputs;
  for (Position& p : traded.book.positions)
    if (traded.book.accounts[p.account].name == "market-maker-01")
      p.quantity = Quantity::from_units(2 * p.quantity.units());
  for (Underlying& underlying : marked.book.underlyings) underlying.spot_usd *= 1.01;
  for (Instrument& instrument : marked.book.instruments) instrument.mark_price *= 1.01;
  for (const RunInputs* other : {&traded, &marked}) {
    WhatIfSession anew(config, *other);
    bool has_changed = false;
    session.replace(config, inputs);
    session.hold_accounts([&](std::uint64_t) {
      if (std::exchange(has_changed, true)) return;
      session.base(query);
      session.replace(config, *other);
    });
    EXPECT_TRUE(has_changed);
    for (const WhatIfQuery& asked : random_queries(*other, 5))
      expect_same_answer(session.base(asked), anew.base(asked), asked.account);
    expect_same_answer(session.base(query), anew.base(query), query.account);
  }
}

TEST(WhatIf, TheStandardErrorIsTheSpreadOverSeeds) {
  constexpr int seed_count = 64;
  const Case models[] = {{"", "", Distribution::gaussian},
                         {"", ""},
                         {"", "", Distribution::student_t, RevalueAt::horizon, Sampler::sobol}};
  for (const Case& model : models) {
    double sum = 0, square = 0, variance = 0, apart = 0;
    for (int seed = 1; seed <= seed_count; ++seed) {
      Demo demo(model, 8000);
      demo.config().risk.seed = static_cast<std::uint64_t>(seed);
      WhatIfSession session(demo.config());
      const WhatIfQuery query{"market-maker-01", {{"BTC-30JAN26-100000-C", contracts(2)}}};
      const BaseWhatIf base = session.base(query);
      const double difference = base.after_shortfall_usd - base.before_shortfall_usd;
      sum += difference;
      square += difference * difference;
      variance += base.standard_error_usd * base.standard_error_usd / seed_count;
      if (seed > 4) continue;
      const WhatIf all = session.all(query);
      apart += std::hypot(all.before.standard_error_usd, all.after.standard_error_usd) / 4;
    }
    const double spread = (square - sum * sum / seed_count) / (seed_count - 1);
    // 63 spread / variance is chi-square with 63 degrees of freedom, whose standard deviation is
    // sqrt(126): four of them. (Under Sobol the reported variance is itself a mean of 64 with 15
    // degrees of freedom each, which adds little.)
    EXPECT_NEAR(spread / variance, 1, 4 * std::sqrt(2.0 / (seed_count - 1)));
    // Two runs on paths of their own would know much less.
    EXPECT_LT(std::sqrt(variance), 0.5 * apart);
  }
}

}  // namespace
}  // namespace shortfall
