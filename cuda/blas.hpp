// The one product that cuBLAS does. The library is loaded when it is first needed: linked, it would
// add 70 ms and 200 MB to every start of the program, also on a CPU.
#pragma once

#include <cublas_v2.h>

#include "device.hpp"

namespace shortfall::cuda {

/// A cuBLAS handle on a stream, pedantic: neither emulated nor reduced precision. Products are
/// exact here anyway (docs/methodology.md), so the order in which it sums does not matter.
class Blas {
 public:
  static constexpr std::size_t workspace_bytes = std::size_t{4} << 20;

  Blas(const Stream& stream, void* workspace);
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  /// factors = L normals, where both have `factor_count` rows of `stride` paths and L is
  /// factor_count^2, row-major; the first `path_count` of each row are computed.
  void correlate(const double* loading, const double* normals, double* factors,
                 std::uint32_t factor_count, std::size_t stride, std::uint32_t path_count) const;

 private:
  cublasHandle_t handle_ = nullptr;
};

}  // namespace shortfall::cuda
