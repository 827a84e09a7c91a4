// Files that are complete or absent.
#pragma once

#include <filesystem>
#include <string_view>

namespace shortfall {

/// Creates a directory and its parents. Throws OperatingError naming it and the reason.
void create_directory_for(const std::filesystem::path& directory);

/// Writes and syncs a file beside its destination; `publish` renames it there. Without that nothing
/// remains. Every failure (no space, no permission) is an OperatingError that names the file.
class AtomicFile {
 public:
  AtomicFile(std::filesystem::path destination, std::string_view content);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void publish();

 private:
  std::filesystem::path destination_, temporary_;
};

}  // namespace shortfall
