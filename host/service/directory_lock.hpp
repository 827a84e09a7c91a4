// One process per state directory.
#pragma once

#include <filesystem>

namespace shortfall::service {

/// Holds DIRECTORY/lock, which has the process's number in it, until destroyed or the process ends,
/// however it ends.
class DirectoryLock {
 public:
  /// Creates the directory where only that is missing. Throws StoreError: in_use, with the number
  /// of the process that holds the lock; read_only; or why else it cannot be had.
  explicit DirectoryLock(const std::filesystem::path& directory);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  ~DirectoryLock();

 private:
  int descriptor_ = -1;
};

}  // namespace shortfall::service
