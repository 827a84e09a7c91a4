// How the store fails.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "shortfall/error.hpp"

namespace shortfall::service {

enum class StoreFault : std::uint8_t {
  in_use,     ///< by another process
  full,       ///< no room, or a quota or limit reached: usable again when there is room
  read_only,  ///< the directory, the file or the file system
  corrupt,    ///< damaged, or contradicts itself
  foreign,    ///< not a database, or another application's
  newer,      ///< written by a later release
  failed,     ///< the device, memory, or what else the system refuses
};

/// The store cannot do what was asked, for a reason outside the program: nothing that was
/// acknowledged is lost, and what was being done has not happened. The message says what to do.
class StoreError : public OperatingError {
 public:
  StoreError(StoreFault fault, const std::string& message)
      : OperatingError(message), fault_(fault) {}
  StoreFault fault() const { return fault_; }

 private:
  StoreFault fault_;
};

/// Names the file, what is wrong and what to do about it.
StoreError store_error(StoreFault fault, const std::filesystem::path& file,
                       const std::string& detail);

/// Likewise, of an error number of the system.
StoreFault fault_of_errno(int error);
StoreError store_error(int error, const std::filesystem::path& file);

/// Throws the InputError "what: message".
[[noreturn]] void refuse(const char* what, std::string message);

/// A change contradicts one accepted before. Nothing has changed.
class Conflict : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace shortfall::service
