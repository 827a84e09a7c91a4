// What the backend owns on a device: streams, events, and one arena of memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "checked.hpp"

namespace shortfall::cuda {

/// What the runtime says of a device, as far as the sizes of the work depend on it.
struct DeviceLimits {
  std::string name;
  std::uint32_t processor_count = 0;    ///< streaming multiprocessors
  std::size_t shared_memory_bytes = 0;  ///< per block, opted in
  std::uint64_t free_memory_bytes = 0;
  /// Bytes that memory moves while one processor issues an instruction; an H100's where unknown.
  double bytes_per_instruction = 3.6;
};

/// Makes `device` the current one of this thread.
void use_device(int device);
DeviceLimits device_limits(int device);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void wait(const char* purpose) const;

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(const Stream& stream) const;
  /// Work given to `stream` from now on waits for the event.
  void hold_back(const Stream& stream) const;
  bool is_done() const;
  void wait() const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// Sums what arrays need, each aligned; then hands them out of one allocation in the same order.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void allocate(std::size_t bytes);

  /// Without memory (before `allocate`) counts only, and sets null.
  template <class T>
  void take(T*& array, std::size_t count) {
    array = begin_ ? reinterpret_cast<T*>(begin_ + taken_) : nullptr;
    taken_ += (count * sizeof(T) + alignment - 1) / alignment * alignment;
    SHORTFALL_ASSERT(!begin_ || taken_ <= bytes_);
  }
  std::size_t taken() const { return taken_; }

 private:
  static constexpr std::size_t alignment = 256;
  std::byte* begin_ = nullptr;
  std::size_t bytes_ = 0, taken_ = 0;
};

template <class T>
void upload(T* to, const T* from, std::size_t count, const Stream& stream, const char* purpose) {
  if (count == 0) return;
  call(CallKind::copy, "cudaMemcpyAsync", purpose, [&] {
    return cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyHostToDevice, stream);
  });
}

template <class T>
void download(T* to, const T* from, std::size_t count, const Stream& stream, const char* purpose) {
  if (count == 0) return;
  call(CallKind::copy, "cudaMemcpyAsync", purpose, [&] {
    return cudaMemcpyAsync(to, from, count * sizeof(T), cudaMemcpyDeviceToHost, stream);
  });
}

}  // namespace shortfall::cuda
