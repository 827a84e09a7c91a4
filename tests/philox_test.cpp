// Philox4x32-10: its published vectors, cuRAND's generator, and where a path's draws come from.
#include "shortfall/core/philox.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "host/generate/generate.hpp"
#include "shortfall/core/mixing.hpp"
#include "shortfall/core/normal.hpp"
#include "shortfall/shortfall.hpp"
#include "shortfall/trace.hpp"
#include "tests/temporary_book.hpp"

#if defined(SHORTFALL_CURAND)
#include <curand.h>
#endif

namespace shortfall {
namespace {

using core::philox4x32;
using core::PhiloxWords;

TEST(Philox, KnownAnswers) {
  // Random123 1.14, tests/kat_vectors, philox4x32 10.
  struct Row {
    std::uint32_t counter[4], key[2], words[4];
  };
  constexpr std::uint32_t ones = 0xffffffffu;
  const Row rows[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{ones, ones, ones, ones}, {ones, ones}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Row& row : rows) {
    const std::uint64_t seed = row.key[0] | static_cast<std::uint64_t>(row.key[1]) << 32;
    const PhiloxWords got =
        philox4x32(seed, row.counter[0], row.counter[1], row.counter[2], row.counter[3]);
    EXPECT_TRUE(std::equal(got.word, got.word + 4, row.words)) << std::hex << row.counter[0];
  }
}

/// Nine factors, so that three blocks are drawn of which the last is partly used; Student t.
Plan nine_factor_plan(std::uint64_t seed) {
  const TemporaryBook folder;
  generate({.instruments = 12, .accounts = 3, .underlyings = 1, .factors = 9},
           folder.path("venue"));
  RunConfig config = load_config(folder.path("venue") / "run.toml");
  config.risk.seed = seed;
  config.model.distribution = Distribution::student_t;
  return build_plan(config, load_inputs(config));
}

/// Every normal and mixing factor of a trace, against words(block, stream, path).
template <class Words>
void expect_draws(const Plan& plan, const PathTrace& trace, Words words) {
  for (std::uint32_t p = 0; p < trace.path_count; ++p) {
    const std::uint64_t path = trace.first_path + p;
    for (std::uint32_t i = 0; i < plan.model.factor_count; ++i)
      ASSERT_EQ(trace.normals[i * trace.path_count + p],
                core::normal_from_word(words(i / 4, 0u, path).word[i % 4]))
          << "factor " << i << " path " << path;
    ASSERT_EQ(trace.mixing[p],
              core::mixing_factor(plan.model.mixing_table.data(), plan.model.floor_w,
                                  plan.model.kappa, words(0u, 1u, path).word[0]))
        << "path " << path;
  }
}

TEST(Philox, PathsAreAddressedBySeedBlockStreamAndNumber) {
  for (const std::uint64_t seed : {0ull, 42ull, 0x7edcba9876543210ull}) {
    const Plan plan = nine_factor_plan(seed);
    // Rows that do not begin at a multiple of 64, and the carry into the path's high word.
    for (const std::uint64_t first : {0ull, 1ull, 77ull, 0xfffffff0ull})
      for (const InstructionSet isa : usable_instruction_sets())
        expect_draws(plan, trace_paths(plan, first, 100, isa),
                     [&](std::uint32_t block, std::uint32_t stream, std::uint64_t path) {
                       return philox4x32(seed, block, stream, static_cast<std::uint32_t>(path),
                                         static_cast<std::uint32_t>(path >> 32));
                     });
  }
}

#if defined(SHORTFALL_CURAND)

/// The first words of cuRAND's host generator: its k-th group of four is subsequence k mod 65536 at
/// offset 4 (k div 65536).
std::vector<std::uint32_t> curand_words(std::uint64_t seed, std::size_t count) {
  std::vector<std::uint32_t> words(count);
  curandGenerator_t generator = nullptr;
  EXPECT_EQ(curandCreateGeneratorHost(&generator, CURAND_RNG_PSEUDO_PHILOX4_32_10),
            CURAND_STATUS_SUCCESS);
  EXPECT_EQ(curandSetPseudoRandomGeneratorSeed(generator, seed), CURAND_STATUS_SUCCESS);
  EXPECT_EQ(curandGenerate(generator, words.data(), count), CURAND_STATUS_SUCCESS);
  EXPECT_EQ(curandDestroyGenerator(generator), CURAND_STATUS_SUCCESS);
  return words;
}

constexpr std::uint32_t curand_subsequences = 65536, curand_blocks = 3;

TEST(Philox, EqualsCurandHostGenerator) {
  for (const std::uint64_t seed : {0ull, 42ull, 0x7edcba9876543210ull}) {
    const auto words = curand_words(seed, std::size_t{4} * curand_subsequences * curand_blocks);
    for (std::uint32_t block = 0; block < curand_blocks; ++block)
      for (std::uint32_t path = 0; path < curand_subsequences; ++path) {
        const PhiloxWords own = philox4x32(seed, block, 0, path, 0);
        const std::size_t group = std::size_t{block} * curand_subsequences + path;
        ASSERT_TRUE(std::equal(own.word, own.word + 4, words.data() + 4 * group))
            << "seed " << seed << " block " << block << " path " << path;
      }
  }
}

TEST(Philox, DrawsAreCurandsSubsequences) {
  constexpr std::uint64_t seed = 0x123456789abcdefull;
  const Plan plan = nine_factor_plan(seed);
  const auto words = curand_words(seed, std::size_t{4} * curand_subsequences * curand_blocks);
  expect_draws(plan, trace_paths(plan, 65'000, 500),
               [&](std::uint32_t block, std::uint32_t stream, std::uint64_t path) {
                 // The host generator has no second stream.
                 if (stream) return philox4x32(seed, block, stream, std::uint32_t(path), 0);
                 PhiloxWords out;
                 std::copy_n(words.data() + 4 * (block * curand_subsequences + path), 4, out.word);
                 return out;
               });
}

#else

TEST(Philox, EqualsCurandHostGenerator) {
  GTEST_SKIP() << "no cuRAND: the CUDA toolkit was not found when this was configured";
}

#endif

}  // namespace
}  // namespace shortfall
