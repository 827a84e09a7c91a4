// The store on full disks, read-only file systems, damaged files, and beside other processes: a
// StoreError that says what to do, nothing lost, and it works again once the cause is removed.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <random>

#include "host/service/store_schema.hpp"
#include "small_disk.hpp"
#include "temporary_store.hpp"

namespace shortfall::service {
namespace {

/// A batch and a market update that are told apart by their numbers.
std::vector<PositionChange> batch(std::uint64_t i) {
  std::vector<PositionChange> changes;
  for (std::uint64_t leg = 0; leg < 20; ++leg)
    changes.push_back({"account " + std::to_string((i * 7 + leg) % 50),
                       "instrument " + std::to_string(i % 30), units(1 + leg)});
  return changes;
}
MarketUpdate market(std::uint64_t i) {
  return {static_cast<std::int64_t>(i), {{"BTC", 1. + static_cast<double>(i)}}, {}};
}

Accepted append(StateStore& store) {
  const std::uint64_t next = store.position_sequence() + 1;
  return store.append_positions("batch " + std::to_string(next), batch(next));
}

/// Every batch is there, once, and the store adds up and takes more.
void expect_intact(StateStore& store, std::uint64_t batch_count) {
  ASSERT_EQ(store.position_sequence(), batch_count);
  for (std::uint64_t i = 1; i <= batch_count; i += 1 + batch_count / 10) {
    const Accepted again = store.append_positions("batch " + std::to_string(i), batch(i));
    EXPECT_TRUE(again.is_repeat && again.sequence == i) << i;
  }
  store.check_all();
  EXPECT_EQ(append(store).sequence, batch_count + 1);
}

/// Appends until there is no room. Empty where it never ends.
std::optional<StoreError> append_until_fault(StateStore& store) {
  for (int i = 0; i < 20'000; ++i) {
    try {
      append(store);
    } catch (const StoreError& error) {
      return error;
    }
  }
  return std::nullopt;
}

TEST(StoreFault, FullDisk) {
  const TemporaryState state;
  const SmallDisk disk(state.root());
  if (!disk.is_mounted()) GTEST_SKIP() << "no permission to mount a small file system";
  const std::filesystem::path ballast = state.root() / "ballast";
  std::ofstream(ballast) << std::string(300'000, 'x');
  std::uint64_t batch_count = 0;
  {
    StateStore store = state.open();
    std::optional<StoreError> full = append_until_fault(store);
    ASSERT_TRUE(full);
    expect_fault(*full, StoreFault::full, "free some");
    batch_count = store.position_sequence();
    EXPECT_GT(batch_count, 10u);
    // Every further attempt likewise, and all that is there can be read.
    for (int i = 0; i < 5; ++i)
      expect_fault(fault_of([&] { append(store); }), StoreFault::full, "");
    EXPECT_EQ(store.positions_at(batch_count / 2).empty(), false);
    EXPECT_EQ(store.position_sequence(), batch_count);
    std::filesystem::remove(ballast);
    expect_intact(store, batch_count);
  }
  StateStore store = state.open();
  expect_intact(store, batch_count + 1);
}

TEST(StoreFault, FullDiskWhenOpened) {
  const TemporaryState state;
  const SmallDisk disk(state.root());
  if (!disk.is_mounted()) GTEST_SKIP() << "no permission to mount a small file system";
  const std::filesystem::path ballast = state.root() / "ballast";
  std::ofstream(ballast) << std::string(2'000'000, 'x');  // as much of it as there is room for
  expect_fault(fault_of([&] { state.open(); }), StoreFault::full, "free some");
  std::filesystem::remove(ballast);
  StateStore store = state.open();
  expect_intact(store, 0);
}

/// As a quota would, and without a right to mount.
TEST(StoreFault, FileSizeLimit) {
  const TemporaryState state;
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  std::uint64_t batch_count = 0;
  {
    StateStore store = state.open();
    rlimit limit = before;
    limit.rlim_cur = 400'000;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    std::optional<StoreError> full = append_until_fault(store);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    ASSERT_TRUE(full);
    expect_fault(*full, StoreFault::full, "limit");
    batch_count = store.position_sequence();
    expect_intact(store, batch_count);
  }
  std::signal(SIGXFSZ, ignored);
  StateStore store = state.open();
  expect_intact(store, batch_count + 1);
}

/// SQLite's writes, of which the one that comes after `writes_left` others fails.
struct FailingWrites {
  static inline int writes_left = 0, error = 0;
  static inline ssize_t (*pwrite)(int, const void*, size_t, off_t) = nullptr;

  static ssize_t write(int file, const void* bytes, size_t size, off_t offset) {
    if (error != 0 && writes_left-- == 0) {
      errno = error;
      return -1;
    }
    return pwrite(file, bytes, size, offset);
  }
  FailingWrites() {
    sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
    pwrite = reinterpret_cast<decltype(pwrite)>(vfs->xGetSystemCall(vfs, "pwrite64"));
    vfs->xSetSystemCall(vfs, "pwrite64", reinterpret_cast<sqlite3_syscall_ptr>(&write));
  }
  ~FailingWrites() {
    error = 0;
    sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
    vfs->xSetSystemCall(vfs, "pwrite64", nullptr);
  }
};

/// Whichever write of an append fails, also while the log is copied into the database.
TEST(StoreFault, AnyWriteFails) {
  const TemporaryState state;
  const FailingWrites writes;
  if (FailingWrites::pwrite == nullptr) GTEST_SKIP() << "SQLite was built without pwrite64";
  const std::pair<int, StoreFault> errors[] = {
      {ENOSPC, StoreFault::full}, {EIO, StoreFault::failed}, {EROFS, StoreFault::read_only}};
  StateStore store = state.open();
  std::uint64_t batch_count = 0;
  int failures = 0;
  for (const auto& [error, fault] : errors) {
    for (int fail_at = 0; fail_at < 200; ++fail_at) {
      FailingWrites::writes_left = fail_at;
      FailingWrites::error = error;
      try {
        EXPECT_EQ(append(store).sequence, batch_count + 1);
        ++batch_count;
      } catch (const StoreError& thrown) {
        EXPECT_EQ(thrown.fault(), fault) << thrown.what();
        ++failures;
      }
      FailingWrites::error = 0;
      ASSERT_EQ(store.position_sequence(), batch_count);
    }
    EXPECT_EQ(append(store).sequence, batch_count + 1);
    ++batch_count;
  }
  EXPECT_GT(failures, 30);
  expect_intact(store, batch_count);
}

TEST(StoreFault, ReadOnlyFileSystem) {
  const TemporaryState state;
  SmallDisk disk(state.root());
  if (!disk.is_mounted()) GTEST_SKIP() << "no permission to mount a small file system";
  {
    StateStore store = state.open();
    append(store);
  }
  ASSERT_TRUE(disk.make_read_only(true));
  expect_fault(fault_of([&] { state.open(); }), StoreFault::read_only, "writable");
  expect_fault(fault_of([&] { StateStore::open(state.root() / "new"); }), StoreFault::read_only,
               "writable");
  ASSERT_TRUE(disk.make_read_only(false));
  StateStore store = state.open();
  expect_intact(store, 1);
}

void expect_no_permission() {
  const TemporaryState state;
  {
    StateStore store = state.open();
    append(store);
  }
  const std::pair<std::filesystem::path, mode_t> modes[] = {
      {state.directory(), 0555}, {state.file(), 0444}, {state.directory() / "lock", 0444}};
  for (const auto& [path, mode] : modes) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    expect_fault(fault_of([&] { state.open(); }), StoreFault::read_only, "writable");
    ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  }
  StateStore store = state.open();
  expect_intact(store, 1);
}

TEST(StoreFault, NoPermissionToWrite) {
  if (::geteuid() != 0) return expect_no_permission();
  // Root may write everywhere: nobody tries.
  constexpr uid_t nobody = 65534;
  const pid_t process = ::fork();
  ASSERT_GE(process, 0);
  if (process == 0) {
    if (::setgid(nobody) != 0 || ::setuid(nobody) != 0) ::_exit(2);
    expect_no_permission();
    ::_exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(process, &status, 0), process);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "see the failures above";
}

/// A process that opens the store and waits to be killed.
class Holder {
 public:
  explicit Holder(const TemporaryState& state) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    process_ = ::fork();
    if (process_ == 0) {
      try {
        const StateStore store = state.open();
        [[maybe_unused]] const ssize_t told = ::write(ends[1], "x", 1);
        for (;;) ::pause();
      } catch (...) {
        ::_exit(1);
      }
    }
    ::close(ends[1]);
    char told;
    EXPECT_EQ(::read(ends[0], &told, 1), 1);
    ::close(ends[0]);
  }
  ~Holder() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  pid_t process() const { return process_; }

