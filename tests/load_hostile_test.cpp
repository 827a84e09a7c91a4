// Files that nobody would write on purpose: nothing crashes, hangs or holds a file in memory.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "temporary_book.hpp"

namespace shortfall {
namespace {

const std::vector<std::string> csv_files = {"underlyings.csv", "instruments.csv", "positions.csv",
                                            "covariance.csv",  "accounts.csv",    "collateral.csv"};

/// Resident memory in kB: "VmHWM" the peak, "VmRSS" now.
std::size_t resident_kb(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::size_t kb = 0;
    if (word == key + ":" && status >> kb) return kb;
  }
  return 0;
}

/// Makes the peak begin anew at the present use; false where the kernel does not let us, and under
/// the address sanitizer, whose own memory drowns the program's.
bool reset_peak() {
#ifdef __SANITIZE_ADDRESS__
  return false;
#endif
  std::ofstream stream("/proc/self/clear_refs");
  stream << "5" << std::flush;
  return static_cast<bool>(stream);
}

class AnyFile : public testing::TestWithParam<std::string> {
 protected:
  void expect(const std::string& text, const std::string& place, const std::string& message) {
    book_.write(GetParam(), text);
    expect_problem(place, message);
  }
  void expect_problem(const std::string& place, const std::string& message) {
    const std::string problems = book_.problems();
    EXPECT_TRUE(problems.starts_with(GetParam() + place + ": ")) << problems;
    EXPECT_NE(problems.find(message), std::string::npos) << problems;
  }
  std::string header() const {
    std::ifstream stream(book_.path(GetParam()));
    std::string line;
    std::getline(stream, line);
    return line;
  }
  TemporaryBook book_;
};

/// Those whose columns are given: not the covariance, whose columns are factors.
class AnyTable : public AnyFile {};

TEST_P(AnyFile, Missing) {
  std::filesystem::remove(book_.path(GetParam()));
  expect_problem("", "does not exist");
}
TEST_P(AnyFile, Directory) {
  std::filesystem::remove(book_.path(GetParam()));
  std::filesystem::create_directory(book_.path(GetParam()));
  expect_problem("", "is a directory");
}
TEST_P(AnyFile, PipeThatNobodyWritesTo) {
  std::filesystem::remove(book_.path(GetParam()));
  ASSERT_EQ(::mkfifo(book_.path(GetParam()).c_str(), 0600), 0);
  expect_problem("", "is not a regular file");
}
TEST_P(AnyFile, Empty) { expect("", "", "is empty"); }
TEST_P(AnyFile, OnlyAByteOrderMark) { expect("\xef\xbb\xbf", "", "is empty"); }
TEST_P(AnyFile, OnlyBlankLines) { expect("\n\r\n\n", "", "is empty"); }
TEST_P(AnyFile, OnlyAHeader) {
  if (GetParam() == "accounts.csv" || GetParam() == "collateral.csv") {
    book_.write(GetParam(), header() + "\n");
    EXPECT_EQ(book_.problems(), "") << "nobody has to be listed";
  } else {
    expect(header(), "", GetParam() == "covariance.csv" ? "ends before" : "no rows");
  }
}
TEST_P(AnyFile, WrongDelimiter) {
  for (char delimiter : {';', '\t', '|'}) {
    std::string text = header() + "\n";
    for (char& c : text) c = c == ',' ? delimiter : c;
    expect(text, ":1", "commas");
  }
}
TEST_P(AnyTable, UnknownOrDuplicateColumn) {
  expect(header() + ",extra\n", ":1", "unknown column \"extra\"; the columns are ");
  book_.write(GetParam(), header() + "," + header().substr(0, header().find(',')) + "\n");
  expect_problem(":1", "duplicate column");
}
TEST_P(AnyTable, MissingColumn) {
  expect(header().substr(0, header().rfind(',')) + "\n", ":1", "missing column");
}
TEST_P(AnyFile, BlankLineBetweenRows) {
  std::ifstream stream(book_.path(GetParam()));
  std::string text(std::istreambuf_iterator<char>(stream), {});
  text.insert(text.find('\n') + 1, "\n\n");
  expect(text, ":2", "is blank; remove blank lines");
}
TEST_P(AnyFile, BadQuotes) {
  expect(header() + "\n\"abc\n", ":2", "without its closing quote");
  expect(header() + "\n\"abc\"d,e\n", ":2", "after a closing quote");
  expect(header() + "\nab\"c,e\n", ":2", "quote inside an unquoted field");
}
TEST_P(AnyTable, WrongNumberOfFields) {
  expect(header() + "\na\n", ":2", "has 1 fields; the header has");
}
TEST_P(AnyFile, BytesThatAreNoText) {
  const std::string wrong[] = {std::string("a\0b", 3),
                               "\xff\xfe",
                               "a\x80",
                               "\xc0\xaf",
                               "\xe0\x80\x80",
                               "\xed\xa0\x80",
                               "\xf4\x90\x80\x80",
                               "\xf8\x88\x80\x80\x80",
                               "\xe2\x82"};
  for (const std::string& bytes : wrong) {
    expect(header() + "\n" + bytes + "\n\xff\n", ":2", "not UTF-8 text");
  }
}
TEST_P(AnyFile, RandomBytes) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 50; ++i) {
    std::string text(1 + random() % 5000, '\0');
    for (char& c : text) c = static_cast<char>(random());
    book_.write(GetParam(), text);
    EXPECT_FALSE(book_.problems().empty());
    book_.write(GetParam(), header() + "\n" + text);
    EXPECT_FALSE(book_.problems().empty());
  }
}
/// The share of the long tests' work that `dev` asks for; 0 by default.
double long_share() {
  const char* const share = std::getenv("SHORTFALL_LONG_SHARE");
  return share ? std::atof(share) : 0;
}

