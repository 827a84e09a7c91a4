// One row per reason to refuse: the file, the place and the message, and nothing else.
#include <gtest/gtest.h>

#include "tests/import/import_files.hpp"

namespace shortfall::exchange {
namespace {

void expect_one_problem(const ImportFiles& files, const Rejection& rejection) {
  const std::string problems = files.problems();
  EXPECT_TRUE(problems.starts_with(std::string(rejection.place) + ": ")) << problems;
  EXPECT_NE(problems.find(rejection.message), std::string::npos) << problems;
  EXPECT_EQ(problems.find('\n'), std::string::npos) << "more than one problem:\n" << problems;
}

class ImportRefusesJson : public testing::TestWithParam<Rejection> {};

TEST_P(ImportRefusesJson, WithItsPlace) {
  ImportFiles files;
  files.add("a.json", GetParam().text);
  expect_one_problem(files, GetParam());
}

std::string call(const char* member, const char* value) {
  return envelope({call_summary().with(member, value)});
}

INSTANTIATE_TEST_SUITE_P(
    All, ImportRefusesJson,
    testing::Values(
        Rejection{"Truncated", envelope({call_summary()}).substr(0, 150), "a.json",
                  "is no JSON: line 2, column"},
        Rejection{"MemberTwice", "{\"result\":[],\"result\":[]}", "a.json", "there twice"},
        Rejection{"TooDeep", std::string(40, '['), "a.json", "levels deep"},
        Rejection{"NaN", "[{\"instrument_name\":NaN}]", "a.json", "is no JSON"},
        Rejection{"Overflow", call("mark_price", "1e999"), "a.json", "too large"},
        Rejection{"Empty", " \n", "a.json", "is empty"},
        Rejection{"NoInstrument", "{\"result\":[]}", "a.json", "holds no instrument"},
        Rejection{"UnknownLayout", "{\"volatility\":[1,2]}", "a.json",
                  "the document is nothing that is read here"},
        Rejection{"UnknownEntry", "[{\"instrument_name\":\"BTC-PERPETUAL\",\"bids\":[]}]", "a.json",
                  "/0 of BTC-PERPETUAL is nothing that is read here"},
        Rejection{"Scalar", "[[3]]", "a.json", "/0/0 is nothing"},
        Rejection{"Html", "<html></html>", "a.json", "is no JSON; if it is a CSV chain"},
        Rejection{"VenueError", "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":10028}}", "a.json",
                  "is an error that the venue answered with"},
        Rejection{"NamelessIndex", "{\"result\":{\"index_price\":96000}}", "a.json",
                  "/result does not say of which coin"},
        Rejection{"Name", call("instrument_name", "\"BTC-27MAR26-95000\""), "a.json",
                  "is no name of the venue"},
        Rejection{"NameNoText", call("instrument_name", "7"), "a.json",
                  "/result/0/instrument_name is no text"},
        Rejection{"MarkNoNumber", call("mark_price", "\"0.08\""), "a.json", "is no number"},
        Rejection{"MarkNegative", call("mark_price", "-0.08"), "a.json",
                  "/result/0/mark_price of BTC-27MAR26-95000-C is -0.08; no option is worth less"},
        Rejection{"Strike", call("instrument_name", "\"BTC-27MAR26-999999999999-C\""), "a.json",
                  "has a strike 1.04e+07 times the index"},
        Rejection{"ForwardZero", call("underlying_price", "0"), "a.json", "must be greater than 0"},
        Rejection{"ForwardNegative", call("underlying_price", "-97000"), "a.json",
                  "must be greater than 0"},
        Rejection{"ForwardMissing", call("underlying_price", "null"), "a.json",
                  "an option needs the forward"},
        Rejection{"ForwardOfAnotherCoin", call("underlying_price", "3300"), "a.json",
                  "0.0344 times the index 96000"},
        Rejection{"ForwardOfAnotherExpiry", call("underlying_index", "\"BTC-26JUN26\""), "a.json",
                  "is that of its own coin and expiry"},
        Rejection{"ForwardNameOfAnotherCoin", call("underlying_index", "\"ETH-27MAR26\""), "a.json",
                  "is that of its own coin and expiry"},
        Rejection{"ForwardNameUnknown", call("underlying_index", "\"spot\""), "a.json",
                  "is that of its own coin and expiry"},
        Rejection{"BaseOfAnotherCoin", call("base_currency", "\"ETH\""), "a.json",
                  "/result/0/base_currency is \"ETH\", but BTC-27MAR26-95000-C is on BTC"},
        Rejection{"IvHigh", call("mark_iv", "1000.5"), "a.json", "outside 1 to 1000 %"},
        Rejection{"IvLow", call("mark_iv", "0.55"), "a.json", "is a volatility of 0.55 %"},
        Rejection{"IvMissing", envelope({call_summary().without("mark_iv")}), "a.json",
                  "solve it with --reimply"},
        Rejection{"IndexZero", call("estimated_delivery_price", "0"), "a.json",
                  "must be greater than 0"},
        Rejection{"IndexMissing", call("estimated_delivery_price", "\"expired\""), "command line",
                  "no file has the index of BTC"},
        Rejection{"Expired",
                  envelope({call_summary()
                                .with("instrument_name", "\"BTC-15JAN26-95000-C\"")
                                .with("underlying_index", "\"index_price\"")}),
                  "a.json", "expired at 2026-01-15T08:00:00Z, not after as_of"},
        Rejection{"TimeInSeconds", call("creation_timestamp", "1768469400"), "a.json",
                  "has to be milliseconds since 1970"},
        Rejection{"TimeMissing", envelope({call_summary().without("creation_timestamp")}), "a.json",
                  "/result/0/creation_timestamp of BTC-27MAR26-95000-C is missing"},
        Rejection{"TimeHuge", call("creation_timestamp", "18446744073709551615"), "a.json",
                  "has to be milliseconds"},
        Rejection{"DuplicateThatDiffers",
                  envelope({call_summary(), call_summary().with("mark_price", "0.081")}), "a.json",
                  "/result/1 of BTC-27MAR26-95000-C has other values than"},
        Rejection{"FutureWithoutMark",
                  envelope({future_summary("BTC-PERPETUAL", 0).with("mark_price", "null")}),
                  "a.json", "mark_price of BTC-PERPETUAL is missing"},
        Rejection{"FutureAtZero", envelope({future_summary("BTC-PERPETUAL", 0)}), "a.json",
                  "must be greater than 0"},
        Rejection{"OnlyListings", envelope({listing("BTC-27MAR26", "future")}), "command line",
                  "nothing is left to import: listed"},
        Rejection{"OnlyCombinations", envelope({future_summary("BTC-FS-27MAR26_PERP", 3)}),
                  "command line", "nothing is left to import: combination of instruments (1)"}),
    [](const auto& row) { return row.param.name; });