 private:
  pid_t process_;
};

TEST(StoreFault, TwoProcesses) {
  const TemporaryState state;
  {
    const Holder holder(state);
    expect_fault(fault_of([&] { state.open(); }), StoreFault::in_use,
                 "process " + std::to_string(holder.process()));
  }
  StateStore store = state.open();  // the other was killed
  expect_fault(fault_of([&] { state.open(); }), StoreFault::in_use,
               "process " + std::to_string(::getpid()));
  expect_intact(store, 0);
}

TEST(StoreFault, LockedByAnotherProgram) {
  const TemporaryState state;
  StateStore store = state.open();
  append(store);
  {
    Database other = state.database();
    const Transaction transaction(other);
    expect_fault(fault_of([&] { append(store); }), StoreFault::in_use, "close that");
  }
  expect_intact(store, 1);
}

TEST(StoreFault, NotADirectory) {
  const TemporaryState state;
  std::ofstream(state.directory()) << "x";
  expect_fault(fault_of([&] { state.open(); }), StoreFault::foreign, "is no directory");
  expect_fault(fault_of([&] { StateStore::open(state.root() / "none" / "state"); }),
               StoreFault::failed, "create the directory that it is to be in");
  EXPECT_FALSE(std::filesystem::exists(state.root() / "none"));
  ASSERT_EQ(::symlink("nowhere", (state.root() / "dangling").c_str()), 0);
  fault_of([&] { StateStore::open(state.root() / "dangling"); });
}

std::string read(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

/// What is not the store's is refused and left as it is.
TEST(StoreFault, ForeignFiles) {
  const std::pair<std::function<void(const TemporaryState&)>, StoreFault> cases[] = {
      {[](const auto& state) { write(state.file(), std::string(10'000, 'x')); },
       StoreFault::foreign},
      {[](const auto& state) { write(state.file(), "account,instrument\n"); }, StoreFault::foreign},
      {[](const auto& state) { write(state.file(), ""); }, StoreFault::foreign},
      {[](const auto& state) {
         Database(state.file(), true).execute("CREATE TABLE t (a); PRAGMA application_id = 5");
       },
       StoreFault::foreign},
      {[](const auto& state) { Database(state.file(), true).execute("CREATE TABLE t (a)"); },
       StoreFault::foreign},
      {[](const auto& state) {
         state.open();
         state.database().execute("PRAGMA journal_mode = DELETE; PRAGMA user_version = 2");
       },
       StoreFault::newer},
      {[](const auto& state) {
         state.open();
         state.database().execute("PRAGMA journal_mode = DELETE; PRAGMA user_version = 0");
       },
       StoreFault::corrupt},
  };
  for (const auto& [make, fault] : cases) {
    const TemporaryState state;
    std::filesystem::create_directory(state.directory());
    make(state);
    const std::string before = read(state.file());
    expect_fault(fault_of([&] { state.open(); }), fault,
                 fault == StoreFault::newer ? "later release" : "restore");
    EXPECT_EQ(read(state.file()), before);
  }
  const TemporaryState state;
  std::filesystem::create_directories(state.file());
  EXPECT_NE(fault_of([&] { state.open(); }).fault(), StoreFault::corrupt);
}

/// A store whose every page is in the database file.
std::string closed_store(const TemporaryState& state) {
  {
    StateStore store = state.open();
    for (int i = 0; i < 200; ++i) append(store);
    for (std::uint64_t i = 1; i <= 50; ++i) store.append_market(market(i));
  }
  EXPECT_FALSE(std::filesystem::exists(state.file().string() + "-wal"));
  return read(state.file());
}

/// Random bytes anywhere: refused when opened, or found by the check, or of no consequence to what
/// was acknowledged; never a crash.
TEST(StoreFault, DamagedFile) {
  const TemporaryState state;
  const std::string sound = closed_store(state);
  std::vector<NetPosition> expected;
  {
    const StateStore store = state.open();
    expected = store.positions_at(200);
  }
  std::mt19937_64 random(3);
  const auto random_bytes = [&](std::string bytes, std::size_t begin, std::size_t count) {
    for (std::size_t i = begin; i < std::min(begin + count, bytes.size()); ++i)
      bytes[i] = static_cast<char>(random());
    return bytes;
  };
  write(state.file(), random_bytes(sound, 0, 100));
  expect_fault(fault_of([&] { state.open(); }), StoreFault::foreign, "first page is destroyed");
  write(state.file(), sound.substr(0, sound.size() / 2));
  expect_fault(fault_of([&] { state.open(); }), StoreFault::corrupt, "restore it from a backup");

  int refused = 0;
  const int trials = 60;
  for (int trial = 0; trial < trials; ++trial) {
    write(state.file(), random_bytes(sound, 100 + random() % (sound.size() - 100), 2000));
    try {
      StateStore store = state.open();
      store.check_all();
      EXPECT_EQ(cells(store.positions_at(200)), cells(expected));
      EXPECT_EQ(store.market_at(50).spots[0].spot_usd, 51);
      for (std::uint64_t i = 1; i <= 200; ++i)
        EXPECT_EQ(store.append_positions("batch " + std::to_string(i), batch(i)).sequence, i);
    } catch (const StoreError& error) {
      ++refused;
      EXPECT_TRUE(error.fault() == StoreFault::corrupt || error.fault() == StoreFault::foreign)
          << error.what();
    }
    for (const char* const suffix : {"-wal", "-shm"})
      std::filesystem::remove(state.file().string() + suffix);
  }
  EXPECT_GE(refused, trials / 2);  // pages of tables without rows are mostly unused
}

/// Beyond 64 MiB only what starting reads is looked at then.
TEST(StoreFault, DamagedLargeFile) {
  const TemporaryState state;
  {
    StateStore store = state.open();
    store.adopt(std::vector<InputFileCopy>{{"positions", "p.csv", std::string(65 << 20, 'x')}});
    for (int i = 0; i < 20; ++i) append(store);
  }
  const auto spoil = [&](const std::string& table) {
    const std::int64_t page =
        state.database().integer("SELECT rootpage FROM sqlite_schema WHERE name = ?", table);
    std::fstream file(state.file(), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp((page - 1) * 4096);
    file << std::string(100, 'x');
  };
  spoil("position_changes");
  {
    const StateStore store = state.open();
    EXPECT_EQ(fault_of([&] { store.positions_at(19); }).fault(), StoreFault::corrupt);
    EXPECT_EQ(fault_of([&] { store.check_all(); }).fault(), StoreFault::corrupt);
  }
  spoil("current_positions");
  expect_fault(fault_of([&] { state.open(); }), StoreFault::corrupt, "restore");
}

TEST(StoreFault, MissingDatabaseBesideItsLog) {
  const TemporaryState state;
  {
    StateStore store = state.open();
    append(store);
  }
  std::filesystem::remove(state.file());
  write(state.file().string() + "-wal", "x");
  expect_fault(fault_of([&] { state.open(); }), StoreFault::corrupt, "missing");
  EXPECT_FALSE(std::filesystem::exists(state.file()));
}

/// A process that was killed while it created the store.
TEST(StoreFault, UnfinishedCreation) {
  const TemporaryState state;
  std::filesystem::create_directory(state.directory());
  write(state.file().string() + ".new", std::string(5000, 'x'));
  write(state.file().string() + ".new-journal", std::string(5000, 'x'));
  StateStore store = state.open();
  expect_intact(store, 0);
}

}  // namespace
}  // namespace shortfall::service
