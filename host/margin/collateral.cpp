#include "collateral.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "model/canonical_math.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

constexpr std::uint32_t none = 0xffffffffu;

// Far beyond any use; keeps equities finite and quantities within 128 bits.
constexpr double value_usd_max = 1e18;
constexpr double contracts_max = 1e18;

constexpr Choice<AccountStatus> statuses[] = {{"ok", AccountStatus::ok},
                                              {"call", AccountStatus::call},
                                              {"liquidate", AccountStatus::liquidate}};

double magnitude(double x) { return x < 0 ? -x : x; }

/// An account's net amount of an asset.
struct Amount {
  std::uint32_t account = 0, asset = 0;
  double amount = 0;
};

/// By account, then asset. Rows of accounts that the book does not have are left out; the others
/// are added from the least up, so that their order does not matter.
std::vector<Amount> net_amounts(const Book& book) {
  std::unordered_map<std::string_view, std::uint32_t> accounts;
  if (!book.collateral.empty())
    for (std::uint32_t a = 0; a < book.accounts.size(); ++a)
      accounts.emplace(book.accounts[a].name, a);
  std::vector<Amount> rows, net;
  for (const Collateral& row : book.collateral)
    if (const auto at = accounts.find(row.account); at != accounts.end())
      rows.push_back({at->second, row.asset, row.amount});
  std::sort(rows.begin(), rows.end(), [](const Amount& a, const Amount& b) {
    return std::tie(a.account, a.asset, a.amount) < std::tie(b.account, b.asset, b.amount);
  });
  for (const Amount& row : rows) {
    if (!net.empty() && net.back().account == row.account && net.back().asset == row.asset)
      net.back().amount += row.amount;
    else
      net.push_back(row);
  }
  return net;
}

double price_usd(const Book& book, std::uint32_t asset) {
  return asset == Collateral::usd ? 1 : book.underlyings[asset].spot_usd;
}

/// Per underlying its spot instrument, of several the first by name; none where none is listed.
std::vector<std::uint32_t> spot_instruments(const Book& book) {
  std::vector<std::uint32_t> found(book.underlyings.size(), none);
  for (std::uint32_t i = 0; i < book.instruments.size(); ++i) {
    const Instrument& instrument = book.instruments[i];
    if (instrument.type != InstrumentType::spot) continue;
    std::uint32_t& first = found[instrument.underlying];
    if (first == none || instrument.name < book.instruments[first].name) first = i;
  }
  return found;
}

double contracts_of(const Amount& coin, const Book& book, std::uint32_t instrument) {
  return coin.amount / (instrument == none ? 1 : book.instruments[instrument].multiplier);
}

/// Half a unit goes away from zero. Both conversions are exact below 2^53, above which there are no
/// halves.
Quantity rounded(double contracts) {
  const double units = contracts * Quantity::units_per_contract;
  auto whole = static_cast<Quantity::Units>(units);
  const double rest = units - static_cast<double>(whole);
  if (rest >= 0.5) ++whole;
  if (rest <= -0.5) --whole;
  return Quantity::from_units(whole);
}

void check_haircuts(const RunConfig& config, const Book& book, Problems& problems) {
  const CollateralConfig& collateral = *config.margin.collateral;
  const auto report = [&](const std::string& message) {
    problems.add(config.file.string(), 0, "[margin.collateral] " + message);
  };
  if (collateral.is_simulated && !collateral.haircuts.empty())
    report("has haircuts and simulate = true; a simulated coin has no haircut, remove one of them");
  for (const auto& [name, haircut] : collateral.haircuts) {
    const auto is_named = [&, &wanted = name](const Underlying& u) { return u.name == wanted; };
    if (std::none_of(book.underlyings.begin(), book.underlyings.end(), is_named))
      report(fmt::format("haircuts has {}, which is no underlying; remove it or list it in {}",
                         in_quotes(name), config.inputs.underlyings.string()));
  }
  if (collateral.is_simulated) return;
  std::vector<bool> is_reported(book.underlyings.size());
  for (const Collateral& row : book.collateral) {
    if (row.asset == Collateral::usd || is_reported[row.asset]) continue;
    const std::string& name = book.underlyings[row.asset].name;
    if (collateral.haircuts.contains(name)) continue;
    is_reported[row.asset] = true;
    problems.add(config.inputs.collateral->string(), 0,
                 fmt::format("account {} holds {}, which has no haircut; write one in haircuts of "
                             "[margin.collateral], or set simulate = true",
                             in_quotes(row.account), name));
  }
}

