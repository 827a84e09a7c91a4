// What trades on a synthetic venue and how it moves.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>

#include "generate_venue.hpp"
#include "model/canonical_math.hpp"

namespace shortfall::synthetic {
namespace {

constexpr std::int64_t as_of = 1'767'346'200;  // Friday 2026-01-02T09:30:00Z
constexpr std::int64_t seconds_per_day = 86'400;
constexpr std::int64_t expiry_second_of_day = 8 * 3'600;  // 08:00 UTC, as most venues have it

double years_to(std::int64_t expiry) {
  return static_cast<double>(expiry - as_of) / (365.0 * seconds_per_day);
}

/// "27MAR26"
std::string expiry_name(std::int64_t expiry) {
  static constexpr const char* months[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                           "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
  const std::chrono::year_month_day date{
      std::chrono::sys_days{std::chrono::days{expiry / seconds_per_day}}};
  return fmt::format("{}{}{:02}", static_cast<unsigned>(date.day()),
                     months[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()) % 100);
}

/// Six significant digits, or one more.
double round_price(double price) {
  int decimals = 1;
  for (double bound = 10'000.0; price < bound && decimals < 9; bound /= 10.0) ++decimals;
  return round_to(price, decimals);
}

Coin make_coin(std::uint32_t index, bool is_linear, Random& random) {
  struct Known {
    const char* name;
    double spot_usd, annual_volatility, market_loading;
  };
  static constexpr Known known[] = {{"BTC", 95'000.0, 0.50, 0.92},
                                    {"ETH", 3'300.0, 0.68, 0.90},
                                    {"SOL", 140.0, 0.85, 0.84},
                                    {"XRP", 2.1, 0.88, 0.80}};
  Coin coin;
  double spot_usd;
  if (index < std::size(known)) {
    coin.name = known[index].name;
    spot_usd = known[index].spot_usd * random.between(0.97, 1.03);
    coin.annual_volatility = known[index].annual_volatility;
    coin.market_loading = known[index].market_loading;
  } else {
    coin.name = fmt::format("ALT{:02}", index + 1);
    spot_usd = 0.1 * canonical::exp(random.between(0.0, 7.0));
    coin.annual_volatility = round_to(random.between(0.70, 0.95), 2);
    coin.market_loading = round_to(random.between(0.78, 0.86), 2);
  }
  coin.spot_usd = round_price(spot_usd);
  coin.annual_carry = round_to(random.between(0.02, 0.07), 3);
  coin.settlement = is_linear ? Settlement::linear : Settlement::inverse;
  return coin;
}

/// Term structure rising from 0.9 to 1.1 times the level; a smile of hyperbolic wings, as in
/// Gatheral and Jacquier 2014 ("Arbitrage-free SVI volatility surfaces"), with its slope towards
/// puts.
double implied_volatility(const Coin& coin, double forward, double strike, double years) {
  const double at_the_money = coin.annual_volatility * (0.9 + 0.2 * years / (years + 0.25));
  const double m = canonical::log(strike / forward) / std::sqrt(std::max(years, 7.0 / 365.0));
  const double smile = 1.0 - 0.11 * m + 0.45 * (std::sqrt(m * m + 0.25) - 0.5);
  return round_to(std::clamp(at_the_money * smile, 0.05, 5.0), 4);
}

/// The strikes of one expiry: equal steps of 1, 2 or 5 times a power of ten around the forward.
std::vector<double> make_strikes(const Coin& coin, double forward, double years,
                                 std::uint32_t count) {
  const double width =
      std::clamp(2.5 * coin.annual_volatility * std::sqrt(years), 0.05, 0.6) * forward;
  const double step_max = 2.0 * width / count;
  double unit = 1.0;  // a power of ten where divided is false, else its reciprocal
  bool is_fraction = step_max < 1.0;
  while (is_fraction ? step_max * unit < 1.0 : step_max >= 10.0 * unit) unit *= 10.0;
  const double mantissa_max = is_fraction ? step_max * unit : step_max / unit;
  const double mantissa = mantissa_max >= 5.0 ? 5.0 : mantissa_max >= 2.0 ? 2.0 : 1.0;
  const double step = is_fraction ? mantissa / unit : mantissa * unit;
  // Positive: half the strikes span less than the width, which is less than the forward.
  const double first = std::floor(forward / step + 0.5) - count / 2;
  std::vector<double> strikes(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const double multiple = (first + i) * mantissa;
    strikes[i] = is_fraction ? multiple / unit : multiple * unit;
  }
  return strikes;
}

/// A contract without strike and volatility: 10 USD where inverse, one coin where linear.
Instrument make_delta_one(InstrumentType type, Settlement settlement, std::uint32_t underlying,
                          double mark_price) {
  Instrument instrument;
  instrument.type = type;
  instrument.settlement = settlement;
  instrument.underlying = underlying;
  instrument.multiplier = settlement == Settlement::inverse ? 10.0 : 1.0;
  instrument.mark_price = mark_price;
  return instrument;
}

/// The instruments of one coin, exactly so many: the perpetual, then the spot and dated futures
/// where the layout has them, then options in pairs; an odd one is a call of the last expiry.
class Chain {
 public:
  Chain(Market& market, const MarketLayout& layout, std::uint32_t coin_index)
      : market_(market),
        layout_(layout),
        coin_index_(coin_index),
        coin_(market.coins[coin_index]) {}

  void list(std::uint32_t count, Random& random) {
    std::vector<std::int64_t> expiries = choose_expiries(count);
    add_perpetual(random);
    --count;
    if (layout_.has_spot_and_futures && count > 0) {
      add_spot();
      --count;
    }
    if (layout_.has_spot_and_futures) {
      expiries.resize(std::min<std::size_t>(expiries.size(), count));
      for (const std::int64_t expiry : expiries) add_future(expiry);
      count -= static_cast<std::uint32_t>(expiries.size());
    }
    const auto expiry_count = static_cast<std::uint32_t>(expiries.size());
    for (std::uint32_t i = 0; i < expiry_count; ++i) {
      const std::uint32_t pairs = count / 2;
      const std::uint32_t pair_count = pairs / expiry_count + (i < pairs % expiry_count ? 1 : 0);
      add_options(expiries[i], pair_count, i + 1 == expiry_count && count % 2 == 1);
    }
  }

 private:
  /// One expiry for every ten instruments, spread over those of the layout.
  std::vector<std::int64_t> choose_expiries(std::uint32_t count) const {
    const std::size_t offered = layout_.expiry_days.size();
    const std::size_t chosen = std::clamp<std::size_t>(count / 10, 1, offered);
    std::vector<std::int64_t> expiries;
    for (std::size_t i = 0; i < chosen; ++i) {
      const std::int64_t day =
          as_of / seconds_per_day + layout_.expiry_days[(2 * i + 1) * offered / (2 * chosen)];
      expiries.push_back(day * seconds_per_day + expiry_second_of_day);
    }
    return expiries;
  }

  double forward(std::int64_t expiry) const {
    return round_price(coin_.spot_usd * canonical::exp(coin_.annual_carry * years_to(expiry)));
  }

  void add(Instrument instrument, std::string name) {
    instrument.name = std::move(name);
    market_.instruments.push_back(std::move(instrument));
  }

  void add_perpetual(Random& random) {
    const double premium = random.between(-0.0003, 0.0005);
    add(make_delta_one(InstrumentType::perpetual, coin_.settlement, coin_index_,
                       round_price(coin_.spot_usd * (1.0 + premium))),
        coin_.name + "-PERPETUAL");
  }

  void add_spot() {
    add(make_delta_one(InstrumentType::spot, Settlement::linear, coin_index_, coin_.spot_usd),
        coin_.name + "-SPOT");
  }

  void add_future(std::int64_t expiry) {
    Instrument future =
        make_delta_one(InstrumentType::future, coin_.settlement, coin_index_, forward(expiry));
    future.expiry = expiry;
    add(std::move(future), coin_.name + "-" + expiry_name(expiry));
  }

  void add_options(std::int64_t expiry, std::uint32_t pair_count, bool has_odd_call) {
    const std::uint32_t strike_count = pair_count + (has_odd_call ? 1 : 0);
    if (strike_count == 0) return;
    Instrument option;
    option.settlement = coin_.settlement;
    option.underlying = coin_index_;
    option.expiry = expiry;
    option.multiplier = coin_.settlement == Settlement::linear ? 10.0 : 1.0;
    option.mark_price = forward(expiry);
    const double years = years_to(expiry);
    const std::string prefix = coin_.name + "-" + expiry_name(expiry);
    std::uint32_t pairs_left = pair_count;
    for (const double strike : make_strikes(coin_, option.mark_price, years, strike_count)) {
      option.strike = strike;
      option.mark_iv = implied_volatility(coin_, option.mark_price, strike, years);
      option.type = InstrumentType::call;
      add(option, fmt::format("{}-{}-C", prefix, strike));
      if (pairs_left == 0) continue;
      --pairs_left;
      option.type = InstrumentType::put;
      add(option, fmt::format("{}-{}-P", prefix, strike));
    }
  }

  Market& market_;
  const MarketLayout& layout_;
  std::uint32_t coin_index_;
  const Coin& coin_;
};

/// So many tenors in days, ascending and distinct: the customary ones, the most traded first, and
/// where those do not suffice, ever wider steps from one day to a year.
std::vector<std::uint32_t> vol_tenors_days(std::uint32_t count) {
  static constexpr std::uint32_t customary[] = {30, 7, 90, 180, 1, 14, 60, 360, 3, 21, 120, 270};
  std::vector<std::uint32_t> tenors;
  if (count <= std::size(customary)) {
    tenors.assign(customary, customary + count);
    std::sort(tenors.begin(), tenors.end());
    return tenors;
  }
  const std::uint32_t steps = count - 1;
  const std::uint32_t stretch = steps < 359 ? 359 - steps : 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    tenors.push_back(1 + i + i * i * stretch / (steps * steps));
  }
  return tenors;
}

/// Spot, then perp, skew and basis as the count allows, and volatility tenors for the rest.
void add_factors(Market& market, std::uint32_t coin_index, std::uint32_t count) {
  const Coin& coin = market.coins[coin_index];
  const auto add = [&](std::string kind, DrivenFactor factor) {
    factor.name = coin.name + "." + std::move(kind);
    factor.coin = coin_index;
    market.factors.push_back(std::move(factor));
  };
  const double m = coin.market_loading;
  add("spot", {.standard_deviation = coin.annual_volatility / std::sqrt(365.0),
               .market = m,
               .coin_spot = std::sqrt(0.98 - m * m)});
  const std::uint32_t tenor_count = count >= 5 ? count - 4 : count >= 3 ? 1 : 0;
  for (const std::uint32_t days : vol_tenors_days(tenor_count)) {
    // Short tenors move more; a term driver moves them against the long ones.
    add(fmt::format("vol.{}d", days), {.standard_deviation = 0.05 * std::sqrt(30.0 / (days + 3.0)),
                                       .market = -0.40,
                                       .market_volatility = 0.60,
                                       .coin_spot = -0.15,
                                       .coin_volatility = 0.55,
                                       .coin_term = 0.35 * (days - 60.0) / (days + 60.0)});
  }
  if (count >= 4) {
    add("skew",
        {.standard_deviation = 0.02, .market = 0.22, .coin_spot = 0.12, .coin_volatility = -0.10});
  }
  if (count >= 5) add("basis", {.standard_deviation = 0.012, .market = 0.30, .coin_spot = 0.15});
  if (count >= 2) {
    add("perp", {.standard_deviation = 0.0008, .market = 0.22, .coin_spot = 0.15});
  }
}

/// `total` in parts that differ by at most one, the larger first.
std::uint32_t share(std::uint32_t total, std::uint32_t parts, std::uint32_t index) {
  return total / parts + (index < total % parts ? 1 : 0);
}

}  // namespace

double round_to(double value, int decimals) {
  double scale = 1.0;
  for (int i = 0; i < decimals; ++i) scale *= 10.0;
  return std::floor(value * scale + 0.5) / scale;
}

double covariance(const DrivenFactor& a, const DrivenFactor& b) {
  if (&a == &b) return a.standard_deviation * a.standard_deviation;
  double correlation = a.market * b.market + a.market_volatility * b.market_volatility;
  if (a.coin == b.coin) {
    correlation += a.coin_spot * b.coin_spot + a.coin_volatility * b.coin_volatility +
                   a.coin_term * b.coin_term;
  }
  // In this order: the product of three has to be the same for (a, b) and (b, a).
  return correlation * (a.standard_deviation * b.standard_deviation);
}

Market make_market(const MarketLayout& layout, Random& random) {
  Market market;
  market.as_of = as_of;
  for (std::uint32_t i = 0; i < layout.coin_count; ++i) {
    market.coins.push_back(make_coin(i, layout.has_linear_settlement && i % 3 == 2, random));
    add_factors(market, i, share(layout.factor_count, layout.coin_count, i));
  }
  for (std::uint32_t i = 0; i < layout.coin_count; ++i) {
    Coin& coin = market.coins[i];
    coin.instrument_begin = static_cast<std::uint32_t>(market.instruments.size());
    Chain(market, layout, i).list(share(layout.instrument_count, layout.coin_count, i), random);
    coin.instrument_end = static_cast<std::uint32_t>(market.instruments.size());
    SHORTFALL_ASSERT(coin.instrument_end - coin.instrument_begin ==
                     share(layout.instrument_count, layout.coin_count, i));
  }
  SHORTFALL_ASSERT(market.factors.size() == layout.factor_count);
  return market;
}

double delta_coins(const Market& market, const Instrument& instrument) {
  const double spot = market.coins[instrument.underlying].spot_usd;
  const bool is_option =
      instrument.type == InstrumentType::call || instrument.type == InstrumentType::put;
  double delta = instrument.multiplier;
  if (instrument.settlement == Settlement::linear) delta *= instrument.mark_price / spot;
  if (!is_option) {
    return instrument.settlement == Settlement::linear ? delta : delta / instrument.mark_price;
  }
  const double deviation = instrument.mark_iv * std::sqrt(years_to(instrument.expiry));
  const double d1 =
      canonical::log(instrument.mark_price / instrument.strike) / deviation + 0.5 * deviation;
  const double exercise = canonical::normal_cdf(d1);
  return delta * (instrument.type == InstrumentType::call ? exercise : exercise - 1.0);
}

}  // namespace shortfall::synthetic
