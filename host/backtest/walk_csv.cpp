#include "walk_csv.hpp"

#include <cmath>

#include "input/date.hpp"
#include "output/csv_text.hpp"

namespace shortfall::backtest {

void write_walk(const Walk& walk, AtomicFile& csv) {
  csv.write(
      "date,book,confidence_level,value_at_risk_usd,expected_shortfall_usd,loss_usd,"
      "is_exceedance,calibrated_to,degrees_of_freedom\n");
  for (const BookSeries& series : walk.books)
    for (std::size_t t = 0; t < series.times.size(); ++t)
      for (std::size_t l = 0; l < series.levels.size(); ++l) {
        const BacktestDate& date = series.levels[l][t];
        std::string row = format_date(series.times[t]) + ',';
        append_field(row, series.book);
        for (const double number : {walk.confidence_levels[l], date.value_at_risk_usd,
                                    date.expected_shortfall_usd, date.loss_usd}) {
          row += ',';
          append_number(row, number);
        }
        row += date.is_exceedance() ? ",1," : ",0,";
        row += format_date(series.calibrated_to[t]) + ',';
        if (std::isfinite(series.degrees_of_freedom[t]))
          append_number(row, series.degrees_of_freedom[t]);
        csv.write(row + '\n');
      }
}

}  // namespace shortfall::backtest
