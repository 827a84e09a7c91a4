#include "shortfall/error.hpp"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace shortfall {

std::string to_string(const Problem& problem) {
  std::string text = problem.file;
  if (problem.line != 0) text += ':' + std::to_string(problem.line);
  return text + ": " + problem.message;
}

namespace {

std::string join(const std::vector<Problem>& problems, std::size_t omitted_count) {
  std::string text;
  for (const Problem& problem : problems) {
    if (!text.empty()) text += '\n';
    text += to_string(problem);
  }
  if (omitted_count == 1) text += "\nand 1 more problem";
  if (omitted_count > 1) text += "\nand " + std::to_string(omitted_count) + " more problems";
  return text;
}

}  // namespace

InputError::InputError(std::vector<Problem> problems, std::size_t omitted_count)
    : std::runtime_error(join(problems, omitted_count)),
      problems_(std::move(problems)),
      omitted_count_(omitted_count) {}

void Problems::add(std::string file, std::size_t line, std::string message) {
  if (kept_.size() == kept_max) {
    ++omitted_count_;
    return;
  }
  kept_.push_back({std::move(file), line, std::move(message)});
}

void Problems::throw_if_any() const {
  if (!empty()) throw InputError(kept_, omitted_count_);
}

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace shortfall
