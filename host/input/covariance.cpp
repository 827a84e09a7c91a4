#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string_view>

#include "csv.hpp"
#include "load.hpp"
#include "shortfall/factor_model.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

constexpr std::size_t factors_max = 8192;
// Of log-moves over a horizon: a variance of 1e6 is a standard deviation of e^1000.
constexpr double covariance_max = 1e6;
constexpr std::uint32_t tenor_days_max = 100'000;

/// The factor of a column; false where it is none, which is reported.
bool read_factor(std::string_view name, const NameTable<Underlying>& underlyings,
                 NameTable<Factor>& factors, CsvFile& file) {
  const auto [index, is_new] = factors.insert(name);
  if (!is_new) {
    file.report(fmt::format("duplicate factor {}; remove one of them", in_quotes(name)));
    return false;
  }
  Factor& factor = factors.entries()[index];
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos || !parse_factor_kind(name.substr(dot + 1), factor)) {
    file.report(
        fmt::format("factor {} is of no known kind; write <underlying>.spot, .vol.<N>d with N from "
                    "1 to {}, .skew, .basis or .perp",
                    in_quotes(name), tenor_days_max));
    return false;
  }
  const std::string_view underlying = name.substr(0, dot);
  if (const auto found = underlyings.find(underlying)) {
    factor.underlying = *found;
  } else if (underlyings.is_complete()) {
    file.report(
        fmt::format("factor {} is of the unknown underlying {}; list it in the underlyings "
                    "file",
                    in_quotes(name), in_quotes(underlying)));
    return false;
  }
  return true;
}

class CovarianceReader {
 public:
  CovarianceReader(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                   Covariance& covariance, Problems& problems)
      : file_(file, problems), underlyings_(underlyings), covariance_(covariance) {
    covariance.file = file;
  }

  void read() {
    if (!read_factor_header(file_, "factor", underlyings_, covariance_.factors)) return;
    const std::size_t count = covariance_.factors.size();
    covariance_.matrix.reserve(count * count);
    bool is_valid = true;
    std::size_t row = 0;
    while (file_.next()) {
      if (!is_row_of(row)) return;
      is_valid = read_row(row++) && is_valid;
    }
    if (!file_.is_complete()) return;
    if (row < count) {
      file_.report_file(
          fmt::format("ends before the row of factor {}; it needs a row for each of "
                      "the {} factors of the header",
                      in_quotes(covariance_.factors[row].name), count));
      return;
    }
    if (is_valid) make_symmetric();
  }

 private:
  /// Whether the record is the row of that factor: one out of place makes the rest meaningless.
  bool is_row_of(std::size_t row) {
    const std::vector<Factor>& factors = covariance_.factors;
    const std::string_view name = file_.fields()[0];
    if (row == factors.size()) {
      file_.report(fmt::format("row {} follows the last factor; remove it or add its column",
                               in_quotes(name)));
    } else if (name != factors[row].name) {
      file_.report(fmt::format("row {} stands where {} belongs; order the rows like the header",
                               in_quotes(name), in_quotes(factors[row].name)));
    } else {
      return true;
    }
    return false;
  }

  /// Reports the first number of the row that is wrong.
  bool read_row(std::size_t row) {
    const std::vector<Factor>& factors = covariance_.factors;
    const std::vector<std::string_view>& fields = file_.fields();
    lines_.push_back(file_.line());
    if (fields.size() != factors.size() + 1) {
      file_.report(fmt::format("row {} has {} numbers for {} factors", in_quotes(fields[0]),
                               fields.size() - 1, factors.size()));
      return false;
    }
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const std::string_view text = fields[i + 1];
      const std::optional<double> value = parse_real(text);
      const char* wrong = nullptr;
      if (!value) {
        wrong = "is not a finite decimal number; write one like 6.4e-4";
      } else if (std::abs(*value) > covariance_max) {
        wrong = "is beyond 1e6; write covariances of log-moves as decimals";
      } else if (i == row && *value < 0) {
        wrong = "is a negative variance; a diagonal entry must be at least 0";
      }
      if (wrong) {
        file_.report(fmt::format("column {}: {} {}", factors[i].name, in_quotes(text), wrong));
        return false;
      }
      covariance_.matrix.push_back(*value);
    }
    return true;
  }

  /// formats.md: equal within 1e-9 of the scale of the pair, and the mean is used. Reports the
  /// first pair of a row that is not.
  void make_symmetric() {
    const std::size_t count = covariance_.factors.size();
    double* const a = covariance_.matrix.data();
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        double& lower = a[i * count + j];
        double& upper = a[j * count + i];
        const double scale = std::sqrt(a[i * count + i] * a[j * count + j]);
        if (!(std::abs(lower - upper) <= 1e-9 * scale)) {
          file_.report_at(lines_[i],
                          fmt::format("not symmetric: {} and {} have {} here and {} on "
                                      "line {}; make them equal",
                                      covariance_.factors[i].name, covariance_.factors[j].name,
                                      lower, upper, lines_[j]));
          break;
        }
        lower = upper = 0.5 * (lower + upper);
      }
    }
  }

  CsvFile file_;
  const NameTable<Underlying>& underlyings_;
  Covariance& covariance_;
  std::vector<std::size_t> lines_;  // of the rows
};

}  // namespace

bool read_factor_header(CsvFile& file, std::string_view first_column,
                        const NameTable<Underlying>& underlyings, std::vector<Factor>& factors) {
  const std::string form = fmt::format("{},<name>,<name>,...", first_column);
  if (!file.next()) {
    if (file.is_complete()) file.report_file("is empty; begin it with " + form);
    return false;
  }
  const std::vector<std::string_view>& header = file.fields();
  if (header[0] != first_column || header.size() < 2) {
    file.report(fmt::format("header begins with {}; write {} separated by commas",
                            in_quotes(header[0]), form));
    return false;
  }
  if (header.size() - 1 > factors_max) {
    file.report(
        fmt::format("has {} factors; at most {} are supported", header.size() - 1, factors_max));
    return false;
  }
  NameTable<Factor> names(factors);
  bool is_valid = true;
  for (std::size_t i = 1; i < header.size(); ++i)
    is_valid = read_factor(header[i], underlyings, names, file) && is_valid;
  return is_valid;
}

bool parse_factor_kind(std::string_view text, Factor& factor) {
  constexpr struct {
    std::string_view name;
    FactorKind kind;
  } kinds[] = {{"spot", FactorKind::spot},
               {"skew", FactorKind::skew},
               {"basis", FactorKind::basis},
               {"perp", FactorKind::perp}};
  for (const auto& [name, kind] : kinds) {
    if (text != name) continue;
    factor.kind = kind;
    return true;
  }
  if (!text.starts_with("vol.") || !text.ends_with('d')) return false;
  const std::string_view days = text.substr(4, text.size() - 5);
  const auto [stop, error] =
      std::from_chars(days.data(), days.data() + days.size(), factor.tenor_days);
  factor.kind = FactorKind::vol;
  // One way to write a tenor, so that equal factors have equal names.
  return error == std::errc() && stop == days.data() + days.size() && !days.starts_with('0') &&
         factor.tenor_days <= tenor_days_max;
}

void load_covariance(const std::filesystem::path& file, const NameTable<Underlying>& underlyings,
                     Covariance& covariance, Problems& problems) {
  CovarianceReader(file, underlyings, covariance, problems).read();
}

}  // namespace shortfall
