// What-if: what is refused and how, and the text of the command.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <sstream>

#include "demo_run.hpp"
#include "host/cpu/machine.hpp"
#include "host/program/whatif_command.hpp"
#include "shortfall/whatif.hpp"

namespace shortfall {
namespace {

constexpr Quantity::Units contract = 1'000'000'000'000;

Quantity contracts(long long count) { return Quantity::from_units(count * contract); }

std::string problems_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(ParseTrade, TheLastColonDivides) {
  const Trade trade = parse_trade("A:B:-2.5e-3");
  EXPECT_EQ(trade.instrument, "A:B");
  EXPECT_TRUE(trade.quantity.units() == -contract / 400);
  EXPECT_TRUE(parse_trade("X:0").quantity.is_zero());
}

TEST(ParseTrade, RefusesWhatIsNoTrade) {
  const std::pair<const char*, const char*> rows[] = {
      {"BTC-PERPETUAL",
       "command line: --trade \"BTC-PERPETUAL\" has no quantity; write INSTRUMENT:QUANTITY like "
       "BTC-PERPETUAL:-5"},
      {"X:",
       "command line: --trade \"X:\" has no quantity; write INSTRUMENT:QUANTITY like "
       "BTC-PERPETUAL:-5"},
      {":5",
       "command line: --trade \":5\" names no instrument; write INSTRUMENT:QUANTITY like "
       "BTC-PERPETUAL:-5"},
      {"",
       "command line: --trade \"\" has no quantity; write INSTRUMENT:QUANTITY like "
       "BTC-PERPETUAL:-5"},
      {"X:five",
       "command line: --trade \"X:five\" has the quantity \"five\", which is no decimal "
       "number; write one like -12.5 or 1e-3"},
      {"X:1e18",
       "command line: --trade \"X:1e18\" has the quantity \"1e18\", which is too large; a "
       "quantity must be below 1e18 in magnitude"},
      {"X:1e-13",
       "command line: --trade \"X:1e-13\" has the quantity \"1e-13\", which has more "
       "than 12 fractional digits; round it"},
  };
  for (const auto& [text, want] : rows)
    EXPECT_EQ(problems_of([&, text = text] { parse_trade(text); }), want);
}

/// A book with an underlying of which nothing is held, and for which the charges have no row.
struct SparseBook : TemporaryBook {
  SparseBook() {
    write("underlyings.csv", "underlying,spot\nBTC,100000\nETH,2500\nSOL,150\nXRP,2\n");
    write("instruments.csv",
          "instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n"
          "BTC-PERP,perpetual,BTC,inverse,,,1,,\nETH-PERP,perpetual,ETH,linear,,,1,,\n"
          "SOL-PERP,perpetual,SOL,linear,,,1,,\nXRP-SPOT,spot,XRP,linear,,,1,,\n"
          "ETH A,spot,ETH,linear,,,1,,\n");
    write("positions.csv", "account,instrument,quantity\nann,BTC-PERP,1000\nbob,ETH-PERP,-2\n");
    write("covariance.csv",
          "factor,BTC.spot,ETH.spot,SOL.spot\nBTC.spot,4e-4,0,0\nETH.spot,0,9e-4,0\n"
          "SOL.spot,0,0,1e-3\n");
    write("liquidity.csv",
          "underlying,daily_volume_usd,half_spread_bps,impact,vol_spread,liquidation_days\n"
          "BTC,2e9,2,0.5,0.01,\nETH,1e9,3,0.5,0.02,\nXRP,1e9,3,0.5,0.02,\n");
    write("funding.csv", "underlying,long_pays,short_pays\nBTC,0.004,0.003\nETH,0.004,0.003\n");
    write("collateral.csv", "account,asset,amount\nann,USD,1000000\ncarl,BTC,1e15\n");
    std::ofstream(path("run.toml"), std::ios::app)
        << "[risk]\npaths = 1000\n[compute]\nbackend = \"cpu\"\nthreads = 1\n[margin]\n"
           "[margin.liquidity]\nfile = \"liquidity.csv\"\n[margin.funding]\nfile = "
           "\"funding.csv\"\n[margin.collateral]\nhaircuts = {BTC = 0.1}\n";
  }

