// `shortfall serve` on a state directory that it cannot use: it ends at once, with a status and
// what to do, and leaves everything as it is.
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "served_book.hpp"
#include "small_disk.hpp"
#include "temporary_store.hpp"
#include "tests/demo_run.hpp"

namespace shortfall::service {
namespace {

struct Ended {
  int status = -1;  ///< -1: it did not end by itself
  std::string text;
};

/// Runs the program on the book, for at most twenty seconds or until it listens.
Ended serve(const TemporaryBook& book) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const std::string config = book.path("run.toml"), state = book.path("state");
  const pid_t process = ::fork();
  if (process == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::execl(SHORTFALL_PROGRAM, SHORTFALL_PROGRAM, "serve", config.c_str(), "--state", state.c_str(),
            "--listen", "127.0.0.1:0", "--paths", "1000", "--backend", "cpu", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  Ended ended;
  pollfd entry{ends[0], POLLIN, 0};
  char piece[4096];
  bool is_in_time = true;
  for (ssize_t count = 1; count > 0 && (is_in_time = ::poll(&entry, 1, 20'000) > 0);) {
    count = ::read(ends[0], piece, sizeof piece);
    if (count > 0) ended.text.append(piece, static_cast<std::size_t>(count));
    if (ended.text.find("listening on") != std::string::npos) break;
  }
  if (!is_in_time || ended.text.find("listening on") != std::string::npos) ::kill(process, SIGKILL);
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(process, &status, 0), process);
  if (WIFEXITED(status)) ended.status = WEXITSTATUS(status);
  return ended;
}

void expect_refusal(const Ended& ended, const std::string& part) {
  EXPECT_EQ(ended.status, 1) << ended.text;
  EXPECT_TRUE(ended.text.starts_with("shortfall: ")) << ended.text;
  EXPECT_NE(ended.text.find(part), std::string::npos) << ended.text;
  EXPECT_EQ(ended.text.find('\n'), ended.text.size() - 1) << "more than a line\n" << ended.text;
}

class ServeFaults : public ServedBook {
 protected:
  /// A state with some content, closed.
  void make_state() {
    start();
    EXPECT_EQ(ask("POST", "/v1/positions",
                  R"({"client_id":"1","changes":[{"account":"ann","instrument":"ETH",
                      "quantity":"1"}]})")
                  .status,
              200);
    server_.reset();
    venue_.reset();
  }
  std::filesystem::path file() const { return book_.path("state") / "state.db"; }
};

TEST_F(ServeFaults, CorruptDatabase) {
  make_state();
  const std::string sound = read_file(file());
  const std::pair<std::string, std::string> damages[] = {
      {sound.substr(0, sound.size() / 2), "restore it from a backup"},
      {sound.substr(0, 4096) + std::string(sound.size() - 4096, 'x'), "restore it from a backup"},
      {std::string(sound.size(), 'x'), "restore this one from a backup"},
      {"", "restore this one from a backup"}};
  for (const auto& [bytes, part] : damages) {
    std::ofstream(file(), std::ios::binary) << bytes;
    expect_refusal(serve(book_), part);
    EXPECT_EQ(read_file(file()), bytes) << "was changed";
  }
  std::ofstream(file(), std::ios::binary) << sound;
  start();
  EXPECT_EQ(read("/v1/engine")["position_sequence"], 1);
}

TEST_F(ServeFaults, TwoProcesses) {
  start();
  expect_refusal(serve(book_), "is in use by process " + std::to_string(::getpid()));
  EXPECT_EQ(ask("GET", "/readyz").status, 200);
}

TEST_F(ServeFaults, ReadOnlyDirectory) {
  std::filesystem::create_directory(book_.path("state"));
  if (::geteuid() != 0) {
    ASSERT_EQ(::chmod(book_.path("state").c_str(), 0555), 0);
    expect_refusal(serve(book_), "make the directory and its files writable");
    ASSERT_EQ(::chmod(book_.path("state").c_str(), 0755), 0);
    return;
  }
  // Root may write everywhere but there.
  SmallDisk disk(book_.path("state"));
  if (!disk.is_mounted()) GTEST_SKIP() << "no permission to mount a small file system";
  ASSERT_TRUE(disk.make_read_only(true));
  expect_refusal(serve(book_), "make the directory and its files writable");
  ASSERT_TRUE(disk.make_read_only(false));
  make_state();
  ASSERT_TRUE(disk.make_read_only(true));
  expect_refusal(serve(book_), "make the directory and its files writable");
  ASSERT_TRUE(disk.make_read_only(false));
  start();
  EXPECT_EQ(read("/v1/engine")["position_sequence"], 1);
}

TEST_F(ServeFaults, FullDisk) {
  std::filesystem::create_directory(book_.path("state"));
  const SmallDisk disk(book_.path("state"));
  if (!disk.is_mounted()) GTEST_SKIP() << "no permission to mount a small file system";
  const std::filesystem::path ballast = book_.path("state") / "ballast";
  std::ofstream(ballast) << std::string(2'000'000, 'x');
  expect_refusal(serve(book_), "free some");
  std::filesystem::remove(ballast);
  start();
}

TEST_F(ServeFaults, NoDirectory) {
  std::ofstream(book_.path("state")) << "x";
  expect_refusal(serve(book_), "is no directory");
}

}  // namespace
}  // namespace shortfall::service
