#include "schemes.hpp"

#include <algorithm>

#include "model/canonical_math.hpp"

namespace shortfall {

double units_of(const Instrument& instrument, double contracts) {
  const double amount = contracts * instrument.multiplier;
  if (is_option(instrument)) return amount;
  return instrument.settlement == Settlement::inverse ? amount / instrument.mark_price
                                                      : amount * instrument.mark_price;
}

MarkedInstrument::MarkedInstrument(const Instrument& instrument, double spot_usd,
                                   std::int64_t as_of)
    : instrument_(instrument),
      spot_usd_(spot_usd),
      days_(instrument.expiry == 0 ? 0 : static_cast<double>(instrument.expiry - as_of) / 86400.0) {
  if (is_option(instrument_)) base_ = option_value({0, instrument.mark_iv});
}

double MarkedInstrument::option_value(const InstantMove& move) const {
  // The side out of the money and what exercise would pay (put-call parity): nothing cancels.
  const double forward = instrument_.mark_price * (1 + move.price_return);
  const double strike = instrument_.strike;
  const double v = move.volatility * __builtin_sqrt(years());
  const double twin = canonical::otm_value(forward, strike, canonical::log(forward / strike), v);
  const double exercise =
      instrument_.type == InstrumentType::call ? forward - strike : strike - forward;
  const double value = twin + (exercise > 0 ? exercise : 0);
  return is_inverse() ? value / forward : value;
}

double MarkedInstrument::pnl(const InstantMove& move) const {
  if (is_option(instrument_)) return option_value(move) - base_;
  return is_inverse() ? 1 - 1 / (1 + move.price_return) : move.price_return;
}

double MarkedInstrument::pnl_usd(const InstantMove& move) const {
  if (!is_inverse()) return pnl(move);
  const double moved_spot_usd = spot_usd_ * (1 + move.price_return);
  if (is_option(instrument_)) return option_value(move) * moved_spot_usd - base_ * spot_usd_;
  return pnl(move) * moved_spot_usd;
}

double MarkedInstrument::delta_coins() const {
  if (!is_option(instrument_)) return is_inverse() ? 1 : 1 / instrument_.mark_price;
  const double v = instrument_.mark_iv * __builtin_sqrt(years());
  const double d1 = canonical::log(instrument_.mark_price / instrument_.strike) / v + v / 2;
  const double delta = instrument_.type == InstrumentType::call ? canonical::normal_cdf(d1)
                                                                : -canonical::normal_cdf(-d1);
  return is_inverse() ? delta - base_ : delta;
}

double worst_loss(std::span<const double> pnl, const Account& account) {
  double worst = 0;
  for (const double x : pnl) {
    if (!(x - x == 0))
      throw OperatingError(fmt::format(
          "scenario margin: the P&L of account {} is not finite; its positions are too large",
          in_quotes(account.name)));
    worst = std::max(worst, -x);
  }
  return worst;
}

}  // namespace shortfall
