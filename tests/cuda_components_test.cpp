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

/// What is told of a margin beside the margin itself, to the byte.
TEST(CudaComponents, AttributionWhatIfImportanceAndComparisonEqualTheCpus) {
  if (const CudaDevices found = find_cuda_devices(); found.usable.empty())
    GTEST_SKIP() << found.reason;
  DemoRun run("sampling_uplift = 1\n", 1, 500);
  run.config().output.has_attribution = true;
  const auto told = [&] {
    std::string text = format_attribution(*shortfall::run(run.config()).attribution);
    const WhatIf answer =
        what_if(run.config(), {"market-maker-03", {parse_trade("SOL-PERPETUAL:2000")}, false});
    text += format_margins({answer.before, answer.after}, run.config().margin);
    text += fmt::format("{}\n", answer.standard_error_usd);
    for (const WorstPath& path : explain(run.config(), "market-maker-03").worst_paths)
      text += fmt::format("{} {} {}\n", path.path, path.loss_usd, fmt::join(path.moves, " "));
    run.config().risk.path_count = 10'000;
    text += format_importance(sample_importance(run.config(), "market-maker-03"));
    run.config().risk.path_count = 500;
    return text + format_comparison(compare(run.config()));
  };
  const std::string want = told();
  run.config().compute.backend = BackendChoice::cuda;
  EXPECT_EQ(told(), want);
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
