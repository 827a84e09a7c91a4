// Expected shortfall and value at risk of single instruments against closed forms and quadrature.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/quadrature/gauss.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "books.hpp"

namespace shortfall {
namespace {

using Gauss = boost::math::quadrature::gauss<double, 20>;

double normal_cdf(double x) { return boost::math::cdf(boost::math::normal(), x); }
double normal_pdf(double x) { return boost::math::pdf(boost::math::normal(), x); }

/// The distribution of a factor move: normal with a deviation that is itself random.
struct NormalMixture {
  struct Part {
    double deviation, probability;
  };
  std::vector<Part> parts;

  double largest_deviation() const {
    double largest = 0;
    for (const Part& part : parts) largest = std::max(largest, part.deviation);
    return largest;
  }
};

/// x = s Z / sqrt(kappa max(W, w0)): an atom at w0, and W above it by Gauss's rule in ln W.
NormalMixture floored_student_t(double deviation, double nu, double tail_floor) {
  const boost::math::chi_squared w(nu), w_less_2(nu - 2);
  const double w0 = quantile(w, tail_floor);
  const double kappa = cdf(complement(w_less_2, w0)) / (nu - 2) + tail_floor / w0;
  const auto moved = [&](double at) { return deviation / std::sqrt(kappa * at); };
  NormalMixture mixture{{{moved(w0), tail_floor}}};
  constexpr int panels = 24;
  const double low = std::log(w0);
  // What lies above has probability 1e-18.
  const double width = (std::log(quantile(complement(w, 1e-18))) - low) / panels;
  for (int panel = 0; panel < panels; ++panel) {
    const double centre = low + (panel + 0.5) * width;
    const auto add = [&](double node, double weight) {
      const double at = std::exp(centre + node * width / 2);
      mixture.parts.push_back({moved(at), weight * width / 2 * at * pdf(w, at)});
    };
    for (std::size_t n = 0; n < Gauss::abscissa().size(); ++n) {
      add(Gauss::abscissa()[n], Gauss::weights()[n]);
      add(-Gauss::abscissa()[n], Gauss::weights()[n]);
    }
  }
  return mixture;
}

/// A loss as a function of the move: falling up to `lowest`, rising from there.
struct LossCurve {
  std::function<double(double)> loss;
  double lowest;
};

/// The moves with a loss above a level: below `low` and above `high`.
struct TailSet {
  double low, high;
};

class ExactTail {
 public:
  ExactTail(const NormalMixture& move, const LossCurve& curve, double confidence_level)
      : move_(move), curve_(curve), reach_(9 * move.largest_deviation()) {
    double below = curve.loss(std::clamp(curve.lowest, -reach_, reach_));
    double above = std::max(curve.loss(-reach_), curve.loss(reach_));
    for (int step = 0; step < 100; ++step) {
      const double middle = (below + above) / 2;
      (probability_above(middle) > 1 - confidence_level ? below : above) = middle;
    }
    value_at_risk = above;
    const TailSet tail = tail_above(value_at_risk);
    expected_shortfall = 0;
    double square = 0;
    integrate(tail, [&](double loss, double weight) { expected_shortfall += loss * weight; });
    expected_shortfall /= 1 - confidence_level;
    integrate(tail, [&](double loss, double weight) {
      square += (loss - expected_shortfall) * (loss - expected_shortfall) * weight;
    });
    // Manistre and Hancock (2005): times 1 / N it is the variance of the estimate.
    const double excess = expected_shortfall - value_at_risk;
    path_variance = (square / (1 - confidence_level) + confidence_level * excess * excess) /
                    (1 - confidence_level);
  }

  double probability_above(double level) const {
    const TailSet tail = tail_above(level);
    double probability = 0;
    for (const auto& part : move_.parts)
      probability += part.probability * (normal_cdf(tail.low / part.deviation) +
                                         normal_cdf(-tail.high / part.deviation));
    return probability;
  }

  double value_at_risk = 0, expected_shortfall = 0;
  double path_variance = 0;  ///< N times the variance of an estimate from N paths

 private:
  TailSet tail_above(double level) const {
    const double middle = std::clamp(curve_.lowest, -reach_, reach_);
    return {crossing(middle, -reach_, level), crossing(middle, reach_, level)};
  }

