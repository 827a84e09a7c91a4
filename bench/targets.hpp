// What is to be reached, and whether it is.
#pragma once

#include <string>
#include <vector>

#include "program.hpp"
#include "suite.hpp"

namespace shortfall::bench {

struct Target {
  std::string metric;
  double reached = 0;  ///< 0 where it was not measured
  std::string reached_text = {};
  double bound = 0;
  bool is_least = true;  ///< reached >= bound is wanted, else reached <= bound
  std::string bound_text;

  bool is_known() const { return reached > 0; }
  bool is_met() const { return is_least ? reached >= bound : reached <= bound; }
};

/// `widest` is the instruction set that counts.
std::vector<Target> find_targets(const Suite& suite, const ProgramRuns& runs,
                                 const std::string& widest);
/// Without a verdict where the run was quick.
std::string format_targets(const std::vector<Target>& targets, bool is_quick);

}  // namespace shortfall::bench
