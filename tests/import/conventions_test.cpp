// The conventions of the venue, one test each.
#include <gtest/gtest.h>

#include <cmath>

#include "host/import/chain_checks.hpp"
#include "host/import/chain_files.hpp"
#include "host/import/implied_volatility.hpp"
#include "host/import/instrument_name.hpp"
#include "tests/import/import_files.hpp"

namespace shortfall::exchange {
namespace {

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

TEST(ImportConventions, PremiumIsBlackOnTheForwardOverTheForward) {
  // 71 days less an hour and a half: seconds over 365 days, no interest, and not the index 96000.
  const double years = (71 * 86'400 - 5'400) / (365.0 * 86'400);
  const double forward = 97000, strike = 95000, total = 0.4048 * std::sqrt(years);
  const double d1 = std::log(forward / strike) / total + total / 2;
  const double premium = (forward * normal_cdf(d1) - strike * normal_cdf(d1 - total)) / forward;
  const ImportedChain chain =
      ImportFiles()
          .add("a.json", envelope({call_summary().with("mark_price", fmt::format("{}", premium))}))
          .import();
  // Two formulas in double precision: rounding of a few ulps of 1.
  EXPECT_LT(check_chain(chain)[0].black.maximum, 1e-15);
  const ListedInstrument& call = find(chain, "BTC-27MAR26-95000-C");
  EXPECT_EQ(call.terms.mark_price, forward);
  EXPECT_EQ(call.terms.expiry - chain.as_of, 71 * 86'400 - 5'400);
  EXPECT_DOUBLE_EQ(call.terms.mark_iv, 0.4048) << "the API writes per cent";
  EXPECT_EQ(call.terms.multiplier, 1);
  EXPECT_EQ(call.terms.settlement, Settlement::inverse);
}

TEST(ImportConventions, ExpiryIsAtEightUtcOfTheDayNamed) {
  const auto expiry = [](const char* name) {
    return format_date_time(parse_instrument_name(name)->expiry);
  };
  EXPECT_EQ(expiry("BTC-6FEB26-90000-P"), "2026-02-06T08:00:00Z");
  EXPECT_EQ(expiry("ETH-29FEB28"), "2028-02-29T08:00:00Z");
  EXPECT_EQ(expiry("XRP_USDC-27MAR26-0d625-C"), "2026-03-27T08:00:00Z");
}

TEST(ImportConventions, NamesSayTheTerms) {
  using Kind = InstrumentName::Kind;
  const auto xrp = parse_instrument_name("XRP_USDC-27MAR26-0d625-P");
  EXPECT_EQ(xrp->base, "XRP");
  EXPECT_EQ(xrp->quote, "USDC");
  EXPECT_EQ(xrp->strike, 0.625);
  EXPECT_EQ(xrp->kind, Kind::put);
  EXPECT_EQ(parse_instrument_name("ETH_USDC-PERPETUAL")->kind, Kind::perpetual);
  EXPECT_EQ(parse_instrument_name("BTC-25DEC26")->kind, Kind::future);
  EXPECT_EQ(parse_instrument_name("BTC_USDC")->kind, Kind::spot);
  for (const char* name : {"BTC-FS-27SEP24_PERP", "BTC-CS-29APR22-39300_39600",
                           "BTC-CCAL-8NOV24_29NOV24-72000", "ETH-PDIAG-15NOV24-2300_22NOV24-2250"})
    EXPECT_EQ(parse_instrument_name(name)->kind, Kind::combination) << name;
  for (const char* name : {"",
                           "BTC",
                           "-",
                           "BTC-",
                           "btc-27MAR26",
                           "BTC-30FEB26",
                           "BTC-27MAR26-95000",
                           "BTC-27mar26",
                           "BTC-27MAR26-95000-X",
                           "BTC-27MAR26--C",
                           "BTC-27MAR26-0-C",
                           "BTC-27MAR26-1d2d3-C",
                           "BTC-27MAR26-1e5-C",
                           "BTC-27MAR2026",
                           "BTC_-PERPETUAL",
                           "_USDC",
                           "A_B_C-PERPETUAL",
                           "BTC-27MAR26-95000-C-X",
                           "BTC-127MAR26",
                           "BTC-PERPETUAL-C1",
                           "BTC-+7MAR26"})
    EXPECT_FALSE(parse_instrument_name(name)) << name;
}

TEST(ImportConventions, FuturesAreMarkedInUsdAndSizedAsTheVenueSaysOr10And1) {
  const ImportedChain chain =
      ImportFiles()
          .add("a.json", envelope({future_summary("BTC-PERPETUAL", 96100),
                                   future_summary("BTC-25DEC26", 99000),
                                   future_summary("ETH-PERPETUAL", 3300)
                                       .with("base_currency", "\"ETH\"")
                                       .with("estimated_delivery_price", "3290")}))
          .import();
  const Instrument& perpetual = find(chain, "BTC-PERPETUAL").terms;
  EXPECT_EQ(perpetual.type, InstrumentType::perpetual);
  EXPECT_EQ(perpetual.multiplier, 10);
  EXPECT_EQ(perpetual.mark_price, 96100);
  EXPECT_EQ(perpetual.expiry, 0);
  EXPECT_EQ(find(chain, "BTC-25DEC26").terms.multiplier, 10);
  EXPECT_EQ(find(chain, "ETH-PERPETUAL").terms.multiplier, 1);
  ASSERT_EQ(chain.underlyings.size(), 2u);
  EXPECT_EQ(chain.underlyings[1].spot_usd, 3290);
  const ImportedChain sized =
      ImportFiles()
          .add("a.json", envelope({future_summary("BTC-PERPETUAL", 96100)}))
          .add("b.json", envelope({listing("BTC-PERPETUAL", "future")
                                       .with("contract_size", "20")
                                       .with("settlement_period", "\"perpetual\"")
                                       .with("expiration_timestamp", "32503708800000")}))
          .import();
  EXPECT_EQ(find(sized, "BTC-PERPETUAL").terms.multiplier, 20);
}

TEST(ImportConventions, ForwardsNameFuturesSyntheticsOrTheIndex) {
  const ImportedChain chain =
      ImportFiles()
          .add("a.json",
               envelope({call_summary(),
                         option_summary("BTC-6FEB26-95000-C", "SYN.BTC-6FEB26", 96500.5, 0.05, 40),
                         option_summary("BTC-16JAN26-95000-C", "index_price", 96001, 0.02, 40)
                             .with("underlying_price", "null")}))
          .import();
  EXPECT_EQ(find(chain, "BTC-27MAR26").terms.mark_price, 97000) << "a listed future";
  EXPECT_EQ(find(chain, "BTC-27MAR26").terms.multiplier, 10);
  EXPECT_EQ(find(chain, "BTC-6FEB26-95000-C").terms.mark_price, 96500.5);
  EXPECT_THROW(find(chain, "BTC-6FEB26"), std::out_of_range) << "no such future is listed";
  EXPECT_EQ(find(chain, "BTC-16JAN26-95000-C").terms.mark_price, 96000) << "the index";
  EXPECT_EQ(chain.instruments.size(), 4u);
}

TEST(ImportConventions, AFutureWithAMarkKeepsIt) {
  const ImportedChain chain =
      ImportFiles()
          .add("a.json", envelope({call_summary(), future_summary("BTC-27MAR26", 97003)}))
          .import();
  EXPECT_EQ(find(chain, "BTC-27MAR26").terms.mark_price, 97003);
  EXPECT_EQ(chain.instruments.size(), 2u);
}

TEST(ImportConventions, LinearPremiumsAreInUsd) {
  const RelativeOption terms{true, 95000.0 / 97000, (71 * 86'400 - 5'400) / (365.0 * 86'400)};
  const Members call = option_summary("BTC_USDC-27MAR26-95000-C", "SYN.BTC_USDC-27MAR26", 97000,
                                      97000 * black_premium(terms, 0.4), 40);
  const ImportedChain chain =
      ImportFiles()
          .add("a.json", envelope({call}))
          .add("b.json", envelope({listing("BTC_USDC-27MAR26-95000-C", "option")
                                       .with("contract_size", "0.01")
                                       .with("strike", "95000.0")
                                       .with("option_type", "\"call\"")}))
          .import();
  const ListedInstrument& listed = find(chain, "BTC_USDC-27MAR26-95000-C");
  EXPECT_EQ(listed.terms.settlement, Settlement::linear);
  EXPECT_EQ(listed.terms.multiplier, 0.01);
  EXPECT_LT(check_chain(chain)[0].black.maximum, 1e-15);
  // Without the listing nobody knows how many coins a contract is.
  const ImportedChain unsized =
      ImportFiles().add("a.json", envelope({call, call_summary()})).import();
  EXPECT_EQ(count_of(unsized.left_out, "contract size not known"), 1u);
  EXPECT_EQ(unsized.instruments.size(), 2u);
}

TEST(ImportConventions, WhatIsNoInstrumentOfTheEngineIsLeftOutAndCounted) {
  ImportFiles files;
  files.add("a.json",
            envelope({call_summary(), future_summary("BTC-FS-27MAR26_PERP", 3),
                      future_summary("BTC_USDC", 96000), future_summary("BTCDVOL_USDC-28JAN26", 40),
                      future_summary("ETH_BTC-PERPETUAL", 0.03),
                      future_summary("ETH-PERPETUAL", 3300).with("base_currency", "\"ETH\"")}));
  files.options.underlyings = {"BTC"};
  const ImportedChain chain = files.import();
  for (const char* reason :
       {"combination", "spot pair", "volatility index", "no dollar", "underlying not asked for"})
    EXPECT_EQ(count_of(chain.left_out, reason), 1u) << reason;
  EXPECT_EQ(chain.underlyings.size(), 1u);
}

TEST(ImportConventions, TheIndexIsTheMedianOfWhatWasPublished) {
  ImportFiles files;
  const auto ticker = [](const char* strike, const char* index) {
    return call_ticker()
        .with("instrument_name", fmt::format("\"BTC-27MAR26-{}-C\"", strike))
        .with("index_price", index);
  };
  files.add(
      "a.json",
      envelope({ticker("90000", "96001"), ticker("95000", "96002"), ticker("99000", "96900"),
                ticker("91000", "96003").with("instrument_name", "\"BTC_USDC-27MAR26-1-C\"")}));
  EXPECT_EQ(files.import().underlyings[0].spot_usd, 96002);
  files.options.spots_usd = {{"BTC", 95000}, {"SOL", 140}};
  const ImportedChain chain = files.import();
  EXPECT_EQ(chain.underlyings[0].spot_usd, 95000);
  ASSERT_EQ(chain.underlyings.size(), 2u);
  EXPECT_EQ(chain.underlyings[1].name, "SOL");
}

TEST(ImportConventions, TheDeliveryPriceIsNoIndexInTheHalfHourBeforeExpiries) {
  const std::int64_t before_eight_ms = 1'768'463'100'000;  // 07:45:00
  const Members late =
      call_summary().with("creation_timestamp", fmt::format("{}", before_eight_ms));
  ImportFiles files;
  files.add("a.json", envelope({late}));
  EXPECT_NE(files.problems().find("--spot BTC=PRICE"), std::string::npos) << files.problems();
  files.options.spots_usd = {{"BTC", 96000}};
  EXPECT_EQ(files.problems(), "");
}

}  // namespace
}  // namespace shortfall::exchange
