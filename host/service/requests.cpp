#include "requests.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <span>

#include "input/load.hpp"
#include "input/strict_json.hpp"
#include "refusal.hpp"
#include "shortfall/config.hpp"
#include "text.hpp"

namespace shortfall::service {
namespace {

using nlohmann::json;

/// Members of an object, with what is wrong about them.
class Members {
 public:
  /// `known` are all the members that it may have.
  Members(const json& object, std::string where, Problems& problems,
          std::span<const std::string_view> known)
      : object_(object), where_(std::move(where)), problems_(problems) {
    if (!object_.is_object()) {
      problems_.add(where_, 0, "is no object; write { ... }");
      return;
    }
    for (const auto& [name, value] : object_.items())
      if (std::ranges::find(known, name) == known.end())
        problems_.add(where_, 0,
                      fmt::format("has the unknown member {}; it takes {}", in_quotes(name),
                                  join(known, ", ")));
  }

  bool is_object() const { return object_.is_object(); }
  bool has(const char* name) const { return is_object() && object_.contains(name); }
  std::string place(const char* name) const { return json_pointer(where_, name); }
  void report(const char* name, const std::string& message) {
    problems_.add(place(name), 0, message);
  }

  /// Reports a member that is missing, or no text.
  std::optional<std::string> text(const char* name) {
    const json* const value = required(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) {
      report(name, "is no text; write it in double quotes");
      return std::nullopt;
    }
    return value->get<std::string>();
  }

  /// A text that `problem_of` has nothing to say about.
  template <class ProblemOf>
  std::string checked_text(const char* name, ProblemOf problem_of) {
    const std::optional<std::string> value = text(name);
    if (!value) return {};
    if (const std::string problem = problem_of(*value); !problem.empty()) report(name, problem);
    return *value;
  }

  std::string name(const char* member) { return checked_text(member, name_problem); }

  double number(const char* name, double low, double high) {
    const json* const value = required(name);
    if (value == nullptr) return 0;
    if (!value->is_number()) {
      report(name, "is no number; write one without quotes");
      return 0;
    }
    const double number = value->get<double>();
    if (!(number >= low && number <= high))
      report(name, fmt::format("is {}, outside [{}, {}]", number, low, high));
    return number;
  }

  bool boolean(const char* name, bool absent) {
    if (!has(name)) return absent;
    if (object_[name].is_boolean()) return object_[name].get<bool>();
    report(name, "is neither true nor false");
    return absent;
  }

  /// Empty, and reported, where it is none, or has fewer or more entries.
  const json& array(const char* name, std::size_t least, std::size_t most) {
    static const json none = json::array();
    const json* const value = required(name);
    if (value == nullptr) return none;
    if (!value->is_array()) {
      report(name, "is no array; write [ ... ]");
      return none;
    }
    if (value->size() >= least && value->size() <= most) return *value;
    report(name, fmt::format("has {} entries; give {} to {}", value->size(), least, most));
    return none;
  }

 private:
  const json* required(const char* name) {
    if (!is_object()) return nullptr;
    const auto at = object_.find(name);
    if (at != object_.end()) return &*at;
    report(name, "is missing");
    return nullptr;
  }

  const json& object_;
  const std::string where_;
  Problems& problems_;
};

/// -12.5: digits, at most one point between them, at most one sign, no exponent.
bool is_plain_decimal(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.starts_with('-')) text.remove_prefix(1);
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  if (whole.empty() || whole.size() > 18 || !std::ranges::all_of(whole, is_digit)) return false;
  if (point == std::string_view::npos) return true;
  const std::string_view fraction = text.substr(point + 1);
  return !fraction.empty() && fraction.size() <= 12 && std::ranges::all_of(fraction, is_digit);
}

Quantity quantity(Members& members) {
  Quantity::Units units = 0;
  members.checked_text("quantity", [&](const std::string& text) -> std::string {
    constexpr const char* form =
        "is {}; write a decimal like \"-12.5\", with at most 18 digits before the point and 12 "
        "after it";
    if (!is_plain_decimal(text)) return fmt::format(fmt::runtime(form), in_quotes(text));
    std::string_view reason;
    const std::optional<Quantity::Units> parsed = parse_quantity(text, reason);
    if (!parsed) return fmt::format("{} {}", in_quotes(text), reason);
    units = *parsed;
    return {};
  });
  return Quantity::from_units(units);
}

std::int64_t as_of(Members& members) {
  std::int64_t seconds = 0;
  members.checked_text("as_of", [&](const std::string& text) -> std::string {
    const std::optional<std::int64_t> parsed =
        text.size() == 20 && text.back() == 'Z' ? parse_date_time(text) : std::nullopt;
    if (!parsed)
      return fmt::format("is {}; write UTC in whole seconds, like 2026-01-02T09:30:00Z",
                         in_quotes(text));
    seconds = *parsed;
    return {};
  });
  return seconds;
}

std::string client_id_problem(const std::string& text) {
  const bool is_good = !text.empty() && text.size() <= 128 &&
                       std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  return is_good ? "" : "is no client id; write 1 to 128 printable ASCII characters";
}

constexpr std::size_t any_count = static_cast<std::size_t>(-1);
constexpr double price_low = 1e-12, price_high = 1e15;

/// Reports a name that an entry before has.
void require_new(std::set<std::string>& seen, const std::string& name, Members& members,
                 const char* member) {
  if (!name.empty() && !seen.insert(name).second)
    members.report(member, fmt::format("{} is there twice; give it once", in_quotes(name)));
}

SpotMark spot_mark(const json& entry, const std::string& where, std::set<std::string>& seen,
                   Problems& problems) {
  constexpr std::array<std::string_view, 2> known = {"underlying", "spot_usd"};
  Members members(entry, where, problems, known);
  SpotMark mark{members.checked_text("underlying", underlying_name_problem),
                members.number("spot_usd", price_low, price_high)};
  require_new(seen, mark.underlying, members, "underlying");
  return mark;
}

InstrumentMark instrument_mark(const json& entry, const std::string& where,
                               std::set<std::string>& seen, Problems& problems) {
  constexpr std::array<std::string_view, 3> known = {"instrument", "mark_price", "mark_iv"};
  Members members(entry, where, problems, known);
  InstrumentMark mark;
  mark.instrument = members.name("instrument");
  require_new(seen, mark.instrument, members, "instrument");
  if (members.has("mark_price"))
    mark.mark_price = members.number("mark_price", price_low, price_high);
  if (members.has("mark_iv")) mark.mark_iv = members.number("mark_iv", 0.01, 10);
  if (members.is_object() && !mark.mark_price && !mark.mark_iv)
    problems.add(where, 0, "has no mark; give mark_price, mark_iv or both");
  return mark;
}

json parse_json(const std::string& body) {
  try {
    return parse_strict_json(body);
  } catch (const JsonError& error) {
    const std::string what = error.what();
    throw Refusal{400, "malformed", "the body is no JSON: " + what, {{"", 0, what}}};
  }
}

/// Members of the body and what is wrong with them, which throws at the end.
template <std::size_t count, class Read>
auto parse_body(const std::string& body, const std::string_view (&known)[count], Read read) {
  const json parsed = parse_json(body);
  Problems problems;
  Members members(parsed, "", problems, known);
  auto request = read(members, problems);
  problems.throw_if_any();
  return request;
}

}  // namespace

