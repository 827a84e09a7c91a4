#include "account_list.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "margin/collateral.hpp"

namespace shortfall::service {
namespace {

const char* status_of(const AccountView& account, const MarginConfig& config) {
  return account.margin && config.collateral ? to_string(account.margin->status) : "none";
}

/// Empty sorts last. A ratio without equity is infinite.
std::optional<double> value_of(const AccountView& account, AccountSort sort,
                               const MarginConfig& config) {
  if (sort == AccountSort::positions) return account.position_count;
  if (sort == AccountSort::staleness) return account.staleness.seconds;
  if (!account.margin) return std::nullopt;
  const AccountMargin& margin = *account.margin;
  const auto where_configured = [&](double value) {
    return config.collateral ? std::optional(value) : std::nullopt;
  };
  switch (sort) {
    case AccountSort::margin_ratio:
      return where_configured(margin.margin_ratio);
    case AccountSort::equity:
      return where_configured(margin.equity_usd);
    case AccountSort::margin_excess:
      return where_configured(margin.excess_usd);
    case AccountSort::margin:
      return margin.margin_usd;
    case AccountSort::expected_shortfall:
      return margin.expected_shortfall_usd;
    default:
      return margin.gross_notional_usd;
  }
}

void sort_accounts(std::vector<const AccountView*>& accounts, const AccountsQuery& query,
                   const MarginConfig& config) {
  std::ranges::sort(accounts, {},
                    [](const AccountView* a) -> const std::string& { return a->name; });
  if (query.sort == AccountSort::account) {
    if (query.is_descending) std::ranges::reverse(accounts);
    return;
  }
  struct Row {
    std::optional<double> value;
    const AccountView* account;
  };
  std::vector<Row> rows;
  for (const AccountView* account : accounts)
    rows.push_back({value_of(*account, query.sort, config), account});
  std::ranges::stable_sort(rows, [&](const Row& a, const Row& b) {
    if (!a.value || !b.value) return a.value.has_value() && !b.value.has_value();
    return query.is_descending ? *a.value > *b.value : *a.value < *b.value;
  });
  std::ranges::transform(rows, accounts.begin(), &Row::account);
}

Json json_of(const Instrument& i, std::span<const std::string> underlyings) {
  const auto unless_zero = [](double value) { return value == 0 ? Json() : Json(value); };
  const bool is_option = i.type == InstrumentType::call || i.type == InstrumentType::put;
  return {{"instrument", i.name},
          {"type", to_string(i.type)},
          {"underlying", underlyings[i.underlying]},
          {"settlement", to_string(i.settlement)},
          {"expiry", i.expiry == 0 ? Json() : Json(format_date_time(i.expiry))},
          {"strike", is_option ? unless_zero(i.strike) : Json()},
          {"multiplier", i.multiplier},
          {"mark_price", unless_zero(i.mark_price)},
          {"mark_iv", is_option ? unless_zero(i.mark_iv) : Json()}};
}

}  // namespace

Json list_accounts(std::vector<AccountView> accounts, const AccountsQuery& query,
                   const MarginConfig& config) {
  Json statuses = {{"ok", 0}, {"call", 0}, {"liquidate", 0}, {"none", 0}};
  std::vector<const AccountView*> found;
  for (const AccountView& account : accounts) {
    const char* const status = status_of(account, config);
    statuses[status] = statuses[status].get<std::size_t>() + 1;
    if ((!query.status || *query.status == status) && matches(account.name, query.search))
      found.push_back(&account);
  }
  sort_accounts(found, query, config);
  Json rows = Json::array();
  for (std::size_t r = query.offset; r < found.size() && rows.size() < query.limit; ++r)
    rows.push_back(json_of(*found[r], config));
  return {{"total", accounts.size()},        {"matched", found.size()},
          {"offset", query.offset},          {"limit", query.limit},
          {"statuses", std::move(statuses)}, {"accounts", std::move(rows)}};
}

Json list_instruments(std::vector<Instrument> instruments, std::span<const std::string> underlyings,
                      const InstrumentsQuery& query) {
  const std::size_t total = instruments.size();
  std::erase_if(instruments, [&](const Instrument& i) { return !matches(i.name, query.search); });
  std::ranges::sort(instruments, {}, &Instrument::name);
  Json rows = Json::array();
  for (std::size_t r = 0; r < instruments.size() && r < query.limit; ++r)
    rows.push_back(json_of(instruments[r], underlyings));
  return {{"total", total}, {"matched", instruments.size()}, {"instruments", std::move(rows)}};
}

}  // namespace shortfall::service
