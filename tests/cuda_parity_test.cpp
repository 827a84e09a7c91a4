// One contract, every backend: what the plainest loops of the CPU compute, to the bit. What the
// machine lacks is skipped; without a GPU the CUDA half runs where an emulator stands in for one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <span>

#include "cuda/lists.hpp"
#include "cuda_books.hpp"
#include "fmt/format.h"
#include "host/analysis/tilt.hpp"
#include "host/input/history.hpp"
#include "shortfall/scheduler.hpp"

namespace shortfall {
namespace {

namespace fs = std::filesystem;

/// What a test runs on: the CPU with each instruction set that it has, or a CUDA device.
std::vector<std::unique_ptr<Backend>> make(BackendChoice choice) {
  std::vector<std::unique_ptr<Backend>> made;
  ComputeConfig config;
  config.backend = choice;
  config.thread_count = 1;
  if (choice == BackendChoice::cuda) made.push_back(make_backend(config));
  for (const InstructionSet set : usable_instruction_sets()) {
    if (choice == BackendChoice::cuda) break;
    config.instruction_set = set;
    made.push_back(make_backend(config));
  }
  return made;
}

/// A book with the reference's results.
struct Job {
  MemoryBook book;
  Plan plan;
  Tails want;

  explicit Job(MemoryBook made)
      : book(std::move(made)), plan(book.plan()), want(simulate_all(*make_reference(), plan)) {}

