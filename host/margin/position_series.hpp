// Walks what accounts hold, series by series, for charges that are closed forms of positions.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "shortfall/book.hpp"

namespace shortfall {

/// Per account, the sum of `charge(std::span<const Entry>)` over its series. `entry_of(position)`
/// is what a position counts for, if for anything; entries of equal `series()` are a series, which
/// order before all else. Entries are sorted by value, so that sums have the same bits whatever the
/// order of the instruments' file.
template <typename Entry, typename EntryOf, typename Charge>
std::vector<double> sum_over_series(const Book& book, EntryOf entry_of, Charge charge) {
  std::vector<double> sums(book.accounts.size());
  std::vector<Entry> own;
  for (auto p = book.positions.begin(); p != book.positions.end();) {
    const std::uint32_t account = p->account;
    own.clear();
    for (; p != book.positions.end() && p->account == account; ++p) {
      if (p->quantity.is_zero()) continue;
      if (const std::optional<Entry> entry = entry_of(*p)) own.push_back(*entry);
    }
    std::sort(own.begin(), own.end());
    for (auto first = own.begin(); first != own.end();) {
      const auto last = std::find_if(first, own.end(),
                                     [&](const Entry& e) { return e.series() != first->series(); });
      sums[account] += charge(std::span<const Entry>(first, last));
      first = last;
    }
  }
  return sums;
}

}  // namespace shortfall
