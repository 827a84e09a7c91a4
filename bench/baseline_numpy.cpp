#include <fmt/format.h>
#include <stdlib.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "sections.hpp"
#include "slice.hpp"
#include "subprocess.hpp"

namespace shortfall::bench {
namespace {

constexpr const char* script = SHORTFALL_SOURCE_DIR "/bench/numpy_baseline.py";

/// One thread, and the library's own choice of kernel.
const std::vector<std::pair<std::string, std::string>> environment = {{"OPENBLAS_NUM_THREADS", "1"},
                                                                      {"OMP_NUM_THREADS", "1"},
                                                                      {"MKL_NUM_THREADS", "1"},
                                                                      {"OPENBLAS_CORETYPE", ""},
                                                                      {"OPENBLAS_L2_SIZE", ""}};

std::string interpreter() {
  const char* const chosen = std::getenv("SHORTFALL_BENCH_PYTHON");
  return chosen ? chosen : "python3";
}

Finished run_python(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), interpreter());
  return Command{std::move(arguments), environment}.run();
}

class NumpyRun {
 public:
  NumpyRun(const Job& job, std::uint32_t path_count, std::filesystem::path factors,
           std::string dtype)
      : job_(job), slice_(job, path_count), factors_(std::move(factors)), dtype_(std::move(dtype)) {
    std::ofstream out(factors_, std::ios::binary);
    out.write(
        reinterpret_cast<const char*>(slice_.moves()),
        static_cast<std::streamsize>(job.plan.model.factor_count * path_count * sizeof(double)));
    if (!out.flush()) throw OperatingError("cannot write " + factors_.string());
  }

  double path_count() const { return slice_.path_count(); }

  double seconds() {
    std::vector<std::string> arguments = {script, job_.config.file, factors_, dtype_};
    arguments.insert(arguments.end(), fastest_.begin(), fastest_.end());
    const Finished finished = run_python(arguments);
    if (finished.status != 0)
      throw OperatingError(
          fmt::format("{} ended with status {}: {}", script, finished.status, finished.errors));
    const auto result = nlohmann::json::parse(finished.output);
    fastest_ = {std::to_string(result.at("block").get<int>()), result.at("aggregation")};
    versions_ = result.at("versions");
    shortfalls_ = result.at("expected_shortfalls").get<std::vector<double>>();
    return result.at("seconds");
  }

  std::uint64_t check(Row& row) const {
    const double error = slice_.check_shortfalls(shortfalls_);
    row.note = fmt::format(
        "{} {}, blocks of {} paths, {} product, tails included, draws not; time extrapolated from "
        "{} paths; ES within {:.1g} of gross notional",
        versions_, dtype_, fastest_.at(0), fastest_.at(1), slice_.path_count(), error);
    return hash_array(shortfalls_.data(), shortfalls_.size());
  }

 private:
  const Job& job_;
  const Slice slice_;
  const std::filesystem::path factors_;
  const std::string dtype_;
  std::vector<std::string> fastest_;  ///< found by the first run
  std::string versions_;
  std::vector<double> shortfalls_;
};

}  // namespace

void add_numpy(Suite& suite, const Job& job, const std::filesystem::path& directory) {
  const Finished probe = run_python({"-c", "import numpy, scipy, tomllib"});
  for (const char* const dtype : {"float64", "float32"}) {
    const std::string stage = fmt::format("baseline.numpy.{}", dtype);
    Row row{.stage = stage, .job = job.name, .item = "path"};
    row.whole = static_cast<double>(job.plan.path_count);
    if (probe.status != 0) {
      suite.skip(std::move(row),
                 fmt::format("{} with numpy and scipy is not here (SHORTFALL_BENCH_PYTHON names "
                             "another interpreter)",
                             interpreter()));
      continue;
    }
    const auto run = std::make_shared<NumpyRun>(
        job, suite.is_quick() ? 2048 : 10'240, directory / fmt::format("factors-{}", dtype), dtype);
    const std::size_t index = suite.rows().size();
    suite.add_timed(
        std::move(row), run->path_count(), [=] { return run->seconds(); },
        [=, &suite] { return run->check(suite.rows()[index]); });
  }
}

}  // namespace shortfall::bench
