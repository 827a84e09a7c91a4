// Small files in the layouts of the venue's API, and what the import makes of them.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "host/import/chain.hpp"
#include "tests/temporary_book.hpp"

namespace shortfall::exchange {

inline constexpr std::int64_t snapshot_ms = 1'768'469'400'250;  // 2026-01-15T09:30:00.250Z
inline constexpr const char* snapshot_time = "2026-01-15T09:30:00Z";

/// Members of an object as JSON text, so that a test can spoil any of them.
class Members {
 public:
  Members(std::initializer_list<std::pair<const std::string, std::string>> members)
      : members_(members) {}
  Members with(const std::string& name, const std::string& value) const {
    Members copy = *this;
    copy.members_[name] = value;
    return copy;
  }
  Members without(const std::string& name) const {
    Members copy = *this;
    copy.members_.erase(name);
    return copy;
  }
  std::string text() const {
    std::string out;
    for (const auto& [name, value] : members_)
      out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", name, value);
    return "{" + out + "}";
  }

 private:
  std::map<std::string, std::string> members_;
};

inline std::string quoted(const std::string& text) { return '"' + text + '"'; }

/// An entry of get_book_summary_by_currency.
inline Members option_summary(const std::string& name, const std::string& forward_name,
                              double forward, double mark, double iv_percent) {
  return {{"instrument_name", quoted(name)},
          {"underlying_index", quoted(forward_name)},
          {"underlying_price", fmt::format("{}", forward)},
          {"mark_price", fmt::format("{}", mark)},
          {"mark_iv", fmt::format("{}", iv_percent)},
          {"estimated_delivery_price", "96000"},
          {"base_currency", "\"BTC\""},
          {"quote_currency", "\"BTC\""},
          {"interest_rate", "0.0"},
          {"bid_price", "null"},
          {"creation_timestamp", fmt::format("{}", snapshot_ms)}};
}

inline Members call_summary() {
  return option_summary("BTC-27MAR26-95000-C", "BTC-27MAR26", 97000, 0.08, 40.48);
}

inline Members future_summary(const std::string& name, double mark) {
  return {{"instrument_name", quoted(name)},
          {"mark_price", fmt::format("{}", mark)},
          {"estimated_delivery_price", "96000"},
          {"base_currency", "\"BTC\""},
          {"quote_currency", "\"USD\""},
          {"creation_timestamp", fmt::format("{}", snapshot_ms)}};
}

/// A result of ticker.
inline Members call_ticker() {
  return {{"instrument_name", "\"BTC-27MAR26-95000-C\""},
          {"timestamp", fmt::format("{}", snapshot_ms)},
          {"state", "\"open\""},
          {"mark_price", "0.08"},
          {"mark_iv", "40.48"},
          {"underlying_price", "97000"},
          {"underlying_index", "\"BTC-27MAR26\""},
          {"index_price", "96010.5"},
          {"estimated_delivery_price", "96010.5"},
          {"greeks", "{\"delta\":0.6}"},
          {"stats", "{\"volume\":null}"}};
}

/// An entry of get_instruments.
inline Members listing(const std::string& name, const std::string& kind) {
  return {{"instrument_name", quoted(name)},
          {"kind", quoted(kind)},
          {"base_currency", "\"BTC\""},
          {"settlement_period", "\"month\""},
          {"is_active", "true"},
          {"contract_size", "1"},
          {"expiration_timestamp", "1774598400000"}};  // 2026-03-27T08:00:00Z
}

inline std::string envelope(std::initializer_list<Members> entries) {
  std::string out;
  for (const Members& entry : entries) out += (out.empty() ? "" : ",\n") + entry.text();
  return "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[\n" + out + "],\"usIn\":1,\"testnet\":false}\n";
}

/// Files in a folder of their own.
class ImportFiles {
 public:
  ImportOptions options;

  ImportFiles& add(const std::string& name, const std::string& text) {
    folder_.write(name, text);
    options.files.push_back(folder_.path(name));
    return *this;
  }
  ImportFiles& map(const std::string& text) {
    folder_.write("map.toml", text);
    options.map = folder_.path("map.toml");
    return *this;
  }
  const TemporaryBook& folder() const { return folder_; }
  ImportedChain import() const { return import_chain(options); }

  /// What is wrong, with files named relative to the folder; empty where nothing is.
  std::string problems() const {
    std::string text;
    try {
      import_chain(options);
    } catch (const InputError& error) {
      text = error.what();
    }
    const std::string prefix = folder_.path("").string();
    for (std::size_t at = 0; (at = text.find(prefix, at)) != std::string::npos;)
      text.erase(at, prefix.size());
    return text;
  }

 private:
  TemporaryBook folder_;
};

inline const ListedInstrument& find(const ImportedChain& chain, const std::string& name) {
  const auto at = std::ranges::find_if(
      chain.instruments, [&](const ListedInstrument& listed) { return listed.terms.name == name; });
  if (at == chain.instruments.end()) throw std::out_of_range(name);
  return *at;
}

inline std::size_t count_of(const Tally& tally, const std::string& part) {
  std::size_t count = 0;
  for (const Tally::Line& line : tally.lines())
    if (line.what.find(part) != std::string::npos) count += line.count;
  return count;
}

}  // namespace shortfall::exchange
