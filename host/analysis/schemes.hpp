// What scenario margins are made of: an instrument revalued in doubles under an instant move.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shortfall/book.hpp"
#include "text.hpp"

namespace shortfall {

inline bool is_option(const Instrument& instrument) {
  return instrument.type == InstrumentType::call || instrument.type == InstrumentType::put;
}

/// What a position of this many contracts is counted in: coins where it is an option or inverse (of
/// an inverse future its delta at the mark), else USD at the mark.
double units_of(const Instrument& instrument, double contracts);

/// An instant move of an underlying: the index, forwards and marks all by the same simple return,
/// above -1, and the volatility of an option to a new value, above 0.
struct InstantMove {
  double price_return = 0;
  double volatility = 0;  ///< annual; of no effect on what is no option
};

/// An instrument at its marks, revalued in full without aging (Black 1976, undiscounted), in
/// canonical arithmetic. All amounts are per unit as above; m is the price return, F the forward,
/// S the index, V the undiscounted value, ' what has moved.
class MarkedInstrument {
 public:
  /// `as_of` in seconds since the epoch, before the expiry. Keeps a reference to the instrument.
  MarkedInstrument(const Instrument& instrument, double spot_usd, std::int64_t as_of);

  /// P&L in the settlement currency: 1 - 1/(1 + m) coins of an inverse future, V'/F' - V/F of an
  /// inverse option; m USD of a linear future or spot, V' - V of a linear option.
  double pnl(const InstantMove& move) const;

  /// P&L in USD, the change of the USD value: (1 - 1/(1 + m)) S' and V'/F' S' - V/F S where
  /// inverse.
  double pnl_usd(const InstantMove& move) const;

  /// Coins: 1 of an inverse future, the reciprocal of the price of a linear one or spot, N(d1) of a
  /// linear call and -N(-d1) of a put, N(d1) - V/F and -N(-d1) - V/F where inverse: the derivative
  /// of the value in coins by ln F.
  double delta_coins() const;

  double days() const { return days_; }  ///< to the expiry; 0 where there is none
  double years() const { return days_ / 365.0; }

 private:
  bool is_inverse() const { return instrument_.settlement == Settlement::inverse; }
  /// Of an option on one coin: USD where linear, coins where inverse.
  double option_value(const InstantMove& move) const;

  const Instrument& instrument_;
  double spot_usd_, days_;
  double base_ = 0;  ///< an option's value at the marks, as above
};

/// The largest loss among these P&L, at least 0. Throws OperatingError, naming the account, where
/// one is not finite.
double worst_loss(std::span<const double> pnl, const Account& account);

/// Parameters by underlying of the book: those of its name, else `others`. Throws InputError, of
/// the scheme's file, with each name that the book does not have: it may be misspelt.
template <typename Entry>
std::vector<Entry> in_order_of(const Book& book, const std::map<std::string, Entry>& named,
                               const Entry& others, const char* scheme) {
  std::vector<Entry> entries;
  std::set<std::string_view> unlisted;
  for (const auto& [name, entry] : named) unlisted.insert(name);
  for (const Underlying& underlying : book.underlyings) {
    const auto at = named.find(underlying.name);
    entries.push_back(at == named.end() ? others : at->second);
    unlisted.erase(underlying.name);
  }
  Problems problems;
  for (const std::string_view name : unlisted)
    problems.add(scheme, 0,
                 fmt::format("[{}.underlyings] has {}, which is no underlying of the book; correct "
                             "the name, or remove it",
                             scheme, in_quotes(name)));
  problems.throw_if_any();
  return entries;
}

}  // namespace shortfall