class ImportRefusesListing : public testing::TestWithParam<Rejection> {};

TEST_P(ImportRefusesListing, ThatContradictsTheName) {
  ImportFiles files;
  files.add("summary.json", envelope({call_summary()})).add("a.json", GetParam().text);
  expect_one_problem(files, GetParam());
}

std::string listed(const char* member, const char* value) {
  return envelope({listing("BTC-27MAR26-95000-C", "option").with(member, value)});
}

INSTANTIATE_TEST_SUITE_P(
    All, ImportRefusesListing,
    testing::Values(
        Rejection{"Expiry", listed("expiration_timestamp", "1774602000000"), "a.json",
                  "is 2026-03-27T09:00:00Z; by its name"},
        Rejection{"Strike", listed("strike", "96000.0"), "a.json", "is struck at 95000"},
        Rejection{"Type", listed("option_type", "\"put\""), "a.json", "is a call"},
        Rejection{"Active", listed("is_active", "1"), "a.json", "is neither true nor false"},
        Rejection{"Size", listed("contract_size", "0"), "a.json", "must be greater than 0"},
        Rejection{"Twice",
                  envelope({listing("BTC-27MAR26-95000-C", "option"),
                            listing("BTC-27MAR26-95000-C", "option").with("contract_size", "2")}),
                  "a.json", "has other values than"}),
    [](const auto& row) { return row.param.name; });

constexpr const char* map_text =
    "[columns]\ninstrument = \"name\"\ntimestamp = \"time\"\nforward = \"forward\"\n"
    "mark_iv = \"iv\"\nindex_price = \"index\"\n[units]\nmark_iv = \"decimal\"\n";
constexpr const char* header = "name,time,forward,iv,index\n";
constexpr const char* row = "BTC-27MAR26-95000-C,2026-01-15T09:30:00Z,97000,0.4,96000\n";

class ImportRefusesTable : public testing::TestWithParam<Rejection> {};