  std::string margins(const Tails& tails) const {
    return format_margins(compute_margins(plan, book.book(), tails, book.config.margin));
  }
  void expect_equal(const Tails& tails) const {
    expect_equal_tails(plan, tails, want);
    EXPECT_EQ(margins(tails), margins(want));
  }
};

constexpr Distribution gaussian = Distribution::gaussian, student_t = Distribution::student_t;

// Name, paths, confidence, model, underlyings, factors, strikes, one unheld in, accounts that hold
// everything (3 are too few for a bundle, 5 fill one in part, 13 one whole and one in part).
constexpr MixedBook books[] = {{"1_factor", 129, 0.9, gaussian, 1, 1, 1, 1000, 3, 5},
                               {"3_factors", 1025, 0.99, student_t, 1, 3, 2, 1000, 5, 10},
                               {"64_factors", 1000, 0.95, gaussian, 4, 64, 2, 9, 13, 20},
                               {"130_factors", 700, 0.975, student_t, 9, 130, 1, 5, 4, 20},
                               {"superblocks", 600, 0.95, student_t, 3, 15, 45, 4, 13, 40}};

/// The books above, and that of the launch shapes, are what the tests take them for.
TEST(BooksOfParity, HaveEveryPartOfAPlan) {
  for (const MixedBook& book : books) {
    SCOPED_TRACE(book.name);
    const Plan plan = make_mixed(book).plan();
    EXPECT_EQ(plan.model.factor_count, book.factor_count);
    EXPECT_FALSE(plan.strike_cells.empty());
    EXPECT_FALSE(plan.settled_cells.empty());
    EXPECT_FALSE(plan.linear_cells.empty());
    std::vector<std::uint32_t> others;
    const auto bundle_count = cuda::make_dense_lists(plan, others).bundles.size();
    EXPECT_EQ(bundle_count, book.everything_count < 4 ? 0 : book.everything_count < 9 ? 1 : 2);
    EXPECT_FALSE(others.empty());
  }
  const Plan largest = make_mixed(books[4]).plan();
  EXPECT_GE(largest.listing_places.back(), 2 * core::superblock_instrument_count);
}

class EveryBackend : public testing::TestWithParam<std::tuple<BackendChoice, MixedBook>> {
 protected:
  void SetUp() override {
    if (std::get<0>(GetParam()) != BackendChoice::cuda) return;
    if (const CudaDevices found = find_cuda_devices(); found.usable.empty())
      GTEST_SKIP() << found.reason;
  }
};

/// From paths that begin no tile or row, up to the last that has a number.
TEST_P(EveryBackend, EveryStage) {
  const auto& [choice, book] = GetParam();
  const Plan plan = make_mixed(book).plan();
  const struct {
    std::uint64_t first_path;
    std::uint32_t path_count;
  } traces[] = {{0, 1}, {1001, 63}, {64, 129}, {(std::uint64_t{1} << 32) - 65, 65}};
  for (const auto& [first_path, path_count] : traces) {
    SCOPED_TRACE(testing::Message() << path_count << " paths from " << first_path);
    const PathTrace want = make_reference()->trace(plan, first_path, path_count);
    for (const auto& backend : make(choice))
      expect_equal_stages(backend->trace(plan, first_path, path_count), want);
  }
}

/// Listed paths, more than a tile has, among them the last that has a number and one twice.
TEST_P(EveryBackend, Replay) {
  const auto& [choice, book] = GetParam();
  const Plan plan = make_mixed(book).plan();
  std::vector<std::uint32_t> paths = {0, 1, 63, 64, 1000, 1000};
  for (std::uint32_t p = 2000; p < 2600; p += 3) paths.push_back(p);
  paths.push_back(0xffffffffu);
  for (const auto& backend : make(choice)) {
    std::size_t seen = 0;
    backend->replay(plan, paths, [&](std::size_t first, const PathValues& got) {
      EXPECT_EQ(first, seen);
      for (std::uint32_t p = 0; p < got.path_count; ++p) {
        const PathTrace want = make_reference()->trace(plan, paths[first + p], 1);
        const auto expect_column = [&](const auto& rows, const auto& wanted, const char* what) {
          ASSERT_EQ(rows.size(), wanted.size() * got.path_count);
          for (std::size_t r = 0; r < wanted.size(); ++r)
            ASSERT_EQ(rows[r * got.path_count + p], wanted[r])
                << what << " row " << r << ", path " << paths[first + p];
        };
        expect_column(got.factors, want.factors, "factor moves,");
        expect_column(got.values, want.values, "values,");
      }
      seen += got.path_count;
    });
    EXPECT_EQ(seen, paths.size());
    backend->replay(plan, std::vector<std::uint32_t>{},
                    [](std::size_t, const PathValues&) { FAIL() << "of no paths"; });
  }
}

/// Points of five scramblings in place of Philox's paths.
TEST_P(EveryBackend, SobolPoints) {
  const auto& [choice, book] = GetParam();
  MemoryBook made = make_mixed(book);
  made.config.risk.sampler = Sampler::sobol;
  made.config.risk.scrambling_count = 5;
  made.config.risk.path_count = 5 * 128;
  made.config.risk.confidence_level = 0.95;
  const Job job(std::move(made));
  const PathTrace want = make_reference()->trace(job.plan, 1001, 129);
  const std::vector<std::uint32_t> paths = {0, 1, 2, 77, 639, 0x80000001u, 0xffffffffu};
  const auto replayed = [&](Backend& backend) {
    PathValues all;
    backend.replay(job.plan, paths, [&](std::size_t, const PathValues& values) { all = values; });
    return all;
  };
  const PathValues want_values = replayed(*make_reference());
  for (const auto& backend : make(choice)) {
    job.expect_equal(simulate_all(*backend, job.plan));
    expect_equal_stages(backend->trace(job.plan, 1001, 129), want);
    const PathValues got = replayed(*backend);
    expect_same_bits("factors", got.factors, want_values.factors);
    expect_same_bits("values", got.values, want_values.values);
  }
}

/// Moves with an offset, another loading and another mixing table, and every path kept: what
/// importance sampling draws.
TEST_P(EveryBackend, TiltedPaths) {
  const auto& [choice, book] = GetParam();
  Plan plan = make_mixed(book).plan();
  const std::size_t n = plan.model.factor_count;
  Tilt tilt{std::vector<double>(n * n), std::vector<double>(n), std::vector<double>(n), 0.3};
  for (std::size_t k = 0; k < n; ++k) {
    tilt.directions[k * n + (k + 1) % n] = k % 2 ? 1 : -1;
    tilt.mean[k] = k == 1 ? 0 : 0.5 - 0.3 * static_cast<double>(k);
    tilt.deviation[k] = 1 + 0.1 * static_cast<double>(k);
  }
  plan.model = tilted(plan.model, tilt);
  plan.tail = {static_cast<double>(plan.path_count), plan.path_count, plan.path_count};
  const PathTrace want = make_reference()->trace(plan, 1001, 129);
  const auto sorted = [&](Backend& backend) {
    Tails tails = simulate_all(backend, plan);
    for (std::size_t g = 0; g < plan.groups.size(); ++g)
      std::sort(tails.keys.begin() + static_cast<std::ptrdiff_t>(g * tails.count),
                tails.keys.begin() + static_cast<std::ptrdiff_t>((g + 1) * tails.count));
    return tails.keys;
  };
  const std::vector<std::uint64_t> want_keys = sorted(*make_reference());
  EXPECT_EQ(want_keys.size(), plan.path_count * plan.groups.size());
  for (const auto& backend : make(choice)) {
    expect_equal_stages(backend->trace(plan, 1001, 129), want);
    EXPECT_EQ(sorted(*backend), want_keys);
  }
}

/// The rows of a history in place of draws, of equal and of decaying weights.
TEST_P(EveryBackend, HistoricalPaths) {
  const auto& [choice, book] = GetParam();
  MemoryBook made = make_mixed(book);
  Covariance& covariance = made.inputs.covariance;
  const std::size_t n = covariance.factors.size();
  covariance.history.resize(book.path_count * n);
  std::mt19937 random(7);
  for (double& move : covariance.history)
    move = 1e-5 * (static_cast<double>(random() % 16'001) - 8000);
  for (const bool is_weighted : {false, true}) {
    if (is_weighted)
      covariance.weights = decaying_weights(book.path_count, 0.5 * double(book.path_count));
    const Job job(made);
    const PathTrace want = make_reference()->trace(job.plan, 100, 60);
    EXPECT_EQ(want.factors[0], covariance.history[100 * n]);
    const std::vector<std::uint32_t> paths = {0, 1, 2, 77, 128};
    std::vector<double> moves;
    for (const auto& backend : make(choice)) {
      const Tails tails = simulate_all(*backend, job.plan);
      job.expect_equal(tails);
      EXPECT_EQ(tails.count == book.path_count, is_weighted);
      expect_equal_stages(backend->trace(job.plan, 100, 60), want);
      backend->replay(job.plan, paths,
                      [&](std::size_t, const PathValues& values) { moves = values.factors; });
      ASSERT_EQ(moves.size(), n * paths.size());
      for (std::size_t f = 0; f < n; ++f)
        for (std::size_t p = 0; p < paths.size(); ++p)
          EXPECT_EQ(moves[f * paths.size() + p], covariance.history[paths[p] * n + f]);
    }
  }
}

TEST_P(EveryBackend, TailsAndMargins) {
  const auto& [choice, book] = GetParam();
  const Job job(make_mixed(book));
  for (const auto& backend : make(choice)) job.expect_equal(simulate_all(*backend, job.plan));
}

INSTANTIATE_TEST_SUITE_P(, EveryBackend,
                         testing::Combine(testing::Values(BackendChoice::cpu, BackendChoice::cuda),
                                          testing::ValuesIn(books)),
                         [](const auto& row) {
                           return fmt::format("{}_{}", to_string(std::get<0>(row.param)),
                                              std::get<1>(row.param).name);
                         });

using CudaParity = CudaTest;
using SeveralDevices = CudaTest;
using CudaBooks = CudaTest;
using CudaWork = CudaTest;

/// Slabs are several on every device where a thread has four paths: 227 KiB are 452 rows of them.
MixedBook shapes_book() { return {"shapes", 1025, 0.95, student_t, 2, 10, 14, 1000, 6, 20}; }

TEST_F(CudaParity, PathCountsThatFillNoTile) {
  MixedBook book{"path counts"};
  for (const std::uint64_t path_count : {2, 10, 63, 64, 128, 129, 257, 4001}) {
    SCOPED_TRACE(path_count);
    book.path_count = path_count;
    book.confidence_level = path_count < 10 ? 0.5 : 0.9;
    const Job job(make_mixed(book));
    job.expect_equal(simulate_all(*make_cuda_backend(device()), job.plan));
  }
}

struct Shape {
  const char* name;
  CudaTuning tuning;
};

void expect_equal_for(const MixedBook& book, int device, std::span<const Shape> shapes) {
  const Job job(make_mixed(book));
  ASSERT_GT(job.plan.instruments.size(), 452u);
  for (const Shape& shape : shapes) {
    SCOPED_TRACE(shape.name);
    const auto backend = make_cuda_backend(device, shape.tuning);
    job.expect_equal(simulate_all(*backend, job.plan));
    if (const std::uint32_t tile = shape.tuning.tile_path_count; tile > 0) {
      EXPECT_EQ(backend->describe(job.plan).tile_path_count, tile);
    }
  }
}

TEST_F(CudaParity, LaunchShapesChangeNoBit) {
  // Paths of a tile, streams, paths per thread, threads of a block, shared memory or caches.
  const Shape shapes[] = {{"tile 128", {128, 2, 0, 0, true}},
                          {"tile 128, one stream", {128, 1, 0, 0, true}},
                          {"tile 256", {256, 2, 0, 0, true}},
                          {"tile 1024, one stream", {1024, 1, 0, 0, true}},
                          {"1 path per thread", {0, 0, 1, 0, true}},
                          {"2 paths per thread", {0, 0, 2, 0, true}},
                          {"4 paths per thread", {0, 0, 4, 0, true}},
                          {"4 paths per thread, tile 128", {128, 2, 4, 96, true}},
                          {"32 threads", {256, 2, 4, 32, true}},
                          {"96 threads", {0, 1, 2, 96, true}},
                          {"1024 threads", {0, 0, 1, 1024, true}},
                          {"caches", {0, 0, 0, 0, false}},
                          {"caches, 1 path per thread", {128, 2, 1, 96, false}},
                          {"caches, 4 paths per thread", {256, 1, 4, 1024, false}}};
  expect_equal_for(shapes_book(), device(), shapes);
}

/// Where a slab ends in the third superblock of a listing, everything that a sum has is carried.
TEST_F(CudaParity, SlabsThatPartSuperblocksChangeNoBit) {
  const Shape shapes[] = {{"1 path per thread", {128, 2, 1, 0, true}},
                          {"2 paths per thread", {512, 1, 2, 256, true}},
                          {"4 paths per thread", {0, 2, 4, 0, true}},
                          {"caches", {256, 2, 2, 0, false}}};
  expect_equal_for(books[4], device(), shapes);
}

/// Fewer instruments than a block of sums, and nothing at all.
TEST_F(CudaParity, SmallestBooks) {
  for (const int position_count : {0, 1, 2}) {
    SCOPED_TRACE(position_count);
    MemoryBook book(1000);
    book.add_factor(book.add_underlying(90'000.5), FactorKind::spot, 0.04);
    const std::uint32_t coin = book.add({"", InstrumentType::spot});
    const std::uint32_t perpetual = book.add({"", InstrumentType::perpetual, Settlement::inverse});
    const std::uint32_t account = book.add_account();
    book.hold(account, coin, position_count > 0 ? 1 : 0);
    if (position_count > 1) book.hold(account, perpetual, -1000);
    const Job job(std::move(book));
    job.expect_equal(simulate_all(*make_cuda_backend(device()), job.plan));
  }
}

TEST_F(CudaParity, MergedRangesChangeNoBit) {
  const Job job(make_mixed(shapes_book()));
  const auto backend = make_cuda_backend(device());
  Tails merged = backend->simulate(job.plan, {1000, 1025}, {});
  const std::uint64_t cuts[] = {0, 1, 64, 193, 1000};
  for (std::size_t i = std::size(cuts) - 1; i > 0; --i)
    merged = merge(job.plan, backend->simulate(job.plan, {cuts[i - 1], cuts[i]}, {}), merged);
  job.expect_equal(merged);
}

TEST_F(CudaParity, ProgressGrowsToAllPaths) {
  const Plan plan = make_mixed(shapes_book()).plan();
  std::vector<std::uint64_t> reports;
  make_cuda_backend(device(), {.tile_path_count = 128})
      ->simulate(plan, {25, 1025}, [&](std::uint64_t done) { reports.push_back(done); });
  ASSERT_GE(reports.size(), 8u);
  EXPECT_TRUE(std::is_sorted(reports.begin(), reports.end()));
  EXPECT_EQ(reports.back(), 1000u);
}

TEST_F(SeveralDevices, ChangeNoBit) {
  if (found.usable.size() < 2) GTEST_SKIP() << "one CUDA device";
  ComputeConfig config;
  config.backend = BackendChoice::cuda;
  const auto all = make_backends(config);
  ASSERT_EQ(all.size(), found.usable.size());
  for (const MixedBook& book : books) {
    const Job job(make_mixed(book));
    const Simulated simulated = simulate_on(all, job.plan, {}, {});
    EXPECT_EQ(simulated.shares.size(), all.size());
    EXPECT_TRUE(simulated.warnings.empty());
    job.expect_equal(simulated.tails);
  }
}

/// One run in which groups are redone, and how many elements each of its kernels has: a script
/// reads what an emulator counted of it.
TEST_F(CudaWork, OfARun) {
  const MixedBook book{"work", 1500, 0.95, student_t, 2, 10, 4, 1000, 6, 20};
  const Job job(make_mixed(book));
  const core::PlanArrays plan = job.plan.arrays();
  job.expect_equal(simulate_all(*make_cuda_backend(device(), {.rank_scale = 0.1}), job.plan));

  std::vector<std::uint32_t> others;
  const cuda::DenseLists dense = cuda::make_dense_lists(job.plan, others);
  std::uint64_t listed = 0;
  for (const std::uint32_t g : others) listed += plan.group_begin[g + 1] - plan.group_begin[g];
  const std::uint64_t bundled = plan.group_begin[plan.group_count] - listed;
  ASSERT_GT(listed, 0u);
  ASSERT_GT(bundled, 0u);
  const auto record = [](const std::string& kernel, std::uint64_t element_count) {
    RecordProperty("elements_of_" + kernel, std::to_string(element_count));
  };
  record("draw_normals", plan.factor_count * plan.path_count);
  record("draw_mixing", plan.path_count);
  record("mix_factors", plan.factor_count * plan.path_count);
  record("market_states", plan.state_row_count * plan.path_count);
  record("revalue", plan.instrument_count * plan.path_count);
  record("aggregate", listed * plan.path_count);
  record("aggregate_dense", bundled * plan.path_count);
  record("compact", plan.group_count);
  record("select", plan.group_count * job.plan.tail.count);
  record("restart", 1);
}

void expect_equal_margins(const fs::path& file, std::uint64_t path_count) {
  RunConfig config = load_config(file);
  config.risk.path_count = path_count;
  config.compute.backend = BackendChoice::cpu;
  const std::string want = format_margins(run(config).margins);
  config.compute.backend = BackendChoice::cuda;
  const RunResult got = run(config);
  EXPECT_EQ(got.record.shares.front().backend.name, "cuda");
  EXPECT_EQ(format_margins(got.margins), want);
}

TEST_F(CudaBooks, Demonstration) {
  const fs::path repository = fs::path(__FILE__).parent_path().parent_path();
  expect_equal_margins(repository / "configs" / "demo" / "run.toml", 2003);
}

TEST_F(CudaBooks, Real) {
  const char* const shared = std::getenv("SHORTFALL_SHARED");
  if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set: no real book";
  expect_equal_margins(fs::path(shared) / "books" / "deribit_2026-01-15" / "run.toml", 601);
}

}  // namespace
}  // namespace shortfall