TEST_P(AnyFile, LongLine) {
  const auto line_bytes =
      static_cast<std::uint64_t>(std::max(long_share(), 0.0625) * (std::uint64_t{1} << 30));
  const std::string head = header() + "\n";
  const std::size_t before_kb = resident_kb("VmRSS");
  const bool has_peak = reset_peak();
  // Text first, so that it is the length that is refused, then a hole that takes no room on disk.
  book_.write(GetParam(), head + std::string(2 << 20, 'x'));
  std::filesystem::resize_file(book_.path(GetParam()), head.size() + line_bytes);
  expect_problem(":2", "line is longer than 1 MiB");
  // The reader's buffer, the 4 MiB of text built above, and an allocator that keeps pages.
  if (has_peak) {
    EXPECT_LT(resident_kb("VmHWM"), before_kb + 16'000);
  }
  // A line of exactly 1 MiB is read, and has too few fields.
  book_.write(GetParam(), head + std::string(1 << 20, 'x') + "\n");
  EXPECT_EQ(book_.problems().find("longer than"), std::string::npos);
}
std::string name_of_file(const testing::TestParamInfo<std::string>& file) {
  return file.param.substr(0, file.param.find('.'));
}
INSTANTIATE_TEST_SUITE_P(Load, AnyFile, testing::ValuesIn(csv_files), name_of_file);
INSTANTIATE_TEST_SUITE_P(Load, AnyTable,
                         testing::Values("underlyings.csv", "instruments.csv", "positions.csv",
                                         "accounts.csv", "collateral.csv"),
                         name_of_file);

TEST(HostileConfig, IsRefused) {
  TemporaryBook book;
  const auto problems_of = [&](const std::string& text) {
    book.write("run.toml", text);
    return book.problems();
  };
  EXPECT_NE(problems_of("").find("[inputs] underlyings is missing"), std::string::npos);
  EXPECT_NE(problems_of(std::string("[in\0puts]", 9)).find("is not TOML"), std::string::npos);
  EXPECT_NE(problems_of("\xff\xfe").find("is not TOML"), std::string::npos);
  EXPECT_NE(problems_of(std::string(4000, '[')).find("is not TOML"), std::string::npos);
  std::string dots = "a";
  while (dots.size() < 4000) dots += ".a";
  EXPECT_NE(problems_of(dots + " = 1").find("unknown table \"a\""), std::string::npos);
  while (dots.size() < 1'000'000) dots += ".a";
  EXPECT_NE(problems_of(dots + " = 1").find("longer than 4096 bytes"), std::string::npos);
  EXPECT_THROW(load_config(book.path("")), InputError);
  EXPECT_THROW(load_config(book.path("none.toml")), InputError);
}

TEST(HostileConfig, NamesNoPathWithANul) {
  TemporaryBook book;
  book.write("run.toml",
             "[inputs]\nunderlyings = \"underlyings.csv\\u0000x\"\ninstruments = \"i\"\n"
             "positions = \"p\"\ncovariance = \"c\"\n[market]\nas_of = 2025-06-27T08:00:00Z\n");
  EXPECT_TRUE(book.problems().starts_with("run.toml:2: [inputs] underlyings is no path"));
}

TEST(Load, LoadsOrRefusesEveryMutation) {
  TemporaryBook book;
  std::vector<std::string> names = csv_files;
  names.push_back("run.toml");
  std::vector<std::string> texts;
  for (const std::string& name : names) {
    std::ifstream stream(book.path(name));
    texts.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  const std::string alphabet("\0\n\r\t\",;.-+e019aBZ[]=#\x80\xff", 24);
  std::mt19937_64 random(2025);
  int loaded = 0, refused = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::size_t file = random() % names.size();
    std::string text = texts[file];
    for (std::uint64_t edits = 1 + random() % 3; edits > 0; --edits) {
      const std::size_t at = random() % (text.size() + 1);
      const char c = alphabet[random() % alphabet.size()];
      switch (random() % 4) {
        case 0:
          text.insert(at, 1, c);
          break;
        case 1:
          text.erase(at, random() % 10);
          break;
        case 2:
          if (at < text.size()) text[at] = c;
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
      }
      if (text.empty()) text.push_back(alphabet[0]);
    }
    book.write(names[file], text);
    // Whatever is wrong is an InputError: anything else leaves this loop and fails the test.
    book.problems().empty() ? ++loaded : ++refused;
    book.write(names[file], texts[file]);
  }
  // Both happen often, or the mutations test nothing.
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 1000);
}

