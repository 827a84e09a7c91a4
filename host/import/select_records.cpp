#include "select_records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "input/close_names.hpp"
#include "shortfall/config.hpp"
#include "text.hpp"

namespace shortfall::exchange {
namespace {

using Kind = InstrumentName::Kind;

/// Why an instrument is none that the engine takes; empty where it is one.
std::string reason_to_leave_out(const InstrumentName& name) {
  if (name.kind == Kind::combination) return "combination of instruments";
  if (name.kind == Kind::spot) return "spot pair";
  if (name.base.ends_with("DVOL")) return "future on a volatility index";
  if (!name.quote.empty() && name.quote != "USDC" && name.quote != "USDT" && name.quote != "USD")
    return "quoted in " + name.quote + ", which is no dollar";
  return {};
}

class Selector {
 public:
  Selector(const std::vector<MarketRecord>& records, const ImportOptions& options,
           ImportedChain& chain, Problems& problems)
      : records_(records), options_(options), chain_(chain), problems_(problems) {}

  Selection select() {
    name_records();
    check_underlyings();
    if (!find_as_of()) return std::move(selection_);
    keep_near_records();
    for (auto& [name, candidate] : selection_.candidates) order(name, candidate);
    leave_out_closed();
    return std::move(selection_);
  }

 private:
  struct Named {
    const MarketRecord* record;
    Candidate* candidate;
  };

  void name_records() {
    for (const MarketRecord& record : records_) {
      const std::optional<InstrumentName> name = parse_instrument_name(record.instrument);
      if (!name) {
        record.report(problems_, record.names->instrument,
                      fmt::format("{} is no name of the venue; write one like BTC-27MAR26-95000-C",
                                  in_quotes(record.instrument)));
        continue;
      }
      std::string reason = reason_to_leave_out(*name);
      if (reason.empty()) {
        known_underlyings_.insert(name->base);
        const auto& wanted = options_.underlyings;
        if (!wanted.empty() && std::ranges::find(wanted, name->base) == wanted.end())
          reason = "underlying not asked for";
      }
      if (!reason.empty()) {
        if (left_out_.insert(record.instrument).second)
          chain_.left_out.add(reason, record.instrument);
        continue;
      }
      Candidate& candidate = selection_.candidates[record.instrument];
      candidate.name = *name;
      check_underlying(record, *name);
      if (record.source == Source::listing)
        list(record, candidate);
      else
        named_.push_back({&record, &candidate});
    }
  }

  void check_underlying(const MarketRecord& record, const InstrumentName& name) {
    const std::string pair = name.quote.empty() ? name.base : name.base + "_" + name.quote;
    if (record.underlying.empty() || record.underlying == name.base || record.underlying == pair)
      return;
    record.report(problems_, record.names->underlying,
                  fmt::format("is {}, but {} is on {}; correct one of them",
                              in_quotes(record.underlying), record.instrument, name.base));
  }

  void list(const MarketRecord& record, Candidate& candidate) {
    if (!candidate.listing)
      candidate.listing = &record;
    else
      compare(record, *candidate.listing);
  }

  void compare(const MarketRecord& record, const MarketRecord& earlier) {
    if (record.has_equal_values(earlier))
      chain_.remarks.add("record that is there twice, with equal values", record.instrument);
    else
      record.report(problems_, "",
                    fmt::format("has other values than {}, for the same instrument and time; "
                                "remove one of them",
                                earlier.place()));
  }

  void check_underlyings() {
    const std::vector<std::string_view> known(known_underlyings_.begin(), known_underlyings_.end());
    for (const std::string& name : options_.underlyings) {
      if (known_underlyings_.contains(name) || !problems_.empty()) continue;
      const std::string close = close_names(name, known);
      problems_.add(
          "command line", 0,
          fmt::format("--underlying {}: no file has an instrument on it; {}", in_quotes(name),
                      close.empty() ? "there are " + join(known, ", ") : "is it " + close));
    }
  }

