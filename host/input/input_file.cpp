#include "input_file.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>

namespace shortfall {

InputFile::InputFile(const std::filesystem::path& file, Problems& problems) : name_(file.string()) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    problems.add(name_, 0, "does not exist; correct the path");
  } else if (std::filesystem::is_directory(status)) {
    problems.add(name_, 0, "is a directory; give the path of a file");
  } else if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    problems.add(name_, 0, "is not a regular file; save the input to one");
  } else {
    stream_.reset(std::fopen(file.c_str(), "rb"));
    if (!stream_) {
      problems.add(name_, 0,
                   std::string("cannot be opened: ") + std::strerror(errno) +
                       "; correct the path or the permissions");
      return;
    }
    byte_count_ = std::filesystem::file_size(file, error);
    if (error) byte_count_ = 0;
    std::setvbuf(stream_.get(), nullptr, _IONBF, 0);  // callers read large pieces
  }
}

std::size_t InputFile::read(char* bytes, std::size_t size) {
  const std::size_t count = std::fread(bytes, 1, size, stream_.get());
  if (count < size && std::ferror(stream_.get())) {
    throw OperatingError("reading " + name_ + ": " + std::strerror(errno));
  }
  return count;
}

}  // namespace shortfall
