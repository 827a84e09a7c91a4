#include "directory_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "store_error.hpp"

namespace shortfall::service {
namespace {

std::string read_holder(int descriptor) {
  char text[32];
  const ssize_t size = ::pread(descriptor, text, sizeof text, 0);
  const std::string holder(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  return holder.substr(0, holder.find_first_not_of("0123456789"));
}

void make(const std::filesystem::path& directory) {
  if (::mkdir(directory.c_str(), 0777) == 0) return;
  const int error = errno;
  if (error == ENOENT)
    throw StoreError(StoreFault::failed,
                     fmt::format("cannot create state directory {}: create the directory that it "
                                 "is to be in first",
                                 directory.string()));
  struct stat status;
  if (::stat(directory.c_str(), &status) != 0) throw store_error(error, directory);
  if (!S_ISDIR(status.st_mode))
    throw StoreError(StoreFault::foreign,
                     fmt::format("{} is no directory: give one for the state, or a name that does "
                                 "not exist yet",
                                 directory.string()));
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) {
  make(directory);
  const std::filesystem::path file = directory / "lock";
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw store_error(errno, file);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const std::string holder = read_holder(descriptor_);
    ::close(descriptor_);
    if (error != EWOULDBLOCK) throw store_error(error, file);
    throw StoreError(StoreFault::in_use,
                     fmt::format("state directory {} is in use by process {}: stop that first, or "
                                 "give another directory",
                                 directory.string(), holder.empty() ? "(unknown)" : holder));
  }
  // For whoever is refused; the lock holds without it, on a full disk too.
  const std::string self = fmt::format("{}\n", ::getpid());
  if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, self.data(), self.size(), 0) < 0) {
    [[maybe_unused]] const int cleared = ::ftruncate(descriptor_, 0);
  }
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);  // the file stays: to remove it would be a race
}

}  // namespace shortfall::service
