#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "csv.hpp"
#include "load.hpp"
#include "shortfall/book.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

// Together they keep every sum of quantities, in whatever order, below 1e38 units: within 128 bits.
constexpr std::size_t rows_max = 100'000'000;
constexpr int integer_digits_max = 18;
constexpr int fraction_digits_max = 12;

Quantity::Units power_of_ten(int exponent) {
  Quantity::Units power = 1;
  for (int i = 0; i < exponent; ++i) power *= 10;
  return power;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A number as written: its digits, without zeros on either side, times 10^exponent.
struct Decimal {
  bool is_negative = false;
  std::string_view digits;  // may hold the point
  std::int64_t digit_count = 0;
  std::int64_t exponent = 0;
};

/// Digits with at most one point, then perhaps an exponent: [-]d[.d][e[+-]d].
std::optional<Decimal> parse_decimal(std::string_view text) {
  Decimal decimal;
  decimal.is_negative = text.starts_with('-');
  if (decimal.is_negative) text.remove_prefix(1);
  const std::size_t end = std::min(text.find_first_of("eE"), text.size());
  const std::string_view mantissa = text.substr(0, end);
  if (!std::all_of(mantissa.begin(), mantissa.end(),
                   [](char c) { return is_digit(c) || c == '.'; }) ||
      std::none_of(mantissa.begin(), mantissa.end(), is_digit) ||
      mantissa.find('.') != mantissa.rfind('.')) {
    return std::nullopt;
  }
  if (end < text.size()) {
    std::string_view power = text.substr(end + 1);
    if (power.size() > 1 && power[0] == '+' && is_digit(power[1])) power.remove_prefix(1);
    std::int32_t value = 0;
    const auto [stop, error] = std::from_chars(power.data(), power.data() + power.size(), value);
    if (error == std::errc::invalid_argument || stop != power.data() + power.size()) {
      return std::nullopt;
    }
    // A power beyond 32 bits is too far out for any number of digits that a line can hold.
    constexpr std::int64_t far = std::numeric_limits<std::int32_t>::max();
    decimal.exponent = error == std::errc() ? value : power[0] == '-' ? -far : far;
  }
  const std::size_t first = mantissa.find_first_of("123456789");
  if (first == std::string_view::npos) return decimal;
  const std::size_t last = mantissa.find_last_of("123456789");
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  decimal.digits = mantissa.substr(first, last - first + 1);
  const bool has_point = first < point && point < last;
  decimal.digit_count = static_cast<std::int64_t>(decimal.digits.size()) - (has_point ? 1 : 0);
  // Digits between the last one that counts and the point: negative behind the point.
  decimal.exponent +=
      static_cast<std::int64_t>(point) - static_cast<std::int64_t>(last) - (last < point ? 1 : 0);
  return decimal;
}

/// Room for the rest of the file at the bytes per row seen so far: doubling would hold twice the
/// positions while it copies them.
void reserve_next(std::vector<Position>& positions, const CsvFile& file) {
  if (positions.size() < positions.capacity()) return;
  constexpr double slack = 1.02;
  const double bytes_per_row =
      static_cast<double>(file.bytes_read()) / static_cast<double>(positions.size() + 1);
  const auto expected =
      static_cast<std::size_t>(slack * static_cast<double>(file.byte_count()) / bytes_per_row);
  const std::size_t least = positions.size() + positions.size() / 4 + 4096;
  positions.reserve(std::min(std::max(expected, least), rows_max));
}

// An object rather than a function, so that the sort inlines it.
constexpr auto is_before = [](const Position& a, const Position& b) {
  return a.account != b.account ? a.account < b.account : a.instrument < b.instrument;
};

/// Sorts by (account, instrument) and adds up the rows of each pair, in place.
void net(std::vector<Position>& positions) {
  if (!std::is_sorted(positions.begin(), positions.end(), is_before)) {
    std::sort(positions.begin(), positions.end(), is_before);
  }
  auto last = positions.begin();
  for (const Position& position : positions) {
    if (&position == &*last) continue;
    if (is_before(*last, position)) {
      *++last = position;
    } else {
      last->quantity = Quantity::from_units(last->quantity.units() + position.quantity.units());
    }
  }
  if (last != positions.end()) positions.erase(last + 1, positions.end());
}

void check_net_quantities(CsvTable& table, const Book& book) {
  const Quantity::Units limit = power_of_ten(integer_digits_max + fraction_digits_max);
  for (const Position& position : book.positions) {
    const Quantity::Units units = position.quantity.units();
    if (units > -limit && units < limit) continue;
    table.file().report_file(fmt::format(
        "the rows of account {} in {} add up to {:.6g}; a net quantity must be below 1e18",
        in_quotes(book.accounts[position.account].name),
        in_quotes(book.instruments[position.instrument].name), position.quantity.contracts()));
  }
}

}  // namespace

std::optional<Quantity::Units> parse_quantity(std::string_view text, std::string_view& reason) {
  const std::optional<Decimal> decimal = parse_decimal(text);
  if (!decimal) {
    reason = "is no decimal number; write one like -12.5 or 1e-3";
    return std::nullopt;
  }
  if (decimal->digit_count == 0) return 0;
  if (decimal->digit_count + decimal->exponent > integer_digits_max) {
    reason = "is too large; a quantity must be below 1e18 in magnitude";
    return std::nullopt;
  }
  if (decimal->exponent < -fraction_digits_max) {
    reason = "has more than 12 fractional digits; round it";
    return std::nullopt;
  }
  Quantity::Units units = 0;
  for (char c : decimal->digits) {
    if (c != '.') units = 10 * units + (c - '0');
  }
  units *= power_of_ten(static_cast<int>(decimal->exponent) + fraction_digits_max);
  return decimal->is_negative ? -units : units;
}

std::vector<std::size_t> load_positions(const std::filesystem::path& file,
                                        const NameTable<Instrument>& instruments, Book& book,
                                        Problems& problems) {
  enum Column : std::size_t { account, instrument, quantity };
  CsvTable table(file, {"account", "instrument", "quantity"}, problems);
  NameTable<Account> accounts(book.accounts);
  std::vector<std::size_t> first_lines(instruments.entries().size());
  while (table.next()) {
    std::string_view reason;
    const std::optional<Quantity::Units> units = parse_quantity(table[quantity], reason);
    if (!units) table.report(quantity, fmt::format("{} {}", in_quotes(table[quantity]), reason));
    const std::optional<std::uint32_t> held = instruments.find(table[instrument]);
    if (!held && instruments.is_complete()) {
      table.report(instrument, fmt::format("{} is unknown; list it in the instruments file",
                                           in_quotes(table[instrument])));
    }
    const auto [holder, is_new] = accounts.insert(table[account]);
    if (is_new) {
      if (std::string problem = name_problem(table[account]); !problem.empty()) {
        table.report(account, problem);
      }
    }
    if (!units || !held) continue;
    if (first_lines[*held] == 0) first_lines[*held] = table.line();
    if (book.positions.size() == rows_max) {
      table.file().report("is past the limit of 100000000 positions; add up rows beforehand");
      break;
    }
    reserve_next(book.positions, table.file());
    book.positions.push_back({holder, *held, Quantity::from_units(*units)});
  }
  table.require_rows();
  net(book.positions);
  check_net_quantities(table, book);
  return first_lines;
}

}  // namespace shortfall
