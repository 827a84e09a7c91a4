// One file of histories: a time per row, a series per column.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "history.hpp"

namespace shortfall::calibration {

/// Levels that were observed, scaled, ascending in time.
struct Series {
  std::string column, factor;
  FactorName name;
  std::vector<std::int64_t> times;
  std::vector<double> levels;
  std::vector<std::size_t> lines;
};

struct HistoryFile {
  std::vector<Series> series;
  std::vector<std::int64_t> times;  ///< of every row
  std::vector<std::size_t> lines;
};

/// Reports what is wrong with the file: its layout, times that do not ascend, levels that are no
/// numbers, not positive where they have to be, out of range for their kind, or a thousand times
/// their neighbour.
HistoryFile read_history_file(const HistorySource& source, Problems& problems);

}  // namespace shortfall::calibration
