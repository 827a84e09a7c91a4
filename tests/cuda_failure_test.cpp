// What fails on a device becomes an error that names the call, its purpose, the device and the
// paths that are not done, or does not matter: never a wrong number.
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <set>

#include "cuda/checked.hpp"
#include "cuda_books.hpp"
#include "shortfall/scheduler.hpp"

namespace shortfall {
namespace {

using cuda::CallKind;

struct FailureCase {
  const char* name;
  CallKind kind;
  std::vector<std::string> calls;  ///< that have to be among those that failed
};

void PrintTo(const FailureCase& failure, std::ostream* out) { *out << failure.name; }

class CudaFailure : public CudaTest, public testing::WithParamInterface<FailureCase> {
 protected:
  void TearDown() override { cuda::fail_call(GetParam().kind, -1); }

  /// The call and its purpose, from a message that says everything else as well.
  std::string failed_call(const DeviceError& error, PathRange lost) const {
    EXPECT_EQ(error.lost.begin, lost.begin);
    EXPECT_EQ(error.lost.end, lost.end);
    const std::string text = error.what();
    const CudaDevice& used = found.usable.front();
    const std::string start =
        "CUDA device " + std::to_string(used.number) + " (" + used.name + "): ";
    const std::string end = ": failed on request of a test; paths " + std::to_string(lost.begin) +
                            " to " + std::to_string(lost.end - 1) + " were not done";
    EXPECT_TRUE(text.starts_with(start)) << text;
    EXPECT_TRUE(text.ends_with(end)) << text;
    if (text.size() <= start.size() + end.size()) return text;
    return text.substr(start.size(), text.size() - start.size() - end.size());
  }

