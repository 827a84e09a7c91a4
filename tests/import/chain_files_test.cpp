// What is written loads, and the chain of the shared data has the errors that are known of it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "host/import/chain_checks.hpp"
#include "host/import/chain_files.hpp"
#include "tests/import/import_files.hpp"

namespace shortfall::exchange {
namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// Loads a written chain with a book of nothing much, as `check` does.
RunInputs load(const std::filesystem::path& folder) {
  std::ofstream(folder / "positions.csv") << "account,instrument,quantity\na,BTC-27MAR26,1\n";
  std::ofstream(folder / "covariance.csv") << "factor,BTC.spot\nBTC.spot,4e-4\n";
  return load_inputs(load_config(folder / "run.toml"));
}

TEST(ImportFiles, AreWhatTheEngineReads) {
  ImportFiles files;
  files
      .add("a.json",
           envelope({call_summary(), future_summary("BTC-PERPETUAL", 96100),
                     option_summary("BTC-16JAN26-95000-P", "index_price", 96000, 0.004, 38.5)}))
      .add("b.json", envelope({future_summary("XRP_USDC-PERPETUAL", 2.0625)
                                   .with("base_currency", "\"XRP\"")
                                   .with("estimated_delivery_price", "2.06")}))
      .add("c.json", envelope({listing("XRP_USDC-PERPETUAL", "future")
                                   .with("base_currency", "\"XRP\"")
                                   .with("settlement_period", "\"perpetual\"")}));
  const ImportedChain chain = files.import();
  const std::filesystem::path out = files.folder().path("out");
  write_chain(format_chain(chain), out, false);
  EXPECT_EQ(text_of(out / "underlyings.csv"), "underlying,spot\nBTC,96000\nXRP,2.06\n");
  EXPECT_EQ(text_of(out / "instruments.csv"),
            "instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n"
            "BTC-PERPETUAL,perpetual,BTC,inverse,,,10,96100,\n"
            "BTC-27MAR26,future,BTC,inverse,2026-03-27T08:00:00Z,,10,97000,\n"
            "BTC-16JAN26-95000-P,put,BTC,inverse,2026-01-16T08:00:00Z,95000,1,96000,0.385\n"
            "BTC-27MAR26-95000-C,call,BTC,inverse,2026-03-27T08:00:00Z,95000,1,97000,0.4048\n"
            "XRP_USDC-PERPETUAL,perpetual,XRP,linear,,,1,2.0625,\n");
  const RunInputs inputs = load(out);
  ASSERT_EQ(inputs.book.instruments.size(), chain.instruments.size());
  EXPECT_EQ(inputs.book.instruments[3].mark_iv, chain.instruments[3].terms.mark_iv);
}

TEST(ImportFiles, DoNotReplaceWhatDiffers) {
  ImportFiles files;
  files.add("a.json", envelope({call_summary()}));
  const ChainFiles written = format_chain(files.import());
  const std::filesystem::path out = files.folder().path("out");
  write_chain(written, out, false);
  EXPECT_NO_THROW(write_chain(written, out, false)) << "the same again";
  std::ofstream(out / "run.toml", std::ios::app) << "[risk]\nseed = 7\n";
  std::filesystem::remove(out / "underlyings.csv");
  try {
    write_chain(written, out, false);
    ADD_FAILURE() << "an edited run.toml was lost";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("run.toml: is there already and differs"),
              std::string::npos)
        << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(out / "underlyings.csv")) << "all or nothing";
  write_chain(written, out, true);
  EXPECT_EQ(text_of(out / "run.toml"), written.config);
}

TEST(ImportFiles, AreNotThereWhereOneCannotBeWritten) {
  ImportFiles files;
  files.add("a.json", envelope({call_summary()}));
  const std::filesystem::path out = files.folder().path("out");
  std::filesystem::create_directories(out / "run.toml" / "folder");
  EXPECT_THROW(write_chain(format_chain(files.import()), out, true), OperatingError);
  EXPECT_FALSE(std::filesystem::exists(out / "instruments.csv"));
}

TEST(ImportFiles, ReportSaysWhatWasFound) {
  ImportFiles files;
  files.add("a.json",
            envelope({call_summary().with("mark_price", "0.1"), future_summary("BTC_USDC", 96000),
                      option_summary("BTC-27MAR26-96000-C", "BTC-27MAR26", 97000, 0.11, 40.48),
                      option_summary("BTC-27MAR26-95000-P", "BTC-27MAR26", 97000, 0.03, 40.48)}));
  const ImportedChain chain = files.import();
  const ChainChecks checks = check_chain(chain)[0];
  EXPECT_EQ(checks.monotonicity.violation_count, 1u);
  EXPECT_NEAR(checks.monotonicity.maximum, 0.01, 1e-16);
  EXPECT_EQ(checks.parity.violation_count, 1u);
  EXPECT_NEAR(checks.parity.maximum, std::fabs(0.1 - 0.03 - (1 - 95000.0 / 97000)), 1e-16);
  const std::string report = format_import(chain);
  for (const char* part :
       {"as of 2026-01-15T09:30:00Z: 3 marks", "1  spot pair", "BTC_USDC", "put-call parity",
        "call monotonicity", "Black-76", "1  future marked at the forward of its options"})
    EXPECT_NE(report.find(part), std::string::npos) << part << " is not in\n" << report;
}

