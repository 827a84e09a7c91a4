// SHA-256 (OpenSSL's), for the plan hash and the run record.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace shortfall {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(const void* bytes, std::size_t byte_count);
  void add(std::string_view text) { add(text.data(), text.size()); }
  std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Throws OperatingError where the file cannot be read.
std::string sha256_of_file(const std::filesystem::path& file);

}  // namespace shortfall
