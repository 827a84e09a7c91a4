// What runs where: parts of the paths on several backends, and what becomes of them when devices
// fail, losses are not numbers, or the user interrupts.
#include "shortfall/scheduler.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "host/run/device_choice.hpp"
#include "tests/books.hpp"
#include "tests/fake_device.hpp"

namespace shortfall {
namespace {

constexpr std::uint64_t path_count = 5'003;

/// Runs until it is told to stop, but not for ever.
void run_on(const FakeDevice&, PathRange, const Progress& progress) {
  for (int i = 0; i < 20'000; ++i) {
    progress(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << "nobody stopped this device";
}

class Scheduler : public testing::Test {
 protected:
  Scheduler() {
    MemoryBook book(path_count);
    book.config.risk.confidence_level = 0.9;
    for (std::uint32_t u = 0; u < 3; ++u) {
      book.add_factor(book.add_underlying(100.0 + u), FactorKind::spot, 0.05);
      Instrument perpetual;
      perpetual.type = InstrumentType::perpetual;
      perpetual.underlying = u;
      book.add_holder(book.add(perpetual), 1.0 + u);
    }
    plan_ = book.plan();
  }

  FakeDevice& add_device(Accident accident = {}) {
    auto device = std::make_unique<FakeDevice>("fake " + std::to_string(devices_.size()),
                                               std::move(accident));
    FakeDevice& added = *device;
    devices_.push_back(std::move(device));
    return added;
  }

  Simulated simulate(const MakeFallback& make_fallback = {}, const Progress& progress = {}) {
    return simulate_on(devices_, plan_, progress, make_fallback);
  }

  /// Every group's tail, sorted: what one backend finds.
  std::vector<std::uint64_t> sorted(const Tails& tails) const {
    EXPECT_EQ(tails.path_count, path_count);
    EXPECT_EQ(tails.count, plan_.tail.count);
    std::vector<std::uint64_t> keys = tails.keys;
    for (std::size_t g = 0; g < plan_.groups.size(); ++g)
      std::sort(keys.begin() + static_cast<std::ptrdiff_t>(g * tails.count),
                keys.begin() + static_cast<std::ptrdiff_t>((g + 1) * tails.count),
                std::greater<>());
    return keys;
  }
  std::vector<std::uint64_t> want() {
    return sorted(FakeDevice("alone").simulate(plan_, {0, path_count}, {}));
  }

  /// Shares are ascending and cover all paths once.
  static void expect_whole(const std::vector<PathShare>& shares) {
    std::uint64_t end = 0;
    for (const PathShare& share : shares) {
      EXPECT_EQ(share.paths.begin, end);
      EXPECT_LT(share.paths.begin, share.paths.end);
      end = share.paths.end;
    }
    EXPECT_EQ(end, path_count);
  }

  Plan plan_;
  std::vector<std::unique_ptr<Backend>> devices_;
};

MakeFallback counted_fallback(int& made) {
  return [&made] {
    ++made;
    return std::make_unique<FakeDevice>("fallback");
  };
}

TEST_F(Scheduler, NumberOfDevicesChangesNothing) {
  for (int count = 1; count <= 5; ++count) {
    add_device();
    std::uint64_t last = 0;
    const Simulated simulated = simulate({}, [&](std::uint64_t done) {
      EXPECT_GT(done, last);
      last = done;
    });
    EXPECT_EQ(last, path_count);
    EXPECT_EQ(sorted(simulated.tails), want()) << count << " devices";
    EXPECT_EQ(simulated.shares.size(), static_cast<std::size_t>(count));
    EXPECT_TRUE(simulated.warnings.empty());
    expect_whole(simulated.shares);
  }
}

TEST_F(Scheduler, MoreDevicesThanPaths) {
  plan_.path_count = 2;
  plan_.tail = tail_size(2, 0.5);
  for (int i = 0; i < 3; ++i) add_device();
  const Simulated simulated = simulate();
  EXPECT_EQ(simulated.shares.size(), 2u);
  EXPECT_EQ(simulated.tails.path_count, 2u);
  EXPECT_EQ(simulated.tails.count, 2u);
}

TEST_F(Scheduler, LostPathsAreRedoneByTheOthers) {
  for (std::size_t lost = 0; lost < 3; ++lost) {
    devices_.clear();
    for (std::size_t i = 0; i < 3; ++i) add_device(i == lost ? lose_device : Accident());
    int made = 0;
    const Simulated simulated = simulate(counted_fallback(made));
    EXPECT_EQ(sorted(simulated.tails), want());
    expect_whole(simulated.shares);
    EXPECT_EQ(made, 0) << "the CPU is for when no device is left";
    ASSERT_EQ(simulated.warnings.size(), 1u);
    EXPECT_EQ(simulated.failed, std::vector<std::size_t>{lost});
    const std::string name = "fake " + std::to_string(lost);
    std::string redone_on;
    for (std::size_t i = 0; i < 3; ++i)
      if (i != lost)
        redone_on += (redone_on.empty() ? "" : "; ") + ("cuda, fake " + std::to_string(i));
    const PathRange paths = static_cast<FakeDevice&>(*devices_[lost]).ranges.at(0);
    EXPECT_EQ(simulated.warnings[0], name + ": launch failure; paths " +
                                         std::to_string(paths.begin) + " to " +
                                         std::to_string(paths.end - 1) +
                                         " were not done, and were redone on " + redone_on);
    for (const PathShare& share : simulated.shares) EXPECT_NE(share.backend.device, name);
    EXPECT_EQ(static_cast<FakeDevice&>(*devices_[lost]).ranges.size(), 1u)
        << "a device that failed was used again";
  }
}

TEST_F(Scheduler, OneDeviceLeftDoesTheRest) {
  for (int i = 0; i < 2; ++i) add_device(lose_device);
  // Fails when it is given lost paths, having done its own.
  const auto calls = std::make_shared<int>(0);
  add_device([calls](const FakeDevice& device, PathRange range, const Progress& progress) {
    if (++*calls == 2) lose_device(device, range, progress);
  });
  add_device();
  const Simulated simulated = simulate();
  EXPECT_EQ(sorted(simulated.tails), want());
  expect_whole(simulated.shares);
  EXPECT_EQ(simulated.warnings.size(), 3u);
  EXPECT_EQ(simulated.failed, (std::vector<std::size_t>{0, 1, 2}));
}

TEST_F(Scheduler, FallbackOnlyWhereItIsAllowed) {
  for (int i = 0; i < 3; ++i) add_device(lose_device);
  int made = 0;
  const Simulated simulated = simulate(counted_fallback(made));
  EXPECT_EQ(made, 1);
  EXPECT_EQ(sorted(simulated.tails), want());
  expect_whole(simulated.shares);
  ASSERT_EQ(simulated.warnings.size(), 3u);
  for (const std::string& warning : simulated.warnings)
    EXPECT_TRUE(warning.ends_with(" were not done, and were redone on cuda, fallback")) << warning;
  try {
    simulate();
    ADD_FAILURE() << "the paths came from nowhere";
  } catch (const DeviceError& error) {
    const std::string text = error.what();
    for (const char* part : {"fake 0", "fake 1", "fake 2", "paths 0 to 1666", "to 5002",
                             "launch failure", "fallback = \"cpu\""})
      EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST_F(Scheduler, FallbackThatFailsIsTheEnd) {
  add_device(lose_device);
  EXPECT_THROW(simulate([] { return std::make_unique<FakeDevice>("fallback", lose_device); }),
               DeviceError);
}

TEST_F(Scheduler, InterruptionStopsEveryDevice) {
  for (int i = 0; i < 3; ++i) add_device(run_on);
  int made = 0, calls = 0;
  struct Interrupt {};
  EXPECT_THROW(simulate(counted_fallback(made),
                        [&](std::uint64_t) {
                          if (++calls == 10) throw Interrupt();
                        }),
               Interrupt);
  EXPECT_EQ(made, 0);
  for (const auto& device : devices_)
    EXPECT_EQ(static_cast<FakeDevice&>(*device).ranges.size(), 1u);
}

TEST_F(Scheduler, OperatingErrorStopsEveryDevice) {
  add_device(run_on);
  add_device([](const FakeDevice&, PathRange, const Progress&) {
    throw OperatingError("the plan needs 99 GB");
  });
  add_device(lose_device);
  int made = 0;
  try {
    simulate(counted_fallback(made));
    ADD_FAILURE();
  } catch (const OperatingError& error) {
    EXPECT_STREQ(error.what(), "the plan needs 99 GB");
  }
  EXPECT_EQ(made, 0);
}

/// A loss that is no number on the first path of the part, found after some time.
Accident bad_loss(int milliseconds) {
  return [milliseconds](const FakeDevice&, PathRange range, const Progress&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    throw LossError(1, range.begin, core::none);
  };
}

TEST_F(Scheduler, LowestBadPathIsNamedWhoeverFindsOneFirst) {
  for (const int first_delay : {0, 50}) {
    devices_.clear();
    add_device();
    add_device(bad_loss(first_delay));
    add_device(bad_loss(50 - first_delay));
    add_device(run_on);
    int made = 0;
    try {
      simulate(counted_fallback(made));
      ADD_FAILURE();
    } catch (const LossError& error) {
      EXPECT_EQ(error.path, path_count / 4);
    }
    EXPECT_EQ(made, 0);
    for (const auto& device : devices_)
      EXPECT_EQ(static_cast<FakeDevice&>(*device).ranges.size(), 1u) << "something was retried";
  }
}

TEST(DeviceChoice, Rows) {
  const CudaDevices none{{}, "no NVIDIA driver"};
  const CudaDevices some{{{0, "H100", 90, 1}, {2, "A100", 80, 1}}, ""};
  const auto chosen = [](BackendChoice backend, std::vector<int> devices,
                         const CudaDevices& found) {
    ComputeConfig config;
    config.backend = backend;
    config.devices = std::move(devices);
    try {
      std::string text;
      for (const int device : choose_devices(config, found)) text += std::to_string(device) + ' ';
      return text;
    } catch (const OperatingError& error) {
      return std::string(error.what());
    }
  };
  using enum BackendChoice;
  EXPECT_EQ(chosen(cpu, {}, some), "");
  EXPECT_EQ(chosen(cpu, {7}, some), "");
  EXPECT_EQ(chosen(cuda, {}, some), "0 2 ");
  EXPECT_EQ(chosen(cuda, {2, 0}, some), "2 0 ");
  EXPECT_EQ(chosen(automatic, {}, some), "0 2 ");
  EXPECT_EQ(chosen(automatic, {2}, some), "2 ");
  EXPECT_EQ(chosen(automatic, {}, none), "");
  EXPECT_EQ(chosen(automatic, {1}, none), "");
  const char* const missing =
      "backend cuda: there is no usable device 1; usable: 0 (H100), 2 (A100)";
  EXPECT_EQ(chosen(cuda, {0, 1}, some), missing);
  EXPECT_EQ(chosen(automatic, {1}, some), missing);
  const char* const nothing = "backend cuda: no NVIDIA driver; use --backend cpu or auto";
  EXPECT_EQ(chosen(cuda, {}, none), nothing);
  EXPECT_EQ(chosen(cuda, {0}, none), nothing);
}

}  // namespace
}  // namespace shortfall