/// Writes `rows` rows of `account_count` accounts in random order and loads them: in memory of at
/// most twice the file's size, and in the time given.
void expect_load(std::size_t rows, std::size_t account_count, double seconds_max) {
  TemporaryBook book;
  std::string instruments =
      "instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n";
  constexpr int instrument_count = 1000;
  for (int i = 0; i < instrument_count; ++i) {
    const std::string strike = std::to_string(100000 + i);
    instruments += "BTC-26SEP25-" + strike + "-C,call,BTC,inverse,2025-09-26T08:00:00Z," + strike +
                   ",1,,0.5\n";
  }
  book.write("instruments.csv", instruments);
  {
    std::ofstream stream(book.path("positions.csv"), std::ios::binary);
    stream << "account,instrument,quantity\n";
    std::mt19937_64 random(3);
    char line[96];
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t account = account_count == rows ? i : random() % account_count;
      const int quantity = static_cast<int>(random() % 2000) - 1000;
      const int length = std::snprintf(line, sizeof line, "acct%06zu,BTC-26SEP25-%d-C,%d.%d\n",
                                       account, 100000 + static_cast<int>(random() % 1000),
                                       quantity, static_cast<int>(random() % 10));
      stream.write(line, length);
    }
    ASSERT_TRUE(stream.flush());
  }
  const auto file_kb = std::filesystem::file_size(book.path("positions.csv")) / 1024;
  const std::size_t before_kb = resident_kb("VmRSS");
  const bool has_peak = reset_peak();
  // Of the processor, so that other work on the machine counts little.
  const std::clock_t begin = std::clock();
  const Book loaded = book.load().book;
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  const std::size_t grown_kb = resident_kb("VmHWM") - before_kb;
  std::cout << rows << " rows, " << loaded.accounts.size() << " accounts, "
            << loaded.positions.size() << " positions: " << seconds << " s, " << grown_kb / 1024
            << " MiB for a file of " << file_kb / 1024 << " MiB\n";
  EXPECT_LE(loaded.accounts.size(), account_count);
  EXPECT_LT(seconds, seconds_max);
  // Beside the rows: the reader's buffer and the instruments, 2 MiB, and the accounts, which are
  // few where rows are many.
  if (has_peak) {
    EXPECT_LT(grown_kb, 2 * file_kb + 2048 + loaded.accounts.size() * sizeof(Account) / 1024);
  }
}

// At its full length the promise itself, on an idle core; else a time-out for the hopelessly slow,
// ten times what an idle core takes.
TEST(LoadSize, ManyRows) {
  const auto rows = static_cast<std::size_t>(1e7 * std::max(long_share(), 0.1));
  expect_load(rows, rows / 100, 5.0);
}
TEST(LoadSize, OneAccountWithAMillionRows) { expect_load(1'000'000, 1, 5.0); }
TEST(LoadSize, AMillionAccountsWithOneRow) { expect_load(1'000'000, 1'000'000, 5.0); }

}  // namespace
}  // namespace shortfall
