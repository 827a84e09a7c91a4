// The maximum of a smooth function in a box, by NLopt.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace shortfall::calibration {

struct Box {
  std::vector<double> lower, upper;
};

/// BOBYQA (Powell 2009) from each of the best `climb_count` of `starts`, until the arguments move
/// by less than 1e-7 of the box; the best of the ends. Throws InputError naming `source` and `what`
/// where one does not come to an end, or where the function is finite at no start.
std::vector<double> maximise(const std::function<double(const std::vector<double>&)>& function,
                             const Box& box, const std::vector<std::vector<double>>& starts,
                             std::size_t climb_count, const std::string& source,
                             const std::string& what);

}  // namespace shortfall::calibration
