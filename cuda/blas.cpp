#include "blas.hpp"

#include <dlfcn.h>

#include "fmt/format.h"

namespace shortfall::cuda {
namespace {

#define SHORTFALL_QUOTE_(a) #a
#define SHORTFALL_QUOTE(a) SHORTFALL_QUOTE_(a)
constexpr const char* library_name = "libcublas.so." SHORTFALL_QUOTE(CUBLAS_VER_MAJOR);

struct Library {
  decltype(&cublasCreate) create;
  decltype(&cublasDestroy) destroy;
  decltype(&cublasSetStream) set_stream;
  decltype(&cublasSetWorkspace) set_workspace;
  decltype(&cublasSetMathMode) set_math_mode;
  decltype(&cublasDgemm) dgemm;
  decltype(&cublasGetStatusString) status_string;
};

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) throw_call_error("dlsym", fmt::format("{} of {}", name, library_name), dlerror());
}

Library load() {
  void* const library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw_call_error("dlopen", library_name, dlerror());
  Library blas{};
  find(library, SHORTFALL_QUOTE(cublasCreate), blas.create);
  find(library, SHORTFALL_QUOTE(cublasDestroy), blas.destroy);
  find(library, SHORTFALL_QUOTE(cublasSetStream), blas.set_stream);
  find(library, SHORTFALL_QUOTE(cublasSetWorkspace), blas.set_workspace);
  find(library, "cublasSetMathMode", blas.set_math_mode);
  find(library, SHORTFALL_QUOTE(cublasDgemm), blas.dgemm);
  find(library, "cublasGetStatusString", blas.status_string);
  return blas;
}

/// Loaded once and kept: unloading cuBLAS is not safe while a device is in use.
const Library& library() {
  static const Library blas = load();
  return blas;
}

template <class Function>
void blas_call(const char* name, const char* purpose, Function function) {
  if (is_failing(CallKind::product)) throw_call_error(name, purpose, "failed on request of a test");
  const cublasStatus_t status = function();
  if (status != CUBLAS_STATUS_SUCCESS)
    throw_call_error(name, purpose, library().status_string(status));
}

}  // namespace

Blas::Blas(const Stream& stream, void* workspace) {
  const Library& blas = library();
  blas_call("cublasCreate", "correlation", [&] { return blas.create(&handle_); });
  try {
    blas_call("cublasSetStream", "correlation", [&] { return blas.set_stream(handle_, stream); });
    blas_call("cublasSetWorkspace", "correlation",
              [&] { return blas.set_workspace(handle_, workspace, workspace_bytes); });
    blas_call("cublasSetMathMode", "correlation",
              [&] { return blas.set_math_mode(handle_, CUBLAS_PEDANTIC_MATH); });
  } catch (...) {
    blas.destroy(handle_);
    throw;
  }
}

Blas::~Blas() {
  if (library().destroy(handle_) != CUBLAS_STATUS_SUCCESS)
    log_failure(cudaErrorUnknown, "cublasDestroy");
}

void Blas::correlate(const double* loading, const double* normals, double* factors,
                     std::uint32_t factor_count, std::size_t stride,
                     std::uint32_t path_count) const {
  // Rows of paths are columns to cuBLAS: X' = Z' L', and L row-major is L' column-major.
  const double one = 1.0, zero = 0.0;
  const int paths = static_cast<int>(path_count), count = static_cast<int>(factor_count);
  const int rows = static_cast<int>(stride);
  blas_call("cublasDgemm", "correlation", [&] {
    return library().dgemm(handle_, CUBLAS_OP_N, CUBLAS_OP_N, paths, count, count, &one, normals,
                           rows, loading, count, &zero, factors, rows);
  });
}

}  // namespace shortfall::cuda
