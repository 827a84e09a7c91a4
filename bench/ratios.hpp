// The ratios of a run, kept in a file so that later runs on the same kind of processor notice what
// fell.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "suite.hpp"

namespace shortfall::bench {

/// Of one kind of processor. "job/canonical/avx512: naive" is a ratio to a baseline, "...: limit" a
/// share of a limit.
struct Ratios {
  std::string processor, revision;
  std::map<std::string, double> values;
};

/// What was measured; times alone mean little.
std::map<std::string, double> measured_ratios(const Suite& suite);

/// Empty where there is no file. Throws OperatingError where it is not what write_ratios writes.
Ratios read_ratios(const std::filesystem::path& file);
void write_ratios(const Ratios& ratios, const std::filesystem::path& file);

struct Fall {
  std::string name;
  double before = 0, now = 0;
};

struct Comparison {
  std::string against;  ///< the revision, or why there is nothing to compare with
  std::size_t compared_count = 0;
  std::vector<Fall> falls = {};                ///< by more than 5 %
  std::vector<std::string> not_measured = {};  ///< in the file, not in this run
};

Comparison compare(const Ratios& now, const Ratios& recorded);
std::string format_comparison(const Comparison& comparison);

}  // namespace shortfall::bench
