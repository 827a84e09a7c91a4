#include "quantlib_revaluation.hpp"

#include <cmath>
#include <ql/exercise.hpp>
#include <ql/instruments/vanillaoption.hpp>
#include <ql/pricingengines/blackformula.hpp>
#include <ql/pricingengines/vanilla/analyticeuropeanengine.hpp>
#include <ql/processes/blackscholesprocess.hpp>
#include <ql/quotes/simplequote.hpp>
#include <ql/settings.hpp>
#include <ql/termstructures/volatility/equityfx/blackconstantvol.hpp>
#include <ql/termstructures/yield/flatforward.hpp>
#include <ql/time/calendars/nullcalendar.hpp>
#include <ql/time/daycounters/actual365fixed.hpp>
#include <ql/version.hpp>

namespace shortfall::quantlib {
namespace {

namespace ql = QuantLib;

ql::Option::Type type_of(const plain::Contract& contract) {
  return contract.type == InstrumentType::call ? ql::Option::Call : ql::Option::Put;
}

}  // namespace

const char* version() { return QL_VERSION; }

struct Revaluation::Option {
  ql::ext::shared_ptr<ql::SimpleQuote> forward, volatility;
  std::unique_ptr<ql::VanillaOption> option;
  double sqrt_years = 0;  ///< to the expiry in whole days; the volatility makes up for the rest

  explicit Option(const plain::Contract& contract) {
    if (!contract.is_option() || contract.is_settled) return;
    const ql::Date today = ql::Settings::instance().evaluationDate();
    const ql::Actual365Fixed day_counter;
    const double years = contract.sqrt_years_left * contract.sqrt_years_left;
    const auto days = static_cast<ql::Integer>(std::max(1.0, std::round(years * 365)));
    sqrt_years = std::sqrt(days / 365.0);
    forward = ql::ext::make_shared<ql::SimpleQuote>(contract.forward);
    volatility = ql::ext::make_shared<ql::SimpleQuote>(contract.volatility);
    const auto process = ql::ext::make_shared<ql::BlackProcess>(
        ql::Handle<ql::Quote>(forward),
        ql::Handle<ql::YieldTermStructure>(
            ql::ext::make_shared<ql::FlatForward>(today, 0.0, day_counter)),
        ql::Handle<ql::BlackVolTermStructure>(ql::ext::make_shared<ql::BlackConstantVol>(
            today, ql::NullCalendar(), ql::Handle<ql::Quote>(volatility), day_counter)));
    option = std::make_unique<ql::VanillaOption>(
        ql::ext::make_shared<ql::PlainVanillaPayoff>(type_of(contract), contract.strike),
        ql::ext::make_shared<ql::EuropeanExercise>(today + days));
    option->setPricingEngine(ql::ext::make_shared<ql::AnalyticEuropeanEngine>(process));
  }

  double value_usd(double forward_usd, double deviation) const {
    forward->setValue(forward_usd);
    volatility->setValue(deviation / sqrt_years);
    return option->NPV();
  }
};

Revaluation::Revaluation(const plain::Book& book, Pricer pricer) : book_(book) {
  if (pricer == Pricer::black_formula) return;
  ql::Settings::instance().evaluationDate() = ql::Date(1, ql::January, 2026);
  for (const plain::Contract& contract : book.contracts) options_.emplace_back(contract);
}

Revaluation::~Revaluation() = default;

void Revaluation::changes_usd(const double* moves, std::size_t path_count,
                              std::vector<double>& changes) {
  constexpr std::size_t block = plain::block_path_count;
  const std::vector<plain::TermState> states = book_.states(moves, path_count);
  const auto revalue = [&](auto&& black) {
    double* out = changes.data();
    for (std::size_t first = 0; first < path_count; first += block)
      for (const plain::Contract& contract : book_.contracts)
        for (std::size_t p = first; p < first + block; ++p)
          *out++ =
              plain::change_usd(contract, states[p * book_.terms.size() + contract.term], black);
  };
  changes.resize(book_.contracts.size() * path_count);
  if (options_.empty())
    revalue([](const plain::Contract& contract, double forward, double deviation) {
      return ql::blackFormula(type_of(contract), contract.strike, forward, deviation);
    });
  else
    revalue([this](const plain::Contract& contract, double forward, double deviation) {
      return options_[static_cast<std::size_t>(&contract - book_.contracts.data())].value_usd(
          forward, deviation);
    });
}

}  // namespace shortfall::quantlib
