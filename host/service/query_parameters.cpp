// Queries of GET routes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "refusal.hpp"
#include "requests.hpp"
#include "text.hpp"

namespace shortfall::service {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The parameters of a query, taken one by one by name.
class Parameters {
 public:
  explicit Parameters(std::string_view query) {
    while (!query.empty()) {
      const std::size_t end = std::min(query.find('&'), query.size());
      if (end > 0) add(query.substr(0, end));
      query.remove_prefix(std::min(end + 1, query.size()));
    }
  }

  std::optional<std::string> take(const char* name) {
    const auto at = values_.find(name);
    if (at == values_.end()) return std::nullopt;
    std::optional<std::string> value = std::move(at->second);
    values_.erase(at);
    return value;
  }

  std::size_t take_number(const char* name, std::size_t absent, std::size_t low, std::size_t high) {
    const std::optional<std::string> text = take(name);
    if (!text) return absent;
    std::size_t value = 0;
    const char* const end = text->data() + text->size();
    const auto [rest, error] = std::from_chars(text->data(), end, value);
    if (error == std::errc() && rest == end && value >= low && value <= high) return value;
    report(name, high == unbounded ? fmt::format("is {}; write a whole number", in_quotes(*text))
                                   : fmt::format("is {}; write a whole number from {} to {}",
                                                 in_quotes(*text), low, high));
    return absent;
  }

  template <class Enum, std::size_t count>
  Enum take_choice(const char* name, Enum absent, const Choice<Enum> (&choices)[count]) {
    const std::optional<std::string> text = take(name);
    if (!text) return absent;
    if (const std::optional<Enum> value = find_choice(choices, *text)) return *value;
    report(name, choice_problem(choices, *text));
    return absent;
  }

  std::string take_search() {
    std::string text = take("search").value_or("");
    if (text.size() > 256) report("search", "has more than 256 bytes");
    return text;
  }

  /// Throws what was reported, and whatever was not taken.
  void finish() {
    for (const auto& [name, value] : values_) report(name, "there is no such parameter");
    try {
      problems_.throw_if_any();
    } catch (const InputError& error) {
      throw Refusal{400, "malformed", "the query is malformed", listed_problems(error)};
    }
  }

  static constexpr std::size_t unbounded = static_cast<std::size_t>(-1);

 private:
  void add(std::string_view pair) {
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::optional<std::string> name = decode_percent(pair.substr(0, equals), true);
    const std::optional<std::string> value =
        decode_percent(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value)
      report(name ? *name : "", "is no percent-encoded UTF-8");
    else if (!values_.emplace(*name, *value).second)
      report(*name, "is there twice; give it once");
  }
  void report(const std::string& name, const std::string& message) {
    problems_.add("query " + name, 0, message);
  }

  std::map<std::string, std::string, std::less<>> values_;
  Problems problems_;
};

}  // namespace

std::optional<std::string> decode_percent(std::string_view text, bool is_query) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_query && text[i] == '+') {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
      if (low < 0) return std::nullopt;
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return is_utf8(decoded) ? std::optional(decoded) : std::nullopt;
}

AccountsQuery parse_accounts_query(std::string_view text) {
  constexpr Choice<AccountSort> sorts[] = {{"margin_ratio", AccountSort::margin_ratio},
                                           {"account", AccountSort::account},
                                           {"margin", AccountSort::margin},
                                           {"equity", AccountSort::equity},
                                           {"margin_excess", AccountSort::margin_excess},
                                           {"expected_shortfall", AccountSort::expected_shortfall},
                                           {"gross_notional", AccountSort::gross_notional},
                                           {"positions", AccountSort::positions},
                                           {"staleness", AccountSort::staleness}};
  constexpr Choice<bool> orders[] = {{"ascending", false}, {"descending", true}};
  constexpr Choice<const char*> statuses[] = {
      {"ok", "ok"}, {"call", "call"}, {"liquidate", "liquidate"}, {"none", "none"}};
  Parameters parameters(text);
  AccountsQuery query;
  query.limit = parameters.take_number("limit", query.limit, 1, 1000);
  query.offset = parameters.take_number("offset", 0, 0, Parameters::unbounded);
  query.sort = parameters.take_choice("sort", query.sort, sorts);
  query.is_descending = parameters.take_choice("order", query.sort != AccountSort::account, orders);
  if (const char* const status = parameters.take_choice<const char*>("status", nullptr, statuses))
    query.status = status;
  query.search = parameters.take_search();
  parameters.finish();
  return query;
}

InstrumentsQuery parse_instruments_query(std::string_view text) {
  Parameters parameters(text);
  InstrumentsQuery query;
  query.limit = parameters.take_number("limit", query.limit, 1, 10000);
  query.search = parameters.take_search();
  parameters.finish();
  return query;
}

RunsQuery parse_runs_query(std::string_view text) {
  Parameters parameters(text);
  const RunsQuery query{parameters.take_number("limit", RunsQuery{}.limit, 1, 500)};
  parameters.finish();
  return query;
}

void require_no_query(std::string_view text) { Parameters(text).finish(); }

}  // namespace shortfall::service
