// The synthetic venues: the bundled book, exact counts, reproducible bytes, a sound covariance.
#include "host/generate/generate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "shortfall/shortfall.hpp"

namespace shortfall {
namespace {

namespace fs = std::filesystem;
using Preset = GenerateOptions::Preset;
using Table = std::vector<std::vector<std::string>>;

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "shortfall-generate-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

using Files = std::map<std::string, std::string>;

Files read_all(const fs::path& directory) {
  Files files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    files[entry.path().filename().string()] = read(entry.path());
  }
  return files;
}

Files make(const GenerateOptions& options) {
  Folder folder;
  generate(options, folder.path());
  return read_all(folder.path());
}

/// Rows below the header. Nothing generated has quotes.
Table rows(const std::string& text) {
  Table table;
  std::istringstream lines(text);
  std::string line, field;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    table.emplace_back();
    while (std::getline(fields, field, ',')) table.back().push_back(field);
  }
  return table;
}

std::map<std::string, int> count_by(const Table& table, std::size_t column) {
  std::map<std::string, int> counts;
  for (const auto& row : table) ++counts[row[column]];
  return counts;
}

TEST(Demo, IsTheBundledBook) {
  const fs::path bundled = fs::path(__FILE__).parent_path().parent_path() / "configs" / "demo";
  const Files expected = read_all(bundled), made = make({.preset = Preset::demo});
  ASSERT_EQ(expected.size(), 7u);
  for (const auto& [name, text] : expected) {
    ASSERT_TRUE(made.contains(name)) << name;
    EXPECT_TRUE(made.at(name) == text) << name << " differs: run the command of its README";
  }
  EXPECT_EQ(made.size(), expected.size());
}

TEST(Demo, HasEveryTypeAndSettlement) {
  std::map<std::string, int> kinds;
  const Files files = make({.preset = Preset::demo});
  for (const auto& row : rows(files.at("instruments.csv"))) ++kinds[row[1] + " " + row[3]];
  const std::map<std::string, int> expected = {
      {"call inverse", 90},     {"put inverse", 90},     {"future inverse", 10},
      {"perpetual inverse", 2}, {"call linear", 45},     {"put linear", 45},
      {"future linear", 5},     {"perpetual linear", 1}, {"spot linear", 3}};
  EXPECT_EQ(kinds, expected);
  EXPECT_EQ(count_by(rows(files.at("accounts.csv")), 1),
            (std::map<std::string, int>{{"portfolio", 84}, {"cross", 8}, {"isolated", 8}}));
}

double real(const std::string& text) { return std::stod(text); }

/// USD per 1 % move of the index, by libm and a difference quotient: nothing of the generator's.
double delta_usd(const std::vector<std::string>& instrument, double spot, double contracts) {
  const std::string& type = instrument[1];
  const bool is_inverse = instrument[3] == "inverse";
  const double multiplier = real(instrument[6]);
  const auto value = [&](double ratio) {
    if (type == "spot") return multiplier * spot * ratio;
    const double mark = real(instrument[7]), price = mark * ratio;
    if (type == "future" || type == "perpetual") {
      return multiplier * (is_inverse ? (1 / mark - 1 / price) * spot * ratio : price - mark);
    }
    const double strike = real(instrument[5]), sign = type == "call" ? 1.0 : -1.0;
    const double days = static_cast<double>(*parse_date_time(instrument[4]) -
                                            *parse_date_time("2026-01-02T09:30:00Z")) /
                        86'400.0;
    const double deviation = real(instrument[8]) * std::sqrt(days / 365.0);
    const double d1 = std::log(price / strike) / deviation + deviation / 2;
    const auto cdf = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
    const double black = sign * (price * cdf(sign * d1) - strike * cdf(sign * (d1 - deviation)));
    return multiplier * (is_inverse ? black / price * spot * ratio : black);
  };
  return contracts * (value(1.0001) - value(0.9999)) / 0.02;
}

