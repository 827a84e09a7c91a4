// A folder for histories, made and removed with a test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "fmt/format.h"
#include "host/calibrate/history.hpp"
#include "host/input/date.hpp"
#include "shortfall/error.hpp"

namespace shortfall {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> count{0};
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("shortfall-calibrate-{}-{}", ::getpid(), ++count);
    std::filesystem::create_directories(folder_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(folder_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path path(const std::string& name) const { return folder_ / name; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  /// What `work` is refused for, with files named relative to the folder.
  std::string problems_of(const std::function<void()>& work) const {
    try {
      work();
      return {};
    } catch (const InputError& error) {
      std::string text = error.what();
      const std::string prefix = folder_.string() + "/";
      for (std::size_t at = 0; (at = text.find(prefix, at)) != std::string::npos;)
        text.erase(at, prefix.size());
      return text;
    }
  }

 private:
  std::filesystem::path folder_;
};

/// "2020-01-01" and so many days.
inline std::string day(int days) {
  return format_date(*parse_date("2020-01-01") + 86'400LL * days);
}

}  // namespace shortfall
