#include "chain_checks.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "implied_volatility.hpp"

namespace shortfall::exchange {
namespace {

/// Magnitudes and where each is.
class Samples {
 public:
  explicit Samples(double tolerance = 0) : tolerance_(tolerance) {}
  void add(double magnitude, const std::string& where) { all_.emplace_back(magnitude, where); }

  Magnitudes magnitudes() && {
    Magnitudes result;
    result.count = all_.size();
    if (all_.empty()) return result;
    std::ranges::sort(all_);
    const auto value = [&](std::size_t rank) { return all_[rank].first; };
    const std::size_t n = all_.size();
    result.median = 0.5 * (value((n - 1) / 2) + value(n / 2));
    result.percentile_99 = value((99 * n + 99) / 100 - 1);
    result.maximum = all_.back().first;
    if (result.maximum > 0) result.worst = all_.back().second;
    result.violation_count = static_cast<std::size_t>(
        std::ranges::count_if(all_, [&](const auto& sample) { return sample.first > tolerance_; }));
    return result;
  }

 private:
  double tolerance_;
  std::vector<std::pair<double, std::string>> all_;
};

/// The calls and puts of one expiry and settlement, by strike.
struct Expiry {
  std::map<double, const ListedInstrument*> calls, puts;
};

class UnderlyingChecks {
 public:
  void add(const ListedInstrument& listed, std::int64_t as_of) {
    const Instrument& terms = listed.terms;
    const bool is_call = terms.type == InstrumentType::call;
    if ((!is_call && terms.type != InstrumentType::put) || !listed.premium) return;
    Expiry& expiry = expiries_[{terms.expiry, terms.settlement}];
    (is_call ? expiry.calls : expiry.puts)[terms.strike] = &listed;
    const RelativeOption option{is_call, terms.strike / terms.mark_price,
                                years_between(as_of, terms.expiry)};
    const auto error = [&](double volatility) {
      return std::fabs(black_premium(option, volatility) - *listed.premium);
    };
    black_.add(error(terms.mark_iv), terms.name);
    if (listed.published_iv) published_.add(error(*listed.published_iv), terms.name);
  }

  ChainChecks check() && {
    for (const auto& [key, expiry] : expiries_) {
      check_parity(expiry);
      check_calls(expiry);
    }
    return {std::move(parity_).magnitudes(), std::move(monotonicity_).magnitudes(),
            std::move(butterfly_).magnitudes(), std::move(black_).magnitudes(),
            std::move(published_).magnitudes()};
  }

 private:
  void check_parity(const Expiry& expiry) {
    for (const auto& [strike, call] : expiry.calls) {
      const auto put = expiry.puts.find(strike);
      if (put == expiry.puts.end()) continue;
      const double forward = 0.5 * (call->terms.mark_price + put->second->terms.mark_price);
      parity_.add(std::fabs(*call->premium - *put->second->premium - (1 - strike / forward)),
                  call->terms.name);
    }
  }

  void check_calls(const Expiry& expiry) {
    const ListedInstrument* lower = nullptr;
    double slope_before = 0;
    bool has_slope = false;
    for (const auto& [strike, call] : expiry.calls) {
      if (lower) {
        monotonicity_.add(std::max(0.0, *call->premium - *lower->premium), call->terms.name);
        const double slope =
            (value_usd(*call) - value_usd(*lower)) / (strike - lower->terms.strike);
        if (has_slope) butterfly_.add(std::max(0.0, slope_before - slope), lower->terms.name);
        slope_before = slope;
        has_slope = true;
      }
      lower = call;
    }
  }

  static double value_usd(const ListedInstrument& listed) {
    return *listed.premium * listed.terms.mark_price;
  }

  std::map<std::pair<std::int64_t, Settlement>, Expiry> expiries_;
  Samples parity_{ChainChecks::parity_tolerance};
  Samples monotonicity_{ChainChecks::monotonicity_tolerance};
  Samples butterfly_{ChainChecks::butterfly_tolerance};
  Samples black_, published_;
};

}  // namespace

std::vector<ChainChecks> check_chain(const ImportedChain& chain) {
  std::vector<UnderlyingChecks> underlyings(chain.underlyings.size());
  for (const ListedInstrument& listed : chain.instruments)
    underlyings[listed.terms.underlying].add(listed, chain.as_of);
  std::vector<ChainChecks> checks;
  for (UnderlyingChecks& underlying : underlyings) checks.push_back(std::move(underlying).check());
  return checks;
}

}  // namespace shortfall::exchange
