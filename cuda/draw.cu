// Draws: cuRAND's Philox, the project's inverse normal.
//
// Per normal: a quarter of 10 Philox rounds (5 integer multiply-adds of 32 x 32 -> 64 bits and a
// few xor and add), then about 45 float operations, one square root and one division. 8 bytes
// written. Bound by instruction issue; 64 normals are well below a tenth of a path's other work.
#include <curand_kernel.h>

#include "checked.hpp"
#include "kernels.hpp"
#include "shortfall/core/mixing.hpp"
#include "shortfall/core/normal.hpp"
#include "shortfall/core/sobol.hpp"

namespace shortfall::cuda {
namespace {

constexpr std::uint32_t draw_threads = 256;

/// Block `block` of four words of stream `stream_number` of a path: core::philox4x32's.
__device__ __forceinline__ uint4 words_of(std::uint64_t seed, std::uint64_t path,
                                          std::uint64_t stream_number, std::uint32_t block) {
  curandStatePhilox4_32_10_t state;
  // cuRAND's counter holds the offset in blocks in its low two words, the subsequence above.
  curand_init(seed, path, 4 * ((stream_number << 32) + block), &state);
  return curand4(&state);
}

__device__ __forceinline__ void draw_block(std::uint64_t seed, std::uint32_t factor_count,
                                           std::uint64_t path, std::size_t stride, double* normals,
                                           std::uint32_t p) {
  const std::uint32_t block = blockIdx.x;
  const uint4 words = words_of(seed, path, 0, block);
  const std::uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::uint32_t factor = 4 * block + i;
    if (factor < factor_count) normals[factor * stride + p] = core::normal_from_word(word[i]);
  }
}

/// 1 under a Gaussian (no table).
__device__ __forceinline__ double mixing_of(std::uint64_t seed, const double* table, double floor_w,
                                            double kappa, std::uint64_t path) {
  if (!table) return 1.0;
  const uint4 words = words_of(seed, path, 1, 0);
  return core::mixing_factor(table, floor_w, kappa, words.x);
}

/// One thread per path and block of four factors.
__global__ void __launch_bounds__(draw_threads)
    draw_normals(std::uint64_t seed, std::uint32_t factor_count, TilePaths paths, double* normals) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x;
  if (p >= padded_count(paths)) return;
  draw_block(seed, factor_count, paths.first_path + p, paths.stride, normals, p);
}

/// One thread per path.
__global__ void __launch_bounds__(draw_threads)
    draw_mixing(std::uint64_t seed, const double* table, double floor_w, double kappa,
                TilePaths paths, double* mixing) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x;
  if (p >= padded_count(paths)) return;
  mixing[p] = mixing_of(seed, table, floor_w, kappa, paths.first_path + p);
}

/// The same for paths of a list, which is as long as the padded tile.
__global__ void __launch_bounds__(draw_threads)
    redraw_normals(std::uint64_t seed, std::uint32_t factor_count, TilePaths paths,
                   const std::uint32_t* listed, double* normals) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x;
  if (p >= padded_count(paths)) return;
  draw_block(seed, factor_count, listed[p], paths.stride, normals, p);
}

__global__ void __launch_bounds__(draw_threads)
    redraw_mixing(std::uint64_t seed, const double* table, double floor_w, double kappa,
                  TilePaths paths, const std::uint32_t* listed, double* mixing) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x;
  if (p >= padded_count(paths)) return;
  mixing[p] = mixing_of(seed, table, floor_w, kappa, listed[p]);
}

