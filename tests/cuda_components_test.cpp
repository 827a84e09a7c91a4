// Margin components, each a simulation of its own or none, on a device and on the CPU.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace shortfall
