// One plan on one device: what is uploaded, how the work is cut, the order of launches.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "blas.hpp"
#include "kernels.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/cuda.hpp"

namespace shortfall::cuda {

/// What a simulation is made for. Only `tails` keeps tails; `trace` keeps every loss of a tile.
enum class Purpose : std::uint8_t { tails, trace, replay };

/// Everything that sizes depend on, decided before anything is allocated.
struct WorkShape {
  AggregateShape aggregate;
  std::uint32_t stride = 0;  ///< paths of a tile
  std::uint32_t stream_count = 1;
  std::uint64_t keep_count = 0, capacity = 0;  ///< tail entries per group: wanted, held
  Purpose purpose = Purpose::tails;
};

/// Arrays on the device, in the order of the arena.
struct DeviceArrays {
  struct Tile {
    double *normals, *mixing, *factors;
    float *states, *values;
    std::byte* workspace;
  };
  Tile tile[2];
  double *loading, *offset, *history, *mixing_table;
  std::uint32_t *sobol_directions, *sobol_keys;
  core::StateRow* state_rows;
  core::StrikeCell* strike_cells;
  core::SettledCell* settled_cells;
  core::LinearCell* linear_cells;
  Slab* slabs;
  HoldingPair* pairs;
  std::uint32_t* begin;
  std::uint32_t* groups;
  DenseLists::Bundle* bundles;
  std::uint32_t* dense_instruments;
  float* dense_weights;
  float *carry, *losses;
  TailBuffers tails;
  std::uint32_t *redone, *is_missing, *listed;
  std::byte* scratch;
};

class Simulation {
 public:
  /// Sizes the work for ranges of at most `path_count` paths. Nothing is allocated yet.
  Simulation(const Plan& plan, std::uint64_t path_count, const DeviceLimits& limits,
             const CudaTuning& tuning, Purpose purpose);

  std::uint64_t bytes() const { return bytes_; }
  const WorkShape& shape() const { return shape_; }

  /// Allocates and uploads: what follows allocates nothing on the device.
  void start();

  Tails simulate(PathRange range, const Progress& progress);
  /// Every intermediate of one tile's paths at a time.
  PathTrace trace(std::uint64_t first_path, std::uint32_t path_count);
  /// Backend::replay, a tile at a time.
  void replay(std::span<const std::uint32_t> paths, const UseValues& use);

 private:
  struct Lane {  ///< what one stream works with
    Stream stream;
    std::optional<Blas> blas;
  };

  void choose_shape(const DeviceLimits& limits, const CudaTuning& tuning);
  double shape_cost(std::uint32_t lane_path_count, const std::vector<Slab>& slabs,
                    double bytes_per_instruction) const;
  void lay_out(Arena& arena);
  void upload_plan();
  void upload_lists(const SlabLists& lists, const Stream& stream);

  /// Instrument values of a tile, on the lane's stream; of listed paths where there is a list.
  void revalue(std::uint32_t lane, const TilePaths& paths, const std::uint32_t* listed = nullptr);
  /// Losses of all groups, or of those of `lists_` alone.
  void aggregate(std::uint32_t lane, const TilePaths& paths, bool has_dense);
  /// All paths of a range; `after` is called behind each tile with the paths done and what is to
  /// be launched on the stream.
  void run_tiles(PathRange range, std::uint64_t tile_paths, bool has_dense,
                 const std::function<void(std::uint64_t done, const Stream&)>& after,
                 const Progress& progress);
  void redo_missing(PathRange range, const Stream& stream);
  template <class T>
  void copy_columns(const T* rows, std::size_t row_count, std::uint32_t column_count, T* to,
                    std::size_t to_stride, const char* purpose) const;
  void throw_if_bad(const Stream& stream) const;
  Tails take(std::uint64_t path_count, const Stream& stream) const;

  const Plan& plan_;
  const core::PlanArrays host_arrays_;
  const double rank_scale_;
  WorkShape shape_;
  std::uint32_t row_bytes_ = 0;  ///< between rows of values, in the lists
  SlabLists lists_;
  DenseLists dense_;
  std::uint64_t pair_capacity_ = 0;
  std::uint64_t bytes_ = 0;
  Arena arena_;
  DeviceArrays arrays_{};
  core::PlanArrays device_plan_{};
  std::vector<std::unique_ptr<Lane>> lanes_;
  /// Tiles end in turn; far enough ahead that the device never waits for the host.
  static constexpr std::size_t tiles_ahead = 64;
  std::vector<Event> events_;
};

}  // namespace shortfall::cuda
