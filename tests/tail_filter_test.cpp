// The tail filter by itself: what it keeps, what it may drop, and what it says about that. Whole
// runs over hostile losses are in cpu_backend_test.cpp.
#include "host/cpu/tail_filter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <thread>

namespace shortfall {
namespace {

using Keys = std::vector<std::uint64_t>;
using Losses = std::vector<float>;
constexpr std::uint32_t row = 64;
constexpr float infinity = std::numeric_limits<float>::infinity();

Keys worst(const Losses& losses, std::uint64_t count, std::uint32_t first_path = 0) {
  Keys keys;
  for (std::uint32_t p = 0; p < losses.size(); ++p)
    keys.push_back(core::tail_key(losses[p], first_path + p));
  std::sort(keys.begin(), keys.end(), std::greater<>());
  keys.resize(count);
  return keys;
}

/// As the loops call it: the losses of [begin, end) in rows, those at or above the threshold.
void offer_paths(TailFilter& filter, std::uint32_t group, const Losses& losses, std::size_t begin,
                 std::size_t end, std::uint32_t first_path = 0) {
  for (std::size_t at = begin; at < end; at += row) {
    const auto path = first_path + static_cast<std::uint32_t>(at);
    const float threshold = filter.threshold(group, path);
    std::uint64_t mask = 0;
    for (std::size_t p = 0; p < row && at + p < end; ++p)
      mask |= static_cast<std::uint64_t>(!(losses[at + p] < threshold)) << p;
    if (mask) filter.offer(group, mask, losses.data() + at, path);
  }
}

/// Checks that the least key of each group is last.
Keys taken(TailFilter& filter, std::uint32_t group = 0) {
  const std::uint64_t keep = filter.keep_count();
  const Keys all = filter.take();
  Keys keys(all.begin() + static_cast<std::ptrdiff_t>(group * keep),
            all.begin() + static_cast<std::ptrdiff_t>((group + 1) * keep));
  EXPECT_EQ(keys.back(), *std::min_element(keys.begin(), keys.end()));
  std::sort(keys.begin(), keys.end(), std::greater<>());
  return keys;
}

Losses losses_of(std::size_t count, const std::function<float(std::size_t)>& loss) {
  Losses losses(count);
  for (std::size_t p = 0; p < count; ++p) losses[p] = loss(p);
  return losses;
}

TEST(TailFilter, KeepsTheWorstWithoutPilots) {
  std::mt19937 random(1);
  const Losses rows[] = {
      losses_of(5000, [](std::size_t) { return 0.0f; }),
      losses_of(5000, [](std::size_t p) { return static_cast<float>(p); }),
      losses_of(5000, [](std::size_t p) { return -static_cast<float>(p); }),
      losses_of(5000, [&](std::size_t) { return random() % 100 < 91 ? -0.25f : 1.0f; }),
      losses_of(5000, [&](std::size_t) { return static_cast<float>(random() % 7) - 3.0f; }),
      losses_of(5000, [](std::size_t p) { return p % 2 ? 3e38f : -3e38f; }),
  };
  for (const Losses& losses : rows)
    for (const std::uint64_t keep : {1ull, 2ull, 51ull, 4999ull, 5000ull}) {
      TailFilter filter(1, keep, false);
      offer_paths(filter, 0, losses, 0, losses.size());
      EXPECT_EQ(filter.missing(0), 0u);
      EXPECT_EQ(filter.bad_path(), TailFilter::no_path);
      EXPECT_EQ(taken(filter), worst(losses, keep)) << losses[1] << " keep " << keep;
    }
}

TEST(TailFilter, OnePath) {
  TailFilter filter(1, 1, false);
  offer_paths(filter, 0, {-2.5f}, 0, 1, 0xffffffffu);
  EXPECT_EQ(taken(filter), Keys{core::tail_key(-2.5f, 0xffffffffu)});
}

TEST(TailFilter, BufferMaySpillAtAnyEntry) {
  // One path at a time, so that the buffer is full at every place of a row; capacity is keep + 8.
  for (const std::uint64_t keep : {1ull, 3ull, 20ull}) {
    for (std::size_t count = keep; count < keep + 40; ++count) {
      const Losses losses = losses_of(count, [](std::size_t p) { return static_cast<float>(p); });
      TailFilter filter(1, keep, false);
      for (std::size_t p = 0; p < count; ++p)
        filter.offer(0, 1, losses.data() + p, static_cast<std::uint32_t>(p));
      ASSERT_EQ(taken(filter), worst(losses, keep)) << count;
    }
  }
}

TEST(TailFilter, ThresholdAcceptsTiesOnlyFromLowerPaths) {
  constexpr std::uint64_t keep = 4;
  const Losses losses(TailFilter::capacity(keep) + 1, 1.0f);
  TailFilter filter(1, keep, false);
  EXPECT_EQ(filter.threshold(0, 0), -infinity);
  for (std::size_t p = 0; p < losses.size(); ++p)  // from path 100 up, and full at the last one
    filter.offer(0, 1, losses.data() + p, 100 + p);
  EXPECT_EQ(filter.threshold(0, 50), 1.0f);
  EXPECT_EQ(filter.threshold(0, 100 + keep), std::nextafter(1.0f, 2.0f));
  offer_paths(filter, 0, losses, 0, 2, 50);  // two ties with lower paths replace two
  EXPECT_EQ(taken(filter), (Keys{core::tail_key(1, 50), core::tail_key(1, 51),
                                 core::tail_key(1, 100), core::tail_key(1, 101)}));
}

TEST(TailFilter, ThresholdAboveATieIsTheNextFloat) {
  const float floats[] = {0.0f, 1.0f, -1.0f, 3.4028235e38f, -1e-45f, 1e-45f, -3.4028235e38f};
  for (const float loss : floats) {
    TailFilter filter(1, 1, false);
    for (std::uint32_t p = 0; p <= TailFilter::capacity(1); ++p) filter.offer(0, 1, &loss, p);
    const float threshold = filter.threshold(0, 1000);
    EXPECT_EQ(threshold, std::nextafter(loss, infinity)) << loss;
    EXPECT_TRUE(loss < threshold);
  }
}

TEST(TailFilter, RefinedAwayPathsAreMissedAndFoundAgain) {
  // The pilot is wholly above the rest, and its 20th worst is no bound for the 100th worst of all.
  const Losses losses = losses_of(2000, [](std::size_t p) {
    return p < 500 ? (p % 10 == 0 ? 5.0f : 2.0f) : 1.0f + static_cast<float>(p % 3);
  });
  TailFilter filter(1, 100, false);
  offer_paths(filter, 0, losses, 0, 500);
  filter.refine(0, 20);
  EXPECT_EQ(filter.threshold(0, 500), 5.0f);
  offer_paths(filter, 0, losses, 500, losses.size());
  EXPECT_EQ(filter.missing(0), 50u);
  TailFilter below(1, 100, false);
  below.set_ceiling(0, filter.refined_floor(0));
  offer_paths(below, 0, losses, 0, losses.size());
  filter.absorb(0, below, 0);
  EXPECT_EQ(filter.missing(0), 0u);
  EXPECT_EQ(taken(filter), worst(losses, 100));
}

TEST(TailFilter, RefineKeepsAllTies) {
  const Losses losses(3000, 0.5f);
  TailFilter filter(1, 1000, false);
  offer_paths(filter, 0, losses, 0, 1000);
  filter.refine(0, 30);
  offer_paths(filter, 0, losses, 1000, losses.size());
  EXPECT_EQ(filter.missing(0), 0u);
  EXPECT_EQ(taken(filter), worst(losses, 1000));
}

TEST(TailFilter, LowestLossThatIsNotFiniteIsRemembered) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {nan, -nan, infinity, -infinity}) {
    Losses losses(640, 1.0f);
    losses[300] = losses[70] = losses[639] = bad;
    TailFilter filter(2, 5, false);
    // Every path: -infinity is below any threshold, and the caller offers all where it may occur.
    for (std::size_t at = 128; at < 640; at += row) filter.offer(0, ~0ull, losses.data() + at, at);
    EXPECT_EQ(filter.bad_path(), 300u) << bad;
    filter.offer(1, ~0ull, losses.data() + row, row);
    EXPECT_EQ(filter.bad_path(), 70u) << bad;
  }
}