void check_amounts(const RunConfig& config, const RunInputs& inputs, Problems& problems) {
  const Book& book = inputs.book;
  const std::vector<std::uint32_t> spots = spot_instruments(book);
  std::vector<bool> has_factor(book.underlyings.size()), is_reported(book.underlyings.size());
  for (const Factor& factor : inputs.covariance.factors)
    if (factor.kind == FactorKind::spot) has_factor[factor.underlying] = true;
  const auto report = [&](const std::string& message) {
    problems.add(config.inputs.collateral->string(), 0, message);
  };
  for (const Amount& held : net_amounts(book)) {
    const bool is_usd = held.asset == Collateral::usd;
    const std::string& account = book.accounts[held.account].name;
    const std::string name = is_usd ? "USD" : book.underlyings[held.asset].name;
    if (!(magnitude(held.amount * price_usd(book, held.asset)) <= value_usd_max))
      report(fmt::format("account {} has {:.6g} {}, more than 1e18 USD; correct the amount",
                         in_quotes(account), held.amount, name));
    if (is_usd || !config.margin.collateral->is_simulated || held.amount == 0) continue;
    const double contracts = contracts_of(held, book, spots[held.asset]);
    if (!(magnitude(contracts) < contracts_max))
      report(
          fmt::format("account {} has {:.6g} {}, which is {:.6g} contracts of the spot; a "
                      "quantity must be below 1e18",
                      in_quotes(account), held.amount, name, contracts));
    if (has_factor[held.asset] || is_reported[held.asset]) continue;
    is_reported[held.asset] = true;
    report(
        fmt::format("account {} holds {}, which is simulated and needs the factor {}.spot; add "
                    "its row and column to {}, or set simulate = false",
                    in_quotes(account), name, name, config.inputs.covariance.string()));
  }
}

/// Value now of one coin of an option, USD: the out-of-the-money twin and what exercise would pay
/// (put-call parity), so that nothing cancels.
double option_value_usd(const Instrument& i, double spot_usd, std::int64_t as_of) {
  constexpr double seconds_per_year = 365.0 * 86400.0;
  const double forward = i.mark_price, strike = i.strike;
  const double v =
      i.mark_iv * __builtin_sqrt(static_cast<double>(i.expiry - as_of) / seconds_per_year);
  const double twin = canonical::otm_value(forward, strike, canonical::log(forward / strike), v);
  const double exercise = i.type == InstrumentType::call ? forward - strike : strike - forward;
  const double value = twin + (exercise > 0 ? exercise : 0);
  return i.settlement == Settlement::inverse ? value / forward * spot_usd : value;
}

/// What a contract adds to equity, USD.
double contract_value_usd(const Instrument& i, double spot_usd, std::int64_t as_of) {
  switch (i.type) {
    case InstrumentType::call:
    case InstrumentType::put:
      return i.multiplier * option_value_usd(i, spot_usd, as_of);
    case InstrumentType::spot:
      return i.multiplier * spot_usd;
    case InstrumentType::future:
    case InstrumentType::perpetual:
      break;
  }
  return 0;
}

double collateral_value_usd(const CollateralConfig& config, const Book& book, const Amount& held) {
  const double value = held.amount * price_usd(book, held.asset);
  if (held.asset == Collateral::usd || config.is_simulated || value <= 0) return value;
  return value * (1 - config.haircuts.at(book.underlyings[held.asset].name));
}

/// Sorted first, so that the order of the files does not matter, and compensated (TwoSum), so that
/// an option and its premium leave nothing.
double sum_of(std::vector<double>& addends) {
  std::sort(addends.begin(), addends.end());
  double total = 0, lost = 0;
  for (const double addend : addends) {
    const double sum = total + addend, added = sum - total;
    lost += (total - (sum - added)) + (addend - added);
    total = sum;
  }
  return total + lost;
}

constexpr auto place = [](const Position& p) { return std::pair(p.account, p.instrument); };

