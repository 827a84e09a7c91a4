#include "simulation.hpp"

#include <algorithm>
#include <limits>

#include "fmt/format.h"
#include "shortfall/core/tail.hpp"

namespace shortfall::cuda {
namespace {

std::uint32_t rounded_up(std::uint64_t paths) {
  return static_cast<std::uint32_t>((paths + stride_unit - 1) / stride_unit * stride_unit);
}

std::uint64_t padded_factors(const core::PlanArrays& plan) {
  return (std::uint64_t{plan.factor_count} + 3) / 4 * 4;
}

/// Bytes of a tile per path and stream.
std::uint64_t path_bytes(const core::PlanArrays& plan) {
  return 8 * (padded_factors(plan) + 1 + plan.factor_count) +
         4 * std::uint64_t{plan.state_row_count} + 4 * std::uint64_t{plan.instrument_count};
}

}  // namespace

Simulation::Simulation(const Plan& plan, std::uint64_t path_count, const DeviceLimits& limits,
                       const CudaTuning& tuning, Purpose purpose)
    : plan_(plan), host_arrays_(plan.arrays()), rank_scale_(tuning.rank_scale) {
  shape_.purpose = purpose;
  shape_.keep_count = purpose == Purpose::tails ? std::min(plan.tail.count, path_count) : 0;
  // A tile of the redone groups fits in what is beyond keep_count, whatever its losses.
  shape_.capacity = shape_.keep_count + std::max<std::uint64_t>(1024, shape_.keep_count * 2 / 5);
  SHORTFALL_ASSERT(shape_.capacity < core::none);  // counts on the device have 32 bits
  std::vector<std::uint32_t> others;
  dense_ = make_dense_lists(plan, others);
  choose_shape(limits, tuning);
  const std::uint32_t shared_bytes = shape_.aggregate.shared_bytes;
  row_bytes_ = shared_bytes ? 128 * shape_.aggregate.lane_path_count : 128;
  const auto all = static_cast<std::uint32_t>(plan.instruments.size());
  lists_ = make_slab_lists(plan, others,
                           cut_slabs(plan, std::max(shared_bytes ? shared_bytes / row_bytes_ : all,
                                                    core::block_instrument_count)),
                           row_bytes_);
  // Enough for any choice of groups: a pass over a few of them has lists of its own.
  pair_capacity_ = plan.holdings.size() / 2 + plan.groups.size() * lists_.part_count();

  const std::uint64_t wanted =
      std::uint64_t{limits.processor_count} * 2 * 32 * shape_.aggregate.lane_path_count;
  shape_.stride =
      rounded_up(std::min(path_count, tuning.tile_path_count ? tuning.tile_path_count : wanted));
  const auto measure = [&] {
    Arena counting;
    lay_out(counting);
    return bytes_ = counting.taken();
  };
  // Half of what is free is plenty for tiles; the rest of the plan must fit in any case.
  while (measure() > limits.free_memory_bytes / 2 && shape_.stride > stride_unit &&
         tuning.tile_path_count == 0)
    shape_.stride = rounded_up(shape_.stride / 2);
}

/// Time of the sums, in instructions that a processor issues per 32 paths: those of the compiled
/// kernel (bench/cuda_model.py), or the carry's bytes, which move meanwhile.
double Simulation::shape_cost(std::uint32_t lane_path_count, const std::vector<Slab>& slabs,
                              double bytes_per_instruction) const {
  const double paths = lane_path_count, groups = static_cast<double>(plan_.groups.size());
  double rows = 0;
  for (const Slab& slab : slabs) rows += carried_rows(slab);
  const double issued = static_cast<double>(plan_.holdings.size()) * (3 * paths + 5) +
                        groups * (80.0 * slabs.back().part_end +
                                  60.0 * static_cast<double>(slabs.size()) + 40 * paths);
  // A row is written and read, four bytes for each of 32 paths.
  return std::max(issued / paths, groups * rows * 256 / bytes_per_instruction);
}

void Simulation::choose_shape(const DeviceLimits& limits, const CudaTuning& tuning) {
  SHORTFALL_ASSERT(tuning.stream_count <= 2 && tuning.thread_count % 32 == 0 &&
                   tuning.thread_count <= 1024);
  AggregateShape& shape = shape_.aggregate;
  shape.block_count = limits.processor_count;
  shape.thread_count = tuning.thread_count ? tuning.thread_count : 1024;
  shape_.stream_count = tuning.stream_count ? tuning.stream_count : 2;
  shape.lane_path_count = tuning.lane_path_count ? tuning.lane_path_count : 2;
  shape.shared_bytes = 0;
  if (!tuning.is_slab_shared) return;
  double least = std::numeric_limits<double>::infinity();
  for (const std::uint32_t paths : {1u, 2u, 4u}) {
    if (tuning.lane_path_count && paths != tuning.lane_path_count) continue;
    const std::size_t row_bytes = 128 * paths;
    const auto rows = static_cast<std::uint32_t>(limits.shared_memory_bytes / row_bytes);
    if (rows < core::block_instrument_count) continue;
    std::uint32_t longest = 0;
    const std::vector<Slab> slabs = cut_slabs(plan_, rows);
    for (const Slab& slab : slabs) longest = std::max(longest, slab.instrument_count);
    const double cost = shape_cost(paths, slabs, limits.bytes_per_instruction);
    if (cost >= least) continue;
    least = cost;
    shape.lane_path_count = paths;
    shape.shared_bytes = static_cast<std::uint32_t>(rows * row_bytes);
    if (slabs.size() == 1) shape.shared_bytes = static_cast<std::uint32_t>(longest * row_bytes);
  }
}

void Simulation::lay_out(Arena& arena) {
  const core::PlanArrays& plan = host_arrays_;
  DeviceArrays& a = arrays_;
  const std::size_t stride = shape_.stride, groups = plan.group_count;
  for (std::uint32_t s = 0; s < shape_.stream_count; ++s) {
    DeviceArrays::Tile& tile = a.tile[s];
    arena.take(tile.normals, padded_factors(plan) * stride);
    arena.take(tile.mixing, stride);
    arena.take(tile.factors, plan.factor_count * stride);
    arena.take(tile.states, plan.state_row_count * stride);
    arena.take(tile.values, plan.instrument_count * stride);
    arena.take(tile.workspace, Blas::workspace_bytes);
  }
  arena.take(a.loading, std::size_t{plan.factor_count} * plan.factor_count);
  arena.take(a.offset, plan_.model.offset.size());
  arena.take(a.history, plan_.model.history.size());
  arena.take(a.mixing_table, plan_.model.mixing_table.size());
  arena.take(a.sobol_directions, plan_.sobol_directions.size());
  arena.take(a.sobol_keys, plan_.sobol_keys.size());
  arena.take(a.state_rows, plan.state_row_count);
  arena.take(a.strike_cells, plan.strike_cell_count);
  arena.take(a.settled_cells, plan.settled_cell_count);
  arena.take(a.linear_cells, plan.linear_cell_count);
  arena.take(a.slabs, lists_.slabs.size());
  arena.take(a.pairs, pair_capacity_);
  arena.take(a.begin, lists_.part_count() * (groups + 1));
  arena.take(a.groups, groups);
  arena.take(a.bundles, dense_.bundles.size());
  arena.take(a.dense_instruments, dense_.instruments.size());
  arena.take(a.dense_weights, dense_.weights.size());
  const std::size_t carry =
      3 * std::size_t{shape_.aggregate.block_count} * 32 * shape_.aggregate.lane_path_count;
  arena.take(a.carry, lists_.slabs.size() > 1 ? carry * groups : 0);
  arena.take(a.losses, shape_.purpose == Purpose::trace ? groups * stride : 0);
  arena.take(a.listed, shape_.purpose == Purpose::replay ? stride : 0);
  a.tails.capacity = shape_.capacity;
  a.tails.keep_count = shape_.keep_count;
  arena.take(a.tails.keys, groups * shape_.capacity);
  arena.take(a.tails.count, groups);
  arena.take(a.tails.floor, groups);
  arena.take(a.tails.dropped, groups);
  arena.take(a.tails.bad_path, 1);
  arena.take(a.redone, groups);
  arena.take(a.is_missing, groups);
  arena.take(a.scratch, count_scratch_bytes);
  if (shape_.purpose != Purpose::trace) a.losses = nullptr;
}

void Simulation::start() {
  events_ = std::vector<Event>(tiles_ahead);
  arena_.allocate(bytes_);
  lay_out(arena_);
  for (std::uint32_t s = 0; s < shape_.stream_count; ++s) {
    lanes_.push_back(std::make_unique<Lane>());
    lanes_.back()->blas.emplace(lanes_.back()->stream, arrays_.tile[s].workspace);
  }
  // The product overwrites them, but memory checkers see them read before (beta = 0).
  for (std::uint32_t s = 0; s < shape_.stream_count; ++s)
    call(CallKind::copy, "cudaMemsetAsync", "factor moves", [&] {
      return cudaMemsetAsync(arrays_.tile[s].factors, 0,
                             sizeof(double) * host_arrays_.factor_count * shape_.stride,
                             lanes_[s]->stream);
    });
  if (shape_.aggregate.shared_bytes) prepare_aggregate(shape_.aggregate);
  upload_plan();
}

void Simulation::upload_plan() {
  const Stream& stream = lanes_[0]->stream;
  const core::PlanArrays& plan = host_arrays_;
  DeviceArrays& a = arrays_;
  const char* const purpose = "upload of the plan";
  upload(a.loading, plan.loading, std::size_t{plan.factor_count} * plan.factor_count, stream,
         purpose);
  upload(a.offset, plan.offset, plan_.model.offset.size(), stream, purpose);
  upload(a.history, plan.history, plan_.model.history.size(), stream, purpose);
  upload(a.mixing_table, plan.mixing_table, plan_.model.mixing_table.size(), stream, purpose);
  if (plan_.is_sobol()) {
    upload(a.sobol_directions, plan.sobol_directions, plan_.sobol_directions.size(), stream,
           purpose);
    upload(a.sobol_keys, plan.sobol_keys, plan_.sobol_keys.size(), stream, purpose);
  }
  upload(a.state_rows, plan.state_rows, plan.state_row_count, stream, purpose);
  upload(a.strike_cells, plan.strike_cells, plan.strike_cell_count, stream, purpose);
  upload(a.settled_cells, plan.settled_cells, plan.settled_cell_count, stream, purpose);
  upload(a.linear_cells, plan.linear_cells, plan.linear_cell_count, stream, purpose);
  upload(a.slabs, lists_.slabs.data(), lists_.slabs.size(), stream, purpose);
  upload(a.bundles, dense_.bundles.data(), dense_.bundles.size(), stream, purpose);
  upload(a.dense_instruments, dense_.instruments.data(), dense_.instruments.size(), stream,
         purpose);
  upload(a.dense_weights, dense_.weights.data(), dense_.weights.size(), stream, purpose);
  upload_lists(lists_, stream);
  device_plan_ = plan;
  device_plan_.loading = a.loading;
  device_plan_.offset = plan.offset ? a.offset : nullptr;
  device_plan_.history = plan.history ? a.history : nullptr;
  device_plan_.mixing_table = a.mixing_table;
  device_plan_.sobol_directions = plan_.is_sobol() ? a.sobol_directions : nullptr;
  device_plan_.sobol_keys = a.sobol_keys;
  device_plan_.state_rows = a.state_rows;
  device_plan_.strike_cells = a.strike_cells;
  device_plan_.settled_cells = a.settled_cells;
  device_plan_.linear_cells = a.linear_cells;
  device_plan_.column_count = nullptr;  // the product takes whole rows
  device_plan_.holdings = nullptr;      // the lists hold them
  device_plan_.group_begin = nullptr;
}

void Simulation::upload_lists(const SlabLists& lists, const Stream& stream) {
  SHORTFALL_ASSERT(lists.pairs.size() <= pair_capacity_);
  upload(arrays_.pairs, lists.pairs.data(), lists.pairs.size(), stream, "upload of holdings");
  upload(arrays_.begin, lists.begin.data(), lists.begin.size(), stream, "upload of holdings");
  upload(arrays_.groups, lists.groups.data(), lists.groups.size(), stream, "upload of holdings");
  // The copies read pageable memory of the caller.
  stream.wait("upload of the plan");
}

void Simulation::revalue(std::uint32_t lane, const TilePaths& paths, const std::uint32_t* listed) {
  const Stream& stream = lanes_[lane]->stream;
  const DeviceArrays::Tile& tile = arrays_.tile[lane];
  if (device_plan_.history) {
    launch_history(device_plan_, paths, listed, tile.normals, tile.mixing, tile.factors, stream);
  } else {
    launch_draw(device_plan_, paths, listed, tile.normals, tile.mixing, stream);
    lanes_[lane]->blas->correlate(arrays_.loading, tile.normals, tile.factors,
                                  device_plan_.factor_count, paths.stride, padded_count(paths));
    launch_mix(device_plan_, paths, tile.mixing, tile.factors, stream);
  }
  launch_market_states(device_plan_, paths, tile.factors, tile.states, stream);
  launch_revalue(device_plan_, paths, tile.states, tile.values, stream);
}

void Simulation::aggregate(std::uint32_t lane, const TilePaths& paths, bool has_dense) {
  const Stream& stream = lanes_[lane]->stream;
  const DeviceArrays& a = arrays_;
  const float* const values = a.tile[lane].values;
  const auto count = [](const auto& list) { return static_cast<std::uint32_t>(list.size()); };
  launch_aggregate({values, paths, a.slabs, a.pairs, a.begin, a.groups, count(lists_.slabs),
                    count(lists_.groups), a.carry, a.losses, a.tails},
                   shape_.aggregate, stream);
  if (has_dense)
    launch_aggregate_dense({values, paths, a.bundles, a.dense_instruments, a.dense_weights,
                            count(dense_.bundles), a.losses, a.tails},
                           stream);
}

void Simulation::run_tiles(PathRange range, std::uint64_t tile_paths, bool has_dense,
                           const std::function<void(std::uint64_t, const Stream&)>& after,
                           const Progress& progress) {
  const std::uint64_t path_count = range.end - range.begin;
  std::vector<std::uint64_t> done_by_tile;
  std::size_t reported = 0;
  const auto report_next = [&] {
    events_[reported % tiles_ahead].wait();
    if (progress) progress(done_by_tile[reported]);
    ++reported;
  };
  std::uint32_t lane = 0;
  for (std::uint64_t done = 0; done < path_count;) {
    std::uint64_t next = std::min(core::next_pilot(done, path_count), done + tile_paths);
    // Until then no candidate lacks room; from then on thresholds are keys, and ties are refused.
    if (done < shape_.capacity) next = std::min(next, shape_.capacity);
    const TilePaths paths{range.begin + done, static_cast<std::uint32_t>(next - done),
                          shape_.stride};
    const Stream& stream = lanes_[lane]->stream;
    const std::size_t tile = done_by_tile.size();
    revalue(lane, paths);
    // Candidates and thresholds are shared: one tile after the other.
    if (tile > 0) events_[(tile - 1) % tiles_ahead].hold_back(stream);
    aggregate(lane, paths, has_dense);
    after(done = next, stream);
    if (tile >= reported + tiles_ahead) report_next();
    events_[tile % tiles_ahead].record(stream);
    done_by_tile.push_back(done);
    while (reported < tile && events_[reported % tiles_ahead].is_done()) report_next();
    lane = (lane + 1) % shape_.stream_count;
  }
  while (reported < done_by_tile.size()) report_next();
}

Tails Simulation::simulate(PathRange range, const Progress& progress) {
  const std::uint64_t path_count = range.end - range.begin;
  const Stream& stream = lanes_[0]->stream;
  TailBuffers& tails = arrays_.tails;
  tails.keep_count = std::min(plan_.tail.count, path_count);
  const std::uint32_t groups = host_arrays_.group_count;
  const auto fill = [&](unsigned long long* array, std::size_t count, int byte) {
    call(CallKind::copy, "cudaMemsetAsync", "tails",
         [&] { return cudaMemsetAsync(array, byte, count * sizeof *array, stream); });
  };
  fill(tails.count, groups, 0);
  fill(tails.floor, groups, 0);
  fill(tails.dropped, groups, 0);
  fill(tails.bad_path, 1, 0xff);
  stream.wait("tails");
  run_tiles(
      range, shape_.stride, true,
      [&](std::uint64_t done, const Stream& on) {
        const bool is_pilot = done < path_count && core::next_pilot(done - 1, path_count) == done;
        const auto rank =
            is_pilot
                ? static_cast<std::uint64_t>(rank_scale_ * static_cast<double>(core::threshold_rank(
                                                               tails.keep_count, done, path_count)))
                : 0;
        launch_compact(tails, nullptr, groups, rank, done == shape_.capacity, on);
      },
      progress);
  launch_select(tails, nullptr, groups, arrays_.is_missing, stream);
  throw_if_bad(stream);
  redo_missing(range, stream);
  return take(path_count, stream);
}

void Simulation::throw_if_bad(const Stream& stream) const {
  unsigned long long path = 0;
  download(&path, arrays_.tails.bad_path, 1, stream, "losses that are not finite");
  stream.wait("the tails");
  if (path != ~0ull) throw_loss_error(plan_, path);
}

void Simulation::redo_missing(PathRange range, const Stream& stream) {
  const TailBuffers& tails = arrays_.tails;
  if (count_missing(arrays_.is_missing, host_arrays_.group_count, arrays_.scratch, stream) == 0)
    return;
  std::vector<std::uint32_t> is_missing(host_arrays_.group_count), again;
  download(is_missing.data(), arrays_.is_missing, is_missing.size(), stream, "missing tails");
  stream.wait("missing tails");
  for (std::uint32_t g = 0; g < is_missing.size(); ++g)
    if (is_missing[g]) again.push_back(g);
  lists_ = make_slab_lists(plan_, again, lists_.slabs, row_bytes_);
  upload_lists(lists_, stream);
  const auto count = static_cast<std::uint32_t>(again.size());
  upload(arrays_.redone, again.data(), again.size(), stream, "missing tails");
  launch_restart(tails, arrays_.redone, count, stream);
  stream.wait("missing tails");
  // What a tile can add fits beside keep_count keys, and no threshold is a guess: nothing is lost.
  const std::uint64_t room = shape_.capacity - shape_.keep_count;
  run_tiles(range, std::min<std::uint64_t>(shape_.stride, room), false,
            [&](std::uint64_t, const Stream& on) {
              launch_compact(tails, arrays_.redone, count, 0, true, on);
            },
            {});
  launch_select(tails, arrays_.redone, count, arrays_.is_missing, stream);
  SHORTFALL_ASSERT(count_missing(arrays_.is_missing, count, arrays_.scratch, stream) == 0);
}

Tails Simulation::take(std::uint64_t path_count, const Stream& stream) const {
  const TailBuffers& buffers = arrays_.tails;
  const std::size_t groups = host_arrays_.group_count;
  Tails tails{path_count, buffers.keep_count, {}};
  tails.keys.resize(groups * tails.count);
  if (groups == 0) return tails;
  const std::size_t row_bytes = tails.count * sizeof(std::uint64_t);
  call(CallKind::copy, "cudaMemcpy2DAsync", "tails of the groups", [&] {
    return cudaMemcpy2DAsync(tails.keys.data(), row_bytes, buffers.keys,
                             buffers.capacity * sizeof(std::uint64_t), row_bytes, groups,
                             cudaMemcpyDeviceToHost, stream);
  });
  stream.wait("tails of the groups");
  sort_if_weighted(plan_, tails);
  return tails;
}

/// Copies the first columns of a tile's rows into columns of a host array.
template <class T>
void Simulation::copy_columns(const T* rows, std::size_t row_count, std::uint32_t column_count,
                              T* to, std::size_t to_stride, const char* purpose) const {
  call(CallKind::copy, "cudaMemcpy2DAsync", purpose, [&] {
    return cudaMemcpy2DAsync(to, to_stride * sizeof(T), rows, shape_.stride * sizeof(T),
                             column_count * sizeof(T), row_count, cudaMemcpyDeviceToHost,
                             lanes_[0]->stream);
  });
}

PathTrace Simulation::trace(std::uint64_t first_path, std::uint32_t path_count) {
  const core::PlanArrays& plan = host_arrays_;
  const Stream& stream = lanes_[0]->stream;
  // No loss is taken: every key is below this.
  call(CallKind::copy, "cudaMemsetAsync", "tails", [&] {
    return cudaMemsetAsync(arrays_.tails.floor, 0xff, plan.group_count * sizeof(std::uint64_t),
                           stream);
  });
  PathTrace trace;
  trace.first_path = first_path;
  trace.path_count = path_count;
  for (std::uint32_t at = 0; at < path_count; at += shape_.stride) {
    const std::uint32_t count = std::min(shape_.stride, path_count - at);
    const auto copy = [&](const auto* rows, std::size_t row_count, auto& to) {
      to.resize(row_count * path_count);
      copy_columns(rows, row_count, count, to.data() + at, path_count, "trace");
    };
    const TilePaths paths{first_path + at, count, shape_.stride};
    revalue(0, paths);
    aggregate(0, paths, true);
    const DeviceArrays::Tile& tile = arrays_.tile[0];
    copy(tile.normals, plan.factor_count, trace.normals);
    copy(tile.mixing, 1, trace.mixing);
    copy(tile.factors, plan.factor_count, trace.factors);
    copy(tile.states, plan.state_row_count, trace.states);
    copy(tile.values, plan.instrument_count, trace.values);
    copy(arrays_.losses, plan.group_count, trace.losses);
    stream.wait("trace");
  }
  return trace;
}

void Simulation::replay(std::span<const std::uint32_t> paths, const UseValues& use) {
  const core::PlanArrays& plan = host_arrays_;
  const Stream& stream = lanes_[0]->stream;
  PathValues values;
  std::vector<std::uint32_t> listed(shape_.stride);
  for (std::size_t first = 0; first < paths.size(); first += shape_.stride) {
    const auto part =
        paths.subspan(first, std::min<std::size_t>(shape_.stride, paths.size() - first));
    std::ranges::copy(part, listed.begin());
    std::fill(listed.begin() + static_cast<std::ptrdiff_t>(part.size()), listed.end(), part.back());
    upload(arrays_.listed, listed.data(), listed.size(), stream, "paths to replay");
    const auto count = static_cast<std::uint32_t>(part.size());
    revalue(0, {0, count, shape_.stride}, arrays_.listed);
    values.path_count = count;
    values.factors.resize(std::size_t{plan.factor_count} * count);
    values.values.resize(std::size_t{plan.instrument_count} * count);
    copy_columns(arrays_.tile[0].factors, plan.factor_count, count, values.factors.data(), count,
                 "replay");
    copy_columns(arrays_.tile[0].values, plan.instrument_count, count, values.values.data(), count,
                 "replay");
    stream.wait("replay");
    use(first, values);
  }
}

}  // namespace shortfall::cuda
