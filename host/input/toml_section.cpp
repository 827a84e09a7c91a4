#include "toml_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "text.hpp"

namespace shortfall {
namespace {

const char* type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a real number";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    case toml::node_type::date_time:
      return "a date-time";
    default:
      return "nothing";
  }
}

std::int64_t seconds_since_epoch(const toml::date_time& value) {
  const std::chrono::year_month_day date(std::chrono::year(value.date.year),
                                         std::chrono::month(value.date.month),
                                         std::chrono::day(value.date.day));
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t minutes = (days * 24 + value.time.hour) * 60 + value.time.minute;
  return (minutes - value.offset->minutes) * 60 + value.time.second;
}

}  // namespace

TomlSection::TomlSection(const toml::table& document, const char* name, std::string file,
                         Problems& problems)
    : TomlSection(document.get(name), name, std::move(file), problems) {}

TomlSection::TomlSection(const toml::node* node, std::string name, std::string file,
                         Problems& problems)
    : name_(std::move(name)), file_(std::move(file)), problems_(problems) {
  if (!node) return;
  table_ = node->as_table();
  if (!table_) {
    is_no_table_ = true;
    problems_.add(
        file_, node->source().begin.line,
        fmt::format("{} is {}; write it as the table [{}]", name_, type_name(*node), name_));
  }
}

TomlSection TomlSection::table(const char* key) {
  return TomlSection(table_ ? table_->get(key) : nullptr, fmt::format("{}.{}", name_, key), file_,
                     problems_);
}

std::size_t TomlSection::line_of(const char* key) const {
  if (!table_) return 0;
  const toml::node* const node = table_->get(key);
  return (node ? node->source() : table_->source()).begin.line;
}

const toml::node* TomlSection::find(const char* key) {
  if (std::find(known_keys_.begin(), known_keys_.end(), key) == known_keys_.end())
    known_keys_.push_back(key);
  return table_ ? table_->get(key) : nullptr;
}

void TomlSection::report(const char* key, const std::string& message) {
  problems_.add(file_, line_of(key), fmt::format("[{}] {} {}", name_, key, message));
}

void TomlSection::report_missing(const char* key, const char* remedy) {
  if (!is_no_table_) report(key, fmt::format("is missing; {}", remedy));
}

void TomlSection::report_type(const char* key, const char* wanted, const toml::node& found) {
  report(key, fmt::format("is {}; write {}", type_name(found), wanted));
}

std::optional<std::string> TomlSection::string(const char* key) {
  const toml::node* const node = find(key);
  if (!node) return std::nullopt;
  if (const auto text = node->value_exact<std::string>()) return text;
  report_type(key, "a string in double quotes", *node);
  return std::nullopt;
}

void TomlSection::real(const char* key, double& value, const RealDomain& domain) {
  const toml::node* const node = find(key);
  if (!node) return;
  if (!node->is_number()) return report_type(key, "a number", *node);
  const double found = *node->value<double>();
  if (std::isfinite(found) && domain.contains(found)) {
    value = found;
  } else {
    report(key, fmt::format("is {}; it must be {}", found, domain.description));
  }
}

void TomlSection::required_real(const char* key, double& value, const RealDomain& domain,
                                const char* remedy) {
  const bool is_present = table_ && table_->contains(key);
  real(key, value, domain);
  if (!is_present) report_missing(key, remedy);
}

void TomlSection::boolean(const char* key, bool& value) {
  const toml::node* const node = find(key);
  if (!node) return;
  if (const auto found = node->value_exact<bool>())
    value = *found;
  else
    report_type(key, "true or false", *node);
}

void TomlSection::reals(const char* key, std::map<std::string, double>& values,
                        const RealDomain& domain) {
  const toml::node* const node = find(key);
  if (!node) return;
  const toml::table* const table = node->as_table();
  if (!table) return report_type(key, "a table of numbers, like {BTC = 0.1}", *node);
  for (const auto& [name, element] : *table) {
    const std::optional<double> found = element.value<double>();
    if (!element.is_number())
      report(key, fmt::format("has {} for {}; write a number", type_name(element),
                              in_quotes(name.str())));
    else if (!std::isfinite(*found) || !domain.contains(*found))
      report(key, fmt::format("has {} for {}; it must be {}", *found, in_quotes(name.str()),
                              domain.description));
    else
      values.emplace(name.str(), *found);
  }
}