TEST(Demo, AccountsHoldWhatTheirNamesSay) {
  const std::map<std::string, std::vector<std::string>> legs = {
      {"covered-call", {"spot +", "call -"}}, {"protective-put", {"spot +", "put +"}},
      {"long-straddle", {"call +", "put +"}}, {"short-straddle", {"call -", "put -"}},
      {"long-strangle", {"call +", "put +"}}, {"short-strangle", {"call -", "put -"}}};
  const Files files = make({.preset = Preset::demo});
  std::map<std::string, std::vector<std::string>> instruments;
  for (const auto& row : rows(files.at("instruments.csv"))) instruments[row[0]] = row;
  std::map<std::string, double> spots;
  for (const auto& row : rows(files.at("underlyings.csv"))) spots[row[0]] = real(row[1]);
  std::map<std::string, Table> accounts;
  for (const auto& row : rows(files.at("positions.csv"))) accounts[row[0]].push_back(row);
  EXPECT_EQ(accounts.size(), 100u);

  for (const auto& [account, positions] : accounts) {
    const std::string strategy = account.substr(0, account.size() - 3);
    std::vector<std::string> held, strikes, expiries;
    double net = 0, gross = 0;
    for (const auto& position : positions) {
      const auto& instrument = instruments.at(position[1]);
      held.push_back(instrument[1] + (position[2][0] == '-' ? " -" : " +"));
      expiries.push_back(instrument[4]);
      strikes.push_back(instrument[5]);
      const double delta = delta_usd(instrument, spots.at(instrument[2]), real(position[2]));
      net += delta;
      gross += std::fabs(delta);
    }
    if (legs.contains(strategy)) {
      EXPECT_EQ(held, legs.at(strategy)) << account;
    }
    if (strategy.ends_with("straddle")) {
      EXPECT_EQ(strikes[0], strikes[1]) << account;
    }
    if (strategy.ends_with("strangle")) {
      EXPECT_GT(real(strikes[0]), real(strikes[1])) << account;
    }
    if (strategy == "calendar") {
      EXPECT_EQ(strikes[0], strikes[1]) << account;
      EXPECT_LT(expiries[0], expiries[1]) << account;
    }
    if (strategy == "delta-neutral" || strategy == "basis-trade" || strategy == "market-maker") {
      // The hedge is rounded to a lot, by at most 0.5 in 100 (0.05 in 10, and so on).
      // digits.
      EXPECT_LE(std::fabs(net), 0.005 * gross) << account;
    }
  }
}

