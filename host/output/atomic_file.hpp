// Files that are complete or absent.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string_view>
#include <utility>

namespace shortfall {

/// Creates a directory and its parents. Throws OperatingError naming it and the reason.
void create_directory_for(const std::filesystem::path& directory);

/// Written beside its destination, where it appears, whole, on `publish`; without that nothing
/// remains. Every failure (no space, no permission) is an OperatingError that names the file.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path destination);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view text);
  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(fmt::appender(buffer_), format, std::forward<Args>(args)...);
    if (buffer_.size() >= flush_bytes) flush();
  }

  /// Everything written is on the disk: what is left to fail is a rename.
  void sync();
  /// Syncs and renames.
  void publish();

 private:
  static constexpr std::size_t flush_bytes = 1 << 16;
  void flush();

  std::filesystem::path destination_, temporary_;
  fmt::memory_buffer buffer_;
  int descriptor_ = -1;
};

}  // namespace shortfall