/// One thread per path and dimension of a point; `listed` is null for consecutive paths. Some 100
/// integer operations for as many bits as an index has, 30 of the hash, then as above.
__global__ void __launch_bounds__(draw_threads)
    draw_points(core::PlanArrays plan, TilePaths paths, const std::uint32_t* listed,
                double* normals, double* mixing) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x;
  if (p >= padded_count(paths)) return;
  const std::uint32_t dimension = blockIdx.x;
  const std::uint32_t path = listed ? listed[p] : static_cast<std::uint32_t>(paths.first_path) + p;
  const std::uint32_t index = path / plan.scrambling_count;
  const std::uint32_t scrambling = path % plan.scrambling_count;
  const std::uint32_t reversed =
      core::sobol_reversed(plan.sobol_directions + dimension * core::sobol_bit_count, index);
  const std::uint32_t word = core::owen_scrambled(
      reversed, plan.sobol_keys[dimension * plan.scrambling_count + scrambling]);
  if (dimension < plan.is_student_t)
    mixing[p] = core::mixing_factor(plan.mixing_table, plan.floor_w, plan.kappa, word);
  else
    normals[std::size_t{dimension - plan.is_student_t} * paths.stride + p] =
        core::normal_from_word(word);
  if (dimension == 0 && !plan.is_student_t) mixing[p] = 1.0;
}

/// A row of the history per path. Reads are factor_count doubles apart, but of a table that stays
/// in the caches for all but the longest histories; writes are side by side. Bound by memory.
__global__ void __launch_bounds__(draw_threads)
    take_history(core::PlanArrays plan, TilePaths paths, const std::uint32_t* listed,
                 double* normals, double* mixing, double* factors) {
  const std::uint32_t p = blockIdx.y * blockDim.x + threadIdx.x, f = blockIdx.x;
  if (p >= padded_count(paths)) return;
  const std::uint64_t path = listed ? listed[p] : paths.first_path + p;
  const std::size_t at = std::size_t{f} * paths.stride + p;
  factors[at] = path < plan.path_count ? plan.history[path * plan.factor_count + f] : 0.0;
  normals[at] = 0.0;
  if (f == 0) mixing[p] = 1.0;
}

}  // namespace

void launch_history(const core::PlanArrays& plan, const TilePaths& paths,
                    const std::uint32_t* listed, double* normals, double* mixing, double* factors,
                    cudaStream_t stream) {
  const std::uint32_t columns = (padded_count(paths) + draw_threads - 1) / draw_threads;
  take_history<<<dim3(plan.factor_count, columns), draw_threads, 0, stream>>>(
      plan, paths, listed, normals, mixing, factors);
  check_launch("take_history");
}

void launch_draw(const core::PlanArrays& plan, const TilePaths& paths, const std::uint32_t* listed,
                 double* normals, double* mixing, cudaStream_t stream) {
  const std::uint32_t columns = (padded_count(paths) + draw_threads - 1) / draw_threads;
  if (plan.sobol_directions) {
    const std::uint32_t dimensions = plan.factor_count + plan.is_student_t;
    draw_points<<<dim3(dimensions, columns), draw_threads, 0, stream>>>(plan, paths, listed,
                                                                        normals, mixing);
    check_launch("draw_points");
    return;
  }
  const dim3 blocks((plan.factor_count + 3) / 4, columns), one_row(1, columns);
  const double* const table = plan.is_student_t ? plan.mixing_table : nullptr;
  if (listed) {
    redraw_normals<<<blocks, draw_threads, 0, stream>>>(plan.seed, plan.factor_count, paths, listed,
                                                        normals);
    check_launch("redraw_normals");
    redraw_mixing<<<one_row, draw_threads, 0, stream>>>(plan.seed, table, plan.floor_w, plan.kappa,
                                                        paths, listed, mixing);
    check_launch("redraw_mixing");
    return;
  }
  draw_normals<<<blocks, draw_threads, 0, stream>>>(plan.seed, plan.factor_count, paths, normals);
  check_launch("draw_normals");
  draw_mixing<<<one_row, draw_threads, 0, stream>>>(plan.seed, table, plan.floor_w, plan.kappa,
                                                    paths, mixing);
  check_launch("draw_mixing");
}

}  // namespace shortfall::cuda
