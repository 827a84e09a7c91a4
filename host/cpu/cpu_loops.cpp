// Compiled once per instruction set with SHORTFALL_ISA naming it. Nothing here may leave a weak
// symbol behind: no std:: containers, no templates that are not always inlined.
#include "cpu_loops.hpp"

#include "shortfall/core/market_state.hpp"
#include "shortfall/core/mixing.hpp"
#include "shortfall/core/normal.hpp"
#include "shortfall/core/philox.hpp"
#include "shortfall/core/revalue.hpp"
#include "shortfall/core/sobol.hpp"
#include "simd.hpp"

#define SHORTFALL_PASTE_(a, b) a##b
#define SHORTFALL_PASTE(a, b) SHORTFALL_PASTE_(a, b)
#define SHORTFALL_QUOTE_(a) #a
#define SHORTFALL_QUOTE(a) SHORTFALL_QUOTE_(a)

namespace shortfall {
namespace {

using namespace core;
constexpr int row = static_cast<int>(row_path_count);

/// Points in place of Philox's words.
template <class PathOf>
[[gnu::always_inline]] inline void draw_points(const PlanArrays& plan, PathOf path_of,
                                               double* normals, double* mixing) {
  std::uint32_t index[row], scrambling[row], any = 0;
  for (int p = 0; p < row; ++p) {
    const auto path = static_cast<std::uint32_t>(path_of(p));
    index[p] = path / plan.scrambling_count;
    scrambling[p] = path % plan.scrambling_count;
    any |= index[p];
  }
  const std::uint32_t first_factor = plan.is_student_t ? 1 : 0;
  for (std::uint32_t d = 0; d < plan.factor_count + first_factor; ++d) {
    const std::uint32_t* direction = plan.sobol_directions + d * sobol_bit_count;
    const std::uint32_t* const keys = plan.sobol_keys + d * plan.scrambling_count;
    std::uint32_t word[row];
    for (int p = 0; p < row; ++p) word[p] = 0;
    for (std::uint32_t bit = 0; any >> bit; ++bit) {
      for (int p = 0; p < row; ++p) word[p] ^= direction[bit] & (0u - ((index[p] >> bit) & 1u));
      if (bit + 1 == sobol_bit_count) break;
    }
    for (int p = 0; p < row; ++p) word[p] = owen_scrambled(word[p], keys[scrambling[p]]);
    if (d < first_factor) {
      for (int p = 0; p < row; ++p)
        mixing[p] = mixing_factor(plan.mixing_table, plan.floor_w, plan.kappa, word[p]);
    } else {
      double* const out = normals + static_cast<std::size_t>(d - first_factor) * row;
      for (int p = 0; p < row; ++p) out[p] = normal_from_word(word[p]);
    }
  }
  if (!plan.is_student_t)
    for (int p = 0; p < row; ++p) mixing[p] = 1.0;
}

/// `path_of` gives the number of the path in a column.
template <class PathOf>
[[gnu::always_inline]] inline void draw_paths(const PlanArrays& plan, PathOf path_of,
                                              double* normals, double* mixing) {
  if (plan.sobol_directions) return draw_points(plan, path_of, normals, mixing);
  for (std::uint32_t block = 0; block * 4 < plan.factor_count; ++block) {
    double* out = normals + static_cast<std::size_t>(block) * 4 * row;
#pragma GCC ivdep
    for (int p = 0; p < row; ++p) {
      const std::uint64_t path = path_of(p);
      const PhiloxWords words = philox4x32(plan.seed, block, 0, static_cast<std::uint32_t>(path),
                                           static_cast<std::uint32_t>(path >> 32));
      out[p] = normal_from_word(words.word[0]);
      out[p + row] = normal_from_word(words.word[1]);
      out[p + 2 * row] = normal_from_word(words.word[2]);
      out[p + 3 * row] = normal_from_word(words.word[3]);
    }
  }
  if (!plan.is_student_t) {
    for (int p = 0; p < row; ++p) mixing[p] = 1.0;
    return;
  }
  for (int p = 0; p < row; ++p) {
    const std::uint64_t path = path_of(p);
    const PhiloxWords words = philox4x32(plan.seed, 0, 1, static_cast<std::uint32_t>(path),
                                         static_cast<std::uint32_t>(path >> 32));
    mixing[p] = mixing_factor(plan.mixing_table, plan.floor_w, plan.kappa, words.word[0]);
  }
}

void draw(const PlanArrays& plan, std::uint64_t first_path, double* normals, double* mixing) {
  draw_paths(
      plan, [=](int p) { return first_path + static_cast<std::uint64_t>(p); }, normals, mixing);
}

void draw_listed(const PlanArrays& plan, const std::uint32_t* paths, double* normals,
                 double* mixing) {
  draw_paths(
      plan, [=](int p) { return std::uint64_t{paths[p]}; }, normals, mixing);
}

/// `count` rows of L times the normals, four vectors of paths at a time, in registers.
template <int count>
[[gnu::always_inline]] inline void correlate_rows(const double* const* loading,
                                                  std::uint32_t columns, const double* offset,
                                                  const double* normals, const double* mixing,
                                                  double* factors) {
  constexpr int vectors = 4, lanes = simd::double_lanes;
  for (int p = 0; p < row; p += vectors * lanes) {
    simd::Doubles sum[count][vectors];
#pragma GCC unroll 8
    for (int r = 0; r < count; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = simd::broadcast(0.0);
    }
    for (std::uint32_t j = 0; j < columns; ++j) {
      simd::Doubles z[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v)
        z[v] = simd::load(normals + static_cast<std::size_t>(j) * row + p + v * lanes);
#pragma GCC unroll 8
      for (int r = 0; r < count; ++r) {
        const simd::Doubles l = simd::broadcast(loading[r][j]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[r][v] = simd::multiply_add_exact(l, z[v], sum[r][v]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < count; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        const int at = p + v * lanes;
        const simd::Doubles moved = simd::multiply(sum[r][v], simd::load(mixing + at));
        simd::store(factors + r * row + at, simd::add(moved, simd::broadcast(offset[r])));
      }
    }
  }
}

void correlate(const PlanArrays& plan, const double* normals, const double* mixing,
               double* factors) {
  constexpr double no_offset[4] = {};
  const std::size_t count = plan.factor_count;
  const auto offset_of = [&](std::size_t i) { return plan.offset ? plan.offset + i : no_offset; };
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const double* rows[4];
    std::uint32_t columns = 0;
    for (std::size_t r = 0; r < 4; ++r) {
      rows[r] = plan.loading + (i + r) * count;
      if (plan.column_count[i + r] > columns) columns = plan.column_count[i + r];
    }
    correlate_rows<4>(rows, columns, offset_of(i), normals, mixing, factors + i * row);
  }
  for (; i < count; ++i) {
    const double* one = plan.loading + i * count;
    correlate_rows<1>(&one, plan.column_count[i], offset_of(i), normals, mixing, factors + i * row);
  }
}

template <class Function>
[[gnu::always_inline]] inline void state_row(const StateRow& state, const double* x_a,
                                             const double* x_b, float* out, Function function) {
#pragma GCC ivdep
  for (int p = 0; p < row; ++p) out[p] = function(state_exponent(state, x_a[p], x_b[p]));
}

bool market_states(const PlanArrays& plan, const double* factors, float* states) {
  constexpr float large = 1208925819614629174706176.0f;  // 2^80
  std::uint32_t is_large = 0;
  for (std::uint32_t r = 0; r < plan.state_row_count; ++r) {
    const StateRow& state = plan.state_rows[r];
    const double* x_a = factors + static_cast<std::size_t>(state.factor_a) * row;
    const double* x_b = factors + static_cast<std::size_t>(state.factor_b) * row;
    float* out = states + static_cast<std::size_t>(r) * row;
    switch (state.kind) {
      case StateKind::log:
        state_row(state, x_a, x_b, out, [](double y) { return static_cast<float>(y); });
        break;
      case StateKind::expm1:
        state_row(state, x_a, x_b, out, [](double y) { return expm1_state(y); });
        break;
      case StateKind::exp:
        state_row(state, x_a, x_b, out, [](double y) { return exp_state(y); });
        break;
    }
    for (int p = 0; p < row; ++p) is_large |= core::abs(out[p]) < large ? 0u : 1u;
  }
  return is_large == 0;
}

/// `cell` is a copy whose flag is a constant, so that the loop has no branch.
template <bool has_call, bool has_put>
[[gnu::always_inline]] inline void strike_cell(const StrikeCell& cell, const float* states,
                                               float* values) {
  const auto at = [](std::uint32_t r) { return static_cast<std::size_t>(r) * row; };
  const float* __restrict shock = states + at(cell.shock_row);
  const float* __restrict forward = states + at(cell.forward_row);
  const float* __restrict strike = states + at(cell.strike_row);
  const float* __restrict volatility = states + at(cell.volatility_row);
  const float* __restrict skew = states + at(cell.skew_row);
  float* __restrict call = values + (has_call ? at(cell.call) : 0);
  float* __restrict put = values + (has_put ? at(cell.put) : 0);
#pragma GCC ivdep
  for (int p = 0; p < row; ++p) {
    const StrikeValues value =
        revalue_strike(cell, shock[p], forward[p], strike[p], volatility[p], skew[p]);
    if constexpr (has_call) call[p] = value.call;
    if constexpr (has_put) put[p] = value.put;
  }
}

template <bool has_call, bool has_put>
void strike_cell_either(const StrikeCell& cell, const float* states, float* values) {
  StrikeCell copy = cell;
  if (cell.twin_is_call) {
    copy.twin_is_call = 1;
    strike_cell<has_call, has_put>(copy, states, values);
  } else {
    copy.twin_is_call = 0;
    strike_cell<has_call, has_put>(copy, states, values);
  }
}

void revalue(const PlanArrays& plan, const float* states, float* values) {
  for (std::uint32_t c = 0; c < plan.strike_cell_count; ++c) {
    const StrikeCell& cell = plan.strike_cells[c];
    if (cell.put == none)
      strike_cell_either<true, false>(cell, states, values);
    else if (cell.call == none)
      strike_cell_either<false, true>(cell, states, values);
    else
      strike_cell_either<true, true>(cell, states, values);
  }
  for (std::uint32_t c = 0; c < plan.settled_cell_count; ++c) {
    const SettledCell& cell = plan.settled_cells[c];
    const float* spot = states + static_cast<std::size_t>(cell.spot_row) * row;
    float* out = values + static_cast<std::size_t>(cell.instrument) * row;
#pragma GCC ivdep
    for (int p = 0; p < row; ++p) out[p] = revalue_settled(cell, spot[p]);
  }
  for (std::uint32_t c = 0; c < plan.linear_cell_count; ++c) {
    const LinearCell& cell = plan.linear_cells[c];
    const float* a = states + static_cast<std::size_t>(cell.row_a) * row;
    const float* b = states + static_cast<std::size_t>(cell.row_b) * row;
    float* out = values + static_cast<std::size_t>(cell.instrument) * row;
#pragma GCC ivdep
    for (int p = 0; p < row; ++p) out[p] = revalue_linear(cell, a[p], b[p]);
  }
}

/// A sum and what its additions rounded away, exact by TwoSum (Knuth), so that it does not matter
/// how many parts there are. Adding zero changes neither.
struct CompensatedSum {
  simd::Floats sum, lost;
};

[[gnu::always_inline]] inline void add_to(CompensatedSum& total, simd::Floats part) {
  const simd::Floats sum = simd::add(total.sum, part);
  const simd::Floats added = simd::subtract(sum, total.sum);
  total.lost =
      simd::add(total.lost, simd::add(simd::subtract(total.sum, simd::subtract(sum, added)),
                                      simd::subtract(part, added)));
  total.sum = sum;
}

/// Minus the sum; 0 - 0 is never -0.
[[gnu::always_inline]] inline simd::Floats loss_of(const CompensatedSum& total) {
  return simd::subtract(simd::broadcast(0.0f), simd::add(total.sum, total.lost));
}

/// Sums the holdings of one superblock; returns where the next begins. Whether a block ends is a
/// mask, not a branch: lists have no pattern that a predictor could learn. Superblocks end rarely.
template <int vectors>
[[gnu::always_inline]] inline const Holding* sum_superblock(const Holding* holdings,
                                                            const float* values,
                                                            simd::Floats* superblock) {
  constexpr int lanes = simd::float_lanes;
  simd::Floats block[vectors];
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v) block[v] = superblock[v] = simd::broadcast(0.0f);
  for (;; ++holdings) {
    const std::uint32_t tagged = holdings->instrument;
    const float* value = values + static_cast<std::size_t>(tagged & Holding::index_mask) * row;
    const simd::Floats weight = simd::broadcast(holdings->weight);
    const simd::Mask is_last = simd::all_if(tagged >> 31);
    const simd::Mask goes_on = simd::all_if(~tagged >> 31);
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) {
      block[v] = simd::fma(weight, simd::load(value + v * lanes), block[v]);
      superblock[v] = simd::add_if(is_last, superblock[v], block[v]);
      block[v] = simd::keep_if(goes_on, block[v]);
    }
    if (tagged & Holding::last_of_superblock) return holdings + 1;
  }
}

/// As many paths as `vectors` hold: half a row or a whole one, as the registers allow.
template <int vectors>
[[gnu::always_inline]] inline std::uint64_t aggregate_part(const Holding* holdings,
                                                           const Holding* end, const float* values,
                                                           simd::Floats threshold, float* losses) {
  constexpr int lanes = simd::float_lanes;
  simd::Floats superblock[vectors];
  holdings = sum_superblock<vectors>(holdings, values, superblock);
  CompensatedSum total[vectors];
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v) total[v] = {superblock[v], simd::broadcast(0.0f)};
  while (holdings != end) {
    holdings = sum_superblock<vectors>(holdings, values, superblock);
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) add_to(total[v], superblock[v]);
  }
  std::uint64_t mask = 0;
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v) {
    const simd::Floats loss = loss_of(total[v]);
    simd::store(losses + v * lanes, loss);
    mask |= simd::not_less(loss, threshold) << (v * lanes);
  }
  return mask;
}

