// The run configuration: what it reads, and one row per reason to reject it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "shortfall/config.hpp"
#include "temporary_book.hpp"

namespace shortfall {
namespace {

const std::string inputs =
    "[inputs]\nunderlyings = \"underlyings.csv\"\ninstruments = \"instruments.csv\"\n"
    "positions = \"positions.csv\"\ncovariance = \"covariance.csv\"\n";
const std::string market = "[market]\nas_of = 2025-06-27T08:00:00Z\n";

TEST(Config, ReadsEveryKey) {
  TemporaryBook book;
  book.write("run.toml", inputs + "accounts = \"sub/../accounts.csv\"\n" +
                             "[market]\nas_of = 2025-06-27T10:00:00+02:00\n"
                             "[model]\ndistribution = \"student_t\"\ndegrees_of_freedom = 4\n"
                             "tail_floor = 1e-4\ncovariance_horizon_days = 5\n"
                             "[risk]\npaths = 0x1_0000\nseed = 9223372036854775807\n"
                             "sampler = \"philox\"\nconfidence = 0.975\nhorizon_days = 0.5\n"
                             "revalue_at = \"now\"\n"
                             "[margin]\nmultiplier = 1.25\n"
                             "[compute]\nbackend = \"cpu\"\nthreads = 3\ndevices = [1, 0]\n"
                             "fallback = \"cpu\"\ninstruction_set = \"avx2\"\ntile_paths = 128\n"
                             "[output]\nattribution = true\n");
  const RunConfig config = load_config(book.path("run.toml"));
  EXPECT_EQ(config.inputs.positions, book.path("positions.csv"));
  EXPECT_EQ(config.inputs.accounts, book.path("sub/../accounts.csv"));
  EXPECT_FALSE(config.inputs.collateral);
  EXPECT_EQ(format_date_time(config.as_of), "2025-06-27T08:00:00Z");
  EXPECT_EQ(config.model.distribution, Distribution::student_t);
  EXPECT_EQ(config.model.degrees_of_freedom, 4);
  EXPECT_EQ(config.model.tail_floor, 1e-4);
  EXPECT_EQ(config.model.covariance_horizon_days, 5);
  EXPECT_EQ(config.risk.path_count, 65536u);
  EXPECT_EQ(config.risk.seed, 0x7fffffffffffffffu);
  EXPECT_EQ(config.risk.confidence_level, 0.975);
  EXPECT_EQ(config.risk.horizon_days, 0.5);
  EXPECT_EQ(config.risk.revalue_at, RevalueAt::now);
  EXPECT_EQ(config.margin.multiplier, 1.25);
  EXPECT_EQ(config.compute.backend, BackendChoice::cpu);
  EXPECT_EQ(config.compute.thread_count, 3u);
  EXPECT_EQ(config.compute.devices, (std::vector<int>{1, 0}));
  EXPECT_TRUE(config.compute.fallback_to_cpu);
  EXPECT_EQ(config.compute.instruction_set, InstructionSet::avx2);
  EXPECT_EQ(config.compute.tile_path_count, 128u);
  EXPECT_TRUE(config.output.has_attribution);
}

TEST(Config, HasTheDefaultsOfTheFormat) {
  TemporaryBook book;
  book.write("run.toml", inputs + market +
                             "[model]\ndegrees_of_freedom = 5.0\ntail_floor = \"auto\"\n"
                             "[compute]\nfallback = \"none\"\ndevices = []\n");
  const RunConfig config = load_config(book.path("run.toml"));
  EXPECT_EQ(config.model.distribution, Distribution::gaussian);
  EXPECT_FALSE(config.model.tail_floor);
  EXPECT_EQ(config.risk.path_count, 1'000'000u);
  EXPECT_EQ(config.risk.seed, 42u);
  EXPECT_EQ(config.risk.confidence_level, 0.99);
  EXPECT_EQ(config.compute.backend, BackendChoice::automatic);
  EXPECT_FALSE(config.output.has_attribution);
}

TEST(Config, RevaluesAtOneOrTheWorstOfTwoTimes) {
  TemporaryBook book;
  for (const RevalueAt time : {RevalueAt::horizon, RevalueAt::now, RevalueAt::worst}) {
    book.write("run.toml", inputs + market + "[risk]\nrevalue_at = \"" + to_string(time) + "\"\n");
    EXPECT_EQ(load_config(book.path("run.toml")).risk.revalue_at, time);
  }
}

TEST(Config, TakesTheCommandLineFirst) {
  TemporaryBook book;
  book.write("run.toml", inputs + market +
                             "[risk]\npaths = -5\nseed = -1\n[compute]\n"
                             "backend = \"gpu\"\nthreads = 5000\n[output]\nattribution = 1\n");
  RunOverrides overrides;
  overrides.path_count = 2000;
  overrides.seed = 7;
  overrides.thread_count = 2;
  overrides.backend = BackendChoice::cpu;
  overrides.attribution = true;
  const RunConfig config = load_config(book.path("run.toml"), overrides);
  EXPECT_EQ(config.risk.path_count, 2000u);
  EXPECT_EQ(config.risk.seed, 7u);
  EXPECT_EQ(config.compute.thread_count, 2u);
  EXPECT_EQ(config.compute.backend, BackendChoice::cpu);
  EXPECT_TRUE(config.output.has_attribution);

  overrides.path_count = 0;
  overrides.seed = ~std::uint64_t{0};
  EXPECT_EQ(book.problems(overrides),
            "command line: --paths is 0; it must be from 1 to 4294967296\n"
            "command line: --seed is 18446744073709551615; it must be from 0 to "
            "9223372036854775807");
  overrides.path_count = 99;
  overrides.seed = 1;
  EXPECT_TRUE(book.problems(overrides).starts_with("command line: 99 paths at confidence 0.99"));
}

TEST(Config, CountsTheTailAsTheMethodologyDoes) {
  // 1 - 0.99 and 1 - 0.9 round to either side of the decimal.
  for (const auto& [confidence, paths] : {std::pair{"0.99", 100}, std::pair{"0.9", 10},
                                          std::pair{"0.5", 2}, std::pair{"0.999", 1000}}) {
    TemporaryBook book;
    const auto with_paths = [&](int count) {
      book.write("run.toml", inputs + market + "[risk]\nconfidence = " + confidence +
                                 "\npaths = " + std::to_string(count) + "\n");
      return book.problems();
    };
    EXPECT_EQ(with_paths(paths), "");
    EXPECT_NE(with_paths(paths - 1).find("set paths to " + std::to_string(paths) + " or more"),
              std::string::npos)
        << with_paths(paths - 1);
  }
}

TEST(Config, NamesFilesAsTheUserDoes) {
  TemporaryBook book;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(book.path(""));
  std::filesystem::remove("positions.csv");
  EXPECT_EQ(load_config("run.toml").inputs.covariance, "covariance.csv");
  try {
    load_inputs(load_config("run.toml"));
    ADD_FAILURE() << "loads";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "positions.csv: does not exist; correct the path");
  }
  std::filesystem::current_path(before);
}

TEST(Config, ReadsAndWritesDateTimes) {
  const struct {
    const char* text;
    const char* utc;  // null: refused
  } rows[] = {{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
              {"2024-02-29T23:59:59Z", "2024-02-29T23:59:59Z"},
              {"2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"},
              {"2026-01-01T00:30:00-05:30", "2026-01-01T06:00:00Z"},
              {"1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"},
              {"0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"},
              {"2023-02-29T00:00:00Z", nullptr},
              {"2023-13-01T00:00:00Z", nullptr},
              {"2023-00-01T00:00:00Z", nullptr},
              {"2023-04-31T00:00:00Z", nullptr},
              {"2023-01-01T24:00:00Z", nullptr},
              {"2023-01-01T00:60:00Z", nullptr},
              {"2023-01-01T00:00:60Z", nullptr},
              {"2023-01-01T00:00:00", nullptr},
              {"2023-01-01T00:00:00.5Z", nullptr},
              {"2023-01-01T00:00:00.000Z", nullptr},
              {"2023-01-01T00:00Z", nullptr},
              {"2023-01-01", nullptr},
              {"2023-01-01T00:00:00+1:00", nullptr},
              {"2023-01-01T00:00:00+24:00", nullptr},
              {"2023-01-01T00:00:00Z ", nullptr},
              {"-023-01-01T00:00:00Z", nullptr},
              {"", nullptr}};
  for (const auto& row : rows) {
    const std::optional<std::int64_t> seconds = parse_date_time(row.text);
    ASSERT_EQ(seconds.has_value(), row.utc != nullptr) << row.text;
    if (seconds) {
      EXPECT_EQ(format_date_time(*seconds), row.utc);
    }
  }
  EXPECT_EQ(parse_date_time("2026-01-15T09:21:30Z"), 1768468890);
}

class ConfigRejection : public testing::TestWithParam<Rejection> {};
TEST_P(ConfigRejection, IsReported) { expect_rejection("run.toml", GetParam()); }
INSTANTIATE_TEST_SUITE_P(
    Whole, ConfigRejection,
    testing::Values(
        Rejection{"Syntax", inputs + market + "[risk\n", "run.toml:8", "is not TOML"},
        Rejection{"DuplicateKey", inputs + market + "[risk]\nseed = 1\nseed = 2\n", "run.toml:10",
                  "is not TOML"},
        Rejection{"UnknownTable", inputs + market + "[rsik]\nseed = 1\n", "run.toml:8",
                  "unknown table \"rsik\"; a run configuration has the tables inputs, market"},
        Rejection{"KeyOutsideTables", "seed = 1\n" + inputs + market, "run.toml:1",
                  "unknown key \"seed\""},
        Rejection{"UnknownKey", inputs + market + "[risk]\nsed = 1\n", "run.toml:9",
                  "unknown key \"sed\" in [risk]; it has paths, seed"},
        Rejection{"NoTable", "risk = 5\n" + inputs + market, "run.toml:1",
                  "risk is an integer; write it as the table [risk]"},
        Rejection{
            "MissingInput",
            "[inputs]\nunderlyings = \"u\"\ninstruments = \"i\"\npositions = \"p\"\n" + market,
            "run.toml:1", "[inputs] covariance is missing"},
        Rejection{"InputType", inputs + "accounts = 1\n" + market, "run.toml:6",
                  "[inputs] accounts is an integer; write a string"},
        Rejection{"EmptyPath", inputs + "accounts = \"\"\n" + market, "run.toml:6", "is no path"},
        Rejection{"NoTime", inputs, "run.toml", "[market] as_of is missing"},
        Rejection{"QuotedTime", inputs + "[market]\nas_of = \"2025-06-27T08:00:00Z\"\n",
                  "run.toml:7", "as_of is a string; write a date-time"},
        Rejection{"LocalTime", inputs + "[market]\nas_of = 2025-06-27T08:00:00\n", "run.toml:7",
                  "no time zone"},
        Rejection{"Date", inputs + "[market]\nas_of = 2025-06-27\n", "run.toml:7", "is a date;"},
        Rejection{"FractionOfASecond", inputs + "[market]\nas_of = 2025-06-27T08:00:00.5Z\n",
                  "run.toml:7", "whole seconds"},
        Rejection{"LongLine", inputs + "#" + std::string(5000, 'x') + "\n" + market, "run.toml:6",
                  "longer than 4096 bytes"},
        Rejection{"Large", std::string(700'000, '\n') + std::string(700'000, '\n'), "run.toml",
                  "larger than 1 MiB"}),
    [](const auto& row) { return row.param.name; });

Rejection value(const char* name, const char* table, const char* assignment, const char* message) {
  return {name, inputs + market + "[" + table + "]\n" + assignment + "\n", "run.toml:9", message};
}
INSTANTIATE_TEST_SUITE_P(
    Value, ConfigRejection,
    testing::Values(
        value("Distribution", "model", "distribution = \"normal\"",
              "distribution is \"normal\"; write one of gaussian, student_t"),
        value("DegreesOfFreedom", "model", "degrees_of_freedom = 2", "is 2; it must be above 2"),
        value("LargeDegrees", "model", "degrees_of_freedom = 1e7",
              "use distribution = \"gaussian\""),
        value("NanDegrees", "model", "degrees_of_freedom = nan", "is nan; it must be above 2"),
        value("TailFloorWord", "model", "tail_floor = \"none\"", "tail_floor is \"none\""),
        value("TailFloor", "model", "tail_floor = 1.0", "above 0 and below 1, or \"auto\""),
        value("TailFloorType", "model", "tail_floor = true", "tail_floor is a boolean"),
        value("CovarianceHorizon", "model", "covariance_horizon_days = 0", "must be above 0"),
        value("ZeroPaths", "risk", "paths = 0", "paths is 0; it must be from 1 to 4294967296"),
        value("ManyPaths", "risk", "paths = 4294967297", "it must be from 1 to 4294967296"),
        value("RealPaths", "risk", "paths = 1e6", "paths is a real number; write an integer"),
        value("FewPaths", "risk", "paths = 50", "set paths to 100 or more"),
        value("NegativeSeed", "risk", "seed = -1", "seed is -1; it must be from 0"),
        value("SobolCount", "risk", "paths = 100000\nsampler = \"sobol\"",
              "the nearest counts are 65536 and 131072"),
        value("SobolShare", "risk", "paths = 4096\nscramblings = 5\nsampler = \"sobol\"",
              "4096 paths are not 5 scramblings of a power of two each"),
        value("SobolMost", "risk", "paths = 4294967295\nsampler = \"sobol\"",
              "the nearest counts are 2147483648 and 4294967296"),
        value("Scramblings", "risk", "scramblings = 1", "from 2 to 64"),
        value("Factorization", "model", "factorization = \"lu\"", "cholesky"),
        value("Sampler", "risk", "sampler = \"mt\"", "write one of philox"),
        value("Confidence", "risk", "confidence = 1.0", "at least 0.5 and below 1"),
        value("LowConfidence", "risk", "confidence = 0.01", "at least 0.5 and below 1"),
        value("ConfidenceType", "risk", "confidence = \"0.99\"", "is a string; write a number"),
        value("Horizon", "risk", "horizon_days = -1", "must be above 0"),
        value("InfiniteHorizon", "risk", "horizon_days = inf", "is inf; it must be above 0"),
        value("RevalueAt", "risk", "revalue_at = \"later\"", "write one of horizon, now, worst"),
        value("Multiplier", "margin", "multiplier = 0", "must be above 0"),
        value("Backend", "compute", "backend = \"gpu\"", "write one of auto, cpu, cuda"),
        value("Threads", "compute", "threads = 1025", "it must be from 0 to 1024"),
        value("Devices", "compute", "devices = 0", "write an array of integers"),
        value("DeviceType", "compute", "devices = [0.0]", "holds a real number; write integers"),
        value("NegativeDevice", "compute", "devices = [-1]", "holds -1; each must be from 0"),
        value("DeviceTwice", "compute", "devices = [1, 1]", "holds 1 twice; remove one"),
        value("Fallback", "compute", "fallback = \"gpu\"", "write one of none, cpu"),
        value("InstructionSet", "compute", "instruction_set = \"sse\"",
              "write one of auto, generic"),
        value("TileMultiple", "compute", "tile_paths = 100", "must be 0 or a multiple of 64"),
        value("Attribution", "output", "attribution = \"yes\"",
              "[output] attribution is a string; write true or false"),
        value("OutputKey", "output", "file = \"a.csv\"",
              "unknown key \"file\" in [output]; it has attribution"),
        value("TileLarge", "compute", "tile_paths = 131072", "it must be from 0 to 65536")),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace shortfall