TEST(ImportChecks, ButterfliesAreNegativeProbabilities) {
  // Call prices of 10, 6, 4 at strikes 90, 100, 110 are convex; 10, 8, 4 are not: the slope falls
  // from -0.2 to -0.4.
  ImportedChain chain;
  chain.underlyings = {{"BTC", 100}};
  for (const auto& [strike, value] : {std::pair(90.0, 10.0), {100.0, 8.0}, {110.0, 4.0}}) {
    ListedInstrument call;
    call.terms.name = fmt::format("{}", strike);
    call.terms.type = InstrumentType::call;
    call.terms.settlement = Settlement::inverse;
    call.terms.strike = strike;
    call.terms.mark_price = 100;
    call.terms.mark_iv = 0.5;
    call.terms.expiry = 86'400;
    call.premium = value / 100;
    chain.instruments.push_back(call);
  }
  const ChainChecks checks = check_chain(chain)[0];
  EXPECT_EQ(checks.butterfly.violation_count, 1u);
  EXPECT_NEAR(checks.butterfly.maximum, 0.2, 1e-15);
  EXPECT_EQ(checks.butterfly.worst, "100");
  EXPECT_EQ(checks.monotonicity.violation_count, 0u);
}

class SharedChain : public testing::Test {
 protected:
  void SetUp() override {
    const char* const shared = std::getenv("SHORTFALL_SHARED");
    if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set";
    shared_ = shared;
    options_.files = {shared_ / "data/deribit_chain_20260115" /
                      "deribit_options_snapshot_20260115T092130Z.csv"};
    options_.map =
        std::filesystem::path(SHORTFALL_SOURCE_DIR) / "configs/import/deribit_chain.toml";
  }
  std::filesystem::path shared_;
  ImportOptions options_;
};

TEST_F(SharedChain, HasTheErrorsThatAreKnownOfIt) {
  const ImportedChain chain = import_chain(options_);
  const std::vector<ChainChecks> checks = check_chain(chain);
  // The figures in SOURCE.txt beside the data, computed by others; the median may be 1e-5 at most.
  const ChainChecks &btc = checks.at(0), &eth = checks.at(1);
  EXPECT_EQ(btc.black.count, 674u);
  EXPECT_EQ(eth.black.count, 726u);
  EXPECT_NEAR(btc.black.median, 1.5e-6, 0.05e-6);
  EXPECT_NEAR(btc.black.percentile_99, 1.7e-5, 0.05e-5);
  EXPECT_NEAR(btc.black.maximum, 2.3e-5, 0.05e-5);
  EXPECT_NEAR(eth.black.median, 3.1e-6, 0.05e-6);
  EXPECT_NEAR(eth.black.percentile_99, 9.2e-5, 0.2e-5) << "their percentile interpolates";
  EXPECT_NEAR(eth.black.maximum, 2.0e-4, 0.05e-4);
  EXPECT_EQ(btc.parity.count, 337u);
  EXPECT_EQ(eth.parity.count, 363u);
  EXPECT_NEAR(btc.parity.maximum, 2.3e-5, 0.05e-5);
  EXPECT_EQ(btc.monotonicity.violation_count, 3u);
  EXPECT_EQ(eth.monotonicity.violation_count, 0u);
  EXPECT_EQ(btc.butterfly.violation_count, 12u);
  EXPECT_EQ(eth.butterfly.violation_count, 9u);
}

TEST_F(SharedChain, GivesTheOptionsOfTheSharedBook) {
  const ImportedChain chain = import_chain(options_);
  const RunInputs inputs = load_inputs(load_config(shared_ / "books/deribit_2026-01-15/run.toml"));
  std::map<std::string, const Instrument*> book;
  for (const Instrument& i : inputs.book.instruments) book[i.name] = &i;
  for (std::size_t u = 0; u < 2; ++u) {
    EXPECT_EQ(chain.underlyings[u].name, inputs.book.underlyings[u].name);
    EXPECT_EQ(chain.underlyings[u].spot_usd, inputs.book.underlyings[u].spot_usd);
  }
  EXPECT_EQ(chain.instruments.size(), 1416u);
  for (const ListedInstrument& listed : chain.instruments) {
    const Instrument& mine = listed.terms;
    ASSERT_TRUE(book.contains(mine.name)) << mine.name;
    const Instrument& theirs = *book[mine.name];
    EXPECT_EQ(mine.type, theirs.type) << mine.name;
    EXPECT_EQ(mine.expiry, theirs.expiry) << mine.name;
    EXPECT_EQ(mine.strike, theirs.strike) << mine.name;
    EXPECT_EQ(mine.multiplier, theirs.multiplier) << mine.name;
    EXPECT_EQ(mine.mark_iv, theirs.mark_iv) << mine.name;
    // A future's mark is one of those that its options were priced off in the same call.
    const double tolerance = mine.type == InstrumentType::future ? 3e-5 : 0;
    EXPECT_NEAR(mine.mark_price, theirs.mark_price, tolerance * theirs.mark_price) << mine.name;
  }
}

TEST_F(SharedChain, ReimpliedVolatilitiesGiveTheMarksBack) {
  options_.reimplies = true;
  const ImportedChain chain = import_chain(options_);
  for (const ChainChecks& checks : check_chain(chain)) {
    EXPECT_LT(checks.black.median, 1e-16);
    // What keeps the published volatility is worth at most ten units of the last digit.
    EXPECT_LT(checks.black.maximum, 1.1e-5);
  }
  EXPECT_EQ(chain.instruments.size(), 1416u);
  EXPECT_EQ(count_of(chain.remarks, "the published one is kept"), 22u);
}

}  // namespace
}  // namespace shortfall::exchange
