#include "ledger_rows.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "shortfall/report.hpp"

namespace shortfall::service {

RunInputs inputs_of_accounts(const RunInputs& inputs, const std::vector<std::uint32_t>& accounts) {
  RunInputs some = inputs;
  some.book.accounts.clear();
  some.book.positions.clear();
  std::vector<std::string_view> names;
  for (const std::uint32_t a : accounts) {
    const auto place = static_cast<std::uint32_t>(some.book.accounts.size());
    some.book.accounts.push_back(inputs.book.accounts[a]);
    names.push_back(inputs.book.accounts[a].name);
    for (Position p : std::ranges::equal_range(inputs.book.positions, a, {}, &Position::account)) {
      p.account = place;
      some.book.positions.push_back(p);
    }
  }
  std::ranges::sort(names);
  std::erase_if(some.book.collateral, [&](const Collateral& c) {
    return !std::ranges::binary_search(names, std::string_view(c.account));
  });
  return some;
}

std::vector<MarginRow> rows_of(const std::vector<AccountMargin>& margins,
                               const MarginConfig& config) {
  const std::string text = format_margins(margins, config);
  std::vector<MarginRow> rows;
  std::size_t at = text.find('\n') + 1;
  for (const AccountMargin& margin : margins) {
    const std::size_t end = text.find('\n', at);  // names have no line breaks
    rows.push_back({margin.account, text.substr(at, end - at)});
    at = end + 1;
  }
  return rows;
}

}  // namespace shortfall::service
