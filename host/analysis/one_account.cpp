#include "one_account.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "input/close_names.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

[[noreturn]] void throw_unusable(const RunConfig& config, std::string message) {
  throw InputError({{config.inputs.positions.string(), 0, std::move(message)}}, 0);
}

[[noreturn]] void throw_unknown(const RunConfig& config, const std::string& account,
                                const Book& book) {
  std::vector<std::string_view> names;
  for (const Account& known : book.accounts) names.push_back(known.name);
  const std::string close = close_names(account, names);
  throw_unusable(config, fmt::format("has no account {}; {}", in_quotes(account),
                                     close.empty() ? "name one of its accounts"
                                                   : "names close to it are " + close));
}

}  // namespace

RunInputs inputs_of_account(const RunInputs& inputs, std::uint32_t account) {
  RunInputs own = inputs;
  Book& book = own.book;
  book.accounts = {inputs.book.accounts[account]};
  std::erase_if(book.positions, [&](const Position& p) { return p.account != account; });
  for (Position& position : book.positions) position.account = 0;
  std::erase_if(book.collateral,
                [&](const Collateral& c) { return c.account != book.accounts.front().name; });
  return own;
}

RunInputs load_account(const RunConfig& config, const std::string& account) {
  const RunInputs inputs = load_inputs(config);
  const auto find = [&](const std::vector<Account>& accounts) {
    return std::ranges::find(accounts, account, &Account::name);
  };
  const auto held = find(inputs.book.accounts);
  if (held != inputs.book.accounts.end())
    return inputs_of_account(inputs,
                             static_cast<std::uint32_t>(held - inputs.book.accounts.begin()));
  if (find(inputs.listed_accounts) != inputs.listed_accounts.end()) throw_empty(config, account);
  throw_unknown(config, account, inputs.book);
}

void throw_empty(const RunConfig& config, const std::string& account) {
  throw_unusable(config,
                 fmt::format("account {} holds nothing, so that it has no margin; name one that "
                             "holds positions",
                             in_quotes(account)));
}

}  // namespace shortfall
