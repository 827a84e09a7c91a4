#include "live_book.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "analysis/whatif_query.hpp"
#include "input/close_names.hpp"
#include "margin/collateral.hpp"
#include "text.hpp"

namespace shortfall::service {
namespace {

constexpr Quantity::Units contract = 1'000'000'000'000, limit = contract * 1'000'000 * contract;

/// Empty where the problem is only counted: ten thousand searches for close names take seconds.
template <class Named>
std::string unknown(std::string_view what, std::string_view name, const std::vector<Named>& known,
                    const Problems& problems) {
  if (problems.count() >= Problems::kept_max) return {};
  std::vector<std::string_view> names;
  for (const Named& one : known) names.push_back(one.name);
  const std::string close = close_names(std::string(name), names);
  return fmt::format("{} {} is not listed{}", what, in_quotes(name),
                     close.empty() ? "" : "; names close to it are " + close);
}

bool has_strike(const Instrument& i) {
  return i.type == InstrumentType::call || i.type == InstrumentType::put;
}

}  // namespace

LiveBook::LiveBook(RunConfig config, RunInputs inputs)
    : config_(std::move(config)), inputs_(std::move(inputs)) {
  index_names();
}

void LiveBook::index_names() {
  const auto index = [](Places& places, const auto& entries) {
    places.clear();
    for (std::uint32_t i = 0; i < entries.size(); ++i) places.emplace(entries[i].name, i);
  };
  index(accounts_, inputs_.book.accounts);
  index(instruments_, inputs_.book.instruments);
  index(underlyings_, inputs_.book.underlyings);
}

LiveBook::Moved LiveBook::after(const MarketUpdate& update) const {
  Moved moved{*this, std::vector<bool>(inputs_.book.underlyings.size())};
  Problems problems;
  moved.book.set_spots(update, problems);
  moved.book.set_marks(update, problems);
  if (problems.empty()) moved.book.check_ratios(problems);
  const bool is_later = update.as_of != config_.as_of;
  const Book before = inputs_.book;
  const Book& after = moved.book.inputs_.book;
  for (std::size_t u = 0; u < moved.underlyings.size(); ++u)
    moved.underlyings[u] =
        is_later || before.underlyings[u].spot_usd != after.underlyings[u].spot_usd;
  for (std::size_t i = 0; i < before.instruments.size(); ++i)
    if (before.instruments[i].mark_price != after.instruments[i].mark_price ||
        before.instruments[i].mark_iv != after.instruments[i].mark_iv)
      moved.underlyings[before.instruments[i].underlying] = true;
  if (is_later) moved.book.set_as_of(update.as_of, problems);
  problems.throw_if_any();
  return moved;
}

/// A spot instrument is worth its underlying's spot. Other marks stay until they are given, even
/// those that instruments.csv left empty.
void LiveBook::set_spots(const MarketUpdate& update, Problems& problems) {
  for (std::size_t s = 0; s < update.spots.size(); ++s) {
    const SpotMark& mark = update.spots[s];
    const std::string where = fmt::format("underlyings[{}]", s);
    const auto at = underlyings_.find(mark.underlying);
    if (at == underlyings_.end()) {
      problems.add(where, 0,
                   unknown("underlying", mark.underlying, inputs_.book.underlyings, problems));
      continue;
    }
    if (!(mark.spot_usd > 0 && std::isfinite(mark.spot_usd))) {
      problems.add(where, 0,
                   fmt::format("spot_usd is {}; write USD per coin, above 0", mark.spot_usd));
      continue;
    }
    inputs_.book.underlyings[at->second].spot_usd = mark.spot_usd;
    for (Instrument& instrument : inputs_.book.instruments)
      if (instrument.underlying == at->second && instrument.type == InstrumentType::spot)
        instrument.mark_price = mark.spot_usd;
  }
}

void LiveBook::set_marks(const MarketUpdate& update, Problems& problems) {
  for (std::size_t m = 0; m < update.marks.size(); ++m) {
    const InstrumentMark& mark = update.marks[m];
    const std::string where = fmt::format("instruments[{}]", m);
    const auto at = instruments_.find(mark.instrument);
    if (at == instruments_.end()) {
      problems.add(where, 0,
                   unknown("instrument", mark.instrument, inputs_.book.instruments, problems));
      continue;
    }
    Instrument& instrument = inputs_.book.instruments[at->second];
    if (mark.mark_price) {
      if (instrument.type == InstrumentType::spot)
        problems.add(where, 0,
                     fmt::format("{} is a spot, whose price is its underlying's spot_usd",
                                 in_quotes(mark.instrument)));
      else if (!(*mark.mark_price > 0 && std::isfinite(*mark.mark_price)))
        problems.add(
            where, 0,
            fmt::format("mark_price is {}; write USD per coin, above 0", *mark.mark_price));
      instrument.mark_price = *mark.mark_price;
    }
    if (mark.mark_iv) {
      if (!has_strike(instrument))
        problems.add(where, 0,
                     fmt::format("{} is no option and has no mark_iv", in_quotes(mark.instrument)));
      else if (!(*mark.mark_iv >= 0.01 && *mark.mark_iv <= 10))
        problems.add(where, 0,
                     fmt::format("mark_iv is {}, outside [0.01, 10]; write an annual volatility of "
                                 "55 % as 0.55",
                                 *mark.mark_iv));
      instrument.mark_iv = *mark.mark_iv;
    }
  }
}

/// The loader's bounds: beyond them prices are mistakes of units.
void LiveBook::check_ratios(Problems& problems) const {
  for (const Instrument& i : inputs_.book.instruments) {
    const double spot_usd = inputs_.book.underlyings[i.underlying].spot_usd;
    const auto check = [&](const char* what, double price, double low, double high) {
      const double ratio = price / spot_usd;
      if (price == 0 || (ratio >= low && ratio <= high)) return;
      problems.add(fmt::format("instrument {}", in_quotes(i.name)), 0,
                   fmt::format("{} {} is {:.3g} times the spot {}; write USD per coin, and spots "
                               "and marks that belong together in one update",
                               what, price, ratio, spot_usd));
    };
    check("mark_price", i.mark_price, 1e-3, 1e3);
    check("strike", i.strike, 1e-6, 1e6);
  }
}

void LiveBook::set_as_of(std::int64_t as_of, Problems& problems) {
  config_.as_of = as_of;
  Book& book = inputs_.book;
  const auto has_expired = [&](const Instrument& i) { return i.expiry != 0 && i.expiry <= as_of; };
  std::vector<std::size_t> holders(book.instruments.size());
  for (const Position& p : book.positions)
    if (!p.quantity.is_zero()) ++holders[p.instrument];
  for (std::size_t i = 0; i < holders.size(); ++i)
    if (holders[i] > 0 && has_expired(book.instruments[i]))
      problems.add(
          "as_of", 0,
          fmt::format("{} is not before the expiry of {}, which {} accounts hold; close "
                      "the positions first",
                      format_date_time(as_of), in_quotes(book.instruments[i].name), holders[i]));
  if (!problems.empty() || std::ranges::none_of(book.instruments, has_expired)) return;
  std::vector<std::uint32_t> place(book.instruments.size());
  std::vector<Instrument> listed;
  for (std::size_t i = 0; i < place.size(); ++i) {
    place[i] = static_cast<std::uint32_t>(listed.size());
    if (!has_expired(book.instruments[i])) listed.push_back(book.instruments[i]);
  }
  std::erase_if(book.positions,
                [&](const Position& p) { return has_expired(book.instruments[p.instrument]); });
  for (Position& p : book.positions) p.instrument = place[p.instrument];
  book.instruments = std::move(listed);
  index_names();
}

Quantity::Units LiveBook::units_held(std::string_view account, std::uint32_t instrument) const {
  const auto index = accounts_.find(std::string(account));
  if (index == accounts_.end()) return 0;
  const auto place = [](const Position& p) { return std::pair(p.account, p.instrument); };
  const auto wanted = std::pair(index->second, instrument);
  const auto at = std::ranges::lower_bound(inputs_.book.positions, wanted, {}, place);
  return at != inputs_.book.positions.end() && place(*at) == wanted ? at->quantity.units() : 0;
}

void LiveBook::check(std::span<const PositionChange> changes) const {
  Problems problems;
  Sums sums;
  for (std::size_t c = 0; c < changes.size(); ++c) {
    const PositionChange& change = changes[c];
    const std::string where = fmt::format("changes[{}]", c);
    if (const std::string problem = name_problem(change.account); !problem.empty())
      problems.add(where, 0, "account " + problem);
    const auto at = instruments_.find(change.instrument);
    if (at == instruments_.end()) {
      problems.add(where, 0,
                   unknown("instrument", change.instrument, inputs_.book.instruments, problems));
      continue;
    }
    const auto [sum, is_new] = sums.try_emplace({change.account, at->second}, 0);
    const Quantity::Units held = units_held(change.account, at->second);
    if (is_new && held == 0)
      for (const Problem& lacking : lacking_inputs(config_, inputs_, at->second))
        problems.add(where, 0, fmt::format("{} {}", in_quotes(change.instrument), lacking.message));
    sum->second += change.change.units();
    const Quantity::Units after = held + sum->second;
    if (after <= -limit || after >= limit)
      problems.add(
          where, 0,
          fmt::format("brings account {} to {:.6g} contracts of {}; a net quantity must be "
                      "below 1e18",
                      in_quotes(change.account), Quantity::from_units(after).contracts(),
                      in_quotes(change.instrument)));
  }
  problems.throw_if_any();
}

std::vector<std::uint32_t> LiveBook::apply(std::span<const PositionChange> changes) {
  Book& book = inputs_.book;
  std::vector<std::uint32_t> touched;
  for (const PositionChange& change : changes) {
    const auto [account, is_new] =
        accounts_.emplace(change.account, static_cast<std::uint32_t>(book.accounts.size()));
    if (is_new) {
      const auto listed =
          std::ranges::find(inputs_.listed_accounts, change.account, &Account::name);
      book.accounts.push_back({change.account, listed == inputs_.listed_accounts.end()
                                                   ? MarginMode::portfolio
                                                   : listed->mode});
    }
    const auto place = [](const Position& p) { return std::pair(p.account, p.instrument); };
    const auto wanted = std::pair(account->second, instruments_.at(change.instrument));
    auto at = std::ranges::lower_bound(book.positions, wanted, {}, place);
    if (at == book.positions.end() || place(*at) != wanted)
      at = book.positions.insert(at, {wanted.first, wanted.second, {}});
    at->quantity = Quantity::from_units(at->quantity.units() + change.change.units());
    if (std::ranges::find(touched, account->second) == touched.end())
      touched.push_back(account->second);
  }
  return touched;
}

std::vector<bool> LiveBook::holders_of(const std::vector<bool>& underlyings) const {
  std::vector<bool> holders(inputs_.book.accounts.size());
  for (const Position& p : inputs_.book.positions)
    if (!p.quantity.is_zero() && underlyings[inputs_.book.instruments[p.instrument].underlying])
      holders[p.account] = true;
  // Coins held as collateral are worth something else, too.
  for (const Collateral& c : inputs_.book.collateral)
    if (c.asset != Collateral::usd && underlyings[c.asset])
      if (const auto at = accounts_.find(c.account); at != accounts_.end())
        holders[at->second] = true;
  return holders;
}

}  // namespace shortfall::service
