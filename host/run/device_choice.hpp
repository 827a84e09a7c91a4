// Which CUDA devices a configuration means, on a machine that has these.
#pragma once

#include <vector>

#include "shortfall/config.hpp"
#include "shortfall/cuda.hpp"

namespace shortfall {

/// Numbers of the devices to run on; none: the CPU. Throws OperatingError where CUDA is asked for
/// and there is none, or a number that is asked for is not among them.
std::vector<int> choose_devices(const ComputeConfig& config, const CudaDevices& found);

/// "0 (NVIDIA H100), 1 (NVIDIA H100)".
std::string list_devices(const CudaDevices& found);

}  // namespace shortfall