Origin TomlSection::integer_of_64_bits(const char* key, std::uint64_t& value, IntegerRange range,
                                       const char* option,
                                       const std::optional<std::uint64_t>& replacement) {
  const toml::node* const node = find(key);
  const auto contains = [range](std::uint64_t x) {
    return x >= range.least && x <= range.greatest;
  };
  const std::string bounds = fmt::format("it must be from {} to {}", range.least, range.greatest);
  if (replacement) {
    const Origin origin{"command line", 0};
    if (contains(*replacement)) {
      value = *replacement;
    } else {
      problems_.add(origin.file, 0, fmt::format("{} is {}; {}", option, *replacement, bounds));
    }
    return origin;
  }
  const Origin origin{file_, line_of(key)};
  if (!node) return origin;
  const std::optional<std::int64_t> found = node->value_exact<std::int64_t>();
  if (!found) {
    report_type(key, "an integer", *node);
  } else if (*found < 0 || !contains(static_cast<std::uint64_t>(*found))) {
    report(key, fmt::format("is {}; {}", *found, bounds));
  } else {
    value = static_cast<std::uint64_t>(*found);
  }
  return origin;
}

void TomlSection::date_time(const char* key, std::int64_t& seconds) {
  const char* const wanted = "a date-time such as 2025-06-27T08:00:00Z, without quotes";
  const toml::node* const node = find(key);
  if (!node) return report_missing(key, "write the time of valuation, like 2025-06-27T08:00:00Z");
  const auto found = node->value_exact<toml::date_time>();
  if (!found) return report_type(key, wanted, *node);
  if (!found->offset) {
    report(key, "has no time zone; end it with Z, or an offset such as +01:00");
  } else if (found->time.nanosecond != 0) {
    report(key, "has a fraction of a second; give whole seconds");
  } else {
    seconds = seconds_since_epoch(*found);
  }
}

bool TomlSection::path(const char* key, std::filesystem::path& value) {
  const bool is_present = table_ && table_->contains(key);
  const std::optional<std::string> text = string(key);
  if (!text) return is_present;
  if (text->empty() || text->find('\0') != std::string::npos) {
    report(key, "is no path; write the path of a file, relative to this one");
  } else {
    value = std::filesystem::path(file_).parent_path() / *text;
  }
  return is_present;
}

void TomlSection::integers(const char* key, std::vector<int>& values, IntegerRange range) {
  const toml::node* const node = find(key);
  if (!node) return;
  const toml::array* const array = node->as_array();
  if (!array) return report_type(key, "an array of integers, like [0, 1]", *node);
  for (const toml::node& element : *array) {
    const std::optional<std::int64_t> found = element.value_exact<std::int64_t>();
    if (!found) return report(key, fmt::format("holds {}; write integers", type_name(element)));
    if (*found < static_cast<std::int64_t>(range.least) ||
        *found > static_cast<std::int64_t>(range.greatest)) {
      return report(key, fmt::format("holds {}; each must be from {} to {}", *found, range.least,
                                     range.greatest));
    }
    const int number = static_cast<int>(*found);
    if (std::find(values.begin(), values.end(), number) != values.end()) {
      return report(key, fmt::format("holds {} twice; remove one", number));
    }
    values.push_back(number);
  }
}

void TomlSection::strings(const char* key, std::vector<std::string>& values) {
  const toml::node* const node = find(key);
  if (!node) return;
  const toml::array* const array = node->as_array();
  if (!array) return report_type(key, "an array of strings, like [\"a\", \"b\"]", *node);
  for (const toml::node& element : *array) {
    const std::optional<std::string> found = element.value_exact<std::string>();
    if (!found) return report(key, fmt::format("holds {}; write strings", type_name(element)));
    values.push_back(*found);
  }
}

void TomlSection::report_unknown_keys() {
  if (!table_) return;
  for (const auto& [key, node] : *table_) {
    if (std::find(known_keys_.begin(), known_keys_.end(), key.str()) != known_keys_.end()) continue;
    problems_.add(file_, key.source().begin.line,
                  fmt::format("unknown key {} in [{}]; it has {}", in_quotes(key.str()), name_,
                              join(known_keys_, ", ")));
  }
}

}  // namespace shortfall
