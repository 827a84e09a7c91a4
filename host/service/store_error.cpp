#include "store_error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace shortfall::service {
namespace {

/// What is wrong and what to do about it. The rest of the message names the file.
const char* remedy(StoreFault fault) {
  switch (fault) {
    case StoreFault::in_use:
      return "it is locked by another program: close that (sqlite3, a backup), then try again";
    case StoreFault::full:
      return "there is no room: free some on its file system (or raise the quota or file size "
             "limit), then try again; nothing that was acknowledged is lost";
    case StoreFault::read_only:
      return "it may only be read: make the directory and its files writable, or the file system "
             "that they are on";
    case StoreFault::corrupt:
      return "it is damaged: keep a copy of the directory, then restore it from a backup; "
             "`sqlite3 state.db .recover` shows what can still be read";
    case StoreFault::foreign:
      return "it is no database of shortfall, or its first page is destroyed: give another "
             "directory, or restore this one from a backup";
    case StoreFault::newer:
      return "it was written by a later release: use that, or restore a backup from before";
    case StoreFault::failed:
      return "the system refused: see the kernel's log about the disk, memory and limits";
  }
  return "";
}

}  // namespace

StoreFault fault_of_errno(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return StoreFault::full;
    case EROFS:
    case EACCES:
    case EPERM:
      return StoreFault::read_only;
    default:
      return StoreFault::failed;
  }
}

StoreError store_error(StoreFault fault, const std::filesystem::path& file,
                       const std::string& detail) {
  return StoreError(fault,
                    fmt::format("cannot use {} ({}): {}", file.string(), detail, remedy(fault)));
}

StoreError store_error(int error, const std::filesystem::path& file) {
  return store_error(fault_of_errno(error), file, std::strerror(error));
}

void refuse(const char* what, std::string message) {
  throw InputError({{what, 0, std::move(message)}}, 0);
}

}  // namespace shortfall::service
