// A regular file, read in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "shortfall/error.hpp"

namespace shortfall {

class InputFile {
 public:
  /// Reports a file that is missing, cannot be opened, or is no regular file: reading a pipe or a
  /// device might never end.
  InputFile(const std::filesystem::path& file, Problems& problems);

  bool is_open() const { return stream_ != nullptr; }
  std::uint64_t byte_count() const { return byte_count_; }

  /// Reads up to `size` bytes; 0 at the end. Throws OperatingError where the device fails.
  std::size_t read(char* bytes, std::size_t size);

 private:
  struct Close {
    void operator()(std::FILE* stream) const { std::fclose(stream); }
  };
  std::string name_;
  std::unique_ptr<std::FILE, Close> stream_;
  std::uint64_t byte_count_ = 0;
};

}  // namespace shortfall
