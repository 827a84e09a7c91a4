#include <fmt/format.h>

#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "cpu/cpu_backend.hpp"
#include "sections.hpp"
#if SHORTFALL_BENCH_CURAND
#include <curand.h>
#endif

namespace shortfall::bench {
namespace {

constexpr std::uint32_t factor_count = 64, block_count = factor_count / 4;
constexpr std::size_t row_normals = factor_count * core::row_path_count;

/// As much of a plan as `draw` reads, without mixing.
core::PlanArrays draw_only(std::uint64_t seed) {
  core::PlanArrays plan{};
  plan.seed = seed;
  plan.factor_count = factor_count;
  return plan;
}

struct DrawnRow {
  alignas(64) double normals[row_normals];
  alignas(64) double mixing[core::row_path_count];
};

void add_words(Suite& suite, const Usable& set) {
  const auto words = std::make_shared<std::array<std::uint32_t, row_normals>>();
  const auto draw = set.own->philox_words;
  suite.add(
      {.stage = "normals.words", .instruction_set = set.name, .item = "word"}, row_normals,
      [=] { draw(42, 0, block_count, words->data()); },
      [=] { return hash_array(words->data(), words->size()); });
}

void add_draws(Suite& suite, const Usable& set) {
  const auto row = std::make_shared<DrawnRow>();
  const auto draw = set.engine->draw;
  suite.add(
      {.stage = "normals",
       .instruction_set = set.name,
       .item = "normal",
       .baselines = {{"cuRAND", {{"baseline.curand"}}}, {"std", {{"baseline.std"}}}}},
      row_normals, [=] { draw(draw_only(42), 0, row->normals, row->mixing); },
      [=] { return hash_array(row->normals, row_normals); });
}

void add_std(Suite& suite) {
  struct State {
    std::mt19937 engine{42};
    std::normal_distribution<float> normal;
    std::array<float, row_normals> out;
    void fill() {
      for (float& z : out) z = normal(engine);
    }
  };
  const auto state = std::make_shared<State>();
  suite.add(
      {.stage = "baseline.std",
       .item = "normal",
       .note = "std::mt19937 with std::normal_distribution<float>"},
      row_normals, [=] { state->fill(); },
      [] {
        State first;
        first.fill();
        return hash_array(first.out.data(), row_normals);
      });
}

#if SHORTFALL_BENCH_CURAND
class CurandHost {
 public:
  // Large enough that the cost of a call does not count, small enough for the cache.
  static constexpr std::size_t count = 65536;

  CurandHost() {
    check(curandCreateGeneratorHost(&generator_, CURAND_RNG_PSEUDO_PHILOX4_32_10));
    check(curandSetPseudoRandomGeneratorSeed(generator_, 42));
  }
  ~CurandHost() { curandDestroyGenerator(generator_); }
  CurandHost(const CurandHost&) = delete;
  CurandHost& operator=(const CurandHost&) = delete;

  void fill() { check(curandGenerateNormal(generator_, out_.data(), count, 0.0f, 1.0f)); }
  std::uint64_t hash() const { return hash_array(out_.data(), count); }

 private:
  static void check(curandStatus_t status) {
    if (status != CURAND_STATUS_SUCCESS)
      throw OperatingError(fmt::format("cuRAND: status {}", static_cast<int>(status)));
  }

  curandGenerator_t generator_ = nullptr;
  std::vector<float> out_ = std::vector<float>(count);
};
#endif

void add_curand(Suite& suite) {
  Row row{.stage = "baseline.curand",
          .item = "normal",
          .note = "cuRAND's host generator, Philox, float"};
#if SHORTFALL_BENCH_CURAND
  const auto generator = std::make_shared<CurandHost>();
  suite.add(
      std::move(row), CurandHost::count, [=] { generator->fill(); },
      [] {
        CurandHost first;
        first.fill();
        return first.hash();
      });
#else
  suite.skip(std::move(row), "no CUDA toolkit with cuRAND was found when this was configured");
#endif
}

/// Powers and tail counts of normals, and how far they are from what they should be.
struct Sample {
  static constexpr std::array<double, 5> tails = {1, 2, 3, 4, 5};
  double count = 0;
  std::array<double, 4> power_sums{};
  std::array<double, 5> beyond{};

  void add(const double* normals, std::size_t size) {
    // Sums of a row first: a hundred million terms added one by one would lose digits.
    std::array<double, 4> powers{};
    std::array<double, 5> over{};
    for (std::size_t i = 0; i < size; ++i) {
      const double z = normals[i], square = z * z;
      powers[0] += z;
      powers[1] += square;
      powers[2] += square * z;
      powers[3] += square * square;
      for (std::size_t t = 0; t < tails.size(); ++t)
        over[t] += square > tails[t] * tails[t] ? 1.0 : 0.0;
    }
    count += static_cast<double>(size);
    for (std::size_t i = 0; i < 4; ++i) power_sums[i] += powers[i];
    for (std::size_t t = 0; t < tails.size(); ++t) beyond[t] += over[t];
  }

  /// In standard errors: the first four moments, then the frequencies of |z| > 1 .. 5.
  std::vector<double> deviations() const {
    constexpr std::array<double, 4> moments = {0, 1, 0, 3}, variances = {1, 2, 15, 96};
    std::vector<double> deviations;
    for (std::size_t i = 0; i < 4; ++i)
      deviations.push_back((power_sums[i] / count - moments[i]) / std::sqrt(variances[i] / count));
    for (std::size_t t = 0; t < tails.size(); ++t) {
      const double p = std::erfc(tails[t] / std::sqrt(2.0));
      deviations.push_back((beyond[t] - count * p) / std::sqrt(count * p * (1 - p)));
    }
    return deviations;
  }
};

void add_quality(Suite& suite, const Usable& set) {
  const std::uint64_t path_count = suite.is_quick() ? 15'680 : 1'562'560;  // 1e6 or 1e8 normals
  const auto sample = std::make_shared<Sample>();
  const auto draw = set.engine->draw;
  suite.add(
      {.stage = "normals.quality",
       .item = "normal",
       .note = fmt::format("moments 1 to 4, P(|z| > 1 .. 5) of {:.0e} within 5 standard errors",
                           static_cast<double>(path_count * factor_count))},
      static_cast<double>(path_count * factor_count),
      [=] {
        *sample = {};
        DrawnRow row;
        for (std::uint64_t path = 0; path < path_count; path += core::row_path_count) {
          draw(draw_only(42), path, row.normals, row.mixing);
          sample->add(row.normals, row_normals);
        }
      },
      [=, &suite] {
        const std::vector<double> deviations = sample->deviations();
        std::string text;
        double worst = 0;
        for (const double deviation : deviations) {
          text += fmt::format("{}{:+.1f}", text.empty() ? "" : " ", deviation);
          worst = std::max(worst, std::fabs(deviation));
        }
        for (Row& row : suite.rows())
          if (row.stage == "normals.quality") row.note = "standard errors: " + text;
        // Nine statistics: five standard errors happen to good normals once in 200,000 seeds.
        if (!(worst < 5)) throw OperatingError("off by standard errors: " + text);
        return hash_array(deviations.data(), deviations.size());
      });
}

}  // namespace

void add_normals(Suite& suite, const std::vector<Usable>& sets) {
  for (const Usable& set : sets) add_words(suite, set);
  for (const Usable& set : sets) add_draws(suite, set);
  add_curand(suite);
  add_std(suite);
  add_quality(suite, sets.back());
}

}  // namespace shortfall::bench
