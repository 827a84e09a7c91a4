#include "walk_csv.hpp"

#include "csv_text.hpp"
#include "date.hpp"

namespace shortfall::backtest {

void write_walk(const Walk& walk, AtomicFile& csv) {
  csv.write(
      "date,book,confidence_level,value_at_risk_usd,expected_shortfall_usd,loss_usd,"
      "is_exceedance,calibrated_to\n");
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
        csv.write(row + format_date(series.calibrated_to[t]) + '\n');
      }
}

}  // namespace shortfall::backtest
