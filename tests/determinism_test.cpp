// The contract: margin.csv has the same bytes whatever runs it. Each book is margined in many ways;
// a table says which, and what the bytes hash to.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "host/cpu/cpu_backend.hpp"
#include "host/cpu/group_bundles.hpp"
#include "host/generate/generate.hpp"
#include "host/output/sha256.hpp"
#include "shortfall/shortfall.hpp"
#include "shortfall/trace.hpp"
#include "tests/temporary_book.hpp"

namespace shortfall {
namespace {

namespace fs = std::filesystem;

const fs::path demo = fs::path(__FILE__).parent_path().parent_path() / "configs" / "demo";

std::string read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string hash_of(const std::string& text) {
  Sha256 hash;
  hash.add(text);
  return hash.finish_hex();
}

/// A book, ready to be run in many ways.
struct Job {
  RunConfig config;
  RunInputs inputs;
  Plan plan;

  Job(const RunConfig& c, std::uint64_t path_count) : config(c) {
    config.risk.path_count = path_count;
    inputs = load_inputs(config);
    plan = build_plan(config, inputs);
  }
  Job(const fs::path& file, std::uint64_t path_count) : Job(load_config(file), path_count) {}

  std::string margins(const Tails& tails) const {
    return format_margins(compute_margins(plan, inputs.book, tails, config.margin));
  }
};

/// One way to run a job.
struct Variant {
  std::string name;
  ComputeConfig compute;
  std::vector<std::uint64_t> cuts = {};  ///< paths at which the ranges to be merged begin
};

Variant variant(std::string name, InstructionSet isa, std::uint32_t threads, std::uint32_t tile,
                std::vector<std::uint64_t> cuts = {}) {
  Variant v{std::move(name), {}, std::move(cuts)};
  v.compute.backend = BackendChoice::cpu;
  v.compute.instruction_set = isa;
  v.compute.thread_count = threads;
  v.compute.tile_path_count = tile;
  return v;
}

/// Everything that one machine can vary.
std::vector<Variant> all_variants() {
  const InstructionSet widest = usable_instruction_sets().back();
  std::vector<Variant> variants;
  for (const InstructionSet isa : usable_instruction_sets())
    for (const std::uint32_t tile : {64u, 256u})
      variants.push_back(variant("instruction set", isa, 1, tile));
  for (std::uint32_t threads = 1; threads <= 8; ++threads)
    variants.push_back(variant("threads", widest, threads, 128));
  for (const std::uint32_t tile : {64u, 128u, 192u, 512u, 1024u})
    variants.push_back(variant("tile", widest, 2, tile));
  variants.push_back(variant("merged ranges", widest, 1, 64, {1}));
  variants.push_back(variant("merged ranges", widest, 2, 128, {64, 65, 777}));
  variants.push_back(variant("merged ranges", widest, 3, 192, {1001, 1500, 2047, 2048}));
  variants.push_back(variant("second run", widest, 1, 256));
  return variants;
}

/// Ranges in falling order, so that what is merged does not arrive as it was cut.
Tails simulate(Backend& backend, const Plan& plan, std::vector<std::uint64_t> cuts) {
  cuts.insert(cuts.begin(), 0);
  cuts.push_back(plan.path_count);
  Tails tails = backend.simulate(plan, {cuts[cuts.size() - 2], cuts.back()}, {});
  for (std::size_t i = cuts.size() - 2; i > 0; --i)
    tails = merge(plan, backend.simulate(plan, {cuts[i - 1], cuts[i]}, {}), tails);
  return tails;
}

/// Runs every variant and returns the bytes that all of them gave.
std::string expect_equal_bytes(const std::string& name, const Job& job) {
  fmt::print("{}: {} paths, {} instruments, {} groups, {} factors, plan {:.12}\n", name,
             job.plan.path_count, job.plan.instruments.size(), job.plan.groups.size(),
             job.plan.model.factor_count, job.plan.hash);
  std::string first;
  std::set<std::string> ran, sets, threads, tiles;
  for (const Variant& v : all_variants()) {
    const auto backend = make_backend(v.compute);
    const std::string margins = job.margins(simulate(*backend, job.plan, v.cuts));
    const BackendDescription d = backend->describe(job.plan);
    fmt::print("  {:<16}{:<8} {} threads  tile {:<4} ranges {}  margin.csv {:.16}\n", v.name,
               d.instruction_set, d.thread_count, d.tile_path_count, v.cuts.size() + 1,
               hash_of(margins));
    sets.insert(d.instruction_set);
    threads.insert(std::to_string(d.thread_count));
    tiles.insert(std::to_string(d.tile_path_count));
    if (first.empty()) first = margins;
    EXPECT_EQ(margins, first) << v.name;
  }
  EXPECT_EQ(sets.size(), usable_instruction_sets().size());
  EXPECT_EQ(threads.size(), 8u);
  EXPECT_EQ(tiles.size(), 6u);
  return first;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// Every stage of some paths on every instruction set, from a path that begins no row.
void expect_equal_stages(const Plan& plan) {
  constexpr std::uint32_t path_count = 150;
  const PathTrace want = trace_paths(plan, 1001, path_count, InstructionSet::generic);
  for (const InstructionSet isa : usable_instruction_sets()) {
    const PathTrace got = trace_paths(plan, 1001, path_count, isa);
    EXPECT_TRUE(same_bits(got.normals, want.normals)) << to_string(isa);
    EXPECT_TRUE(same_bits(got.mixing, want.mixing)) << to_string(isa);
    EXPECT_TRUE(same_bits(got.factors, want.factors)) << to_string(isa);
    EXPECT_TRUE(same_bits(got.states, want.states)) << to_string(isa);
    EXPECT_TRUE(same_bits(got.values, want.values)) << to_string(isa);
    EXPECT_TRUE(same_bits(got.losses, want.losses)) << to_string(isa);
  }
}

/// A bundle's sums against each of its groups alone, to the bit and with the same mask.
template <class Bundle, class Aggregate>
void expect_equals_single(const Plan& plan, const Bundle& bundle, Aggregate aggregate) {
  const core::PlanArrays arrays = plan.arrays();
  constexpr std::size_t row = core::row_path_count;
  for (const InstructionSet isa : usable_instruction_sets()) {
    const CpuLoops& loops = cpu_loops(isa);
    RowBuffers buffers(arrays, 1);
    for (const std::uint64_t path : {0ull, 641ull, 9999ull}) {
      ASSERT_TRUE(revalue_row(loops, arrays, path, buffers, buffers.values));
      float thresholds[shared_group_count];
      std::uint64_t masks[shared_group_count];
      for (std::size_t g = 0; g < shared_group_count; ++g)
        thresholds[g] = 0.001f * static_cast<float>(g);
      (loops.*aggregate)(bundle.view(), buffers.values, thresholds, buffers.losses, masks);
      for (std::size_t g = 0; g < bundle.groups.size(); ++g) {
        const std::uint64_t begin = arrays.group_begin[bundle.groups[g]];
        const std::uint64_t count = arrays.group_begin[bundle.groups[g] + 1] - begin;
        float losses[row];
        const std::uint64_t mask =
            loops.aggregate(arrays.holdings + begin, count, buffers.values, thresholds[g], losses);
        EXPECT_EQ(mask, masks[g]) << to_string(isa);
        EXPECT_EQ(std::memcmp(losses, buffers.losses + g * row, sizeof losses), 0)
            << to_string(isa) << " group " << bundle.groups[g] << " path " << path;
      }
    }
  }
}

TEST(Determinism, DemonstrationBook) {
  const Job job(demo / "run.toml", 20'011);
  expect_equal_bytes("configs/demo", job);
  expect_equal_stages(job.plan);
}

/// All data of configs/demo, with other positions.
RunConfig demo_with_positions(const TemporaryBook& folder, const std::string& positions) {
  folder.write("positions.csv", positions);
  RunConfig config = load_config(demo / "run.toml");
  config.inputs.positions = folder.path("positions.csv");
  return config;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

TEST(Determinism, PermutedPositions) {
  const auto sorted_margins = [](const Job& job) {
    const auto backend = make_backend(job.config.compute);
    auto lines = lines_of(job.margins(backend->simulate(job.plan, {0, job.plan.path_count}, {})));
    std::sort(lines.begin() + 1, lines.end());
    return lines;
  };
  constexpr std::uint64_t path_count = 5000;
  const Job job(demo / "run.toml", path_count);
  const auto want = sorted_margins(job);
  std::vector<std::string> rows = lines_of(read(demo / "positions.csv"));
  std::mt19937 random(1);
  for (int trial = 0; trial < 3; ++trial) {
    std::shuffle(rows.begin() + 1, rows.end(), random);
    std::string text;
    for (const std::string& line : rows) text += line + "\n";
    const TemporaryBook folder;
    const Job permuted(demo_with_positions(folder, text), path_count);
    ASSERT_NE(permuted.inputs.book.accounts[0].name + permuted.inputs.book.accounts[1].name,
              job.inputs.book.accounts[0].name + job.inputs.book.accounts[1].name);
    EXPECT_EQ(sorted_margins(permuted), want);
  }
}

/// Accounts that each hold a random part of the listing.
std::string random_positions(const fs::path& folder, const std::vector<unsigned>& percent_held) {
  std::mt19937 random(2);
  const std::vector<std::string> instruments = lines_of(read(folder / "instruments.csv"));
  std::string text = "account,instrument,quantity\n";
  for (std::size_t account = 0; account < percent_held.size(); ++account)
    for (std::size_t i = 1; i < instruments.size(); ++i) {
      if (random() % 100 >= percent_held[account]) continue;
      text += fmt::format("account-{},{},{}\n", account,
                          instruments[i].substr(0, instruments[i].find(',')),
                          static_cast<int>(random() % 2001) - 1000);
    }
  return text;
}

/// Twenty accounts that hold two thirds of the listing each, and some that hold little.
std::string dense_positions() {
  std::vector<unsigned> percent_held(25, 3);
  std::fill_n(percent_held.begin(), 20, 67u);
  return random_positions(demo, percent_held);
}

TEST(Determinism, DenseGroups) {
  const TemporaryBook folder;
  const Job job(demo_with_positions(folder, dense_positions()), 4999);
  const GroupBundles bundles = bundle_groups(job.plan);
  ASSERT_EQ(bundles.dense.size(), 3u);  // 6 + 6 + 6, and two are too few
  ASSERT_EQ(bundles.shared.size(), 1u);
  ASSERT_EQ(bundles.single.size(), 5u);
  for (const GroupBundles::Dense& bundle : bundles.dense)
    expect_equals_single(job.plan, bundle, &CpuLoops::aggregate_dense);
  expect_equal_bytes("dense accounts", job);
}

/// Several superblocks, and more groups than one bundle has.
TEST(Determinism, SharedGroups) {
  const TemporaryBook folder;
  const fs::path venue = folder.path("venue");
  generate({.instruments = 1300, .accounts = 1, .underlyings = 3, .factors = 9, .seed = 3}, venue);
  std::vector<unsigned> percent_held(80, 20);
  percent_held.resize(90, 2);
  folder.write("positions.csv", random_positions(venue, percent_held));
  RunConfig config = load_config(venue / "run.toml");
  config.inputs.positions = folder.path("positions.csv");
  config.inputs.accounts.reset();
  const Job job(config, 3001);
  const GroupBundles bundles = bundle_groups(job.plan);
  ASSERT_EQ(bundles.shared.size(), 2u);
  ASSERT_EQ(bundles.shared[0].groups.size() + bundles.shared[1].groups.size(), 80u);
  ASSERT_EQ(bundles.single.size(), 10u);
  for (const GroupBundles::Shared& bundle : bundles.shared)
    expect_equals_single(job.plan, bundle, &CpuLoops::aggregate_shared);
  expect_equal_bytes("shared blocks", job);
}

TEST(Determinism, DenseMarginsEqualSparseOnes) {
  // The same accounts without most of the others are too few for a bundle.
  const TemporaryBook folder, fewer;
  const std::string positions = dense_positions();
  const Job job(demo_with_positions(folder, positions), 4999);
  std::string kept;
  for (const std::string& line : lines_of(positions))
    if (line.starts_with("account,") || line.starts_with("account-0,") ||
        line.starts_with("account-7,"))
      kept += line + "\n";
  const Job sparse(demo_with_positions(fewer, kept), 4999);
  ASSERT_TRUE(bundle_groups(sparse.plan).dense.empty());
  const auto margins = [](const Job& j) {
    return lines_of(
        j.margins(make_backend(j.config.compute)->simulate(j.plan, {0, j.plan.path_count}, {})));
  };
  const auto all = margins(job), two = margins(sparse);
  EXPECT_EQ(two[1], all[1]);
  EXPECT_EQ(two[2], all[8]);
}

struct Venue {
  std::uint32_t factors, underlyings;
  Distribution distribution;
};

class DeterminismOfVenue : public testing::TestWithParam<Venue> {};

TEST_P(DeterminismOfVenue, EqualBytes) {
  const TemporaryBook folder;
  generate({.instruments = 60,
            .accounts = 30,
            .underlyings = GetParam().underlyings,
            .factors = GetParam().factors,
            .seed = 7},
           folder.path("venue"));
  RunConfig config = load_config(folder.path("venue") / "run.toml");
  config.model.distribution = GetParam().distribution;
  const Job job(config, 3001);
  ASSERT_EQ(job.plan.model.factor_count, GetParam().factors);
  expect_equal_bytes(std::string("venue, ") + to_string(GetParam().distribution), job);
  expect_equal_stages(job.plan);
}

std::string name_of(const Venue& venue) {
  return fmt::format("{}Factors_{}", venue.factors, to_string(venue.distribution));
}

void PrintTo(const Venue& venue, std::ostream* out) { *out << name_of(venue); }

INSTANTIATE_TEST_SUITE_P(
    , DeterminismOfVenue,
    testing::Values(Venue{1, 1, Distribution::gaussian}, Venue{1, 1, Distribution::student_t},
                    Venue{3, 2, Distribution::gaussian}, Venue{3, 3, Distribution::student_t},
                    Venue{64, 4, Distribution::gaussian}, Venue{64, 4, Distribution::student_t},
                    Venue{130, 9, Distribution::gaussian}, Venue{130, 9, Distribution::student_t}),
    [](const auto& row) { return name_of(row.param); });

TEST(Determinism, RealBook) {
  const char* const shared = std::getenv("SHORTFALL_SHARED");
  if (!shared) GTEST_SKIP() << "SHORTFALL_SHARED is not set: no real book";
  const Job job(fs::path(shared) / "books" / "deribit_2026-01-15" / "run.toml", 3001);
  expect_equal_bytes("deribit_2026-01-15", job);
  expect_equal_stages(job.plan);
}

}  // namespace
}  // namespace shortfall
