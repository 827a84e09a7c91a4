// How the library fails. Input errors are collected and refused together; operating errors are
// exceptions that name what was being done; programming errors assert (SHORTFALL_ASSERT).
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

namespace shortfall {

/// One thing wrong with the input. `line` is 1-based; 0 means the file as a whole.
struct Problem {
  std::string file;
  std::size_t line = 0;
  std::string message;
};

/// "file:line: message", or "file: message" when the line is 0.
std::string to_string(const Problem& problem);

/// The input is wrong: exit status 2. Holds at most 20 problems and the number left out.
class InputError : public std::runtime_error {
 public:
  InputError(std::vector<Problem> problems, std::size_t omitted_count);
  const std::vector<Problem>& problems() const { return problems_; }
  std::size_t omitted_count() const { return omitted_count_; }

 private:
  std::vector<Problem> problems_;
  std::size_t omitted_count_;
};

/// The run failed for a reason that is not the input's: exit status 1. The message names what was
/// being done.
class OperatingError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Collects problems. Keeps the first 20 and counts the rest, so that ten million bad rows cost no
/// memory.
class Problems {
 public:
  static constexpr std::size_t kept_max = 20;

  void add(std::string file, std::size_t line, std::string message);
  bool empty() const { return kept_.empty(); }
  std::size_t count() const { return kept_.size() + omitted_count_; }
  /// Throws InputError with everything collected, if anything was.
  void throw_if_any() const;

 private:
  std::vector<Problem> kept_;
  std::size_t omitted_count_ = 0;
};

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace shortfall

/// Stays on in release builds; not for inner loops.
#define SHORTFALL_ASSERT(expression) \
  ((expression) ? (void)0 : ::shortfall::assertion_failed(#expression, __FILE__, __LINE__))
