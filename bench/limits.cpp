#include <fmt/format.h>

#include <memory>

#include "cpu_backend.hpp"
#include "machine.hpp"
#include "sections.hpp"

namespace shortfall::bench {
namespace {

constexpr std::uint64_t fma_steps = 20'000;

/// A result of the loop, kept where the compiler cannot drop it.
template <class T>
struct Kept {
  T value{};
};

template <class T>
void add_fma(Suite& suite, const Usable& set, const char* stage, T (*loop)(std::uint64_t),
             std::uint32_t lanes) {
  const auto kept = std::make_shared<Kept<T>>();
  Row row{.stage = stage, .instruction_set = set.name, .item = "FLOP"};
  if (set.instruction_set == InstructionSet::generic)
    row.note = "generic: no fma in hardware, its exact emulation for float";
  suite.add(
      std::move(row), 2.0 * fma_steps * fma_chains * lanes,
      [kept, loop] { kept->value = loop(fma_steps); },
      // The chains converge to 1 on any width.
      [kept] { return hash_array(&kept->value, 1); });
}

void add_read(Suite& suite, const Usable& set, const char* stage, std::size_t byte_count) {
  const std::size_t count = byte_count / sizeof(float) / 128 * 128;
  struct State {
    std::vector<float> from;
    float sum = 0;
  };
  const auto state = std::make_shared<State>();
  const auto read = set.own->read;
  suite.add(
      {.stage = stage,
       .instruction_set = set.name,
       .item = "byte",
       .note = fmt::format("{} KiB in order", byte_count >> 10)},
      static_cast<double>(count * sizeof(float)),
      [=] {
        if (state->from.empty()) state->from.assign(count, 1.0f);
        state->sum = read(state->from.data(), count);
      },
      [=] { return hash_array(&state->sum, 1); });
}

}  // namespace

std::vector<Usable> usable() {
  std::vector<Usable> sets;
  for (const InstructionSet set : usable_instruction_sets()) {
    const Loops* const own = set == InstructionSet::avx512 ? loops_avx512()
                             : set == InstructionSet::avx2 ? loops_avx2()
                                                           : loops_generic();
    sets.push_back({to_string(set), set, &cpu_loops(set), own});
  }
  return sets;
}

void add_limits(Suite& suite, const std::vector<Usable>& sets) {
  for (const Usable& set : sets) {
    add_fma(suite, set, "limit.fma.float", set.own->fma_float, set.own->float_lanes);
    add_fma(suite, set, "limit.fma.double", set.own->fma_double, set.own->double_lanes);
    add_read(suite, set, "limit.read.l2", second_level_cache_bytes() / 2);
  }
  add_read(suite, sets.back(), "limit.read.memory",
           suite.is_quick() ? std::size_t{8} << 20 : std::size_t{256} << 20);
}

}  // namespace shortfall::bench
