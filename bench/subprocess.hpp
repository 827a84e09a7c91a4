// Other programs, run and waited for.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace shortfall::bench {

struct Finished {
  int status = 0;  ///< of the exit; 128 + the number of a signal that ended it
  double wall_seconds = 0;
  std::uint64_t peak_bytes = 0;  ///< of resident memory
  std::string output, errors;
};

struct Command {
  std::vector<std::string> arguments;  ///< the first is looked for in PATH
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< set, or unset where empty

  /// Status 127 where it cannot be started. Throws OperatingError where the system refuses a
  /// process.
  Finished run() const;
};

}  // namespace shortfall::bench