  RunConfig config() const { return load_config(path("run.toml")); }
  /// With file names relative to the folder.
  std::string without_folder(std::string text) const {
    const std::string prefix = path("").string();
    for (std::size_t at = 0; (at = text.find(prefix, at)) != std::string::npos;)
      text.erase(at, prefix.size());
    return text;
  }
};

TEST(WhatIfInput, EveryProblemHasItsMessage) {
  const Quantity huge = Quantity::from_units(contract * 999'999 * contract);
  struct Row {
    WhatIfQuery query;
    const char* problems;
  };
  const Row rows[] = {
      {{"anne", {}},
       "command line: positions.csv has no account \"anne\"; names close to it are \"ann\"; --open "
       "opens it"},
      {{"zzzzzz", {}}, "command line: positions.csv has no account \"zzzzzz\"; --open opens it"},
      // Of the collateral file, but not of the book.
      {{"carl", {}}, "command line: positions.csv has no account \"carl\"; --open opens it"},
      {{"", {}, true}, "command line: --account is empty; give it a name"},
      {{"ann", {{"BTC-PREP", contracts(5)}}},
       "command line: trade \"BTC-PREP:5\": instruments.csv lists no instrument \"BTC-PREP\"; "
       "names "
       "close to it are \"BTC-PERP\"; name one that it lists"},
      {{"ann", {{"nothing", contracts(-5)}}},
       "command line: trade \"nothing:-5\": instruments.csv lists no instrument \"nothing\"; name "
       "one that it lists"},
      {{"ann", {{"BTC-PERP", huge}, {"BTC-PERP", huge}}},
       "command line: trade \"BTC-PERP:9.99999e+17\" brings account \"ann\" to 2e+18 contracts; a "
       "net quantity must be below 1e18"},
      {{"ann", {{"XRP-SPOT", contracts(1)}}},
       "command line: trade \"XRP-SPOT:1\" needs the factor XRP.spot, which covariance.csv lacks; "
       "add its row and column, or leave the trade out"},
      {{"bob", {{"SOL-PERP", contracts(1)}, {"nothing", contracts(1)}}},
       "command line: trade \"nothing:1\": instruments.csv lists no instrument \"nothing\"; name "
       "one "
       "that it lists\n"
       "liquidity.csv: trade \"SOL-PERP:1\": has no row for SOL, of which instrument \"SOL-PERP\" "
       "is held; add a row for SOL\n"
       "funding.csv: trade \"SOL-PERP:1\": has no row for SOL, of which perpetual \"SOL-PERP\" is "
       "held; add a row for SOL"},
      // Collateral of an account that the book did not have is checked once it does.
      {{"carl", {}, true},
       "collateral.csv: account \"carl\" has 1e+15 BTC, more than 1e18 USD; correct the amount"},
  };
  const SparseBook book;
  WhatIfSession session(book.config());
  for (const Row& row : rows) {
    const auto text = [&](auto ask) { return book.without_folder(problems_of(ask)); };
    EXPECT_EQ(text([&] { session.base(row.query); }), row.problems);
    EXPECT_EQ(text([&] { session.all(row.query); }), row.problems);
    EXPECT_EQ(text([&] { what_if(book.config(), row.query); }), row.problems);
  }
  // Trades that leave nothing need nothing.
  EXPECT_EQ(
      session.base({"ann", {{"XRP-SPOT", contracts(1)}, {"XRP-SPOT", contracts(-1)}}}).after_usd,
      session.base({"ann", {}}).before_usd);
}

TEST(WhatIfInput, LossesBeyondNumbersNameAccountAndPath) {
  SparseBook book;
  book.write("covariance.csv",
             "factor,BTC.spot,ETH.spot,SOL.spot\nBTC.spot,4e-4,0,0\nETH.spot,0,1e6,0\n"
             "SOL.spot,0,0,1e-3\n");
  WhatIfSession session(book.config());
  const auto message = [&](const WhatIfQuery& query) {
    try {
      session.base(query);
    } catch (const OperatingError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message({"bob", {}}).find("account \"bob\": the loss on path "), 0u);
  EXPECT_EQ(
      message({"ann", {{"ETH-PERP", contracts(1)}}}).find("account \"ann\": the loss on path "),
      0u);
  EXPECT_EQ(message({"ann", {{"BTC-PERP", contracts(1)}}}), "");
}

TEST(WhatIfInput, MovesThatDoNotFitInMemoryAreRefused) {
  const SparseBook book;
  RunConfig config = book.config();
  config.risk.path_count = 4'000'000'000;
  const std::uint64_t bytes = config.risk.path_count * 3 * sizeof(double);
  if (bytes <= machine_memory_bytes()) GTEST_SKIP() << "they fit in this machine's memory";
  try {
    WhatIfSession session(config);
    FAIL() << "held";
  } catch (const OperatingError& error) {
    EXPECT_STREQ(
        error.what(),
        "out of memory: the moves of 3 factors on 4000000000 paths take 96.0 GB; use fewer "
        "paths");
  }
}

TEST(WhatIfCommand, TableOfWhatIsConfigured) {
  WhatIf answer;
  answer.before.account = "ann";
  answer.before.components = {.base = 1000, .stress = 50};
  answer.after.components = {.base = 900, .stress = 250};
  answer.before.margin_usd = 1050;
  answer.after.margin_usd = 1150;
  answer.before.equity_usd = answer.after.equity_usd = 1100;
  answer.before.excess_usd = 50;
  answer.after.excess_usd = -50;
  answer.after.status = AccountStatus::call;
  answer.before.expected_shortfall_usd = 1000;
  answer.after.expected_shortfall_usd = 900;
  answer.standard_error_usd = 12.5;
  answer.seconds = 0.25;
  answer.warnings = {"only so much"};
  MarginConfig config;
  EXPECT_EQ(format_what_if(answer, config),
            R"(ann                                 before             after  difference (USD)
margin                               1,050             1,150              +100
gross notional                           0                 0                 0
value at risk                            0                 0                 0
expected shortfall                   1,000               900              -100
standard error                           0                 0             12.50
warning: only so much
in 0.25 s
)");
  config.stress.emplace();
  config.collateral.emplace();
  EXPECT_EQ(format_what_if(answer, config),
            R"(ann                                 before             after  difference (USD)
base                                 1,000               900              -100
stress                               50.00               250              +200
margin                               1,050             1,150              +100
maintenance margin                       0                 0                 0
equity                               1,100             1,100                 0
excess                               50.00            -50.00              -100
status                                  ok              call                  
gross notional                           0                 0                 0
value at risk                            0                 0                 0
expected shortfall                   1,000               900              -100
standard error                           0                 0             12.50
warning: only so much
in 0.25 s
)");
}

struct Dialogue {
  std::string out, err;
  int refused_count;

  Dialogue(WhatIfSession& session, const std::string& lines, bool may_open, bool is_base_only) {
    std::istringstream in(lines);
    std::ostringstream out_stream, err_stream;
    refused_count =
        answer_queries(session, "ann", may_open, is_base_only, in, out_stream, err_stream);
    out = out_stream.str();
    err = err_stream.str();
  }
  long line_count() const { return std::count(out.begin(), out.end(), '\n'); }
};

TEST(WhatIfCommand, AnswersLinesUntilQuit) {
  const SparseBook book;
  WhatIfSession session(book.config());
  const Dialogue dialogue(
      session,
      "BTC-PERP:5 \"ETH A:2\"\n\n  \t\r\nBTC-PERP\nNO:1 WAY:2\naccount bob\n"
      "ETH-PERP:2\naccount\n\"BTC-PERP:1\naccount nobody\nBTC-PERP:1\nquit\nNO:1\n",
      false, true);
  EXPECT_EQ(dialogue.refused_count, 5);
  EXPECT_EQ(
      book.without_folder(dialogue.err),
      "line 4: --trade \"BTC-PERP\" has no quantity; write INSTRUMENT:QUANTITY like "
      "BTC-PERPETUAL:-5\n"
      "line 5: trade \"NO:1\": instruments.csv lists no instrument \"NO\"; name one that it "
      "lists\n"
      "line 5: trade \"WAY:2\": instruments.csv lists no instrument \"WAY\"; name one that it "
      "lists\n"
      "line 8: write account NAME; a name with blanks in double quotes\n"
      "line 9: has a double quote that is not closed; close it\n"
      "line 10: positions.csv has no account \"nobody\"; --open opens it\n");
  // What is held, and a line for each of four answers: the account stayed bob.
  EXPECT_EQ(dialogue.line_count(), 5);
  EXPECT_EQ(dialogue.out.find("1000 paths, 3 factors, "), 0u) << dialogue.out;
  const BaseWhatIf first =
      session.base({"ann", {{"BTC-PERP", contracts(5)}, {"ETH A", contracts(2)}}});
  EXPECT_GT(first.standard_error_usd, 0);
  EXPECT_NE(dialogue.out.find("\nann: base "), std::string::npos) << dialogue.out;
  EXPECT_NE(dialogue.out.rfind("\nbob: base "), std::string::npos) << dialogue.out;
  EXPECT_EQ(dialogue.out.find("nobody"), std::string::npos);
}

TEST(WhatIfCommand, TablesFollowWhereThereAreComponents) {
  const SparseBook book;
  WhatIfSession session(book.config());
  const Dialogue both(session, "BTC-PERP:5\naccount new\nETH-PERP:1\n", true, false);
  EXPECT_EQ(both.refused_count, 0) << both.err;
  EXPECT_NE(both.out.find("\nliquidity "), std::string::npos) << both.out;
  EXPECT_NE(both.out.find("\nnew  "), std::string::npos) << both.out;
  RunConfig plain = book.config();
  plain.margin = {};
  WhatIfSession plain_session(plain);
  EXPECT_EQ(Dialogue(plain_session, "BTC-PERP:5", true, false).line_count(), 2);
}

}  // namespace
}  // namespace shortfall