  /// Where the loss passes the level between the lowest point and an end; beyond the end if never.
  double crossing(double inner, double outer, double level) const {
    if (curve_.loss(outer) <= level || inner == outer)
      return outer < 0 ? -std::numeric_limits<double>::infinity()
                       : std::numeric_limits<double>::infinity();
    for (int step = 0; step < 100; ++step) {
      const double middle = (inner + outer) / 2;
      (curve_.loss(middle) > level ? outer : inner) = middle;
    }
    return outer;
  }

  template <class Visit>
  void integrate(const TailSet& tail, Visit visit) const {
    for (const auto& part : move_.parts) {
      integrate(part, std::max(tail.high / part.deviation, -9.0), 9, visit);
      integrate(part, -9, std::min(tail.low / part.deviation, 9.0), visit);
    }
  }
  /// Over standard normals from `from` to `to`, by Gauss's rule on panels of at most one.
  template <class Visit>
  void integrate(const NormalMixture::Part& part, double from, double to, Visit visit) const {
    if (!(from < to)) return;
    const double panels = std::ceil(to - from), half = (to - from) / panels / 2;
    for (double panel = 0; panel < panels; ++panel) {
      const auto add = [&](double node, double weight) {
        const double z = from + (2 * panel + 1 + node) * half;
        visit(curve_.loss(z * part.deviation), weight * half * normal_pdf(z) * part.probability);
      };
      for (std::size_t n = 0; n < Gauss::abscissa().size(); ++n) {
        add(Gauss::abscissa()[n], Gauss::weights()[n]);
        add(-Gauss::abscissa()[n], Gauss::weights()[n]);
      }
    }
  }

  const NormalMixture& move_;
  const LossCurve& curve_;
  double reach_;
};

constexpr double spot_usd = 100, strike_usd = 105, volatility = 0.6;
constexpr double infinity = std::numeric_limits<double>::infinity();

double black_call(double forward, double strike, double v) {
  const double d1 = std::log(forward / strike) / v + v / 2;
  return forward * normal_cdf(d1) - strike * normal_cdf(d1 - v);
}

double spot_change(double x) { return spot_usd * std::expm1(x); }

/// A row per risk model.
struct RiskCase {
  const char* name;
  Distribution distribution;
  double deviation;  ///< over covariance_horizon_days
  double tail_floor;
  double confidence_level;
  std::uint64_t path_count;
  double horizon_days, covariance_horizon_days;
};

void PrintTo(const RiskCase& risk, std::ostream* out) { *out << risk.name; }

class ClosedForm : public testing::TestWithParam<RiskCase> {
 protected:
  static constexpr double nu = 4;

  ClosedForm() : made_(GetParam().path_count) {
    const RiskCase& risk = GetParam();
    made_.config.model = {risk.distribution, nu, risk.tail_floor, risk.covariance_horizon_days};
    made_.config.risk.confidence_level = risk.confidence_level;
    made_.config.risk.horizon_days = risk.horizon_days;
    made_.config.risk.seed = 20260115;
    coin_ = made_.add_underlying(spot_usd);
    made_.add_factor(coin_, FactorKind::spot, risk.deviation);
    const double deviation =
        risk.deviation * std::sqrt(risk.horizon_days / risk.covariance_horizon_days);
    move_ = risk.distribution == Distribution::gaussian
                ? NormalMixture{{{deviation, 1.0}}}
                : floored_student_t(deviation, nu, risk.tail_floor);
  }

  std::uint32_t add(InstrumentType type, Settlement settlement, std::int64_t expiry_days) {
    const bool is_option = type == InstrumentType::call || type == InstrumentType::put;
    return made_.add({"", type, settlement, coin_,
                      expiry_days ? made_.config.as_of + expiry_days * day_seconds : 0,
                      is_option ? strike_usd : 0, 1, spot_usd, is_option ? volatility : 0});
  }

  /// Change of USD value of a call or put expiring in `days`; no volatility factor, F0 = S0.
  double option_change(bool is_call, double days, double x) const {
    const double price = spot_usd * std::exp(x);
    const double left = std::max(days - made_.config.risk.horizon_days, 0.0) / 365;
    const double before = black_call(spot_usd, strike_usd, volatility * std::sqrt(days / 365));
    const double after = left > 0 ? black_call(price, strike_usd, volatility * std::sqrt(left))
                                  : std::max(price - strike_usd, 0.0);
    const double call = after - before;
    return is_call ? call : call - (price - spot_usd);
  }

