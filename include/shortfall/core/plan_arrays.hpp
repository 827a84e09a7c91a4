// The plan as a backend sees it: flat arrays of 4- and 8-byte fields, no strings, no containers.
// The same layout is read by the CPU loops and by the CUDA kernels.
//
// Units. Instrument values are changes of USD value per unit of weight, divided so that they are of
// order one: per coin of an underlying they are in units of its spot S0; for contracts sized in USD
// they are per USD. Weights carry the size and are scaled per margin group by a power of two so
// that the group's gross notional lies in [1, 2). A loss in those units times 2^scale_exponent is
// USD.
#pragma once

#include <cstdint>

namespace shortfall::core {

/// Paths are processed in rows of this many; every tile is a whole number of rows.
inline constexpr std::uint32_t row_path_count = 64;

/// Instruments are summed in blocks of this many consecutive ones of the listing (canonical order),
/// blocks in superblocks, superblocks in order with TwoSum's compensation: no chain of roundings is
/// long, however many instruments are listed.
inline constexpr std::uint32_t block_instrument_count = 32;
inline constexpr std::uint32_t superblock_instrument_count = 32 * block_instrument_count;

inline constexpr std::uint32_t none = 0xffffffffu;

/// What a row of the market state holds, as a function of y = a x_A + b x_B.
enum class StateKind : std::uint32_t {
  log,    ///< y
  expm1,  ///< e^y - 1
  exp     ///< e^y
};

/// One row of the market state. Coefficients are zero where a factor is absent.
struct StateRow {
  double coefficient_a, coefficient_b;
  std::uint32_t factor_a, factor_b;
  StateKind kind;
  std::uint32_t reserved;
};
static_assert(sizeof(StateRow) == 32);

/// Options of one underlying, settlement, expiry, strike, forward and volatility: at most one call
/// and one put. Priced as the out-of-the-money twin at the marks (call when K >= F0); the other is
/// the twin plus a forward. With G, J the state rows (growth minus one):
///   F = forward (1 + G), K = strike (1 + J), value = otm(F, K) + max(+-(F - K), 0) - base.
/// Linear: forward = F0/S0, G = expm1(x_spot + x_basis T); strike = K/S0, J = 0.
/// Inverse: forward = 1, G = expm1(x_spot); strike = K/F0, J = expm1(-x_basis T), since
/// V/F1 S1 = S1 B(K/F1) with B homogeneous.
struct StrikeCell {
  std::uint32_t shock_row;       ///< ln(F1/F0)
  std::uint32_t forward_row;     ///< G
  std::uint32_t strike_row;      ///< J
  std::uint32_t volatility_row;  ///< e^v(T)
  std::uint32_t skew_row;        ///< skew factor
  std::uint32_t call, put;       ///< priced instruments, or none
  std::uint32_t twin_is_call;
  float log_moneyness;  ///< ln(F0/K)
  float forward;
  float strike;
  float volatility;      ///< sigma0
  float skew_moneyness;  ///< m = ln(K/F0) / sqrt(max(T, 7/365))
  float sqrt_time;       ///< sqrt(T1), T1 > 0
  float base;            ///< value before of the twin, in the same unit
};
static_assert(sizeof(StrikeCell) == 60);

/// An option whose expiry is inside the horizon, as its out-of-the-money twin at the marks plus a
/// forward: twin = max(+-(s - strike), 0) - base with s = 1 + spot row; the other side adds
/// +-(spot row + carry), carry = (before of put - before of call) + 1 - K/S0.
struct SettledCell {
  std::uint32_t spot_row;
  std::uint32_t instrument;
  std::uint32_t is_call;
  std::uint32_t twin_is_call;
  float strike;  ///< K/S0
  float base;    ///< value before of the twin
  float carry;   ///< change of call - put less that of the spot
};
static_assert(sizeof(SettledCell) == 28);

/// Everything else is linear in two state rows: value = a A + (b B + c).
struct LinearCell {
  std::uint32_t row_a, row_b;
  std::uint32_t instrument;
  float a, b, c;
};
static_assert(sizeof(LinearCell) == 24);

/// One holding of a margin group. The top bit of `instrument` is set on the group's last holding of
/// each block, where the block's sum joins the superblock's; the next bit on its last holding of
/// each superblock, whose sum then joins the total.
struct Holding {
  static constexpr std::uint32_t last_of_block = 0x80000000u;
  static constexpr std::uint32_t last_of_superblock = 0x40000000u;
  static constexpr std::uint32_t index_mask = 0x3fffffffu;
  std::uint32_t instrument;
  float weight;
};
static_assert(sizeof(Holding) == 8);

/// Views into the plan, valid as long as the plan lives.
struct PlanArrays {
  std::uint64_t seed;
  std::uint64_t path_count;
  /// Null: paths are drawn by Philox. Else path p is point p / scrambling_count of scrambling
  /// p mod scrambling_count, from sobol_bit_count direction numbers per dimension and a key per
  /// dimension and scrambling (dimension-major): core/sobol.hpp. Under Student t the mixing
  /// variable takes the first dimension, and factor i the dimension after it.
  const std::uint32_t* sobol_directions;
  const std::uint32_t* sobol_keys;
  std::uint32_t scrambling_count;
  std::uint32_t factor_count;
  std::uint32_t is_student_t;
  double floor_w, kappa;
  const double* mixing_table;
  const double* loading;  ///< factor_count^2, row-major
  const double* offset;   ///< factor_count: added to the moves; null: zero
  /// path_count x factor_count: the moves themselves, in place of draws; or null.
  const double* history;
  const std::uint32_t* column_count;  ///< factor_count
  const StateRow* state_rows;
  std::uint32_t state_row_count;
  const StrikeCell* strike_cells;
  std::uint32_t strike_cell_count;
  const SettledCell* settled_cells;
  std::uint32_t settled_cell_count;
  const LinearCell* linear_cells;
  std::uint32_t linear_cell_count;
  std::uint32_t instrument_count;  ///< priced: held by at least one group
  const Holding* holdings;
  const std::uint64_t* group_begin;  ///< group_count + 1
  std::uint32_t group_count;
};

}  // namespace shortfall::core
