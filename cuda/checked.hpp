// Every status of the CUDA runtime, cuBLAS and cuRAND passes here and becomes an error that names
// the call and what it was for. Tests make calls fail here too.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "shortfall/error.hpp"

namespace shortfall::cuda {

/// A call that failed.
class CallError : public OperatingError {
 public:
  using OperatingError::OperatingError;
};

enum class CallKind { allocation, copy, launch, wait, product };

/// For tests: the nth call of a kind from now on (1: the next) is not made and reports an error
/// instead; a negative nth turns that off. The device is as it was.
void fail_call(CallKind kind, int nth);

/// True for the call that a test wants to fail.
bool is_failing(CallKind kind);

[[noreturn]] void throw_call_error(const char* call, const std::string& purpose,
                                   const char* reason);

/// call(kind, "cudaMalloc", "memory of the plan", [&] { return cudaMalloc(&p, bytes); })
template <class Function>
void call(CallKind kind, const char* name, const char* purpose, Function function) {
  if (is_failing(kind)) throw_call_error(name, purpose, "failed on request of a test");
  const cudaError_t status = function();
  if (status == cudaSuccess) return;
  cudaGetLastError();  // not to be reported by the next launch, if the device lives
  throw_call_error(name, purpose, cudaGetErrorString(status));
}

/// After <<<>>>: a launch reports only here.
void check_launch(const char* kernel);

/// For destructors, which must not throw: says on standard error what failed.
void log_failure(cudaError_t status, const char* call) noexcept;

}  // namespace shortfall::cuda