  /// Fails one call after the other until there is none left. `work` is done by the same backend
  /// before and after each failure.
  template <class Work, class Check>
  std::set<std::string> fail_each(PathRange paths, Work work, Check check) {
    constexpr int calls_max = 200;
    const auto backend = make_cuda_backend(device());
    std::set<std::string> failed;
    for (int nth = 1; nth <= calls_max; ++nth) {
      SCOPED_TRACE(nth);
      cuda::fail_call(GetParam().kind, nth);
      try {
        check(work(*backend));
        return failed;  // it has fewer calls
      } catch (const DeviceError& error) {
        failed.insert(failed_call(error, paths));
      }
      check(work(*backend));
    }
    ADD_FAILURE() << "more than " << calls_max << " calls of this kind";
    return failed;
  }
};

/// Groups are redone: a run has every kernel in it.
constexpr std::uint64_t path_count = 300;

Plan small_plan() {
  return make_mixed({"small", path_count, 0.9, Distribution::student_t, 1, 3, 1, 1000, 4, 1})
      .plan();
}

TEST_P(CudaFailure, OfAnyCallOfARunIsAnErrorThatNamesIt) {
  const Plan plan = small_plan();
  const PathRange paths{7, path_count};
  const Tails want = make_reference()->simulate(plan, paths, {});
  const std::set<std::string> failed = fail_each(
      paths, [&](Backend& backend) { return backend.simulate(plan, paths, {}); },
      [&](const Tails& got) { expect_equal_tails(plan, got, want); });
  for (const std::string& call : GetParam().calls)
    EXPECT_TRUE(failed.contains(call)) << call << " was not made";
  static const std::regex named("(cuda|cublas|kernel |thrust)[A-Za-z0-9_:]+ \\([a-z_ ]+\\)");
  for (const std::string& call : failed) EXPECT_TRUE(std::regex_match(call, named)) << call;
}

TEST_P(CudaFailure, OfAnyCallOfATraceIsAnErrorToo) {
  const Plan plan = small_plan();
  const PathTrace want = make_reference()->trace(plan, 100, 10);
  const std::set<std::string> failed = fail_each(
      {100, 110}, [&](Backend& backend) { return backend.trace(plan, 100, 10); },
      [&](const PathTrace& got) { expect_equal_stages(got, want); });
  EXPECT_FALSE(failed.empty());
}

TEST_P(CudaFailure, OfAnyCallOfAReplayIsAnErrorToo) {
  const Plan plan = small_plan();
  const std::vector<std::uint32_t> paths = {100, 105, 250};
  const auto replayed = [&](Backend& backend) {
    std::vector<float> values;
    backend.replay(plan, paths, [&](std::size_t, const PathValues& v) { values = v.values; });
    return values;
  };
  const std::vector<float> want = replayed(*make_reference());
  const std::set<std::string> failed =
      fail_each({100, 251}, replayed, [&](const std::vector<float>& got) { EXPECT_EQ(got, want); });
  EXPECT_FALSE(failed.empty());
}

INSTANTIATE_TEST_SUITE_P(
    , CudaFailure,
    testing::Values(
        FailureCase{
            "allocation",
            CallKind::allocation,
            {"cudaMalloc (memory of the simulation)", "cudaStreamCreateWithFlags (a stream)",
             "cudaEventCreateWithFlags (an event)"}},
        FailureCase{"copy",
                    CallKind::copy,
                    {"cudaMemcpyAsync (upload of the plan)", "cudaMemcpyAsync (upload of holdings)",
                     "cudaMemsetAsync (tails)", "cudaMemcpy2DAsync (tails of the groups)"}},
        FailureCase{
            "launch",
            CallKind::launch,
            {"kernel launch (draw_normals)", "kernel launch (draw_mixing)",
             "kernel launch (mix_factors)", "kernel launch (market_states)",
             "kernel launch (revalue)", "kernel launch (aggregate)",
             "kernel launch (aggregate_dense)", "kernel launch (compact)", "kernel launch (select)",
             "cudaEventRecord (order of tiles)", "cudaStreamWaitEvent (order of tiles)"}},
        FailureCase{"wait", CallKind::wait, {"cudaStreamSynchronize (tails of the groups)"}},
        FailureCase{"product",
                    CallKind::product,
                    {"cublasCreate (correlation)", "cublasSetMathMode (correlation)",
                     "cublasDgemm (correlation)"}}),
    [](const auto& row) { return row.param.name; });

class SeveralDevicesFailure : public CudaTest {
 protected:
  void TearDown() override { cuda::fail_call(CallKind::launch, -1); }
};

/// Wherever the nth launch falls.
TEST_F(SeveralDevicesFailure, OthersDoThePathsOfOneThatFails) {
  if (found.usable.size() < 2) GTEST_SKIP() << "one CUDA device";
  const Plan plan = small_plan();
  const Tails want = simulate_all(*make_reference(), plan);
  ComputeConfig config;
  config.backend = BackendChoice::cuda;
  for (const int nth : {1, 2, 5, 9, 14, 20, 27}) {
    SCOPED_TRACE(nth);
    cuda::fail_call(CallKind::launch, nth);
    const Simulated simulated = simulate_on(make_backends(config), plan, {}, {});
    EXPECT_EQ(simulated.warnings.size(), 1u);
    for (const PathShare& share : simulated.shares) EXPECT_EQ(share.backend.name, "cuda");
    expect_equal_tails(plan, simulated.tails, want);
  }
}

/// The daily deviation is 40, so that e^x overflows on about one path in 36.
MemoryBook make_overflowing(std::uint64_t path_count_of_run) {
  MemoryBook book(path_count_of_run);
  for (std::uint32_t u = 0; u < 2; ++u)
    book.add_factor(book.add_underlying(100 + u), FactorKind::spot, u ? 40 : 0.01);
  Instrument call{"", InstrumentType::call, Settlement::linear, 0};
  call.expiry = book.config.as_of + 30 * day_seconds;
  call.strike = 110;
  call.mark_iv = 0.5;
  const std::uint32_t calm = book.add(call);
  call.underlying = 1;
  const std::uint32_t wild = book.add(call);
  for (int account = 0; account < 40; ++account) {
    book.add_holder(calm, account + 1);
    if (account == 20) book.hold(book.add_holder(wild, -1), calm, 2);
  }
  return book;
}

using CudaLosses = CudaTest;

TEST_F(CudaLosses, NotFiniteAreBlamedAsOnTheCpu) {
  const Plan plan = make_overflowing(3000).plan();
  const auto error_of = [&](Backend& backend, PathRange paths) {
    try {
      backend.simulate(plan, paths, {});
    } catch (const LossError& error) {
      return testing::Message() << error.what() << ": group " << error.group << ", path "
                                << error.path << ", instrument " << error.instrument;
    }
    return testing::Message() << "no error";
  };
  const auto reference = make_reference();
  for (const PathRange paths : {PathRange{0, 3000}, PathRange{1500, 3000}, PathRange{2, 9}})
    for (const std::uint32_t tile : {0u, 128u}) {
      const auto cuda = make_cuda_backend(device(), {.tile_path_count = tile});
      EXPECT_EQ(error_of(*cuda, paths).GetString(), error_of(*reference, paths).GetString());
    }
  EXPECT_NE(error_of(*reference, {0, 3000}).GetString(), "no error");
}

using CudaMemory = CudaTest;

TEST_F(CudaMemory, PlanLargerThanTheDeviceSaysWhatWouldHelp) {
  Plan plan = small_plan();
  plan.path_count = std::uint64_t{1} << 32;
  plan.tail = tail_size(plan.path_count, 0.5);  // 2^31 keys for each of many groups
  const auto backend = make_cuda_backend(device());
  EXPECT_GT(backend->bytes_needed(plan), found.usable.front().memory_bytes);
  try {
    backend->simulate(plan, {0, plan.path_count}, {});
    FAIL() << "no error";
  } catch (const DeviceError& error) {
    const std::string text = error.what();
    for (const char* part : {" need ", " GB are free", "use fewer paths", "--backend cpu"})
      EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  }
}

}  // namespace
}  // namespace shortfall
