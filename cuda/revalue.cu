// From factor moves to the change of value of every instrument.
#include "checked.hpp"
#include "kernels.hpp"
#include "shortfall/core/market_state.hpp"
#include "shortfall/core/revalue.hpp"

namespace shortfall::cuda {
namespace {

constexpr std::uint32_t revalue_threads = 256;
/// Paths per thread: the cell is read once for four of them, and rows as 16 bytes.
constexpr std::uint32_t paths_per_thread = 4;

/// factors = factors * mixing + offset. One double product and sum, 24 bytes of memory per element:
/// bound by memory. The sum with +0 changes no number but -0, which no order of summation on the
/// CPU gives.
__global__ void __launch_bounds__(revalue_threads)
    mix_factors(TilePaths paths, const double* mixing, const double* offset, double* factors) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x;
  if (p >= padded_count(paths)) return;
  double& factor = factors[std::size_t{blockIdx.x} * paths.stride + p];
  factor = factor * mixing[p] + (offset ? offset[blockIdx.x] : 0.0);
}

/// One thread per path and row of the state: 5 double operations (12 with the exponential's
/// reduction), about 14 float ones; 16 bytes read, mostly from caches since rows share factors, 4
/// written. Bound by the double pipe, on devices with a full one by issue.
__global__ void __launch_bounds__(revalue_threads)
    market_states(const core::StateRow* rows, TilePaths paths, const double* factors,
                  float* states) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x;
  if (p >= padded_count(paths)) return;
  const core::StateRow row = rows[blockIdx.x];
  const double x_a = factors[std::size_t{row.factor_a} * paths.stride + p];
  const double x_b = factors[std::size_t{row.factor_b} * paths.stride + p];
  const double y = core::state_exponent(row, x_a, x_b);
  float state;
  if (row.kind == core::StateKind::log)
    state = static_cast<float>(y);
  else if (row.kind == core::StateKind::expm1)
    state = core::expm1_state(y);
  else
    state = core::exp_state(y);
  states[std::size_t{blockIdx.x} * paths.stride + p] = state;
}

struct Four {
  float of[paths_per_thread];
};

__device__ __forceinline__ Four load(const float* row, std::uint32_t p) {
  const float4 four = *reinterpret_cast<const float4*>(row + p);
  return {{four.x, four.y, four.z, four.w}};
}

__device__ __forceinline__ void store(float* row, std::uint32_t p, const Four& four) {
  *reinterpret_cast<float4*>(row + p) = make_float4(four.of[0], four.of[1], four.of[2], four.of[3]);
}

/// A strike cell for four paths: the call and the put together are about 95 float operations and
/// two IEEE divisions (about 10 instructions each); 20 bytes read, from caches since cells share
/// rows, 8 written. Bound by instruction issue.
__device__ __forceinline__ void revalue_strikes(const core::StrikeCell& cell, const float* states,
                                                std::size_t stride, std::uint32_t p,
                                                float* values) {
  const Four shock = load(states + cell.shock_row * stride, p);
  const Four forward = load(states + cell.forward_row * stride, p);
  const Four strike = load(states + cell.strike_row * stride, p);
  const Four volatility = load(states + cell.volatility_row * stride, p);
  const Four skew = load(states + cell.skew_row * stride, p);
  Four call, put;
#pragma unroll
  for (std::uint32_t i = 0; i < paths_per_thread; ++i) {
    const core::StrikeValues value = core::revalue_strike(
        cell, shock.of[i], forward.of[i], strike.of[i], volatility.of[i], skew.of[i]);
    call.of[i] = value.call;
    put.of[i] = value.put;
  }
  if (cell.call != core::none) store(values + cell.call * stride, p, call);
  if (cell.put != core::none) store(values + cell.put * stride, p, put);
}

/// One block of threads per cell and 1,024 paths; cells of all kinds, one after the other.
__global__ void __launch_bounds__(revalue_threads)
    revalue(core::PlanArrays plan, TilePaths paths, const float* states, float* values) {
  const std::uint32_t p = (blockIdx.y * blockDim.x + threadIdx.x) * paths_per_thread;
  if (p >= padded_count(paths)) return;
  const std::size_t stride = paths.stride;
  std::uint32_t c = blockIdx.x;
  if (c < plan.strike_cell_count) {
    revalue_strikes(plan.strike_cells[c], states, stride, p, values);
    return;
  }
  c -= plan.strike_cell_count;
  Four out;
  if (c < plan.settled_cell_count) {
    const core::SettledCell cell = plan.settled_cells[c];
    const Four spot = load(states + cell.spot_row * stride, p);
#pragma unroll
    for (std::uint32_t i = 0; i < paths_per_thread; ++i)
      out.of[i] = core::revalue_settled(cell, spot.of[i]);
    store(values + cell.instrument * stride, p, out);
    return;
  }
  const core::LinearCell cell = plan.linear_cells[c - plan.settled_cell_count];
  const Four a = load(states + cell.row_a * stride, p);
  const Four b = load(states + cell.row_b * stride, p);
#pragma unroll
  for (std::uint32_t i = 0; i < paths_per_thread; ++i)
    out.of[i] = core::revalue_linear(cell, a.of[i], b.of[i]);
  store(values + cell.instrument * stride, p, out);
}

std::uint32_t columns_of(const TilePaths& paths, std::uint32_t per_block) {
  return (padded_count(paths) + per_block - 1) / per_block;
}

}  // namespace

void launch_mix(const core::PlanArrays& plan, const TilePaths& paths, const double* mixing,
                double* factors, cudaStream_t stream) {
  mix_factors<<<dim3(plan.factor_count, columns_of(paths, revalue_threads)), revalue_threads, 0,
                stream>>>(paths, mixing, plan.offset, factors);
  check_launch("mix_factors");
}

void launch_market_states(const core::PlanArrays& plan, const TilePaths& paths,
                          const double* factors, float* states, cudaStream_t stream) {
  if (plan.state_row_count == 0) return;
  market_states<<<dim3(plan.state_row_count, columns_of(paths, revalue_threads)), revalue_threads,
                  0, stream>>>(plan.state_rows, paths, factors, states);
  check_launch("market_states");
}

void launch_revalue(const core::PlanArrays& plan, const TilePaths& paths, const float* states,
                    float* values, cudaStream_t stream) {
  const std::uint32_t cells =
      plan.strike_cell_count + plan.settled_cell_count + plan.linear_cell_count;
  if (cells == 0) return;
  revalue<<<dim3(cells, columns_of(paths, revalue_threads * paths_per_thread)), revalue_threads, 0,
            stream>>>(plan, paths, states, values);
  check_launch("revalue");
}

}  // namespace shortfall::cuda
