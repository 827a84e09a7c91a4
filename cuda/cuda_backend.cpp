#include <algorithm>
#include <type_traits>

#include "fmt/format.h"
#include "shortfall/cuda.hpp"
#include "simulation.hpp"

namespace shortfall {
namespace {

std::string size_text(std::uint64_t bytes) {
  const auto size = static_cast<double>(bytes);
  return bytes < 1'000'000'000 ? fmt::format("{:.1f} MB", size * 1e-6)
                               : fmt::format("{:.1f} GB", size * 1e-9);
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(CudaDevice device, const CudaTuning& tuning)
      : device_(std::move(device)), tuning_(tuning) {}

  /// The tile is the last simulation's, which depends on the memory that was free.
  BackendDescription describe(const Plan&) const override {
    return {"cuda", fmt::format("{} (CUDA device {})", device_.name, device_.number),
            fmt::format("sm_{}", device_.compute_capability), 0, tile_path_count_};
  }

  std::uint64_t bytes_needed(const Plan& plan) const override {
    return sized(plan, plan.path_count, cuda::Purpose::tails).bytes();
  }

  Tails simulate(const Plan& plan, PathRange range, const Progress& progress) override {
    SHORTFALL_ASSERT(range.begin < range.end && range.end <= plan.path_count);
    return on_device(range, [&] {
      cuda::Simulation simulation = sized(plan, range.end - range.begin, cuda::Purpose::tails);
      require_memory(plan, simulation.bytes());
      tile_path_count_ = simulation.shape().stride;
      simulation.start();
      return simulation.simulate(range, progress);
    });
  }

  PathTrace trace(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count) override {
    return on_device({first_path, first_path + path_count}, [&] {
      cuda::Simulation simulation = sized(plan, path_count, cuda::Purpose::trace);
      require_memory(plan, simulation.bytes());
      simulation.start();
      return simulation.trace(first_path, path_count);
    });
  }

  void replay(const Plan& plan, std::span<const std::uint32_t> paths,
              const UseValues& use) override {
    if (paths.empty()) return;
    const auto [least, greatest] = std::ranges::minmax(paths);
    on_device({least, std::uint64_t{greatest} + 1}, [&] {
      cuda::Simulation simulation = sized(plan, paths.size(), cuda::Purpose::replay);
      require_memory(plan, simulation.bytes());
      simulation.start();
      simulation.replay(paths, use);
    });
  }

 private:
  cuda::Simulation sized(const Plan& plan, std::uint64_t path_count, cuda::Purpose purpose) const {
    cuda::use_device(device_.number);
    return {plan, path_count, cuda::device_limits(device_.number), tuning_, purpose};
  }

  void require_memory(const Plan& plan, std::uint64_t bytes) const {
    const std::uint64_t free_bytes = cuda::device_limits(device_.number).free_memory_bytes;
    if (bytes <= free_bytes) return;
    throw cuda::CallError(fmt::format(
        "{} paths of {} instruments with {} margin groups need {} of its memory, {} "
        "are free; most of it is for the {} worst paths of each group: use fewer paths, a higher "
        "confidence, more devices, or --backend cpu",
        plan.path_count, plan.instruments.size(), plan.groups.size(), size_text(bytes),
        size_text(free_bytes), plan.tail.count));
  }

  /// Work of this device: a call that fails costs these paths.
  template <class Work>
  std::invoke_result_t<Work> on_device(PathRange range, Work work) const {
    try {
      return work();
    } catch (const cuda::CallError& error) {
      throw DeviceError(
          fmt::format("CUDA device {} ({}): {}; paths {} to {} were not done", device_.number,
                      device_.name, error.what(), range.begin, range.end - 1),
          range);
    }
  }

  CudaDevice device_;
  CudaTuning tuning_;
  std::uint32_t tile_path_count_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int device, const CudaTuning& tuning) {
  const CudaDevices found = find_cuda_devices();
  for (const CudaDevice& usable : found.usable)
    if (usable.number == device) return std::make_unique<CudaBackend>(usable, tuning);
  throw OperatingError(
      found.usable.empty()
          ? fmt::format("backend cuda: {}", found.reason)
          : fmt::format("backend cuda: there is no usable CUDA device {}", device));
}

}  // namespace shortfall