std::uint64_t aggregate(const Holding* holdings, std::uint64_t count, const float* values,
                        float threshold, float* losses) {
  constexpr int vectors = 4, part = vectors * simd::float_lanes;
  std::uint64_t mask = 0;
  for (int p = 0; p < row; p += part)
    mask |= aggregate_part<vectors>(holdings, holdings + count, values + p,
                                    simd::broadcast(threshold), losses + p)
            << p;
  return mask;
}

/// The sums of a bundle's groups over part of a row, in memory.
template <int capacity, int paths>
struct BundleSums {
  alignas(64) float superblock[capacity][paths];
  alignas(64) float sum[capacity][paths];
  alignas(64) float lost[capacity][paths];
};

template <int capacity, int paths>
[[gnu::always_inline]] inline void clear(BundleSums<capacity, paths>& sums, int count) {
  for (int g = 0; g < count; ++g) {
    for (int p = 0; p < paths; p += simd::float_lanes) {
      simd::store(sums.superblock[g] + p, simd::broadcast(0.0f));
      simd::store(sums.sum[g] + p, simd::broadcast(0.0f));
      simd::store(sums.lost[g] + p, simd::broadcast(0.0f));
    }
  }
}

template <int capacity, int paths>
[[gnu::always_inline]] inline void end_superblock(BundleSums<capacity, paths>& sums, int count) {
  for (int g = 0; g < count; ++g) {
    for (int p = 0; p < paths; p += simd::float_lanes) {
      CompensatedSum total = {simd::load(sums.sum[g] + p), simd::load(sums.lost[g] + p)};
      add_to(total, simd::load(sums.superblock[g] + p));
      simd::store(sums.sum[g] + p, total.sum);
      simd::store(sums.lost[g] + p, total.lost);
      simd::store(sums.superblock[g] + p, simd::broadcast(0.0f));
    }
  }
}

