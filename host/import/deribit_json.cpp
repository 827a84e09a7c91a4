// Responses of Deribit's public API: docs.deribit.com, "Market data".
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "input/input_file.hpp"
#include "input/strict_json.hpp"
#include "market_record.hpp"
#include "text.hpp"

namespace shortfall::exchange {
namespace {

using nlohmann::json;

constexpr std::size_t file_bytes_max = std::size_t{256} << 20;

constexpr const char* layouts =
    "is nothing that is read here; give responses of public/get_book_summary_by_currency, "
    "public/get_instruments or public/ticker";

const std::shared_ptr<const FieldNames>& member_names() {
  static const auto names = std::make_shared<const FieldNames>(
      FieldNames{{"mark_price", "mark_iv", "underlying_price", "index_price",
                  "estimated_delivery_price", "contract_size", "strike"},
                 "instrument_name",
                 "timestamp",
                 "expiration_timestamp",
                 "underlying_index",
                 "base_currency",
                 "option_type"});
  return names;
}

/// The text of the file; empty where a problem was reported.
std::optional<std::string> read_text(const std::filesystem::path& file, Problems& problems) {
  InputFile input(file, problems);
  if (!input.is_open()) return std::nullopt;
  if (input.byte_count() > file_bytes_max) {
    problems.add(file.string(), 0, "is larger than 256 MiB; split it");
    return std::nullopt;
  }
  std::string text(input.byte_count(), '\0');
  std::size_t size = 0;
  while (const std::size_t count = input.read(text.data() + size, text.size() - size))
    size += count;
  text.resize(size);
  return text;
}

/// An object that has an instrument_name.
class Entry {
 public:
  Entry(const json& object, std::string file, std::string pointer, Problems& problems)
      : object_(object), problems_(problems) {
    record_.names = member_names();
    record_.file = std::move(file);
    record_.pointer = std::move(pointer);
  }

  /// Empty where a problem was reported.
  std::optional<MarketRecord> read() {
    const std::size_t problem_count = problems_.count();
    record_.instrument = text("instrument_name");
    const bool is_listing = object_.contains("kind") && !object_.contains("mark_price");
    const bool is_ticker = object_.contains("timestamp");
    if (!is_listing && !object_.contains("mark_price")) {
      record_.report(problems_, "", layouts);
      return std::nullopt;
    }
    record_.source = is_listing ? Source::listing : is_ticker ? Source::ticker : Source::summary;
    if (is_listing) {
      read_listing();
    } else {
      read_mark(is_ticker ? "timestamp" : "creation_timestamp");
    }
    if (problems_.count() != problem_count) return std::nullopt;
    return std::move(record_);
  }

 private:
  void read_listing() {
    number(Field::contract_size);
    number(Field::strike);
    record_.underlying = text("base_currency");
    record_.option_type = text("option_type");
    record_.is_open = flag("is_active") && is_open_state();
    // A perpetual has a date beyond any calendar in this member.
    if (text("settlement_period") == "perpetual") return;
    if (const auto time_ms = milliseconds("expiration_timestamp")) record_.expiry = *time_ms / 1000;
  }

  void read_mark(const char* time_member) {
    number(Field::mark_price);
    number(Field::mark_iv);
    if (auto& volatility = record_[Field::mark_iv]) *volatility /= 100;
    number(Field::forward);
    number(Field::index_price);
    const auto delivery = object_.find("estimated_delivery_price");
    if (delivery != object_.end() && delivery->is_number())  // "expired" at times
      number(Field::delivery_price);
    record_.forward_name = text("underlying_index");
    if (record_.source == Source::summary) record_.underlying = text("base_currency");
    record_.is_open = is_open_state();
    record_.time_ms = milliseconds(time_member);
    if (!record_.time_ms && !object_.contains(time_member))
      record_.report(problems_, time_member, "is missing; save the whole response");
  }

  /// Null or absent: empty.
  const json* find(const char* name) const {
    const auto at = object_.find(name);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }

  std::string text(const char* name) {
    const json* const value = find(name);
    if (!value) return {};
    if (value->is_string()) return value->get<std::string>();
    record_.report(problems_, name, "is no text");
    return {};
  }

  bool flag(const char* name) {
    const json* const value = find(name);
    if (value && !value->is_boolean()) record_.report(problems_, name, "is neither true nor false");
    return !value || !value->is_boolean() || value->get<bool>();
  }

  bool is_open_state() {
    const std::string state = text("state");
    return state.empty() || state == "open";
  }

  void number(Field field) {
    const std::string& name = member_names()->operator[](field);
    const json* const value = find(name.c_str());
    if (!value) return;
    if (value->is_number())
      record_[field] = value->get<double>();
    else
      record_.report(problems_, name, "is no number");
  }

  std::optional<std::int64_t> milliseconds(const char* name) {
    const json* const value = find(name);
    if (!value) return std::nullopt;
    if (value->is_number_integer() && is_market_time(value->get<std::int64_t>()))
      return value->get<std::int64_t>();
    record_.report(problems_, name,
                   fmt::format("is {}; it has to be milliseconds since 1970, from 2010 to 2100",
                               in_quotes(value->dump())));
    return std::nullopt;
  }

  const json& object_;
  Problems& problems_;
  MarketRecord record_;
};

void read_value(const json& value, const std::string& file, const std::string& pointer,
                std::vector<MarketRecord>& records, Problems& problems) {
  const auto report = [&](const std::string& message) {
    problems.add(file, 0, (pointer.empty() ? "the document" : pointer) + " " + message);
  };
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i)
      read_value(value[i], file, json_pointer(pointer, i), records, problems);
  } else if (!value.is_object()) {
    report(layouts);
  } else if (value.contains("error")) {
    report("is an error that the venue answered with: " + in_quotes(value["error"].dump()));
  } else if (value.contains("result")) {
    read_value(value["result"], file, json_pointer(pointer, "result"), records, problems);
  } else if (!value.contains("instrument_name")) {
    report(value.contains("index_price")
               ? "does not say of which coin it is the index; give it as --spot COIN=PRICE"
               : layouts);
  } else if (auto record = Entry(value, file, pointer, problems).read()) {
    records.push_back(std::move(*record));
  }
}

}  // namespace

void read_deribit_json(const std::filesystem::path& file, std::vector<MarketRecord>& records,
                       Problems& problems) {
  const std::optional<std::string> text = read_text(file, problems);
  if (!text) return;
  const std::size_t count_before = records.size();
  const std::size_t problem_count = problems.count();
  try {
    read_value(parse_strict_json(*text), file.string(), "", records, problems);
  } catch (const JsonError& error) {
    problems.add(file.string(), 0, fmt::format("is no JSON: {}; save it again", error.what()));
    return;
  }
  if (records.size() == count_before && problems.count() == problem_count)
    problems.add(file.string(), 0, "holds no instrument; save a response that has any");
}

}  // namespace shortfall::exchange
