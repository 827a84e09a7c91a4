// Margin components, each a simulation of its own or none, on a device and on the CPU.
#include <gtest/gtest.h>

#include "cuda/checked.hpp"
#include "demo_run.hpp"
#include "shortfall/cuda.hpp"

namespace shortfall {
namespace {

TEST(CudaComponents, MarginFileEqualsTheCpus) {
  if (const CudaDevices found = find_cuda_devices(); found.usable.empty())
    GTEST_SKIP() << found.reason;
  DemoRun run(every_component, 1, 500);
  const std::string want = run.text();
  run.config().compute.backend = BackendChoice::cuda;
  EXPECT_EQ(run.text(), want);
}

/// A device that fails in the first simulation is not asked for the components'.
TEST(CudaComponents, AFailedDeviceIsLeftAlone) {
  if (const CudaDevices found = find_cuda_devices(); found.usable.empty())
    GTEST_SKIP() << found.reason;
  DemoRun run("[margin.dependence]\n", 1, 500);
  const std::string want = run.text();
  run.config().compute.backend = BackendChoice::cuda;
  run.config().compute.devices = {0};
  run.config().compute.fallback_to_cpu = true;
  cuda::fail_call(cuda::CallKind::launch, 1);
  const RunResult result = shortfall::run(run.config());
  EXPECT_EQ(format_margins(result.margins, run.config().margin), want);
  EXPECT_EQ(result.record.warnings.size(), 2u);  // few paths in the tail, and the device once
  EXPECT_EQ(result.record.shares.size(), 1u);
  EXPECT_EQ(result.record.shares[0].backend.name, "cpu");
}

}  // namespace
}  // namespace shortfall
