// The worst paths of a group are exact whatever the thresholds and the order of losses do: groups
// with too few candidates are done again, and a full buffer loses nothing.
#include <gtest/gtest.h>

#include "cuda/checked.hpp"
#include "cuda_books.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

class CudaTails : public CudaTest {
 protected:
  void TearDown() override { cuda::fail_call(cuda::CallKind::copy, -1); }

  /// Whether a run with this tuning does groups again. Every copy is made to fail in turn, and the
  /// message tells what it was for.
  bool redoes_groups(const Plan& plan, const CudaTuning& tuning) {
    const auto backend = make_cuda_backend(device(), tuning);
    for (int nth = 1; nth < 100; ++nth) {
      cuda::fail_call(cuda::CallKind::copy, nth);
      try {
        simulate_all(*backend, plan);
        return false;
      } catch (const DeviceError& error) {
        if (std::string(error.what()).find("(missing tails)") != std::string::npos) return true;
      }
    }
    ADD_FAILURE() << "a run makes fewer than 100 copies";
    return false;
  }
};

/// One tile after the other fills a buffer of 5,601 keys with 8,000, unless thresholds prevent it.
MixedBook median_book() { return {"median", 8000, 0.5, Distribution::student_t, 1, 3, 1, 1000, 4}; }

TEST_F(CudaTails, WrongThresholdsAreRedone) {
  const MixedBook book{"thresholds", 2000, 0.95, Distribution::student_t, 2, 10, 2, 1000, 13};
  const Plan plan = make_mixed(book).plan();
  const Tails want = simulate_all(*make_reference(), plan);
  for (const double rank_scale : {0.05, 0.1, 0.5, 1.0, 2.0, 1e9, 0.0})
    for (const std::uint32_t tile : {128u, 2048u}) {
      SCOPED_TRACE(testing::Message() << "ranks times " << rank_scale << ", tile " << tile);
      const CudaTuning tuning{.tile_path_count = tile, .rank_scale = rank_scale};
      expect_equal_tails(plan, simulate_all(*make_cuda_backend(device(), tuning), plan), want);
    }
}

TEST_F(CudaTails, OnlyWrongThresholdsAreRedone) {
  const MixedBook book{"thresholds", 2000, 0.95};
  const Plan plan = make_mixed(book).plan();
  EXPECT_TRUE(redoes_groups(plan, {.rank_scale = 0.1}));
  EXPECT_FALSE(redoes_groups(plan, {.rank_scale = 1.0}));
}

TEST_F(CudaTails, FullBuffersLoseNothing) {
  const Plan plan = make_mixed(median_book()).plan();
  const Tails want = simulate_all(*make_reference(), plan);
  for (const std::uint32_t tile : {128u, 1024u, 4096u})
    for (const double rank_scale : {1.0, 1e9}) {
      SCOPED_TRACE(testing::Message() << "tile " << tile << ", ranks times " << rank_scale);
      const CudaTuning tuning{.tile_path_count = tile, .rank_scale = rank_scale};
      expect_equal_tails(plan, simulate_all(*make_cuda_backend(device(), tuning), plan), want);
    }
}

TEST_F(CudaTails, FullBuffersAreRedone) {
  const Plan plan = make_mixed(median_book()).plan();
  EXPECT_TRUE(redoes_groups(plan, {.tile_path_count = 4096, .rank_scale = 1e9}));
  EXPECT_FALSE(redoes_groups(plan, {.tile_path_count = 1024, .rank_scale = 1e9}));
}

/// Options that expire worthless lose the same on most paths: the lowest of them are kept.
TEST_F(CudaTails, EqualLossesGoToTheLowestPaths) {
  const MixedBook book{"ties", 3000, 0.9};
  const Plan plan = make_mixed(book).plan();
  const Tails want = simulate_all(*make_reference(), plan);
  std::size_t tied_count = 0;
  for (std::size_t g = 0; g < plan.groups.size(); ++g) {
    const std::vector<std::uint64_t> keys = sorted_keys(want, g);
    if (core::tail_loss(keys.front()) == core::tail_loss(keys.back())) ++tied_count;
  }
  EXPECT_GE(tied_count, 4u);
  for (const double rank_scale : {1.0, 0.1}) {
    const auto backend = make_cuda_backend(device(), {.rank_scale = rank_scale});
    expect_equal_tails(plan, simulate_all(*backend, plan), want);
  }
}

}  // namespace
}  // namespace shortfall
