#include "backtest_chart.hpp"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"
#include "input/date.hpp"

namespace shortfall::backtest {
namespace {

constexpr double width = 960, height = 230;
constexpr double left = 64, right = 8, top = 8, bottom = 24;
constexpr double seconds_per_day = 86'400;

/// The least of 1, 2 and 5 times a power of ten that is not below `length`.
double nice_step(double length) {
  const double power = std::pow(10, std::floor(std::log10(length)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= length) return factor * power;
  return 10 * power;
}

/// Where dates and amounts are on a picture.
class Axes {
 public:
  Axes(const BookSeries& series, const std::vector<BacktestDate>& dates) {
    first_ = static_cast<double>(series.times.front());
    last_ = std::max(first_ + 1, static_cast<double>(series.times.back()));
    for (const BacktestDate& date : dates) {
      low_ = std::min(low_, date.loss_usd);
      high_ = std::max({high_, date.loss_usd, date.expected_shortfall_usd});
    }
  }
  double x(double time) const {
    return left + (width - left - right) * (time - first_) / (last_ - first_);
  }
  double x(std::int64_t time) const { return x(static_cast<double>(time)); }
  double y(double usd) const {
    return top + (height - top - bottom) * (high_ - usd) / (high_ - low_);
  }

  std::string draw() const { return draw_amounts() + draw_dates(); }

 private:
  std::string draw_amounts() const {
    std::string svg;
    const double step = nice_step((high_ - low_) / 5);
    const int digits = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
    for (double i = std::ceil(low_ / step); i <= high_ / step; ++i)
      svg += fmt::format(
          "<path class=\"{}\" d=\"M{} {:.1f}H{}\"/>"
          "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.{}f}</text>\n",
          i == 0 ? "axis" : "grid", left, y(i * step), width - right, left - 6, y(i * step) + 4,
          i == 0 ? 0.0 : i * step, digits);
    return svg;
  }

  /// Firsts of years, of quarters, of months, or days where there are few of those, not closer than
  /// their labels; where no day begins in the picture, when it begins.
  std::string draw_dates() const {
    const double years = (last_ - first_) / (365.25 * seconds_per_day);
    const int months = years > 2.5 ? 12 : years > 0.8 ? 3 : years > 0.2 ? 1 : 0;
    std::string svg;
    double free_from = 0;
    for (std::int64_t time = start_of_day(first_); static_cast<double>(time) <= last_;
         time += static_cast<std::int64_t>(seconds_per_day)) {
      const std::string date = format_date(time);
      const int month = std::stoi(date.substr(5, 2));
      const bool is_tick = months == 0 || (date.substr(8, 2) == "01" && (month - 1) % months == 0);
      if (!is_tick || x(time) < free_from) continue;
      svg += fmt::format(
          "<path class=\"grid\" d=\"M{0:.1f} {1}V{2}\"/>"
          "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>\n",
          x(time), top, height - bottom, height - 8,
          date.substr(0, months == 12 ? 4
                         : months > 0 ? 7
                                      : 10));
      free_from = x(time) + 80;
    }
    if (svg.empty())
      svg = fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", left, height - 8,
                        format_date(static_cast<std::int64_t>(first_)));
    return svg;
  }

  /// The first midnight in the picture.
  static std::int64_t start_of_day(double time) {
    return static_cast<std::int64_t>(std::ceil(time / seconds_per_day) * seconds_per_day);
  }

  double first_, last_, low_ = 0, high_ = 1e-9;
};

template <class Amount>
std::string polyline(const Axes& axes, const BookSeries& series,
                     const std::vector<BacktestDate>& dates, const char* kind,
                     const Amount& amount) {
  std::string points;
  for (std::size_t t = 0; t < dates.size(); ++t)
    points += fmt::format("{:.1f},{:.1f} ", axes.x(series.times[t]), axes.y(amount(dates[t])));
  points.pop_back();
  return fmt::format("<polyline class=\"{}\" points=\"{}\"/>\n", kind, points);
}

/// Dots as one path of lines without length, whose round ends are seen.
std::string dots(const Axes& axes, const BookSeries& series, const std::vector<BacktestDate>& dates,
                 bool are_exceedances) {
  std::string path;
  for (std::size_t t = 0; t < dates.size(); ++t)
    if (dates[t].is_exceedance() == are_exceedances)
      path += fmt::format("M{:.1f} {:.1f}h0", axes.x(series.times[t]), axes.y(dates[t].loss_usd));
  return fmt::format("<path class=\"{}\" d=\"{}\"/>\n", are_exceedances ? "over" : "loss", path);
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string draw_walk(const BookSeries& series, const std::vector<BacktestDate>& dates) {
  const Axes axes(series, dates);
  return fmt::format(
             "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"losses and forecasts of {}\">\n",
             width, height, escaped(series.book)) +
         axes.draw() + dots(axes, series, dates, false) +
         polyline(axes, series, dates, "var",
                  [](const BacktestDate& date) { return date.value_at_risk_usd; }) +
         polyline(axes, series, dates, "es",
                  [](const BacktestDate& date) { return date.expected_shortfall_usd; }) +
         dots(axes, series, dates, true) + "</svg>\n";
}

}  // namespace shortfall::backtest
