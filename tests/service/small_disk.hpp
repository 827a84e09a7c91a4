// A small file system for tests of full and of read-only ones.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <filesystem>

namespace shortfall::service {

/// A small file system of its own on a directory, in a mount namespace of this thread and those
/// that it starts.
class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& directory) : directory_(directory) {
    is_mounted_ = ::unshare(CLONE_NEWNS) == 0 &&
                  ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                  ::mount("none", directory.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (is_mounted_) ::umount2(directory_.c_str(), MNT_DETACH);
  }
  bool is_mounted() const { return is_mounted_; }
  bool make_read_only(bool read_only) {
    return ::mount("none", directory_.c_str(), nullptr, MS_REMOUNT | (read_only ? MS_RDONLY : 0),
                   "size=1m") == 0;
  }

 private:
  std::filesystem::path directory_;
  bool is_mounted_ = false;
};

}  // namespace shortfall::service