  /// An account and the exact curve of its loss.
  void hold(const std::string& name, const std::vector<std::pair<std::uint32_t, double>>& positions,
            LossCurve curve) {
    const std::uint32_t account = made_.add_account();
    for (const auto& [instrument, contracts] : positions)
      made_.hold(account, instrument, contracts);
    names_.push_back(name);
    curves_.push_back(std::move(curve));
  }

  /// Long and short of one instrument that rises with the spot, or falls.
  void hold_both(const std::string& name, std::uint32_t instrument,
                 std::function<double(double)> change, bool is_rising) {
    hold("long " + name, {{instrument, 1.0}},
         {[change](double x) { return -change(x); }, is_rising ? infinity : -infinity});
    hold("short " + name, {{instrument, -1.0}}, {change, is_rising ? -infinity : infinity});
  }

  void hold_everything();

  MemoryBook made_;
  std::uint32_t coin_ = 0;
  NormalMixture move_;
  std::vector<std::string> names_;
  std::vector<LossCurve> curves_;
};

void ClosedForm::hold_everything() {
  using enum InstrumentType;
  hold_both("spot", add(spot, Settlement::linear, 0), spot_change, true);
  hold_both("linear perpetual", add(perpetual, Settlement::linear, 0), spot_change, true);
  hold_both("linear future", add(future, Settlement::linear, 90), spot_change, true);
  // (1/P0 - 1/P1) S1 is e^x - 1 per USD of contract.
  const auto inverse = [](double x) { return std::expm1(x); };
  hold_both("inverse perpetual", add(perpetual, Settlement::inverse, 0), inverse, true);
  hold_both("inverse future", add(future, Settlement::inverse, 90), inverse, true);
  // Without a basis factor S1 / F1 is S0 / F0 = 1: an inverse option in USD is a linear one.
  for (const Settlement settlement : {Settlement::linear, Settlement::inverse}) {
    const std::string name = to_string(settlement);
    const auto call_change = [this](double x) { return option_change(true, 30, x); };
    const auto put_change = [this](double x) { return option_change(false, 30, x); };
    const std::uint32_t call_30 = add(call, settlement, 30), put_30 = add(put, settlement, 30);
    hold_both(name + " call", call_30, call_change, true);
    hold_both(name + " put", put_30, put_change, false);
    // Call plus put: d(loss)/dx = 0 where N(d1) = 1/2, at forward K e^(-v^2/2).
    const double left = (30 - made_.config.risk.horizon_days) / 365;
    hold("short " + name + " straddle", {{call_30, -1.0}, {put_30, -1.0}},
         {[=](double x) { return call_change(x) + put_change(x); },
          std::log(strike_usd / spot_usd) - volatility * volatility * left / 2});
  }
}

// Four: 440 estimates, were they independent, would have one beyond in 3 of 100 seeds; the seed is
// fixed, so what passes once passes always. Two million paths show a bias of 0.3 % of the excess.
constexpr double standard_errors_max = 4;

TEST_P(ClosedForm, EstimatesAreWithinFourStandardErrors) {
  hold_everything();
  const std::vector<AccountMargin> margins = margins_of(made_);
  const double level = GetParam().confidence_level;
  const double path_count = static_cast<double>(GetParam().path_count);
  double worst = 0;
  for (std::size_t a = 0; a < margins.size(); ++a) {
    SCOPED_TRACE(names_[a]);
    const ExactTail exact(move_, curves_[a], level);
    const double standard_error = std::sqrt(exact.path_variance / path_count);
    const double es_errors =
        (margins[a].expected_shortfall_usd - exact.expected_shortfall) / standard_error;
    EXPECT_LE(std::abs(es_errors), standard_errors_max) << exact.expected_shortfall;
    // The probability beyond the estimate of a quantile is binomial: no density is needed.
    const double var_errors =
        (exact.probability_above(margins[a].value_at_risk_usd) - (1 - level)) /
        std::sqrt(level * (1 - level) / path_count);
    EXPECT_LE(std::abs(var_errors), standard_errors_max) << exact.value_at_risk;
    // Itself an estimate, from the fourth moments of a tail of at least 2,000 paths.
    EXPECT_NEAR(margins[a].standard_error_usd / standard_error, 1, 0.2);
    worst = std::max({worst, std::abs(es_errors), std::abs(var_errors)});
  }
  fmt::print("{}: at most {:.2f} standard errors off\n", GetParam().name, worst);
}

INSTANTIATE_TEST_SUITE_P(
    Risks, ClosedForm,
    testing::Values(
        RiskCase{"gaussian, 95 %", Distribution::gaussian, 0.03, 0, 0.95, 2'000'000, 1, 1},
        RiskCase{"gaussian, 99 %", Distribution::gaussian, 0.03, 0, 0.99, 2'000'000, 1, 1},
        RiskCase{"gaussian, 50 %", Distribution::gaussian, 0.03, 0, 0.5, 50'000, 1, 1},
        RiskCase{"gaussian, 99.9 %", Distribution::gaussian, 0.05, 0, 0.999, 2'000'000, 1, 1},
        RiskCase{"gaussian, fractional k", Distribution::gaussian, 0.03, 0, 0.975, 1'000'030, 1, 1},
        RiskCase{"gaussian, 10 days from 1", Distribution::gaussian, 0.04, 0, 0.99, 2'000'000, 10,
                 1},
        RiskCase{"gaussian, 6 hours from 30 days", Distribution::gaussian, 0.2, 0, 0.99, 2'000'000,
                 0.25, 30},
        RiskCase{"student t, 99 %", Distribution::student_t, 0.03, 1e-5, 0.99, 2'000'000, 1, 1},
        RiskCase{"student t, 95 %", Distribution::student_t, 0.05, 2.5e-3, 0.95, 2'000'000, 1, 1},
        RiskCase{"student t, 99.9 %", Distribution::student_t, 0.03, 5e-5, 0.999, 2'000'000, 1, 1},
        RiskCase{"student t, 5 days", Distribution::student_t, 0.03, 5e-4, 0.99, 2'000'000, 5, 1}));

// The quadrature itself, against formulas where there are any.

TEST(ExactTail, OfALognormalIsItsFormula) {
  const double s = 0.2, level = 0.99;
  const NormalMixture move{{{s, 1.0}}};
  const double z = quantile(boost::math::normal(), level), mean = std::exp(s * s / 2);
  const LossCurve short_curve{spot_change, -infinity};
  const ExactTail short_tail(move, short_curve, level);
  EXPECT_NEAR(short_tail.value_at_risk, spot_usd * std::expm1(s * z), 1e-10);
  EXPECT_NEAR(short_tail.expected_shortfall,
              spot_usd * (mean * normal_cdf(s - z) / (1 - level) - 1), 1e-10);
  const LossCurve long_curve{[](double x) { return -spot_change(x); }, infinity};
  const ExactTail long_tail(move, long_curve, level);
  EXPECT_NEAR(long_tail.value_at_risk, -spot_usd * std::expm1(-s * z), 1e-10);
  EXPECT_NEAR(long_tail.expected_shortfall,
              spot_usd * (1 - mean * normal_cdf(-s - z) / (1 - level)), 1e-10);
}

TEST(ExactTail, OfAStudentTWithoutAFloorIsItsFormula) {
  const double nu = 4, level = 0.99;
  // So low a floor is none; a deviation of 1 is a t scaled by sqrt((nu - 2) / nu).
  const NormalMixture move = floored_student_t(1, nu, 1e-16);
  const LossCurve curve{[](double x) { return x; }, -infinity};
  const ExactTail tail(move, curve, level);
  const boost::math::students_t t(nu);
  const double q = quantile(t, level), scale = std::sqrt((nu - 2) / nu);
  EXPECT_NEAR(tail.value_at_risk, scale * q, 1e-7);
  EXPECT_NEAR(tail.expected_shortfall, scale * pdf(t, q) / (1 - level) * (nu + q * q) / (nu - 1),
              1e-5);
}

TEST(ExactTail, OfASquareHasTwoSides) {
  const NormalMixture move{{{1.0, 1.0}}};
  const LossCurve curve{[](double x) { return x * x; }, 0};
  const ExactTail tail(move, curve, 0.95);
  const double z = quantile(boost::math::normal(), 0.975);
  EXPECT_NEAR(tail.value_at_risk, z * z, 1e-10);
  // E[Z^2; |Z| > z] = 2 (z n(z) + N(-z)).
  EXPECT_NEAR(tail.expected_shortfall, 2 * (z * normal_pdf(z) + 0.025) / 0.05, 1e-10);
}

}  // namespace
}  // namespace shortfall
