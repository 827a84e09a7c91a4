// The CUDA backend of a build without one.
#include "fmt/format.h"
#include "shortfall/cuda.hpp"

namespace shortfall {

CudaDevices find_cuda_devices() {
  return {{}, "this build has no CUDA backend: " SHORTFALL_NO_CUDA_REASON};
}

std::string cuda_build() { return "none: " SHORTFALL_NO_CUDA_REASON; }

std::unique_ptr<Backend> make_cuda_backend(int device, const CudaTuning&) {
  throw OperatingError(fmt::format("CUDA device {}: {}", device, find_cuda_devices().reason));
}

}  // namespace shortfall
