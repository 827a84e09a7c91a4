// The only writer: what margin.csv and run.json hold, to the byte, and that each is whole or
// absent.
#include "shortfall/report.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "fmt/format.h"
#include "host/sha256.hpp"
#include "host/terminal.hpp"
#include "shortfall/shortfall.hpp"
#include "tests/temporary_book.hpp"

namespace shortfall {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

constexpr const char* header =
    "account,mode,positions,gross_notional,value_at_risk,expected_shortfall,standard_error,"
    "margin\n";

TEST(Report, MarginsToTheByte) {
  struct Row {
    AccountMargin margin;
    const char* text;
  };
  const Row rows[] = {
      {{"alice", MarginMode::portfolio, 3, 1.5, 0.1, 0.30000000000000004, 0, 1e6},
       "alice,portfolio,3,1.5,0.1,0.30000000000000004,0,1e+06\n"},
      {{"a,b", MarginMode::cross, 0, 0, -0.0, -0.0, -0.0, -0.0}, "\"a,b\",cross,0,0,0,0,0,0\n"},
      {{"say \"hi\"", MarginMode::isolated, 1, 5e-324, -1.5, 1e300, 0.001, 123456.789},
       "\"say \"\"hi\"\"\",isolated,1,5e-324,-1.5,1e+300,0.001,123456.789\n"},
      {{"two\nlines", MarginMode::portfolio, 1, 1, 1, 1, 1, 1},
       "\"two\nlines\",portfolio,1,1,1,1,1,1\n"},
      {{"cr\r", MarginMode::portfolio, 1, 1, 1, 1, 1, 1}, "\"cr\r\",portfolio,1,1,1,1,1,1\n"},
      {{"a b'c;d", MarginMode::portfolio, 4294967295u, 1, 1, 1, 1, 1},
       "a b'c;d,portfolio,4294967295,1,1,1,1,1\n"},
  };
  std::string all = header;
  for (const Row& row : rows) {
    EXPECT_EQ(format_margins({row.margin}), std::string(header) + row.text);
    all += row.text;
  }
  std::vector<AccountMargin> margins;
  for (const Row& row : rows) margins.push_back(row.margin);
  EXPECT_EQ(format_margins(margins), all);
  EXPECT_EQ(format_margins({}), header);
}

/// Significant digits of a number's text.
int digit_count(std::string text) {
  text = text.substr(0, text.find('e'));
  std::erase_if(text, [](char c) { return c < '0' || c > '9'; });
  const std::size_t first = text.find_first_not_of('0'), last = text.find_last_not_of('0');
  return static_cast<int>(last - first + 1);
}

TEST(Report, NumbersReadBackAndNoneIsShorter) {
  for (const double number :
       {0.1, 1.0 / 3, 2.0 / 3 * 1e9, 9007199254740993.0, 1e22, 1e23, 4.35, 1.7976931348623157e308,
        2.2250738585072014e-308, -123456789.125, 1200.0}) {
    std::string text = format_margins({{"a", MarginMode::portfolio, 1, number, 0, 0, 0, 0}});
    text.erase(0, std::string(header).size() + std::string("a,portfolio,1,").size());
    text.erase(text.find(','));
    EXPECT_EQ(std::strtod(text.c_str(), nullptr), number) << text;
    int shortest = 0;  // digits after the first that it takes to read back the same
    while (std::strtod(fmt::format("{:.{}e}", number, shortest).c_str(), nullptr) != number)
      ++shortest;
    EXPECT_EQ(digit_count(text), shortest + 1) << text;
  }
}

/// A small book, run.
struct Ran {
  TemporaryBook book;
  RunResult result;
  fs::path out = book.path("out");

