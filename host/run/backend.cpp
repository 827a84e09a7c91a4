#include "shortfall/backend.hpp"

#include <algorithm>
#include <functional>

#include "cpu/cpu_backend.hpp"
#include "device_choice.hpp"
#include "fmt/format.h"

namespace shortfall {
namespace {

/// The loops where both the build and the processor have them, else null.
const CpuLoops* usable_loops(InstructionSet instruction_set) {
  switch (instruction_set) {
    case InstructionSet::generic:
      return cpu_loops_generic();
#if defined(__x86_64__)
    case InstructionSet::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? cpu_loops_avx2()
                                                                             : nullptr;
    case InstructionSet::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
                 ? cpu_loops_avx512()
                 : nullptr;
#endif
    default:
      return nullptr;
  }
}

}  // namespace

LossError::LossError(std::uint32_t group_index, std::uint64_t path_number,
                     std::uint32_t priced_instrument)
    : OperatingError(fmt::format("the loss of margin group {} on path {} is not a usable number",
                                 group_index, path_number)),
      group(group_index),
      path(path_number),
      instrument(priced_instrument) {}

std::vector<InstructionSet> usable_instruction_sets() {
  std::vector<InstructionSet> usable;
  for (const auto set : {InstructionSet::generic, InstructionSet::avx2, InstructionSet::avx512})
    if (usable_loops(set)) usable.push_back(set);
  return usable;
}

const CpuLoops& cpu_loops(InstructionSet instruction_set) {
  if (instruction_set == InstructionSet::automatic)
    return *usable_loops(usable_instruction_sets().back());
  const CpuLoops* const loops = usable_loops(instruction_set);
  if (!loops)
    throw InputError(
        {{"compute.instruction_set", 0,
          fmt::format("this machine cannot run {}: use \"auto\"", to_string(instruction_set))}},
        0);
  return *loops;
}

std::string list_devices(const CudaDevices& found) {
  std::string list;
  for (const CudaDevice& device : found.usable)
    list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", device.number, device.name);
  return list;
}

std::vector<int> choose_devices(const ComputeConfig& config, const CudaDevices& found) {
  if (config.backend == BackendChoice::cpu) return {};
  if (found.usable.empty()) {
    if (config.backend == BackendChoice::automatic) return {};
    throw OperatingError(fmt::format("backend cuda: {}; use --backend cpu or auto", found.reason));
  }
  std::vector<int> usable;
  for (const CudaDevice& device : found.usable) usable.push_back(device.number);
  if (config.devices.empty()) return usable;
  for (const int number : config.devices)
    if (std::find(usable.begin(), usable.end(), number) == usable.end())
      throw OperatingError(fmt::format("backend cuda: there is no usable device {}; usable: {}",
                                       number, list_devices(found)));
  return config.devices;
}

std::vector<std::unique_ptr<Backend>> make_backends(const ComputeConfig& config) {
  constexpr std::uint32_t cuda_tile_step = 128;
  CudaTuning tuning;
  tuning.tile_path_count =
      (config.tile_path_count + cuda_tile_step - 1) / cuda_tile_step * cuda_tile_step;
  const bool may_use_cuda = config.backend != BackendChoice::cpu;
  std::vector<std::unique_ptr<Backend>> backends;
  for (const int device :
       choose_devices(config, may_use_cuda ? find_cuda_devices() : CudaDevices()))
    backends.push_back(make_cuda_backend(device, tuning));
  if (backends.empty()) backends.push_back(make_cpu_backend(config));
  return backends;
}

std::unique_ptr<Backend> make_backend(const ComputeConfig& config) {
  return std::move(make_backends(config).front());
}

void sort_if_weighted(const Plan& plan, Tails& tails) {
  if (!plan.is_weighted()) return;
  const auto count = static_cast<std::ptrdiff_t>(tails.count);
  for (auto group = tails.keys.begin(); group != tails.keys.end(); group += count)
    std::sort(group, group + count, std::greater<>());
}

Tails merge(const Plan& plan, const Tails& a, const Tails& b) {
  const std::size_t group_count = plan.groups.size();
  Tails merged;
  merged.path_count = a.path_count + b.path_count;
  merged.count = std::min(plan.tail.count, merged.path_count);
  SHORTFALL_ASSERT(merged.count <= a.count + b.count);
  merged.keys.reserve(group_count * merged.count);
  std::vector<std::uint64_t> both;
  for (std::size_t g = 0; g < group_count; ++g) {
    both.assign(a.group(g), a.group(g) + a.count);
    both.insert(both.end(), b.group(g), b.group(g) + b.count);
    std::nth_element(both.begin(), both.begin() + static_cast<std::ptrdiff_t>(merged.count - 1),
                     both.end(), std::greater<>());
    merged.keys.insert(merged.keys.end(), both.begin(),
                       both.begin() + static_cast<std::ptrdiff_t>(merged.count));
  }
  sort_if_weighted(plan, merged);
  return merged;
}

}  // namespace shortfall
