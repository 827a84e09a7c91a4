#include "checked.hpp"

#include <atomic>
#include <cstdio>

#include "fmt/format.h"

namespace shortfall::cuda {
namespace {

/// Calls left until one fails, per kind; not positive: none does.
std::atomic<int> calls_left[5];

}  // namespace

void fail_call(CallKind kind, int nth) { calls_left[static_cast<int>(kind)] = nth; }

bool is_failing(CallKind kind) {
  std::atomic<int>& left = calls_left[static_cast<int>(kind)];
  return left.load(std::memory_order_relaxed) > 0 && left.fetch_sub(1) == 1;
}

void throw_call_error(const char* call, const std::string& purpose, const char* reason) {
  throw CallError(fmt::format("{} ({}): {}", call, purpose, reason));
}

void check_launch(const char* kernel) {
  call(CallKind::launch, "kernel launch", kernel, [] { return cudaGetLastError(); });
}

void log_failure(cudaError_t status, const char* call) noexcept {
  // A lost device fails everything after it: once is enough.
  static std::atomic<cudaError_t> last_logged{cudaSuccess};
  if (status != cudaSuccess && last_logged.exchange(status) != status)
    std::fprintf(stderr, "shortfall: %s: %s\n", call, cudaGetErrorString(status));
}

}  // namespace shortfall::cuda