MarketUpdate parse_market(const std::string& body) {
  constexpr std::string_view known[] = {"as_of", "underlyings", "instruments"};
  return parse_body(body, known, [](Members& members, Problems& problems) {
    MarketUpdate update;
    update.as_of = as_of(members);
    const auto each = [&](const char* name, auto& marks, auto read) {
      if (!members.has(name)) return;
      std::set<std::string> seen;
      const json& entries = members.array(name, 0, any_count);
      for (std::size_t e = 0; e < entries.size(); ++e)
        marks.push_back(read(entries[e], json_pointer(members.place(name), e), seen, problems));
    };
    each("underlyings", update.spots, spot_mark);
    each("instruments", update.marks, instrument_mark);
    return update;
  });
}

PositionBatch parse_positions(const std::string& body) {
  constexpr std::string_view known[] = {"client_id", "changes"};
  return parse_body(body, known, [](Members& members, Problems& problems) {
    PositionBatch batch;
    batch.client_id = members.checked_text("client_id", client_id_problem);
    const json& changes = members.array("changes", 1, 10000);
    for (std::size_t c = 0; c < changes.size(); ++c) {
      constexpr std::array<std::string_view, 3> entry = {"account", "instrument", "quantity"};
      Members change(changes[c], json_pointer("/changes", c), problems, entry);
      std::string account = change.name("account"), instrument = change.name("instrument");
      batch.changes.push_back({std::move(account), std::move(instrument), quantity(change)});
    }
    return batch;
  });
}

WhatIfRequest parse_what_if(const std::string& body) {
  constexpr std::string_view known[] = {"account", "trades", "open", "exact"};
  return parse_body(body, known, [](Members& members, Problems& problems) {
    WhatIfRequest request;
    WhatIfQuery& query = request.query;
    request.is_exact = members.boolean("exact", false);
    query.account = members.name("account");
    query.may_open = members.boolean("open", false);
    const json& trades = members.array("trades", 1, 100);
    for (std::size_t t = 0; t < trades.size(); ++t) {
      constexpr std::array<std::string_view, 2> entry = {"instrument", "quantity"};
      Members trade(trades[t], json_pointer("/trades", t), problems, entry);
      std::string instrument = trade.name("instrument");
      query.trades.push_back({std::move(instrument), quantity(trade)});
    }
    return request;
  });
}

std::vector<std::string> parse_run(const std::string& body) {
  constexpr std::string_view known[] = {"kind", "accounts"};
  return parse_body(body, known, [](Members& members, Problems& problems) {
    std::vector<std::string> accounts;
    const std::string kind = members.checked_text("kind", [](const std::string& text) {
      return text == "full" || text == "partial"
                 ? std::string()
                 : fmt::format("is {}; write full or partial", in_quotes(text));
    });
    if (kind == "full" && members.has("accounts"))
      members.report("accounts", "is for a partial run only; leave it out");
    if (kind != "partial") return accounts;
    const json& names = members.array("accounts", 1, 10000);
    std::set<std::string> seen;
    for (std::size_t n = 0; n < names.size(); ++n) {
      const std::string where = json_pointer("/accounts", n);
      accounts.push_back(names[n].is_string() ? names[n].get<std::string>() : "");
      if (const std::string problem = name_problem(accounts.back()); !problem.empty())
        problems.add(where, 0, problem);
      else if (!seen.insert(accounts.back()).second)
        problems.add(where, 0, "is there twice; give it once");
    }
    return accounts;
  });
}

bool matches(std::string_view name, std::string_view search) {
  const auto is_same = [](unsigned char a, unsigned char b) {
    const auto lower = [](unsigned char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<unsigned char>(c - 'A' + 'a') : c;
    };
    return lower(a) == lower(b);
  };
  while (!search.empty()) {
    const std::size_t end = std::min(search.find(' '), search.size());
    const std::string_view word = search.substr(0, end);
    search.remove_prefix(std::min(end + 1, search.size()));
    if (!word.empty() && std::ranges::search(name, word, is_same).empty()) return false;
  }
  return true;
}

}  // namespace shortfall::service
