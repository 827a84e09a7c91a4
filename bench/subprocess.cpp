#include "subprocess.hpp"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>

#include "shortfall/error.hpp"

namespace shortfall::bench {
namespace {

struct Close {
  void operator()(FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<FILE, Close>;

/// Nameless, and gone when closed. A pipe would have to be read while the program runs.
File temporary_file() {
  File file(std::tmpfile());
  if (!file) throw OperatingError("cannot make a temporary file");
  return file;
}

std::string contents(const File& file) {
  std::string text;
  char part[4096];
  std::rewind(file.get());
  while (const std::size_t count = std::fread(part, 1, sizeof part, file.get()))
    text.append(part, count);
  return text;
}

}  // namespace

Finished Command::run() const {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const File output = temporary_file(), errors = temporary_file();
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child < 0) throw OperatingError("cannot start another process");
  if (child == 0) {
    for (const auto& [name, value] : environment)
      value.empty() ? unsetenv(name.c_str()) : setenv(name.c_str(), value.c_str(), 1);
    dup2(fileno(output.get()), STDOUT_FILENO);
    dup2(fileno(errors.get()), STDERR_FILENO);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  while (wait4(child, &status, 0, &usage) < 0)
    if (errno != EINTR) throw OperatingError("cannot wait for another process");
  Finished finished;
  finished.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  finished.peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  finished.output = contents(output);
  finished.errors = contents(errors);
  return finished;
}

}  // namespace shortfall::bench
