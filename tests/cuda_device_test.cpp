// What lies between the program and a device: finding it, and cuBLAS, which is loaded when needed.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cuda/blas.hpp"
#include "shortfall/cuda.hpp"
#include "shortfall/selftest.hpp"

namespace shortfall {
namespace {

using cuda::CallKind;

class CudaDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    devices = find_cuda_devices();
    if (devices.usable.empty()) GTEST_SKIP() << devices.reason;
  }
  void TearDown() override { cuda::fail_call(CallKind::product, -1); }
  CudaDevices devices;
};

TEST_F(CudaDeviceTest, DevicesAreDescribed) {
  EXPECT_EQ(devices.reason, "");
  for (std::size_t i = 0; i < devices.usable.size(); ++i) {
    const CudaDevice& device = devices.usable[i];
    EXPECT_NE(device.name, "");
    EXPECT_GE(device.compute_capability, 80);
    EXPECT_GT(device.memory_bytes, 0u);
    EXPECT_GE(device.number, static_cast<int>(i));
    EXPECT_NE(make_cuda_backend(device.number), nullptr);
  }
}

TEST_F(CudaDeviceTest, SelftestHasTheFrozenHashes) {
  for (const CudaDevice& device : devices.usable)
    for (const SelftestStage& stage : selftest(*make_cuda_backend(device.number)).stages)
      EXPECT_EQ(stage.hash, stage.expected_hash) << stage.name << " on device " << device.number;
}

TEST_F(CudaDeviceTest, NumberOutOfRangeIsRefused) {
  for (const int number : {-1, devices.usable.back().number + 1}) {
    try {
      make_cuda_backend(number);
      ADD_FAILURE() << "device " << number << " was accepted";
    } catch (const OperatingError& error) {
      EXPECT_NE(std::string(error.what()).find(std::to_string(number)), std::string::npos)
          << error.what();
    }
  }
}

/// L Z of small integers, whatever the order of the sums. Paths beyond the product stay as they
/// are.
std::vector<double> correlate_on_device(std::uint32_t count, std::size_t stride,
                                        std::uint32_t path_count) {
  std::vector<double> loading(count * count), normals(count * stride);
  for (std::size_t i = 0; i < loading.size(); ++i) loading[i] = static_cast<double>(i % 7) - 3;
  for (std::size_t i = 0; i < normals.size(); ++i) normals[i] = static_cast<double>(i % 11) - 5;
  std::vector<double> want(count * stride, 0.0), got(count * stride);
  for (std::size_t row = 0; row < count; ++row)
    for (std::size_t path = 0; path < path_count; ++path)
      for (std::size_t i = 0; i < count; ++i)
        want[row * stride + path] += loading[row * count + i] * normals[i * stride + path];

  const cuda::Stream stream;
  cuda::Arena arena;
  double *loading_there = nullptr, *normals_there = nullptr, *factors_there = nullptr;
  std::byte* workspace = nullptr;
  const auto take_all = [&] {
    arena.take(loading_there, loading.size());
    arena.take(normals_there, normals.size());
    arena.take(factors_there, got.size());
    arena.take(workspace, cuda::Blas::workspace_bytes);
  };
  take_all();
  arena.allocate(arena.taken());
  take_all();
  upload(loading_there, loading.data(), loading.size(), stream, "loading");
  upload(normals_there, normals.data(), normals.size(), stream, "normals");
  upload(factors_there, got.data(), got.size(), stream, "factors");
  const cuda::Blas blas(stream, workspace);
  blas.correlate(loading_there, normals_there, factors_there, count, stride, path_count);
  download(got.data(), factors_there, got.size(), stream, "factors");
  stream.wait("the product");
  EXPECT_EQ(got, want);
  return got;
}

TEST_F(CudaDeviceTest, CublasIsFoundAndMultiplies) {
  cuda::use_device(devices.usable.front().number);
  correlate_on_device(1, 128, 128);
  correlate_on_device(5, 256, 100);
}

TEST_F(CudaDeviceTest, FailedProductIsNamed) {
  cuda::use_device(devices.usable.front().number);
  cuda::fail_call(CallKind::product, 5);  // create, stream, workspace, mode, then the product
  try {
    correlate_on_device(3, 128, 128);
    ADD_FAILURE() << "no error";
  } catch (const cuda::CallError& error) {
    EXPECT_NE(std::string(error.what()).find("cublasDgemm (correlation)"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace shortfall