/// Adds positions; both are sorted by (account, instrument), quantities of the same are added.
void merge_into(std::vector<Position>& positions, const std::vector<Position>& added) {
  const auto old_count = static_cast<std::ptrdiff_t>(positions.size());
  positions.insert(positions.end(), added.begin(), added.end());
  std::ranges::inplace_merge(positions, positions.begin() + old_count, {}, place);
  std::size_t count = 0;
  for (const Position& p : positions) {
    if (count > 0 && place(positions[count - 1]) == place(p)) {
      Quantity& sum = positions[count - 1].quantity;
      sum = Quantity::from_units(sum.units() + p.quantity.units());
    } else {
      positions[count++] = p;
    }
  }
  positions.resize(count);
}

}  // namespace

void check_collateral(const RunConfig& config, const RunInputs& inputs, Problems& problems) {
  if (!config.margin.collateral) return;
  if (!config.inputs.collateral) {
    problems.add(config.file.string(), 0,
                 "[margin.collateral] needs a collateral file; name it as collateral in [inputs], "
                 "or remove the table");
    return;
  }
  check_haircuts(config, inputs.book, problems);
  check_amounts(config, inputs, problems);
}

void add_collateral_accounts(Book& book) {
  if (book.collateral.empty()) return;
  // Owned, because the accounts move as they grow.
  std::unordered_set<std::string> names;
  for (const Account& account : book.accounts) names.insert(account.name);
  for (const Collateral& row : book.collateral)
    if (names.insert(row.account).second) book.accounts.push_back({row.account});
}

RunInputs with_collateral(RunInputs inputs) {
  Book& book = inputs.book;
  add_collateral_accounts(book);
  std::vector<std::uint32_t> spots = spot_instruments(book);
  for (std::uint32_t u = 0; u < spots.size(); ++u) {
    if (spots[u] != none) continue;
    spots[u] = static_cast<std::uint32_t>(book.instruments.size());
    Instrument coin;
    coin.name = book.underlyings[u].name + "-collateral";
    coin.underlying = u;
    coin.mark_price = book.underlyings[u].spot_usd;
    book.instruments.push_back(std::move(coin));
  }
  std::vector<Position> coins;
  for (const Amount& held : net_amounts(book))
    if (held.asset != Collateral::usd)
      coins.push_back(
          {held.account, spots[held.asset], rounded(contracts_of(held, book, spots[held.asset]))});
  std::ranges::sort(coins, {}, place);
  merge_into(book.positions, coins);
  std::erase_if(book.collateral,
                [](const Collateral& row) { return row.asset != Collateral::usd; });
  return inputs;
}

std::vector<double> equities(const RunConfig& config, const RunInputs& inputs) {
  SHORTFALL_ASSERT(config.margin.collateral);
  const Book& book = inputs.book;
  std::vector<double> contract_usd;
  contract_usd.reserve(book.instruments.size());
  for (const Instrument& i : book.instruments)
    contract_usd.push_back(
        contract_value_usd(i, book.underlyings[i.underlying].spot_usd, config.as_of));
  const std::vector<Amount> amounts = net_amounts(book);
  auto held = amounts.begin();
  auto p = book.positions.begin();
  std::vector<double> of_accounts, addends;
  of_accounts.reserve(book.accounts.size());
  for (std::uint32_t a = 0; a < book.accounts.size(); ++a) {
    addends.clear();
    for (; held != amounts.end() && held->account == a; ++held)
      addends.push_back(collateral_value_usd(*config.margin.collateral, book, *held));
    for (; p != book.positions.end() && p->account == a; ++p)
      addends.push_back(p->quantity.contracts() * contract_usd[p->instrument]);
    of_accounts.push_back(sum_of(addends));
  }
  return of_accounts;
}

double margin_ratio(double equity_usd, double maintenance_usd) {
  if (maintenance_usd == 0) return 0;
  return equity_usd > 0 ? maintenance_usd / equity_usd : std::numeric_limits<double>::infinity();
}

AccountStatus status_of(double equity_usd, double initial_usd, double maintenance_usd) {
  if (equity_usd < maintenance_usd) return AccountStatus::liquidate;
  return equity_usd < initial_usd ? AccountStatus::call : AccountStatus::ok;
}

const char* to_string(AccountStatus value) { return name_of(statuses, value); }

}  // namespace shortfall
