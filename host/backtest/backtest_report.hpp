// A backtest for people: a table for the terminal, and one HTML file.
#pragma once

#include <string>
#include <vector>

#include "evaluation.hpp"
#include "walk.hpp"

namespace shortfall::backtest {

/// A walk with one method, and what the tests say.
struct MethodResult {
  std::string method;
  Walk walk;
  std::vector<Evaluation> evaluations;
  double seconds = 0;
};

/// A row per method, book and level; what passes and what does not.
std::string format_backtest(const std::vector<MethodResult>& results);

/// The same with pictures of losses against value at risk and expected shortfall, in one file that
/// needs no other.
std::string format_html(const std::vector<MethodResult>& results);

}  // namespace shortfall::backtest