/// Losses of the part of a row that begins at `part`, and their bits of the masks.
template <int capacity, int paths>
[[gnu::always_inline]] inline void compare(const BundleSums<capacity, paths>& sums, int count,
                                           const float* thresholds, int part, float* losses,
                                           std::uint64_t* masks) {
  for (int g = 0; g < count; ++g) {
    const simd::Floats threshold = simd::broadcast(thresholds[g]);
    for (int p = 0; p < paths; p += simd::float_lanes) {
      const simd::Floats loss =
          loss_of({simd::load(sums.sum[g] + p), simd::load(sums.lost[g] + p)});
      simd::store(losses + g * row + part + p, loss);
      masks[g] |= simd::not_less(loss, threshold) << (part + p);
    }
  }
}

// Six groups times four vectors of 512 bits, or times two of 256, fill the register file; their
// sums of blocks and superblocks are in memory, where blocks end.
constexpr int dense_groups = static_cast<int>(dense_group_count);
constexpr int dense_vectors = simd::float_lanes == 16 ? 4 : 2;
constexpr int dense_paths = dense_vectors * simd::float_lanes;
using DenseSums = BundleSums<dense_groups, dense_paths>;

/// `values` begins at the part of the row.
[[gnu::always_inline]] inline void sum_dense(const DenseBundle& bundle, const float* values,
                                             DenseSums& sums) {
  constexpr int lanes = simd::float_lanes;
  simd::Floats block[dense_groups][dense_vectors];
#pragma GCC unroll 8
  for (int g = 0; g < dense_groups; ++g) {
#pragma GCC unroll 8
    for (int v = 0; v < dense_vectors; ++v) block[g][v] = simd::broadcast(0.0f);
  }
  for (std::uint32_t i = 0; i < bundle.instrument_count; ++i) {
    const std::uint32_t tagged = bundle.instruments[i];
    const float* value = values + static_cast<std::size_t>(tagged & Holding::index_mask) * row;
    const float* weight = bundle.weights + static_cast<std::size_t>(i) * dense_groups;
    simd::Floats x[dense_vectors];
#pragma GCC unroll 8
    for (int v = 0; v < dense_vectors; ++v) x[v] = simd::load(value + v * lanes);
#pragma GCC unroll 8
    for (int g = 0; g < dense_groups; ++g) {
      const simd::Floats w = simd::broadcast(weight[g]);
#pragma GCC unroll 8
      for (int v = 0; v < dense_vectors; ++v) block[g][v] = simd::fma(w, x[v], block[g][v]);
    }
    if (!(tagged & Holding::last_of_block)) continue;
#pragma GCC unroll 8
    for (int g = 0; g < dense_groups; ++g) {
#pragma GCC unroll 8
      for (int v = 0; v < dense_vectors; ++v) {
        float* const sum = sums.superblock[g] + v * lanes;
        simd::store(sum, simd::add(simd::load(sum), block[g][v]));
        block[g][v] = simd::broadcast(0.0f);
      }
    }
    if (tagged & Holding::last_of_superblock) end_superblock(sums, dense_groups);
  }
}

