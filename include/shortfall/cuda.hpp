// The CUDA backend as the host sees it: plain types, no CUDA header. In a build without CUDA there
// is no device, and the reason says so.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shortfall/backend.hpp"

namespace shortfall {

struct CudaDevice {
  int number = 0;  ///< as the CUDA runtime counts them
  std::string name;
  int compute_capability = 0;  ///< 90 is 9.0
  std::uint64_t memory_bytes = 0;
};

struct CudaDevices {
  std::vector<CudaDevice> usable;
  std::string reason;  ///< why there is none; empty where there is one
};

/// Never throws: a machine without a device, a driver or a CUDA build is an answer.
CudaDevices find_cuda_devices();

/// What this program was built with: toolkit and architectures, or why not.
std::string cuda_build();

/// How the work is cut. Nothing here changes a bit of a result; 0 lets the backend choose.
struct CudaTuning {
  std::uint32_t tile_path_count = 0;  ///< a multiple of 128
  std::uint32_t stream_count = 0;     ///< 1 or 2
  std::uint32_t lane_path_count = 0;  ///< paths per thread of the aggregation: 1, 2 or 4
  std::uint32_t thread_count = 0;  ///< per block of the aggregation: a multiple of 32, at most 1024
  bool is_slab_shared = true;      ///< instrument values from shared memory, else from the tile
  double rank_scale = 1.0;         ///< of the thresholds; below 1 too few candidates pass: redone
};

/// The backend of one device. Throws OperatingError where the device is not usable.
std::unique_ptr<Backend> make_cuda_backend(int device, const CudaTuning& tuning = {});

}  // namespace shortfall
