// A backtest for people: a table for the terminal, and one HTML file.
#pragma once

#include <string>
#include <utility>
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

/// What a backtest was made of: a name and a value.
using Fact = std::pair<std::string, std::string>;

/// The facts, what the tests say by method and book, statistics, procyclicality, and pictures of
/// losses against value at risk and expected shortfall, in one file that needs no other.
std::string format_html(const std::vector<Fact>& facts, const std::vector<MethodResult>& results);

}  // namespace shortfall::backtest
