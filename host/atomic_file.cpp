#include "atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

#include "fmt/format.h"
#include "shortfall/error.hpp"

namespace shortfall {
namespace {

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& file, int error) {
  throw OperatingError("cannot " + what + " " + file.string() + ": " + std::strerror(error));
}

/// Syncs, so that a rename survives a crash of the machine.
void sync_directory(const std::filesystem::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // a directory that can be written but not read
  ::fsync(fd);
  ::close(fd);
}

int write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(fd) == 0 ? 0 : errno;
}

}  // namespace

void create_directory_for(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) fail("create directory", directory, error.value());
  if (!std::filesystem::is_directory(directory, error)) fail("write to", directory, ENOTDIR);
}

AtomicFile::AtomicFile(std::filesystem::path destination, std::string_view content)
    : destination_(std::move(destination)) {
  if (std::filesystem::is_directory(destination_)) fail("write", destination_, EISDIR);
  const std::filesystem::path directory =
      destination_.has_parent_path() ? destination_.parent_path() : ".";
  std::string name =
      fmt::format("{}/.{}.XXXXXX", directory.string(), destination_.filename().string());
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) fail("write", destination_, errno);
  temporary_ = name;
  int error = ::fchmod(fd, 0644) == 0 ? write_all(fd, content) : errno;
  if (::close(fd) != 0 && error == 0) error = errno;
  if (error == 0) return;
  ::unlink(temporary_.c_str());
  fail("write", destination_, error);
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::publish() {
  if (::rename(temporary_.c_str(), destination_.c_str()) != 0) fail("write", destination_, errno);
  temporary_.clear();
  sync_directory(destination_.has_parent_path() ? destination_.parent_path() : ".");
}

}  // namespace shortfall
