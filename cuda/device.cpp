#include "device.hpp"

#include "fmt/format.h"
#include "shortfall/cuda.hpp"

namespace shortfall {
namespace {

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// Why the runtime finds no device. Codes, not texts: they are the same for every driver.
std::string reason_of(cudaError_t status) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (status == cudaErrorNoDevice) return "no CUDA device";
  if (status == cudaErrorInsufficientDriver && driver == 0)
    return "no NVIDIA driver, so no CUDA device";
  if (status == cudaErrorInsufficientDriver)
    return fmt::format("the driver is too old: it supports CUDA {}, this build needs {}",
                       version_text(driver), version_text(runtime));
  return cudaGetErrorString(status);
}

/// Empty, or why the device cannot run this build's kernels.
std::string why_not(int major, int minor) {
  if (major >= 8) return {};
  return fmt::format("its compute capability {}.{} is below 8.0", major, minor);
}

}  // namespace

CudaDevices find_cuda_devices() {
  CudaDevices found;
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    cudaGetLastError();  // not to be reported by the next launch
    found.reason = reason_of(status);
    return found;
  }
  for (int number = 0; number < count; ++number) {
    cudaDeviceProp device{};
    if (const cudaError_t status = cudaGetDeviceProperties(&device, number);
        status != cudaSuccess) {
      cudaGetLastError();
      found.reason = fmt::format("CUDA device {}: {}", number, cudaGetErrorString(status));
    } else if (const std::string reason = why_not(device.major, device.minor); !reason.empty()) {
      found.reason = fmt::format("CUDA device {} ({}): {}", number, device.name, reason);
    } else {
      found.usable.push_back(
          {number, device.name, device.major * 10 + device.minor, device.totalGlobalMem});
    }
  }
  if (!found.usable.empty())
    found.reason.clear();
  else if (found.reason.empty())
    found.reason = "no CUDA device";
  return found;
}

std::string cuda_build() {
  return fmt::format("CUDA {}, for compute capability {}", version_text(CUDART_VERSION),
                     SHORTFALL_CUDA_BUILT_FOR);
}

namespace cuda {

void use_device(int device) {
  call(CallKind::wait, "cudaSetDevice", "choosing the device",
       [&] { return cudaSetDevice(device); });
}

DeviceLimits device_limits(int device) {
  DeviceLimits limits;
  cudaDeviceProp properties{};
  call(CallKind::wait, "cudaGetDeviceProperties", "sizes of the device",
       [&] { return cudaGetDeviceProperties(&properties, device); });
  limits.name = properties.name;
  limits.processor_count = static_cast<std::uint32_t>(properties.multiProcessorCount);
  limits.shared_memory_bytes = properties.sharedMemPerBlockOptin;
  const auto attribute = [&](cudaDeviceAttr name) {
    int value = 0;
    call(CallKind::wait, "cudaDeviceGetAttribute", "sizes of the device",
         [&] { return cudaDeviceGetAttribute(&value, name, device); });
    return static_cast<double>(value);
  };
  // Clocks in kHz, the bus in bits, two transfers a clock; four instructions a clock.
  const double memory_rate =
      attribute(cudaDevAttrMemoryClockRate) * 2 * attribute(cudaDevAttrGlobalMemoryBusWidth) / 8;
  const double issue_rate = attribute(cudaDevAttrClockRate) * 4 * limits.processor_count;
  if (memory_rate > 0 && issue_rate > 0) limits.bytes_per_instruction = memory_rate / issue_rate;
  std::size_t free_bytes = 0, total_bytes = 0;
  call(CallKind::wait, "cudaMemGetInfo", "free memory of the device",
       [&] { return cudaMemGetInfo(&free_bytes, &total_bytes); });
  limits.free_memory_bytes = free_bytes;
  return limits;
}

Stream::Stream() {
  call(CallKind::allocation, "cudaStreamCreateWithFlags", "a stream",
       [&] { return cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking); });
}

Stream::~Stream() { log_failure(cudaStreamDestroy(stream_), "cudaStreamDestroy"); }

void Stream::wait(const char* purpose) const {
  call(CallKind::wait, "cudaStreamSynchronize", purpose,
       [&] { return cudaStreamSynchronize(stream_); });
}

Event::Event() {
  call(CallKind::allocation, "cudaEventCreateWithFlags", "an event",
       [&] { return cudaEventCreateWithFlags(&event_, cudaEventDisableTiming); });
}

Event::~Event() { log_failure(cudaEventDestroy(event_), "cudaEventDestroy"); }

void Event::record(const Stream& stream) const {
  call(CallKind::launch, "cudaEventRecord", "order of tiles",
       [&] { return cudaEventRecord(event_, stream); });
}

void Event::hold_back(const Stream& stream) const {
  call(CallKind::launch, "cudaStreamWaitEvent", "order of tiles",
       [&] { return cudaStreamWaitEvent(stream, event_, 0); });
}

bool Event::is_done() const {
  bool is_done = false;
  call(CallKind::wait, "cudaEventQuery", "progress", [&] {
    const cudaError_t status = cudaEventQuery(event_);
    is_done = status == cudaSuccess;
    if (status != cudaErrorNotReady) return status;
    return cudaGetLastError(), cudaSuccess;  // or the next launch would report it
  });
  return is_done;
}

void Event::wait() const {
  call(CallKind::wait, "cudaEventSynchronize", "progress",
       [&] { return cudaEventSynchronize(event_); });
}

Arena::~Arena() {
  if (begin_) log_failure(cudaFree(begin_), "cudaFree");
}

void Arena::allocate(std::size_t bytes) {
  SHORTFALL_ASSERT(!begin_ && bytes > 0);
  call(CallKind::allocation, "cudaMalloc", "memory of the simulation",
       [&] { return cudaMalloc(reinterpret_cast<void**>(&begin_), bytes); });
  bytes_ = bytes;
  taken_ = 0;
}

}  // namespace cuda
}  // namespace shortfall