void aggregate_dense(const DenseBundle& bundle, const float* values, const float* thresholds,
                     float* losses, std::uint64_t* masks) {
  for (int g = 0; g < dense_groups; ++g) masks[g] = 0;
  for (int part = 0; part < row; part += dense_paths) {
    DenseSums sums;
    clear(sums, dense_groups);
    sum_dense(bundle, values + part, sums);
    compare(sums, dense_groups, thresholds, part, losses, masks);
  }
}

constexpr int shared_vectors = 4, shared_paths = shared_vectors * simd::float_lanes;

using SharedSums = BundleSums<static_cast<int>(shared_group_count), shared_paths>;

/// One run: sums of equally many holdings of a block join their groups' superblocks.
[[gnu::always_inline]] inline void sum_run(const SharedBundle::Run& run, const Holding*& holdings,
                                           const std::uint32_t*& slots, const float* values,
                                           SharedSums& sums) {
  constexpr int lanes = simd::float_lanes;
  for (std::uint32_t s = 0; s < run.sum_count; ++s) {
    simd::Floats block[shared_vectors];
#pragma GCC unroll 8
    for (int v = 0; v < shared_vectors; ++v) block[v] = simd::broadcast(0.0f);
    for (const Holding* const end = holdings + run.holding_count; holdings != end; ++holdings) {
      const float* value = values + static_cast<std::size_t>(holdings->instrument) * row;
      const simd::Floats weight = simd::broadcast(holdings->weight);
#pragma GCC unroll 8
      for (int v = 0; v < shared_vectors; ++v)
        block[v] = simd::fma(weight, simd::load(value + v * lanes), block[v]);
    }
    float* const sum = sums.superblock[*slots++];
#pragma GCC unroll 8
    for (int v = 0; v < shared_vectors; ++v)
      simd::store(sum + v * lanes, simd::add(simd::load(sum + v * lanes), block[v]));
  }
}

void aggregate_shared(const SharedBundle& bundle, const float* values, const float* thresholds,
                      float* losses, std::uint64_t* masks) {
  const int count = static_cast<int>(bundle.group_count);
  for (int g = 0; g < count; ++g) masks[g] = 0;
  for (int part = 0; part < row; part += shared_paths) {
    SharedSums sums;
    clear(sums, count);
    const Holding* holdings = bundle.holdings;
    const std::uint32_t* slots = bundle.slots;
    for (std::uint32_t r = 0; r < bundle.run_count; ++r) {
      sum_run(bundle.runs[r], holdings, slots, values + part, sums);
      if (bundle.runs[r].is_last_of_superblock) end_superblock(sums, count);
    }
    compare(sums, count, thresholds, part, losses, masks);
  }
}

constexpr CpuLoops loops = {SHORTFALL_QUOTE(SHORTFALL_ISA),
                            draw,
                            draw_listed,
                            correlate,
                            market_states,
                            revalue,
                            aggregate,
                            aggregate_dense,
                            aggregate_shared};

}  // namespace

const CpuLoops* SHORTFALL_PASTE(cpu_loops_, SHORTFALL_ISA)() { return &loops; }

}  // namespace shortfall