TEST_P(ImportRefusesTable, WithItsLine) {
  ImportFiles files;
  files.map(map_text).add("a.csv", GetParam().text);
  expect_one_problem(files, GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    All, ImportRefusesTable,
    testing::Values(
        Rejection{"Empty", "", "a.csv", "is empty"},
        Rejection{"HeaderOnly", header, "a.csv", "no rows"},
        Rejection{"MissingColumn", "name,time,forward,iv\nBTC-27MAR26,x,1,1\n", "a.csv:1",
                  "has no column \"index\""},
        Rejection{"ColumnTwice", "name,time,forward,iv,index,iv\n", "a.csv:1", "2 times"},
        Rejection{"Semicolons", "name;time;forward;iv;index\n", "a.csv:1", "separated by \";\""},
        Rejection{"ShortRow", std::string(header) + row + "BTC-27MAR26-96000-C,x\n", "a.csv:3",
                  "has 2 fields; the header has 5"},
        Rejection{
            "NotANumber",
            std::string(header) + row + "BTC-27MAR26-96000-C,2026-01-15T09:30:00Z,9x,0.4,96000\n",
            "a.csv:3", "forward \"9x\" is not a finite decimal"},
        Rejection{"Infinite",
                  std::string(header) + row +
                      "BTC-27MAR26-96000-C,2026-01-15T09:30:00Z,97000,inf,96000\n",
                  "a.csv:3", "iv \"inf\" is not a finite decimal"},
        Rejection{
            "Percent",
            std::string(header) + "BTC-27MAR26-95000-C,2026-01-15T09:30:00Z,97000,40.48,96000\n",
            "a.csv:2", "iv is a volatility of 4048 %"},
        Rejection{"Time", std::string(header) + "BTC-27MAR26-95000-C,noon,97000,0.4,96000\n",
                  "a.csv:2", "is no time in the format \"iso 8601\""},
        Rejection{"Differs",
                  std::string(header) + row +
                      "BTC-27MAR26-95000-C,2026-01-15T09:30:00Z,97000,0.5,96000\n",
                  "a.csv:3", "has other values than"},
        Rejection{"AnotherIndex",
                  std::string(header) + row +
                      "BTC-27MAR26-96000-C,2026-01-15T09:30:00Z,97000,0.4,96000\n"
                      "BTC-27MAR26-97000-C,2026-01-15T09:30:00Z,97000,0.4,3300\n",
                  "a.csv:4", "times the index 96000"}),
    [](const auto& each) { return each.param.name; });

class ImportRefusesMap : public testing::TestWithParam<Rejection> {};

TEST_P(ImportRefusesMap, WithItsLine) {
  ImportFiles files;
  files.map(GetParam().text).add("a.csv", std::string(header) + row);
  expect_one_problem(files, GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    All, ImportRefusesMap,
    testing::Values(
        Rejection{"UnknownKey", std::string("[columns]\nbid = \"bid\"\ninstrument = \"name\"\n"),
                  "map.toml:2", "unknown key \"bid\""},
        Rejection{"UnknownTable", std::string(map_text) + "[formats]\n", "map.toml:9",
                  "unknown table \"formats\""},
        Rejection{"NoInstrument", "[columns]\nforward = \"forward\"\n", "map.toml:1",
                  "instrument is missing"},
        Rejection{"NoUnit", "[columns]\ninstrument = \"name\"\nmark_iv = \"iv\"\n", "map.toml",
                  "mark_iv is missing; write \"decimal\" or \"percent\""},
        Rejection{"Unit", "[columns]\ninstrument = \"name\"\n[units]\nmark_iv = \"points\"\n",
                  "map.toml:4", "write one of decimal, percent"},
        Rejection{"NoText", "[columns]\ninstrument = 3\n", "map.toml:2", "is an integer"},
        Rejection{"NoToml", "[columns\n", "map.toml:1", "is not TOML"}),
    [](const auto& each) { return each.param.name; });

TEST(ImportRefuses, AllProblemsAtOnce) {
  ImportFiles files;
  files
      .add("a.json", envelope({call_summary().with("mark_price", "-1"),
                               call_summary()
                                   .with("instrument_name", "\"BTC-27MAR26-96000-C\"")
                                   .with("mark_iv", "0.1")}))
      .add("b.json", "{")
      .options.files.push_back(files.folder().path("c.json"));
  const std::string problems = files.problems();
  for (const char* part : {"a.json: /result/0/mark_price", "a.json: /result/1/mark_iv",
                           "b.json: is no JSON", "c.json"})
    EXPECT_NE(problems.find(part), std::string::npos) << part << " is not in\n" << problems;
}

TEST(ImportRefuses, UnderlyingsThatAreNotThere) {
  ImportFiles files;
  files.add("a.json", envelope({call_summary()}));
  files.options.underlyings = {"BTX"};
  EXPECT_EQ(files.problems(),
            "command line: --underlying \"BTX\": no file has an instrument on it; is it \"BTC\"");
}

TEST(ImportRefuses, AMapThatNoFileNeeds) {
  ImportFiles files;
  files.map(map_text).add("a.json", envelope({call_summary()}));
  EXPECT_NE(files.problems().find("--map is for CSV chains"), std::string::npos);
}

}  // namespace
}  // namespace shortfall::exchange
