// Several records of an instrument, several times in a snapshot, CSV and JSON together.
#include <gtest/gtest.h>

#include "tests/import/import_files.hpp"

namespace shortfall::exchange {
namespace {

constexpr const char* map_text =
    "[columns]\n"
    "instrument = \"name\"\n"
    "timestamp = \"time\"\n"
    "forward = \"forward\"\n"
    "mark_price = \"mark\"\n"
    "mark_iv = \"iv\"\n"
    "index_price = \"index\"\n"
    "[units]\n"
    "mark_iv = \"percent\"\n";

Members at(const Members& members, const char* member, std::int64_t seconds) {
  return members.with(member, fmt::format("{}", snapshot_ms + seconds * 1000));
}

TEST(ImportMerge, ReadsEnvelopesBareResultsArraysAndSingleObjects) {
  const std::string one = call_summary().text();
  const std::string ticker =
      call_ticker().with("instrument_name", "\"BTC-27MAR26-96000-C\"").text();
  const std::string entry = listing("BTC-27MAR26-95000-C", "option").text();
  const ImportedChain chain =
      ImportFiles()
          .add("envelope.json", "{\"jsonrpc\":\"2.0\",\"result\":[" + one + "]}")
          .add("bare.json", "\xef\xbb\xbf [" + entry + "]\r\n")
          .add("single.json", "{\"result\":" + ticker + "}")
          .add("several.json", "[" + future_summary("BTC-PERPETUAL", 96000).text() +
                                   ",{\"result\":[" + future_summary("BTC-26JUN26", 98000).text() +
                                   "]}]")
          .import();
  EXPECT_EQ(chain.instruments.size(), 5u) << "and the future that options name";
  EXPECT_EQ(chain.record_count, 4u);
  EXPECT_EQ(chain.underlyings[0].spot_usd, 96010.5) << "the ticker's index";
}

TEST(ImportMerge, ASummaryWithoutVolatilityTakesTheTickersAndKeepsItsOwnMark) {
  const ImportedChain chain =
      ImportFiles()
          .add("summary.json",
               envelope({at(call_summary().without("mark_iv"), "creation_timestamp", 0)}))
          .add("ticker.json",
               envelope({at(call_ticker().with("mark_price", "0.09"), "timestamp", -60)}))
          .import();
  const ListedInstrument& call = find(chain, "BTC-27MAR26-95000-C");
  EXPECT_DOUBLE_EQ(call.terms.mark_iv, 0.4048);
  EXPECT_EQ(call.premium, 0.08) << "of the later record";
}

TEST(ImportMerge, AsOfIsTheLatestMarkInWholeSeconds) {
  ImportFiles files;
  files.add("a.json",
            envelope({at(call_summary(), "creation_timestamp", -90),
                      at(future_summary("BTC-PERPETUAL", 96000), "creation_timestamp", 0)}));
  EXPECT_EQ(format_date_time(files.import().as_of), snapshot_time);
}

TEST(ImportMerge, MarksFarFromAsOfAreLeftOutAndCounted) {
  ImportFiles files;
  files.add("a.json",
            envelope({call_summary(),
                      at(future_summary("BTC-PERPETUAL", 96000), "creation_timestamp", -600),
                      at(future_summary("BTC-26JUN26", 98000), "creation_timestamp", -602)}));
  const ImportedChain chain = files.import();
  EXPECT_EQ(find(chain, "BTC-PERPETUAL").terms.mark_price, 96000);
  EXPECT_THROW(find(chain, "BTC-26JUN26"), std::out_of_range);
  EXPECT_EQ(count_of(chain.left_out, "more than 600 s from as_of"), 1u);
  files.options.age_seconds_max = 602;
  EXPECT_EQ(files.import().left_out.lines().size(), 0u);
}

TEST(ImportMerge, OfTwoSnapshotsTheNearestToAsOfCounts) {
  ImportFiles files;
  files.add("early.json",
            envelope({at(call_summary().with("mark_price", "0.081"), "creation_timestamp", -300)}));
  files.add("late.json", envelope({call_summary()}));
  const ImportedChain late = files.import();
  EXPECT_EQ(find(late, "BTC-27MAR26-95000-C").premium, 0.08);
  EXPECT_EQ(count_of(late.remarks, "not the nearest"), 1u);
  files.options.as_of = snapshot_ms / 1000 - 290;
  const ImportedChain early = files.import();
  EXPECT_EQ(find(early, "BTC-27MAR26-95000-C").premium, 0.081);
  EXPECT_EQ(format_date_time(early.as_of), "2026-01-15T09:25:10Z");
}

TEST(ImportMerge, OfTwoAsNearTheLaterCountsWhateverTheOrderOfFiles) {
  const auto summary = [](const char* mark, std::int64_t time_ms) {
    return envelope({call_summary()
                         .with("mark_price", mark)
                         .with("creation_timestamp", fmt::format("{}", time_ms))});
  };
  const std::int64_t as_of = snapshot_ms / 1000;
  const std::string before = summary("0.081", as_of * 1000 - 5000);
  const std::string after = summary("0.082", as_of * 1000 + 5000);
  for (const bool is_swapped : {false, true}) {
    ImportFiles files;
    files.add("a.json", is_swapped ? after : before).add("b.json", is_swapped ? before : after);
    files.options.as_of = as_of;
    EXPECT_EQ(find(files.import(), "BTC-27MAR26-95000-C").premium, 0.082);
  }
}

TEST(ImportMerge, EqualRecordsTwiceAreOne) {
  const ImportedChain chain =
      ImportFiles().add("a.json", envelope({call_summary(), call_summary()})).import();
  EXPECT_EQ(chain.instruments.size(), 2u);
  EXPECT_EQ(count_of(chain.remarks, "there twice"), 1u);
}

TEST(ImportMerge, OrderOfFilesAndRowsDoesNotMatter) {
  const std::string a = envelope({call_summary(), future_summary("BTC-PERPETUAL", 96000)});
  const std::string b = envelope(
      {option_summary("BTC-6FEB26-95000-P", "SYN.BTC-6FEB26", 96500.5, 0.05, 40), call_ticker()});
  const auto names = [](const ImportedChain& chain) {
    std::string text;
    for (const ListedInstrument& listed : chain.instruments) text += listed.terms.name + " ";
    return text;
  };
  const std::string forward = names(ImportFiles().add("a.json", a).add("b.json", b).import());
  EXPECT_EQ(forward, names(ImportFiles().add("b.json", b).add("a.json", a).import()));
  EXPECT_EQ(forward, "BTC-PERPETUAL BTC-27MAR26 BTC-6FEB26-95000-P BTC-27MAR26-95000-C ");
}

TEST(ImportMerge, ClosedInstrumentsAndListingsWithoutAMarkAreLeftOut) {
  const ImportedChain chain =
      ImportFiles()
          .add("a.json", envelope({call_summary(), future_summary("BTC-PERPETUAL", 96000)}))
          .add("b.json", envelope({listing("BTC-PERPETUAL", "future").with("is_active", "false"),
                                   listing("BTC-27MAR26", "future").with("contract_size", "10"),
                                   listing("BTC-27MAR26-99000-C", "option")}))
          .import();
  EXPECT_EQ(count_of(chain.left_out, "not open"), 1u);
  EXPECT_EQ(count_of(chain.left_out, "no mark"), 1u) << "the future takes its options' forward";
  EXPECT_EQ(chain.instruments.size(), 2u);
}

TEST(ImportMerge, ReadsATableWithItsMapAndJsonBesideIt) {
  ImportFiles files;
  files.map(map_text).add("chain.csv",
                          "volume,name,time,forward,mark,iv,index\r\n"
                          "7,BTC-27MAR26-95000-C,2026-01-15T10:30:00.999+01:00,97000,0.08,40.48,"
                          "96000\r\n"
                          "7,BTC-6FEB26-95000-P,2026-01-15T09:29:00Z,96500,,38,96002\r\n");
  files.add("a.json", envelope({future_summary("BTC-PERPETUAL", 96000)}));
  const ImportedChain chain = files.import();
  EXPECT_EQ(format_date_time(chain.as_of), snapshot_time);
  EXPECT_EQ(chain.instruments.size(), 3u);
  EXPECT_DOUBLE_EQ(find(chain, "BTC-27MAR26-95000-C").terms.mark_iv, 0.4048);
  EXPECT_FALSE(find(chain, "BTC-6FEB26-95000-P").premium) << "the field is empty";
}

TEST(ImportMerge, TimesOfATableCanBeNumbers) {
  for (const auto& [format, text] :
       {std::pair("seconds", "1768469400.25"), std::pair("milliseconds", "1768469400250")}) {
    ImportFiles files;
    files.map(fmt::format("{}timestamp = \"{}\"\n", map_text, format))
        .add("chain.csv", fmt::format("name,time,forward,mark,iv,index\n"
                                      "BTC-27MAR26-95000-C,{},97000,0.08,40.48,96000\n",
                                      text));
    EXPECT_EQ(files.problems(), "") << format;
    EXPECT_EQ(format_date_time(files.import().as_of), snapshot_time) << format;
  }
}

TEST(ImportMerge, ATableWithoutTimesNeedsAsOf) {
  ImportFiles files;
  files
      .map(
          "[columns]\ninstrument = \"name\"\nforward = \"forward\"\nmark_iv = \"iv\"\n"
          "[units]\nmark_iv = \"decimal\"\n")
      .add("chain.csv", "name,forward,iv\nBTC-27MAR26-95000-C,97000,0.4\n");
  files.options.spots_usd = {{"BTC", 96000}};
  EXPECT_NE(files.problems().find("--as-of"), std::string::npos) << files.problems();
  files.options.as_of = snapshot_ms / 1000;
  EXPECT_EQ(files.import().instruments.size(), 1u);
}

}  // namespace
}  // namespace shortfall::exchange