  Ran() {
    RunConfig config = load_config(book.path("run.toml"));
    config.risk.path_count = 2000;
    config.risk.seed = 9;
    config.model.distribution = Distribution::student_t;
    config.compute.backend = BackendChoice::cpu;
    config.compute.thread_count = 2;
    config.compute.tile_path_count = 128;
    config.compute.instruction_set = InstructionSet::generic;
    result = run(config);
  }
  void write() const { write_report(out, result.margins, result.record); }
};

TEST(Report, RunRecordSaysWhatRan) {
  const Ran ran;
  ran.write();
  const std::string margins = read(ran.out / "margin.csv");
  EXPECT_EQ(margins, format_margins(ran.result.margins));
  const auto j = nlohmann::json::parse(read(ran.out / "run.json"));
  EXPECT_EQ(j.at("format_version"), 1);
  EXPECT_EQ(j.at("program"), "shortfall");
  EXPECT_FALSE(j.at("version").get<std::string>().empty());
  EXPECT_EQ(j.at("backend").at("name"), "cpu");
  EXPECT_FALSE(j.at("backend").at("device").get<std::string>().empty());
  EXPECT_EQ(j.at("backend").at("instruction_set"), "generic");
  EXPECT_EQ(j.at("backend").at("threads"), 2);
  EXPECT_EQ(j.at("backend").at("tile_paths"), 128);
  EXPECT_EQ(j.at("seed"), 9);
  EXPECT_EQ(j.at("paths"), 2000);
  EXPECT_GE(j.at("tail_floor").get<double>(), 1e-5);
  EXPECT_EQ(j.at("counts").at("accounts"), 2);
  EXPECT_EQ(j.at("counts").at("positions"), 3);
  for (const char* stage : {"load", "plan", "simulate", "margin"})
    EXPECT_GE(j.at("seconds").at(stage).get<double>(), 0.0);
  ASSERT_EQ(j.at("warnings").size(), 1u);  // 20 paths in the tail
  EXPECT_NE(j.at("warnings")[0].get<std::string>().find("20 paths"), std::string::npos);
  EXPECT_EQ(j.at("plan_hash").get<std::string>().size(), 64u);
  const auto& configuration = j.at("configuration");
  EXPECT_EQ(configuration.at("market").at("as_of"), "2025-06-27T08:00:00Z");
  EXPECT_EQ(configuration.at("model").at("tail_floor"), "auto");
  EXPECT_EQ(configuration.at("risk").at("confidence"), 0.99);
  EXPECT_EQ(configuration.at("compute").at("instruction_set"), "generic");
}

TEST(Report, NamesEveryDeviceThatRan) {
  Ran ran;
  ran.write();
  auto backend = nlohmann::json::parse(read(ran.out / "run.json")).at("backend");
  EXPECT_FALSE(backend.contains("contract"));
  ASSERT_EQ(backend.at("shares").size(), 1u);
  EXPECT_EQ(backend.at("shares")[0].at("instruction_set"), "generic");
  EXPECT_EQ(backend.at("shares")[0].at("paths"), 2000);
  std::string summary = format_summary(ran.result, "out");
  EXPECT_NE(summary.find("ran on cpu, "), std::string::npos) << summary;
  EXPECT_NE(summary.find(", generic, 2 threads, tiles of 128 paths\n"), std::string::npos);
  EXPECT_EQ(summary.find("CUDA"), std::string::npos);

  const BackendDescription cpu = ran.result.record.shares[0].backend;
  const BackendDescription gpu{"cuda", "NVIDIA H100", "sm_90", 0, 4096};
  ran.result.record.shares = {{{0, 1200}, gpu}, {{1200, 2000}, cpu}};
  ran.result.record.warnings = {"a device failed"};
  ran.write();
  const auto j = nlohmann::json::parse(read(ran.out / "run.json"));
  EXPECT_EQ(j.at("warnings")[0], "a device failed");
  backend = j.at("backend");
  EXPECT_EQ(backend.at("name"), "cuda");
  EXPECT_EQ(backend.at("device"), "NVIDIA H100");
  EXPECT_EQ(backend.at("tile_paths"), 4096);
  EXPECT_EQ(backend.at("contract"), "CUDA: equal under PTX emulation");
  EXPECT_EQ(backend.at("instruction_set"), "sm_90");
  EXPECT_FALSE(backend.contains("threads"));
  ASSERT_EQ(backend.at("shares").size(), 2u);
  const auto& last = backend.at("shares")[1];
  EXPECT_EQ(last.at("first_path"), 1200);
  EXPECT_EQ(last.at("paths"), 800);
  EXPECT_EQ(last.at("name"), "cpu");
  EXPECT_EQ(last.at("threads"), 2);
  summary = format_summary(ran.result, "out");
  for (const char* line :
       {"ran on cuda, NVIDIA H100, sm_90, tiles of 4096 paths: paths 0 to 1,199\n",
        ": paths 1,200 to 1,999\n", "\nCUDA: equal under PTX emulation\n",
        "warning: a device failed\n"})
    EXPECT_NE(summary.find(line), std::string::npos) << line << "is not in\n" << summary;
}

TEST(Report, RunRecordHashesEveryFile) {
  Sha256 abc;  // FIPS 180-2, appendix B.1
  abc.add("abc");
  EXPECT_EQ(abc.finish_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const Ran ran;
  ran.write();
  const auto hashes = nlohmann::json::parse(read(ran.out / "run.json")).at("sha256");
  EXPECT_EQ(hashes.at("margin.csv"), sha256_of_file(ran.out / "margin.csv"));
  EXPECT_EQ(hashes.at("inputs").size(), 7u);
  for (const char* name : {"run.toml", "underlyings.csv", "instruments.csv", "positions.csv",
                           "covariance.csv", "accounts.csv", "collateral.csv"})
    EXPECT_EQ(hashes.at("inputs").at(ran.book.path(name).generic_string()),
              sha256_of_file(ran.book.path(name)))
        << name;
}

TEST(Report, NewResultsReplaceOldOnesAndLeaveNothingElse) {
  const Ran ran;
  fs::create_directories(ran.out);
  ran.book.write("out/margin.csv", "old");
  ran.book.write("out/run.json", "old");
  ran.write();
  EXPECT_TRUE(read(ran.out / "margin.csv").starts_with(header));
  EXPECT_TRUE(nlohmann::json::accept(read(ran.out / "run.json")));
  EXPECT_EQ(std::distance(fs::directory_iterator(ran.out), fs::directory_iterator()), 2);
}

TEST(Report, UnwritableDirectoriesAreErrorsThatNameThem) {
  const Ran ran;
  ran.book.write("file", "keep me");
  // As root permissions do not bind: a file in the way, and a file system that takes no files.
  for (const fs::path& directory :
       {ran.book.path("file"), ran.book.path("file") / "below", fs::path("/proc/shortfall-out")}) {
    try {
      write_report(directory, ran.result.margins, ran.result.record);
      ADD_FAILURE() << directory << " was written";
    } catch (const OperatingError& error) {
      EXPECT_NE(std::string(error.what()).find(directory.string()), std::string::npos)
          << error.what();
    }
  }
  EXPECT_EQ(read(ran.book.path("file")), "keep me");
}

TEST(Report, AFailureLeavesTheEarlierResult) {
  const Ran ran;
  // A directory that is not empty cannot be replaced by a file.
  for (const char* blocked : {"margin.csv", "run.json"}) {
    SCOPED_TRACE(blocked);
    fs::remove_all(ran.out);
    fs::create_directories(ran.out / blocked / "full");
    const std::string other = std::string(blocked) == "run.json" ? "margin.csv" : "run.json";
    ran.book.write("out/" + other, "old");
    EXPECT_THROW(ran.write(), OperatingError);
    EXPECT_EQ(read(ran.out / other), "old");
    EXPECT_EQ(std::distance(fs::directory_iterator(ran.out), fs::directory_iterator()), 2)
        << "a temporary file was left behind";
  }
}

}  // namespace
}  // namespace shortfall
