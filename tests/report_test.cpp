// The only writer: what margin.csv and run.json hold, to the byte, and that each is whole or
// absent.
#include "shortfall/report.hpp"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "fmt/format.h"
#include "host/output/sha256.hpp"
#include "host/program/terminal.hpp"
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
    "margin,confidence_low,confidence_high\n";

/// A row of the first ten columns; the interval is the shortfall and the error.
AccountMargin row_of(const char* account, MarginMode mode, std::uint32_t positions, double gross,
                     double value_at_risk, double shortfall, double error, double margin) {
  AccountMargin m;
  m.account = account;
  m.mode = mode;
  m.position_count = positions;
  m.gross_notional_usd = gross;
  m.value_at_risk_usd = value_at_risk;
  m.expected_shortfall_usd = shortfall;
  m.standard_error_usd = error;
  m.margin_usd = margin;
  m.confidence_low_usd = shortfall;
  m.confidence_high_usd = error;
  return m;
}

TEST(Report, MarginsToTheByte) {
  struct Row {
    AccountMargin margin;
    const char* text;
  };
  const Row rows[] = {
      {row_of("alice", MarginMode::portfolio, 3, 1.5, 0.1, 0.30000000000000004, 0, 1e6),
       "alice,portfolio,3,1.5,0.1,0.30000000000000004,0,1e+06,0.30000000000000004,0\n"},
      {row_of("a,b", MarginMode::cross, 0, 0, -0.0, -0.0, -0.0, -0.0),
       "\"a,b\",cross,0,0,0,0,0,0,0,0\n"},
      {row_of("say \"hi\"", MarginMode::isolated, 1, 5e-324, -1.5, 1e300, 0.001, 123456.789),
       "\"say \"\"hi\"\"\",isolated,1,5e-324,-1.5,1e+300,0.001,123456.789,1e+300,0.001\n"},
      {row_of("two\nlines", MarginMode::portfolio, 1, 1, 1, 1, 1, 1),
       "\"two\nlines\",portfolio,1,1,1,1,1,1,1,1\n"},
      {row_of("cr\r", MarginMode::portfolio, 1, 1, 1, 1, 1, 1),
       "\"cr\r\",portfolio,1,1,1,1,1,1,1,1\n"},
      {row_of("a b'c;d", MarginMode::portfolio, 4294967295u, 1, 1, 1, 1, 1),
       "a b'c;d,portfolio,4294967295,1,1,1,1,1,1,1\n"},
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

/// An account with another number in every column.
AccountMargin full_row() {
  AccountMargin m;
  m.account = "a";
  m.position_count = 1;
  m.gross_notional_usd = 2;
  m.value_at_risk_usd = 3;
  m.expected_shortfall_usd = 4;
  m.standard_error_usd = 5;
  m.margin_usd = 6;
  m.confidence_low_usd = 7;
  m.confidence_high_usd = 8;
  m.components = {11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
  m.worst_scenario = "crash, then flat";
  m.maintenance_margin_usd = 30;
  m.equity_usd = -31;
  m.excess_usd = 32.5;
  m.margin_ratio = 0.75;
  m.status = AccountStatus::call;
  return m;
}

TEST(Report, ColumnsAreThoseOfTheConfiguration) {
  const struct {
    const char* name;
    void (*configure)(MarginConfig&);
    std::string columns, fields;  // after the first eight
  } rows[] = {
      {"Default", [](MarginConfig&) {}, "", ""},
      {"Multiplier", [](MarginConfig& c) { c.multiplier = 2; }, "", ""},
      {"Uplift", [](MarginConfig& c) { c.sampling_uplift = 1; }, ",base", ",11"},
      {"Dependence", [](MarginConfig& c) { c.dependence.emplace(); },
       ",base,dependence,concentration,uncharged", ",11,12,13,14"},
      {"BothCharged", [](MarginConfig& c) { c.dependence.emplace().is_sum = true; },
       ",base,dependence,concentration", ",11,12,13"},
      {"Liquidity", [](MarginConfig& c) { c.liquidity.emplace(); }, ",base,liquidity", ",11,15"},
      {"Stress", [](MarginConfig& c) { c.stress.emplace(); }, ",base,stress,worst_scenario",
       ",11,16,\"crash, then flat\""},
      {"Procyclicality", [](MarginConfig& c) { c.procyclicality.emplace(); },
       ",base,procyclicality", ",11,17"},
      {"Funding", [](MarginConfig& c) { c.funding.emplace(); }, ",base,funding", ",11,18"},
      {"ShortOptions", [](MarginConfig& c) { c.short_option_minimum_rate = 0; },
       ",base,short_option_minimum", ",11,19"},
      {"Floor", [](MarginConfig& c) { c.floor_usd = 1; }, ",base,floor", ",11,20"},
      {"Maintenance", [](MarginConfig& c) { c.maintenance_ratio = 0.5; },
       ",base,maintenance_margin", ",11,30"},
      {"MaintenanceConfidence", [](MarginConfig& c) { c.maintenance_confidence_level = 0.9; },
       ",base,maintenance_margin", ",11,30"},
      {"Collateral", [](MarginConfig& c) { c.collateral.emplace(); },
       ",base,maintenance_margin,equity,margin_excess,margin_ratio,status",
       ",11,30,-31,32.5,0.75,call"},
      {"All",
       [](MarginConfig& c) {
         c = {1,
              1,
              1,
              0.5,
              {},
              DependenceConfig{},
              LiquidityConfig{},
              StressConfig{},
              ProcyclicalityConfig{},
              FundingConfig{},
              0.1,
              CollateralConfig{}};
       },
       ",base,dependence,concentration,liquidity,stress,worst_scenario,procyclicality,funding,"
       "short_option_minimum,floor,uncharged,maintenance_margin,equity,margin_excess,margin_ratio,"
       "status",
       ",11,12,13,15,16,\"crash, then flat\",17,18,19,20,14,30,-31,32.5,0.75,call"},
  };
  for (const auto& row : rows) {
    MarginConfig config;
    row.configure(config);
    std::string first_ten = header;
    first_ten.pop_back();
    EXPECT_EQ(format_margins({full_row()}, config),
              first_ten + row.columns + "\na,portfolio,1,2,3,4,5,6,7,8" + row.fields + "\n")
        << row.name;
  }
}

TEST(Report, RatioIsEmptyWithoutEquity) {
  MarginConfig config;
  config.collateral.emplace();
  AccountMargin margin = full_row();
  margin.margin_ratio = std::numeric_limits<double>::infinity();
  margin.status = AccountStatus::liquidate;
  EXPECT_TRUE(format_margins({margin}, config).ends_with(",-31,32.5,,liquidate\n"));
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
    std::string text = format_margins({row_of("a", MarginMode::portfolio, 1, number, 0, 0, 0, 0)});
    text.erase(0, std::string(header).size() + std::string("a,portfolio,1,").size());
    text.erase(text.find(','));
    EXPECT_EQ(std::strtod(text.c_str(), nullptr), number) << text;
    int shortest = 0;  // digits after the first that it takes to read back the same
    while (std::strtod(fmt::format("{:.{}e}", number, shortest).c_str(), nullptr) != number)
      ++shortest;
    EXPECT_EQ(digit_count(text), shortest + 1) << text;
  }
}

// Two accounts, one of which holds nothing; underlyings follow each other.
TEST(Report, AttributionToTheByte) {
  Attribution attribution;
  attribution.instruments = {{"B-1", "BTC"}, {"B,2", "BTC"}, {"E-1", "ETH"}};
  attribution.positions = {{0, 2, 10.5}, {1, -0.1, -0.5}, {2, 1e21, -0.0}, {2, -1, 7}};
  attribution.accounts = {{"empty", 0, 0, 0}, {"a \"b\"", 0, 3, 1e-9}, {"c", 3, 4, -0.0}};
  const std::string columns =
      "account,underlying,instrument,quantity,component_es,underlying_component_es\n";
  EXPECT_EQ(format_attribution(attribution), columns +
                                                 "\"a \"\"b\"\"\",BTC,B-1,2,10.5,10\n"
                                                 "\"a \"\"b\"\"\",BTC,\"B,2\",-0.1,-0.5,10\n"
                                                 "\"a \"\"b\"\"\",ETH,E-1,1e+21,0,0\n"
                                                 "\"a \"\"b\"\"\",,rounding,,1e-09,\n"
                                                 "c,ETH,E-1,-1,7,7\n"
                                                 "c,,rounding,,0,\n");
  EXPECT_EQ(format_attribution({}), columns);
}

/// A small book, run.
struct Ran {
  TemporaryBook book;
  RunResult result;
  fs::path out = book.path("out");

  explicit Ran(bool has_attribution = false) {
    RunConfig config = load_config(book.path("run.toml"));
    config.risk.path_count = 2000;
    config.risk.seed = 9;
    config.model.distribution = Distribution::student_t;
    config.compute.backend = BackendChoice::cpu;
    config.compute.thread_count = 2;
    config.compute.tile_path_count = 128;
    config.compute.instruction_set = InstructionSet::generic;
    config.output.has_attribution = has_attribution;
    result = run(config);
  }
  void write() const { write_report(out, result.margins, result.record, result.attribution); }
};

TEST(Report, RunRecordSaysWhatRan) {
  const Ran ran;
  ran.write();
  const std::string margins = read(ran.out / "margin.csv");
  EXPECT_EQ(margins, format_margins(ran.result.margins));
  const auto j = nlohmann::json::parse(read(ran.out / "run.json"));
  EXPECT_EQ(j.at("format_version"), 2);
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
  EXPECT_EQ(configuration.at("output"), nlohmann::json::parse(R"({"attribution": false})"));
  EXPECT_FALSE(j.at("sha256").contains("attribution.csv"));
  EXPECT_FALSE(j.at("seconds").contains("attribution"));
  EXPECT_EQ(configuration.at("margin"),
            nlohmann::json::parse(R"({"multiplier": 1, "sampling_uplift": 0, "floor": 0})"));
}

TEST(Report, RunRecordHasTheTablesOfMargin) {
  Ran ran;
  MarginConfig& margin = ran.result.record.config.margin;
  margin.maintenance_confidence_level = 0.95;
  margin.dependence.emplace();
  margin.liquidity = LiquidityConfig{ran.book.path("liquidity.csv")};
  margin.stress.emplace().file = ran.book.path("stress.csv");
  margin.procyclicality = ProcyclicalityConfig{ran.book.path("stressed.csv"), 0.5};
  margin.funding = FundingConfig{ran.book.path("funding.csv")};
  margin.short_option_minimum_rate = 0.01;
  margin.collateral = CollateralConfig{false, {{"BTC", 0.125}}};
  const char* const files[] = {"liquidity.csv", "stress.csv", "stressed.csv", "funding.csv"};
  for (const char* file : files) ran.book.write(file, file);
  ran.write();
  const auto j = nlohmann::json::parse(read(ran.out / "run.json"));
  EXPECT_EQ(j.at("sha256").at("inputs").size(), 11u);
  for (const char* file : files)
    EXPECT_EQ(j.at("sha256").at("inputs").at(ran.book.path(file).generic_string()),
              sha256_of_file(ran.book.path(file)))
        << file;
  auto wanted = nlohmann::json::parse(R"({
    "multiplier": 1, "sampling_uplift": 0, "floor": 0, "maintenance": {"confidence": 0.95},
    "dependence": {"weight": 0.25, "confidence": 0.995, "combine": "larger"},
    "stress": {"grid": true, "range": 0.16, "vol_up": 0.5, "vol_down": 0.25, "vol_power": 0.3,
               "far_moves": true},
    "procyclicality": {"weight": 0.5},
    "short_option_minimum": {"rate": 0.01},
    "collateral": {"simulate": false, "haircuts": {"BTC": 0.125}}})");
  wanted["liquidity"]["file"] = ran.book.path("liquidity.csv").generic_string();
  wanted["stress"]["file"] = ran.book.path("stress.csv").generic_string();
  wanted["procyclicality"]["covariance"] = ran.book.path("stressed.csv").generic_string();
  wanted["funding"]["file"] = ran.book.path("funding.csv").generic_string();
  EXPECT_EQ(j.at("configuration").at("margin"), wanted);
  // The table for people: what the margin is made of, and where the account stands.
  const std::string summary = format_summary(ran.result, "out");
  for (const char* title : {"base", "components", "margin", "equity", "status"})
    EXPECT_NE(summary.find(title), std::string::npos) << summary;
  EXPECT_EQ(summary.find("value at risk"), std::string::npos) << summary;
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

TEST(Report, AttributionIsThereWhereItIsAskedForAndGoesWithItsMargins) {
  const Ran with(true);
  with.write();
  const fs::path file = with.out / "attribution.csv";
  EXPECT_EQ(read(file), format_attribution(*with.result.attribution));
  const std::string margins = read(with.out / "margin.csv");
  const auto j = nlohmann::json::parse(read(with.out / "run.json"));
  EXPECT_EQ(j.at("sha256").at("attribution.csv"), sha256_of_file(file));
  EXPECT_EQ(j.at("configuration").at("output").at("attribution"), true);
  EXPECT_GE(j.at("seconds").at("attribution").get<double>(), 0.0);
  EXPECT_EQ(std::distance(fs::directory_iterator(with.out), fs::directory_iterator()), 3);

  // A later run without one leaves none that belongs to other margins, and the same margins.
  Ran without;
  without.out = with.out;
  without.write();
  EXPECT_FALSE(fs::exists(file));
  EXPECT_EQ(read(with.out / "margin.csv"), margins);
  EXPECT_EQ(std::distance(fs::directory_iterator(with.out), fs::directory_iterator()), 2);
  fs::create_directories(file / "not a result");
  without.write();
  EXPECT_TRUE(fs::exists(file / "not a result"));
}

/// What appears in a directory and what (with a minus) goes, in order; hidden files left out.
class Watched {
 public:
  explicit Watched(const fs::path& directory) : descriptor_(::inotify_init1(IN_NONBLOCK)) {
    EXPECT_GE(::inotify_add_watch(descriptor_, directory.c_str(), IN_MOVED_TO | IN_DELETE), 0);
  }
  ~Watched() { ::close(descriptor_); }
  std::string changes() const {
    alignas(inotify_event) char bytes[4096];
    const ssize_t size = ::read(descriptor_, bytes, sizeof bytes);
    std::string text;
    for (ssize_t at = 0; at < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(bytes + at);
      if (event->name[0] != '.')
        text += (event->mask & IN_DELETE ? " -" : " ") + std::string(event->name);
      at += static_cast<ssize_t>(sizeof *event + event->len);
    }
    return text;
  }

 private:
  int descriptor_;
};

// However far a run came, it leaves what run.json says, or a run.json that is of other margins.
TEST(Report, RunRecordIsTheLastToChange) {
  const Ran with(true);
  Ran without;
  without.out = with.out;
  fs::create_directories(with.out);
  const Watched watched(with.out);
  with.write();
  EXPECT_EQ(watched.changes(), " margin.csv attribution.csv run.json");
  without.write();
  EXPECT_EQ(watched.changes(), " margin.csv -attribution.csv run.json");
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
  const Ran ran(true);
  // A directory that is not empty cannot be replaced by a file.
  for (const char* blocked : {"margin.csv", "attribution.csv", "run.json"}) {
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
