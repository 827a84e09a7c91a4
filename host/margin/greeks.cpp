#include "greeks.hpp"

#include "model/canonical_math.hpp"

namespace shortfall {
namespace {

Greeks option_greeks(const Instrument& i, double spot_usd, std::int64_t as_of) {
  constexpr double seconds_per_year = 365.0 * 86400.0;
  const double sqrt_years =
      __builtin_sqrt(static_cast<double>(i.expiry - as_of) / seconds_per_year);
  const double v = i.mark_iv * sqrt_years;
  const double d1 = canonical::log(i.mark_price / i.strike) / v + v / 2;
  // S V(F) / F with S / F fixed: the forward that the value is stated in is then the spot itself.
  const double scale_usd =
      i.multiplier * (i.settlement == Settlement::inverse ? spot_usd : i.mark_price);
  const double delta =
      i.type == InstrumentType::call ? canonical::normal_cdf(d1) : -canonical::normal_cdf(-d1);
  return {scale_usd * delta, scale_usd * canonical::normal_pdf(d1) * sqrt_years};
}

}  // namespace

Greeks greeks_of(const Instrument& instrument, double spot_usd, std::int64_t as_of) {
  switch (instrument.type) {
    case InstrumentType::call:
    case InstrumentType::put:
      return option_greeks(instrument, spot_usd, as_of);
    case InstrumentType::future:
    case InstrumentType::perpetual:
      // (1 / P0 - 1 / P1) S1 with S1 / P1 fixed moves by S0 / P0.
      return {instrument.multiplier * (instrument.settlement == Settlement::inverse
                                           ? spot_usd / instrument.mark_price
                                           : instrument.mark_price),
              0};
    case InstrumentType::spot:
      break;
  }
  return {instrument.multiplier * spot_usd, 0};
}

}  // namespace shortfall
