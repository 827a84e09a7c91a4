#include "atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

#include "shortfall/error.hpp"

namespace shortfall {
namespace {

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& file, int error) {
  throw OperatingError("cannot " + what + " " + file.string() + ": " + std::strerror(error));
}

std::filesystem::path directory_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : ".";
}

/// So that a rename survives a crash of the machine.
void sync_directory(const std::filesystem::path& directory) {
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // a directory that can be written but not read
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

void create_directory_for(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) fail("create directory", directory, error.value());
  if (!std::filesystem::is_directory(directory, error)) fail("write to", directory, ENOTDIR);
}

AtomicFile::AtomicFile(std::filesystem::path destination) : destination_(std::move(destination)) {
  if (std::filesystem::is_directory(destination_)) fail("write", destination_, EISDIR);
  std::string name = fmt::format("{}/.{}.XXXXXX", directory_of(destination_).string(),
                                 destination_.filename().string());
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail("write", destination_, errno);
  temporary_ = name;
  ::fchmod(descriptor_, 0644);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view text) {
  buffer_.append(text.data(), text.data() + text.size());
  flush();
}

void AtomicFile::flush() {
  std::string_view rest(buffer_.data(), buffer_.size());
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno != EINTR) fail("write", destination_, errno);
    if (written > 0) rest.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
}

void AtomicFile::sync() {
  flush();
  if (::fsync(descriptor_) != 0) fail("write", destination_, errno);
}

void AtomicFile::publish() {
  sync();
  if (::rename(temporary_.c_str(), destination_.c_str()) != 0) fail("write", destination_, errno);
  temporary_.clear();
  sync_directory(directory_of(destination_));
}

}  // namespace shortfall