TEST(TailFilter, NanPassesEveryThreshold) {
  Losses losses(128, 1.0f);
  losses[100] = std::numeric_limits<float>::quiet_NaN();
  TailFilter filter(1, 1, false);
  offer_paths(filter, 0, Losses(64, 3e38f), 0, 64);
  offer_paths(filter, 0, losses, 64, 128);
  EXPECT_EQ(filter.bad_path(), 100u);
}

TEST(TailFilter, ConcurrentOffersKeepTheSame) {
  constexpr std::uint32_t groups = 3, threads = 4;
  std::mt19937 random(2);
  const Losses losses =
      losses_of(64'000, [&](std::size_t) { return static_cast<float>(random() % 1000); });
  for (int trial = 0; trial < 5; ++trial) {
    TailFilter filter(groups, 640, true);
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> workers;
    for (std::uint32_t t = 0; t < threads; ++t)
      workers.emplace_back([&] {
        for (std::size_t at; (at = next.fetch_add(row)) < losses.size();)
          for (std::uint32_t g = 0; g < groups; ++g) offer_paths(filter, g, losses, at, at + row);
      });
    for (std::thread& worker : workers) worker.join();
    ASSERT_EQ(taken(filter, groups - 1), worst(losses, 640));
  }
}

}  // namespace
}  // namespace shortfall
