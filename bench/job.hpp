// The jobs that are measured, and files that live as long as the benchmarks.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "shortfall/shortfall.hpp"

namespace shortfall::bench {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Job {
  std::string name;
  RunConfig config;  ///< on one thread of the CPU
  RunInputs inputs;
  Plan plan;

  Job(std::string job_name, const RunConfig& run_config);
  Job(std::string job_name, const RunConfig& run_config, RunInputs run_inputs);

  std::unique_ptr<Backend> backend(InstructionSet instruction_set) const;
  /// Rows of 64 paths in a tile of the backend.
  std::uint32_t tile_rows() const;
};

/// Run configurations: of the job that performance is stated for, made by `generate` in
/// `directory`, and of the real book below SHORTFALL_SHARED.
std::filesystem::path generate_canonical(const std::filesystem::path& directory);
std::filesystem::path real_config(const std::filesystem::path& shared);
Job load_job(std::string name, const std::filesystem::path& config, bool is_quick);
/// One spot instrument held by 1,000 accounts, half of them short: nearly all of its work is to
/// filter and select losses.
Job filter_job(bool is_quick);

/// The same configuration with a positions file of `position_count` rows, written to `directory`.
RunConfig with_many_positions(const Job& job, std::size_t position_count,
                              const std::filesystem::path& directory);

}  // namespace shortfall::bench
