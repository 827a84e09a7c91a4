// A small valid book in a folder of its own, to be spoilt by tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "shortfall/book.hpp"
#include "shortfall/config.hpp"
#include "shortfall/error.hpp"

namespace shortfall {

class TemporaryBook {
 public:
  TemporaryBook() {
    static std::atomic<int> count{0};
    directory_ = std::filesystem::temp_directory_path() /
                 ("shortfall-load-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
    std::filesystem::create_directories(directory_);
    write("run.toml",
          "[inputs]\n"
          "underlyings = \"underlyings.csv\"\n"
          "instruments = \"instruments.csv\"\n"
          "positions = \"positions.csv\"\n"
          "covariance = \"covariance.csv\"\n"
          "accounts = \"accounts.csv\"\n"
          "collateral = \"collateral.csv\"\n"
          "[market]\n"
          "as_of = 2025-06-27T08:00:00Z\n");
    write("underlyings.csv", "underlying,spot\nBTC,100000\nETH,2500.5\n");
    write("instruments.csv",
          "instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n"
          "BTC-C,call,BTC,inverse,2025-09-26T08:00:00Z,110000,1,101500,0.55\n"
          "BTC-F,future,BTC,inverse,2025-09-26T08:00:00Z,,10,101500,\n"
          "ETH-P,put,ETH,linear,2025-09-26T10:00:00+02:00,2000,0.1,,0.7\n"
          "ETH-PERP,perpetual,ETH,linear,,,1,,\n"
          "ETH,spot,ETH,linear,,,1,,\n");
    write("positions.csv",
          "account,instrument,quantity\n"
          "zoe,BTC-C,-12.5\n"
          "ann,ETH-PERP,1e3\n"
          "zoe,BTC-F,40\n");
    write("covariance.csv",
          "factor,BTC.spot,BTC.vol.30d,ETH.spot\n"
          "BTC.spot,4e-4,-1e-4,5e-4\n"
          "BTC.vol.30d,-1e-4,2e-3,-1e-4\n"
          "ETH.spot,5e-4,-1e-4,9e-4\n");
    write("accounts.csv", "account,mode\nann,cross\nbob,isolated\n");
    write("collateral.csv", "account,asset,amount\nann,USD,1000000\nbob,BTC,-0.5\n");
  }
  TemporaryBook(const TemporaryBook&) = delete;
  TemporaryBook& operator=(const TemporaryBook&) = delete;
  ~TemporaryBook() { std::filesystem::remove_all(directory_); }

  std::filesystem::path path(const std::string& name) const { return directory_ / name; }

  void write(const std::string& name, std::string_view text) const {
    std::ofstream stream(path(name), std::ios::binary);
    stream << text;
    stream.close();
    ASSERT_TRUE(stream) << "writing " << path(name);
  }

  RunInputs load() const { return load_inputs(load_config(path("run.toml"))); }

  /// What is wrong with the book, with files named relative to its folder; empty where it loads.
  std::string problems(const RunOverrides& overrides = {}) const {
    try {
      load_inputs(load_config(path("run.toml"), overrides));
      return {};
    } catch (const InputError& error) {
      std::string text = error.what();
      const std::string prefix = directory_.string() + "/";
      for (std::size_t at = 0; (at = text.find(prefix, at)) != std::string::npos;) {
        text.erase(at, prefix.size());
      }
      return text;
    }
  }

 private:
  std::filesystem::path directory_;
};

/// One way to spoil a file, and the problem that this has to give: the text up to the message, and
/// a part of the message.
struct Rejection {
  const char* name;
  std::string text;
  const char* place;
  const char* message;
};

inline void PrintTo(const Rejection& rejection, std::ostream* out) { *out << rejection.name; }

/// Writes the text over a file of the book and expects exactly one problem, in its place.
inline void expect_rejection_in(const TemporaryBook& book, const std::string& file,
                                const Rejection& rejection) {
  book.write(file, rejection.text);
  const std::string problems = book.problems();
  EXPECT_TRUE(problems.starts_with(std::string(rejection.place) + ": ")) << problems;
  EXPECT_NE(problems.find(rejection.message), std::string::npos) << problems;
  EXPECT_EQ(problems.find('\n'), std::string::npos) << "more than one problem:\n" << problems;
}

inline void expect_rejection(const std::string& file, const Rejection& rejection) {
  expect_rejection_in(TemporaryBook(), file, rejection);
}

}  // namespace shortfall