  bool find_as_of() {
    std::int64_t latest_ms = 0;
    for (const Named& named : named_)
      latest_ms = std::max(latest_ms, named.record->time_ms.value_or(0));
    if (options_.as_of) {
      selection_.as_of = *options_.as_of;
    } else if (latest_ms > 0) {
      selection_.as_of = latest_ms / 1000;  // a run's time is in whole seconds
    } else if (!named_.empty()) {
      if (problems_.empty())
        problems_.add("command line", 0,
                      "no mark has a time; give it as --as-of, like 2026-01-15T09:21:30Z");
      return false;
    }
    chain_.as_of = selection_.as_of;
    return true;
  }

  std::int64_t distance_ms(const MarketRecord& record) const {
    return record.time_ms ? std::abs(*record.time_ms - selection_.as_of * 1000) : 0;
  }

  void keep_near_records() {
    const std::int64_t distance_ms_max = options_.age_seconds_max * 1000 + 999;
    for (const Named& named : named_) {
      const MarketRecord& record = *named.record;
      if (distance_ms(record) > distance_ms_max) {
        chain_.left_out.add(fmt::format("mark more than {} s from as_of", options_.age_seconds_max),
                            record.instrument);
        continue;
      }
      named.candidate->marks.push_back(&record);
      ++chain_.record_count;
      if (!record.time_ms) continue;
      const bool is_first = chain_.timed_record_count++ == 0;
      chain_.earliest_ms =
          is_first ? *record.time_ms : std::min(chain_.earliest_ms, *record.time_ms);
      chain_.latest_ms = std::max(chain_.latest_ms, *record.time_ms);
    }
  }

  /// The nearest in time first, then the ticker, which is of one instrument and one moment.
  void order(const std::string& name, Candidate& candidate) {
    auto& marks = candidate.marks;
    const auto rank = [&](const MarketRecord* record) {
      const bool is_ticker = record->source == Source::ticker;
      return std::tuple(distance_ms(*record), !is_ticker, record->source,
                        -record->time_ms.value_or(0));
    };
    std::ranges::stable_sort(marks, {}, rank);
    std::size_t kept = 0;
    for (const MarketRecord* const record : marks) {
      const auto same =
          std::find_if(marks.begin(), marks.begin() + static_cast<long>(kept),
                       [&](const MarketRecord* other) { return other->source == record->source; });
      if (same == marks.begin() + static_cast<long>(kept)) {
        marks[kept++] = record;
      } else if ((*same)->time_ms == record->time_ms) {
        compare(*record, **same);
      } else {
        chain_.remarks.add("mark that is not the nearest to as_of: not used", name);
      }
    }
    marks.resize(kept);
  }

  void leave_out_closed() {
    for (auto& [name, candidate] : selection_.candidates) {
      candidate.is_closed = (candidate.listing && !candidate.listing->is_open) ||
                            (!candidate.marks.empty() && !candidate.marks.front()->is_open);
      if (candidate.is_closed) chain_.left_out.add("not open for trading", name);
    }
  }

  const std::vector<MarketRecord>& records_;
  const ImportOptions& options_;
  ImportedChain& chain_;
  Problems& problems_;
  Selection selection_;
  std::vector<Named> named_;  ///< the marks that are not left out for what they are of
  std::set<std::string> known_underlyings_, left_out_;
};

}  // namespace

std::optional<Candidate::Found> Candidate::find(Field field) const {
  for (const MarketRecord* const record : marks)
    if (const std::optional<double>& value = (*record)[field]) return Found{*value, record};
  if (listing && (*listing)[field]) return Found{*(*listing)[field], listing};
  return std::nullopt;
}

Selection select_records(const std::vector<MarketRecord>& records, const ImportOptions& options,
                         ImportedChain& chain, Problems& problems) {
  return Selector(records, options, chain, problems).select();
}

}  // namespace shortfall::exchange