TEST(Canonical, IsTheJobOfThePerformancePage) {
  const Files files = make({.preset = Preset::canonical});
  const Table instruments = rows(files.at("instruments.csv"));
  EXPECT_EQ(count_by(instruments, 1),
            (std::map<std::string, int>{{"call", 500}, {"put", 496}, {"perpetual", 4}}));
  EXPECT_EQ(count_by(instruments, 2),
            (std::map<std::string, int>{{"BTC", 250}, {"ETH", 250}, {"SOL", 250}, {"XRP", 250}}));
  EXPECT_EQ(count_by(instruments, 3), (std::map<std::string, int>{{"inverse", 1000}}));
  std::map<std::string, std::set<std::string>> expiries;
  for (const auto& row : instruments) {
    if (!row[4].empty()) expiries[row[2]].insert(row[4]);
  }
  for (const auto& [underlying, times] : expiries) EXPECT_EQ(times.size(), 8u) << underlying;

  std::map<std::string, int> kinds;
  for (const auto& row : rows(files.at("covariance.csv"))) {
    const std::string kind = row[0].substr(row[0].find('.') + 1);
    ++kinds[kind.substr(0, kind.find('.'))];
  }
  EXPECT_EQ(kinds, (std::map<std::string, int>{
                       {"spot", 4}, {"vol", 48}, {"skew", 4}, {"basis", 4}, {"perp", 4}}));

  std::set<std::pair<std::string, std::string>> held;
  const Table positions = rows(files.at("positions.csv"));
  for (const auto& row : positions) {
    held.insert({row[0], row[1]});
    EXPECT_NE(real(row[2]), 0.0);
  }
  EXPECT_EQ(positions.size(), 55'000u);
  EXPECT_EQ(held.size(), 55'000u) << "an account holds an instrument twice";
  std::map<int, int> accounts_by_size;
  for (const auto& [account, count] : count_by(positions, 0)) ++accounts_by_size[count];
  EXPECT_EQ(accounts_by_size, (std::map<int, int>{{1000, 10}, {200, 90}, {30, 900}}));
  EXPECT_EQ(count_by(rows(files.at("accounts.csv")), 1),
            (std::map<std::string, int>{{"portfolio", 1000}}));

  const std::string& config = files.at("run.toml");
  for (const char* line :
       {"\npaths = 102400\n", "\ndistribution = \"student_t\"\n", "\nconfidence = 0.99\n"}) {
    EXPECT_NE(config.find(line), std::string::npos) << line;
  }
}

TEST(Canonical, HoldingsAreUniformOverTheInstruments) {
  const Files files = make({.preset = Preset::canonical});
  double chi_square = 0;
  for (const auto& [instrument, count] : count_by(rows(files.at("positions.csv")), 1)) {
    // Ten accounts hold all; the others 45,000 positions in 1,000 instruments. Without replacement
    // the variance is 90 * 0.2 * 0.8 + 900 * 0.03 * 0.97.
    chi_square += std::pow(count - 10 - 45.0, 2) / (90 * 0.2 * 0.8 + 900 * 0.03 * 0.97);
  }
  // Four standard deviations of chi-square with 999 degrees of freedom; the seed is fixed.
  EXPECT_NEAR(chi_square, 999.0, 4.0 * std::sqrt(2.0 * 999.0));
}

TEST(Generate, EqualSeedsGiveEqualBytes) {
  for (const Preset preset : {Preset::venue, Preset::demo, Preset::canonical}) {
    const Files first = make({.preset = preset}), again = make({.preset = preset});
    const Files other = make({.preset = preset, .seed = 2});
    EXPECT_TRUE(first == again);
    for (const char* name : {"underlyings.csv", "instruments.csv", "positions.csv", "run.toml"}) {
      EXPECT_FALSE(first.at(name) == other.at(name)) << name;
    }
  }
}

struct VenueCase {
  std::uint32_t instruments, accounts, underlyings, factors;
};

class Venue : public testing::TestWithParam<VenueCase> {};

TEST_P(Venue, HasTheSizesAskedForAndLoads) {
  const VenueCase& sizes = GetParam();
  Folder folder;
  generate({.instruments = sizes.instruments,
            .accounts = sizes.accounts,
            .underlyings = sizes.underlyings,
            .factors = sizes.factors},
           folder.path());
  const Files files = read_all(folder.path());
  EXPECT_EQ(rows(files.at("underlyings.csv")).size(), sizes.underlyings);
  EXPECT_EQ(rows(files.at("instruments.csv")).size(), sizes.instruments);
  EXPECT_EQ(rows(files.at("accounts.csv")).size(), sizes.accounts);
  EXPECT_EQ(count_by(rows(files.at("positions.csv")), 0).size(), sizes.accounts);
  EXPECT_EQ(rows(files.at("covariance.csv")).size(), sizes.factors);

  const RunInputs inputs = load_inputs(load_config(folder.path() / "run.toml"));
  EXPECT_EQ(inputs.book.underlyings.size(), sizes.underlyings);
  EXPECT_EQ(inputs.book.instruments.size(), sizes.instruments);
  EXPECT_EQ(inputs.book.accounts.size(), sizes.accounts);
  EXPECT_EQ(inputs.covariance.factors.size(), sizes.factors);
}

// The least of everything, one above the minimum, uneven shares, many coins, fine strikes.
INSTANTIATE_TEST_SUITE_P(Sizes, Venue,
                         testing::Values(VenueCase{1, 1, 1, 1}, VenueCase{3, 2, 2, 3},
                                         VenueCase{64, 100, 64, 64}, VenueCase{997, 250, 7, 61},
                                         VenueCase{5'000, 50, 1, 300},
                                         VenueCase{1'000, 1'000, 4, 64}));

TEST(Generate, EveryPresetLoadsAndPlans) {
  for (const Preset preset : {Preset::demo, Preset::canonical}) {
    Folder folder;
    generate({.preset = preset}, folder.path());
    const RunConfig config = load_config(folder.path() / "run.toml");
    const RunInputs inputs = load_inputs(config);
    EXPECT_EQ(inputs.book.positions.size(), rows(read(folder.path() / "positions.csv")).size());
    const Plan plan = build_plan(config, inputs);
    EXPECT_FALSE(plan.model.is_singular);
  }
}

TEST(Generate, CovarianceIsSymmetricAndPositiveDefinite) {
  const std::vector<GenerateOptions> cases = {{.preset = Preset::demo},
                                              {.preset = Preset::canonical},
                                              {.underlyings = 64, .factors = 256},
                                              {.underlyings = 1, .factors = 400}};
  for (const GenerateOptions& options : cases) {
    const Table table = rows(make(options).at("covariance.csv"));
    const auto n = static_cast<Eigen::Index>(table.size());
    Eigen::MatrixXd matrix(n, n);
    for (Eigen::Index i = 0; i < n; ++i) {
      for (Eigen::Index j = 0; j < n; ++j) {
        EXPECT_EQ(table[i][j + 1], table[j][i + 1]) << i << ' ' << j;
        matrix(i, j) = real(table[i][j + 1]);
      }
    }
    EXPECT_EQ(Eigen::LLT<Eigen::MatrixXd>(matrix).info(), Eigen::Success);
    const Eigen::VectorXd scale = matrix.diagonal().cwiseSqrt().cwiseInverse();
    const Eigen::MatrixXd correlation = scale.asDiagonal() * matrix * scale.asDiagonal();
    // Every factor has 0.02 of its variance to itself; seven digits of 400 factors take 2e-4.
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(correlation,
                                                                Eigen::EigenvaluesOnly);
    EXPECT_GE(solver.eigenvalues()(0), 0.0198);
  }
}

struct RefusalCase {
  GenerateOptions options;
  std::vector<std::string> messages;
};

class Refusal : public testing::TestWithParam<RefusalCase> {};

TEST_P(Refusal, NamesTheOptionAndWritesNothing) {
  Folder folder;
  try {
    generate(GetParam().options, folder.path() / "out");
    FAIL() << "not refused";
  } catch (const InputError& error) {
    std::vector<std::string> messages;
    for (const Problem& problem : error.problems()) messages.push_back(to_string(problem));
    EXPECT_EQ(messages, GetParam().messages);
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, Refusal,
    testing::Values(
        RefusalCase{{.instruments = 0},
                    {"command line: --instruments 0: has to be from 1 to 100000"}},
        RefusalCase{{.instruments = 100'001, .accounts = 1'000'001},
                    {"command line: --instruments 100001: has to be from 1 to 100000",
                     "command line: --accounts 1000001: has to be from 1 to 1000000"}},
        RefusalCase{{.accounts = 0}, {"command line: --accounts 0: has to be from 1 to 1000000"}},
        RefusalCase{{.underlyings = 0}, {"command line: --underlyings 0: has to be from 1 to 64"}},
        RefusalCase{{.underlyings = 65},
                    {"command line: --underlyings 65: has to be from 1 to 64"}},
        RefusalCase{{.factors = 6'001}, {"command line: --factors 6001: has to be from 1 to 6000"}},
        RefusalCase{{.instruments = 3, .factors = 2},
                    {"command line: --instruments 3: 4 underlyings need a perpetual each; give at "
                     "least 4",
                     "command line: --factors 2: 4 underlyings need a spot factor each; give at "
                     "least 4"}},
        RefusalCase{{.preset = Preset::demo, .accounts = 100},
                    {"command line: --accounts: the preset demo has its own; leave out --accounts, "
                     "or --preset demo"}},
        RefusalCase{{.preset = Preset::canonical, .factors = 64},
                    {"command line: --factors: the preset canonical has its own; leave out "
                     "--factors, or --preset canonical"}}));

TEST(Generate, FailureNamesTheFileAndLeavesNoPart) {
  Folder folder;
  std::ofstream(folder.path() / "file") << "x";
  EXPECT_THROW(generate({}, folder.path() / "file" / "out"), OperatingError);

  fs::create_directories(folder.path() / "out" / "positions.csv");  // cannot be replaced by a file
  try {
    generate({}, folder.path() / "out");
    FAIL() << "a directory was replaced";
  } catch (const OperatingError& error) {
    EXPECT_NE(std::string(error.what()).find("positions.csv"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(fs::exists(folder.path() / "out" / "run.toml"));
  for (const auto& entry : fs::directory_iterator(folder.path() / "out")) {
    EXPECT_NE(entry.path().filename().string()[0], '.') << entry.path();
  }
}

}  // namespace
}  // namespace shortfall
