#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "cpu/cpu_backend.hpp"
#include "cpu/machine.hpp"
#include "sections.hpp"

namespace shortfall::bench {
namespace {

constexpr std::uint64_t fma_steps = 20'000;

/// A result of the loop, kept where the compiler cannot drop it.
template <class T>
struct Kept {
  T value{};
};

/// Vectors of multiply-adds that can start in one clock; 0 where not known. From Intel's and AMD's
/// optimisation guides: an assumption, since the processor does not say.
int fma_ports(const Processor& processor, InstructionSet set) {
  if (set == InstructionSet::generic) return 0;
  const bool is_wide = set == InstructionSet::avx512;
  // Server cores. Intel's client cores and some Xeon Silver and Bronze have one port of 512 bits.
  if (processor.vendor == "GenuineIntel") return 2;
  if (processor.vendor != "AuthenticAMD") return 0;
  // Zen 1 has two ports of 128 bits; Zen 4 joins two of 256 bits; Zen 5 has two of 512.
  if (processor.family == 0x17 && processor.model < 0x30) return 1;
  return is_wide && processor.family == 0x19 ? 1 : 2;
}

template <class T>
void add_fma(Suite& suite, const Usable& set, const Processor& processor, const char* stage,
             T (*loop)(std::uint64_t), std::uint32_t lanes) {
  const auto kept = std::make_shared<Kept<T>>();
  Row row{.stage = stage, .instruction_set = set.name, .item = "FLOP"};
  const int ports = fma_ports(processor, set.instruction_set);
  if (set.instruction_set == InstructionSet::generic) {
    row.note = "generic: no fma in hardware, its exact emulation for float";
  } else if (ports == 0) {
    row.note = "unverified: how many multiply-adds this processor starts in a clock is not known";
  } else {
    row.limits = {{"limit.clock", 1.0 / (2.0 * ports * lanes)}};
    row.counts_from_share = 0.9;
    row.note = fmt::format(
        "{}: limit is {} port{} (assumed) x {} lanes x 2 x clock; counts as a "
        "limit from 90 % of it",
        set.name, ports, ports > 1 ? "s" : "", lanes);
  }
  suite.add(
      std::move(row), 2.0 * fma_steps * fma_chains * lanes,
      [kept, loop] { kept->value = loop(fma_steps); },
      // The chains converge to 1 on any width.
      [kept] { return hash_array(&kept->value, 1); });
}

/// 16 multiplications a step, each of which needs the one before: 3 clocks each on Intel's cores
/// since 2008 and on all of AMD's Zen. Unlike an addition, none is fused or renamed away.
std::uint64_t multiply_in_turn(std::uint64_t steps) {
  std::uint64_t product = 3;
#if defined(__x86_64__)
  const std::uint64_t factor = 0x5851f42d4c957f2d;
  for (std::uint64_t s = 0; s < steps; ++s)
    asm volatile(".rept 16\n\timul %1, %0\n\t.endr" : "+r"(product) : "r"(factor));
#endif
  return product;
}

void add_clock(Suite& suite) {
  constexpr std::uint64_t steps = 20'000;
  Row row{.stage = "limit.clock", .item = "clock", .note = "dependent imul of 3 clocks each"};
#if defined(__x86_64__)
  const auto kept = std::make_shared<Kept<std::uint64_t>>();
  suite.add(
      std::move(row), 3.0 * 16 * steps, [kept] { kept->value = multiply_in_turn(steps); },
      [kept] { return hash_array(&kept->value, 1); });
#else
  suite.skip(std::move(row), "no multiplication of known latency on this processor");
#endif
}

/// Begins with a page, in large pages where the system grants them: loads that cross cache lines
/// and pages that lie badly would measure less than the machine can do.
class AlignedFloats {
 public:
  explicit AlignedFloats(std::size_t byte_count) : count_(byte_count / 512 * 128) {
    constexpr std::size_t page = std::size_t{2} << 20;
    const std::size_t whole_pages = (byte_count + page - 1) / page * page;
    floats_.reset(static_cast<float*>(std::aligned_alloc(page, whole_pages)));
    if (!floats_) throw std::bad_alloc();
    madvise(floats_.get(), whole_pages, MADV_HUGEPAGE);
    std::fill_n(floats_.get(), count_, 1.0f);
  }
  float* begin() const { return floats_.get(); }
  std::size_t count() const { return count_; }
  double bytes() const { return static_cast<double>(count_ * sizeof(float)); }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::size_t count_;
  std::unique_ptr<float, Free> floats_;
};

std::string describe(const AlignedFloats& floats) {
  return fmt::format("{} KiB in order", floats.count() * sizeof(float) >> 10);
}

void add_read(Suite& suite, const Usable& set, const char* stage,
              const std::shared_ptr<AlignedFloats>& from) {
  const auto sum = std::make_shared<float>();
  const auto read = set.own->read;
  suite.add(
      {.stage = stage, .instruction_set = set.name, .item = "byte", .note = describe(*from)},
      from->bytes(), [=] { *sum = read(from->begin(), from->count()); },
      [=] { return hash_array(sum.get(), 1); });
}

void add_write(Suite& suite, const Usable& set, const char* stage,
               const std::shared_ptr<AlignedFloats>& to) {
  const auto write = set.own->write;
  suite.add(
      {.stage = stage,
       .instruction_set = set.name,
       .item = "byte",
       .note = describe(*to) + ", ordinary stores"},
      to->bytes(), [=] { write(to->begin(), to->count(), 1.0f); },
      [=] { return hash_array(to->begin() + to->count() - 1, 1); });
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

void add_limits(Suite& suite, const std::vector<Usable>& sets, const Processor& processor) {
  add_clock(suite);
  // A quarter of the cache: no accident of where its pages lie evicts any of it.
  const auto cached = std::make_shared<AlignedFloats>(second_level_cache_bytes() / 4);
  for (const Usable& set : sets) {
    add_fma(suite, set, processor, "limit.fma.float", set.own->fma_float, set.own->float_lanes);
    add_fma(suite, set, processor, "limit.fma.double", set.own->fma_double, set.own->double_lanes);
    add_read(suite, set, "limit.read.l2", cached);
  }
  const auto large =
      std::make_shared<AlignedFloats>(std::size_t{suite.is_quick() ? 8u : 256u} << 20);
  add_read(suite, sets.back(), "limit.read.memory", large);
  add_write(suite, sets.back(), "limit.write.memory", large);
}

}  // namespace shortfall::bench
