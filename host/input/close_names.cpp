#include "close_names.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "text.hpp"

namespace shortfall {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Letters to insert, delete or replace (Levenshtein 1966), whatever their case.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(a[i]) == lower(b[j]) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string close_names(std::string_view name, std::span<const std::string_view> candidates) {
  const std::size_t farthest = std::min<std::size_t>(3, 1 + name.size() / 3);
  std::vector<std::pair<std::size_t, std::string_view>> close;
  for (const std::string_view candidate : candidates) {
    std::size_t apart = farthest + 1;
    if (candidate.starts_with(name))
      apart = 0;
    else if (candidate.size() <= name.size() + farthest &&
             name.size() <= candidate.size() + farthest)
      apart = distance(name, candidate);
    if (apart <= farthest) close.emplace_back(apart, candidate);
  }
  const std::size_t count = std::min<std::size_t>(3, close.size());
  std::partial_sort(close.begin(), close.begin() + static_cast<std::ptrdiff_t>(count), close.end());
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i ? ", " : "") + in_quotes(close[i].second);
  return text;
}

}  // namespace shortfall
