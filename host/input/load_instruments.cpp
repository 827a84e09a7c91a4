#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "csv.hpp"
#include "load.hpp"
#include "shortfall/book.hpp"

namespace shortfall {
namespace {

constexpr Choice<InstrumentType> instrument_types[] = {{"call", InstrumentType::call},
                                                       {"put", InstrumentType::put},
                                                       {"future", InstrumentType::future},
                                                       {"perpetual", InstrumentType::perpetual},
                                                       {"spot", InstrumentType::spot}};
constexpr Choice<Settlement> settlements[] = {{"linear", Settlement::linear},
                                              {"inverse", Settlement::inverse}};

enum Column : std::size_t {
  instrument,
  type,
  underlying,
  settlement,
  expiry,
  strike,
  multiplier,
  mark_price,
  mark_iv
};

/// Fills one instrument from its row, which is read once its type is known: the type decides which
/// fields a row has.
class InstrumentRow {
 public:
  /// Without trusted spots, prices are not compared with them.
  InstrumentRow(CsvTable& table, const RunConfig& config, bool trusts_spots, Instrument& entry)
      : table_(table), config_(config), trusts_spots_(trusts_spots), entry_(entry) {}

  void read(const NameTable<Underlying>& underlyings) {
    read_underlying(underlyings);
    entry_.multiplier = table_.positive(multiplier).value_or(1);
    const std::optional<InstrumentType> found_type = choice(table_, type, instrument_types);
    const std::optional<Settlement> found_settlement = choice(table_, settlement, settlements);
    if (!found_type || !found_settlement) return;
    entry_.type = *found_type;
    entry_.settlement = *found_settlement;
    const bool is_option =
        entry_.type == InstrumentType::call || entry_.type == InstrumentType::put;
    const bool is_spot = entry_.type == InstrumentType::spot;
    if (is_spot && entry_.settlement != Settlement::linear) {
      table_.report(settlement, "is inverse; a spot is linear");
    }
    if (is_wanted(expiry, is_option || entry_.type == InstrumentType::future)) read_expiry();
    if (is_wanted(strike, is_option)) entry_.strike = table_.positive(strike).value_or(0);
    if (is_wanted(mark_iv, is_option)) read_volatility();
    if (is_spot) {
      is_wanted(mark_price, false);
    } else if (!table_[mark_price].empty()) {
      entry_.mark_price = table_.positive(mark_price).value_or(0);
    }
    if (trusts_spots_ && spot_usd_ > 0) {
      check_ratio(mark_price, entry_.mark_price, 1e-3, 1e3);
      check_ratio(strike, entry_.strike, 1e-6, 1e6);
    }
  }

 private:
  /// Whether a field is there to be read; reports one that is missing or has no place here.
  bool is_wanted(Column column, bool is_required) {
    const std::string_view text = table_[column];
    const char* const type_text = to_string(entry_.type);
    if (is_required && text.empty()) {
      table_.report(column, fmt::format("is empty; a {} needs one", type_text));
    } else if (!is_required && !text.empty()) {
      table_.report(
          column, fmt::format("is {}; a {} has none, leave it empty", in_quotes(text), type_text));
    }
    return is_required && !text.empty();
  }

  void read_underlying(const NameTable<Underlying>& underlyings) {
    if (const std::optional<std::uint32_t> index = underlyings.find(table_[underlying])) {
      entry_.underlying = *index;
      spot_usd_ = underlyings.entries()[*index].spot_usd;
      entry_.mark_price = spot_usd_;
    } else if (underlyings.is_complete()) {
      table_.report(underlying,
                    fmt::format("{} is unknown; list it in {}", in_quotes(table_[underlying]),
                                config_.inputs.underlyings.string()));
    }
  }

  void read_expiry() {
    const std::optional<std::int64_t> time = parse_date_time(table_[expiry]);
    if (!time) {
      table_.report(expiry, fmt::format("{} is no date-time; write one like 2025-06-27T08:00:00Z",
                                        in_quotes(table_[expiry])));
    } else if (*time <= config_.as_of) {
      table_.report(expiry, fmt::format("{} is not after as_of {}; remove the expired instrument "
                                        "and its positions, or correct as_of",
                                        table_[expiry], format_date_time(config_.as_of)));
    } else {
      entry_.expiry = *time;
    }
  }

  void read_volatility() {
    const std::optional<double> value = table_.real(mark_iv);
    if (!value) return;
    entry_.mark_iv = *value;
    if (*value < 0.01 || *value > 10) {
      table_.report(mark_iv, fmt::format("{} is outside [0.01, 10]; write an annual volatility of "
                                         "55 % as 0.55",
                                         *value));
    }
  }

  /// Prices far from the spot are mistakes of units, and beyond these bounds a revaluation might
  /// leave the range of floats unseen.
  void check_ratio(Column column, double price, double low, double high) {
    const double ratio = price / spot_usd_;
    if (price == 0 || (ratio >= low && ratio <= high)) return;
    table_.report(column, fmt::format("{} is {:.3g} times the spot {}; write USD per coin", price,
                                      ratio, spot_usd_));
  }

  CsvTable& table_;
  const RunConfig& config_;
  bool trusts_spots_;
  Instrument& entry_;
  double spot_usd_ = 0;  ///< 0 where the underlying is not known
};

}  // namespace

void load_instruments(const RunConfig& config, const NameTable<Underlying>& underlyings,
                      NameTable<Instrument>& instruments, Problems& problems) {
  CsvTable table(config.inputs.instruments,
                 {"instrument", "type", "underlying", "settlement", "expiry", "strike",
                  "multiplier", "mark_price", "mark_iv"},
                 problems);
  UniqueRows rows(instruments, name_problem);
  const bool trusts_spots = problems.empty();
  while (table.next()) {
    if (Instrument* const entry = rows.enter(table, instrument)) {
      InstrumentRow(table, config, trusts_spots, *entry).read(underlyings);
    }
  }
  table.require_rows();
  if (!table.is_complete()) instruments.mark_incomplete();
}

const char* to_string(InstrumentType value) { return name_of(instrument_types, value); }
const char* to_string(Settlement value) { return name_of(settlements, value); }

}  // namespace shortfall
