#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "chain.hpp"
#include "implied_volatility.hpp"
#include "select_records.hpp"
#include "shortfall/config.hpp"
#include "text.hpp"

namespace shortfall::exchange {
namespace {

using Kind = InstrumentName::Kind;
using Found = Candidate::Found;

InstrumentType type_of(Kind kind) {
  if (kind == Kind::call) return InstrumentType::call;
  if (kind == Kind::put) return InstrumentType::put;
  return kind == Kind::future ? InstrumentType::future : InstrumentType::perpetual;
}

/// The lower one where there are two: a value that was published.
double lower_median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// The contract sizes that the venue has documented since it began; others are in get_instruments.
std::optional<double> usual_contract_size(const InstrumentName& name) {
  if (!name.quote.empty() || (name.base != "BTC" && name.base != "ETH")) return std::nullopt;
  if (name.is_option()) return 1;
  return name.base == "BTC" ? 10 : 1;
}

class Builder {
 public:
  Builder(const Selection& selection, const ImportOptions& options, ImportedChain& chain,
          Problems& problems)
      : selection_(selection),
        options_(options),
        chain_(chain),
        problems_(problems),
        is_complete_(problems.empty()) {}

  void build() {
    for (const auto& [name, candidate] : selection_.candidates)
      if (!candidate.is_closed && !candidate.marks.empty()) build_instrument(name, candidate);
    for (const auto& [name, forwards] : future_marks_) add_future(name, forwards);
    for (const auto& [name, candidate] : selection_.candidates)
      if (!candidate.is_closed && candidate.marks.empty() && candidate.listing &&
          !future_marks_.contains(name))
        chain_.left_out.add("listed, but no mark of it is used", name);
    sort();
    if (chain_.instruments.empty() && problems_.empty()) report_nothing();
  }

 private:
  void build_instrument(const std::string& name, const Candidate& candidate) {
    if (!check_terms(candidate)) return;
    ListedInstrument listed;
    listed.terms.name = name;
    const std::optional<double> multiplier = multiplier_of(candidate);
    if (!multiplier) {
      chain_.left_out.add("contract size not known: add the response of get_instruments", name);
      return;
    }
    listed.terms.multiplier = *multiplier;
    set_terms(listed.terms, candidate.name);
    const std::optional<double> spot_usd = spot_of(candidate.name.base);
    if (!spot_usd) return;
    if (candidate.name.is_option() ? set_option(listed, candidate, *spot_usd)
                                   : set_mark(listed.terms, candidate, *spot_usd))
      add(std::move(listed), candidate.name.base);
  }

  static void set_terms(Instrument& terms, const InstrumentName& name) {
    terms.type = type_of(name.kind);
    terms.settlement = name.quote.empty() ? Settlement::inverse : Settlement::linear;
    terms.expiry = name.expiry;
    terms.strike = name.strike;
  }

  void add(ListedInstrument listed, const std::string& base) {
    chain_.instruments.push_back(std::move(listed));
    bases_.push_back(base);
  }

  /// What the records say besides the name has to agree with it.
  bool check_terms(const Candidate& candidate) {
    const std::size_t problem_count = problems_.count();
    for (const MarketRecord* const mark : candidate.marks) check_terms(*mark, candidate.name);
    if (candidate.listing) check_terms(*candidate.listing, candidate.name);
    const MarketRecord& record = candidate.first();
    if (candidate.name.expiry != 0 && candidate.name.expiry <= chain_.as_of)
      record.report(
          problems_, record.names->instrument,
          fmt::format("expired at {}, not after as_of {}; remove it, or give the time of "
                      "the marks as --as-of",
                      format_date_time(candidate.name.expiry), format_date_time(chain_.as_of)));
    return problems_.count() == problem_count;
  }

  void check_terms(const MarketRecord& record, const InstrumentName& name) {
    if (record.expiry && *record.expiry != name.expiry && name.kind != Kind::perpetual)
      record.report(
          problems_, record.names->expiry,
          fmt::format("is {}; by its name {} expires at {}", format_date_time(*record.expiry),
                      record.instrument, format_date_time(name.expiry)));
    const std::optional<double>& strike = record[Field::strike];
    if (strike && name.is_option() && *strike != name.strike)
      record.report(problems_, (*record.names)[Field::strike],
                    fmt::format("is {}; by its name {} is struck at {}", *strike, record.instrument,
                                name.strike));
    const std::string& type = record.option_type;
    if (type.empty() || !name.is_option()) return;
    const bool is_call = type == "call" || type == "C", is_put = type == "put" || type == "P";
    if ((is_call || is_put) && is_call == (name.kind == Kind::call)) return;
    record.report(problems_, record.names->option_type,
                  fmt::format("is {}; by its name {} is a {}", in_quotes(type), record.instrument,
                              name.kind == Kind::call ? "call" : "put"));
  }

  std::optional<double> multiplier_of(const Candidate& candidate) {
    const std::optional<Found> size = candidate.find(Field::contract_size);
    if (!size) return usual_contract_size(candidate.name);
    check_positive(*size, Field::contract_size);
    return size->value;
  }

  bool check_positive(const Found& found, Field field) {
    constexpr double least = 1e-12, greatest = 1e15;
    if (found.value >= least && found.value <= greatest) return true;
    found.record->report(
        problems_, (*found.record->names)[field],
        found.value <= 0
            ? fmt::format("is {}; it must be greater than 0", found.value)
            : fmt::format("is {}, outside [{}, {}]; check its unit", found.value, least, greatest));
    return false;
  }

  /// Prices of one coin: another's, or another unit, would be farther off.
  bool check_price(const Found& found, Field field, double spot_usd) {
    constexpr double ratio_max = 10;
    if (!check_positive(found, field)) return false;
    if (found.value <= ratio_max * spot_usd && found.value * ratio_max >= spot_usd) return true;
    found.record->report(problems_, (*found.record->names)[field],
                         fmt::format("is {}, {:.3g} times the index {}; give USD per coin, of the "
                                     "coin that the instrument is on",
                                     found.value, found.value / spot_usd, spot_usd));
    return false;
  }

  /// The index of a coin. Reported once where there is none.
  std::optional<double> spot_of(const std::string& base) {
    const auto [at, is_new] = spots_.try_emplace(base);
    if (is_new) at->second = find_spot(base);
    return at->second;
  }

  /// The index of instruments on the coin, one value each; those against a stablecoin, which have
  /// an index of their own, count where there are no others.
  std::vector<Found> index_values(const std::string& base, Field field) {
    std::vector<Found> of_coin, of_stablecoin;
    for (const auto& [name, candidate] : selection_.candidates) {
      if (candidate.name.base != base) continue;
      std::optional<Found> value = candidate.find(field);
      if (!value && field == Field::index_price && !candidate.marks.empty() &&
          candidate.first().forward_name == "index_price")
        value = candidate.find(Field::forward);
      if (value) (candidate.name.quote.empty() ? of_coin : of_stablecoin).push_back(*value);
    }
    return of_coin.empty() ? of_stablecoin : of_coin;
  }

  std::optional<double> find_spot(const std::string& base) {
    if (const auto given = options_.spots_usd.find(base); given != options_.spots_usd.end())
      return given->second;
    Field field = Field::index_price;
    std::vector<Found> values = index_values(base, field);
    if (values.empty()) {
      field = Field::delivery_price;
      values = index_values(base, field);
      if (!values.empty() && is_before_delivery()) {
        problems_.add("command line", 0,
                      fmt::format("from 07:30 to 08:00 UTC the estimated delivery price is a mean, "
                                  "not the index of {0}; add a ticker, or --spot {0}=PRICE",
                                  base));
        return std::nullopt;
      }
      if (!values.empty())
        chain_.remarks.add("index taken from the estimated delivery prices", base);
    }
    if (values.empty()) {
      if (!is_complete_) return std::nullopt;
      problems_.add("command line", 0,
                    fmt::format("no file has the index of {0}; add a ticker of one of its "
                                "instruments, or --spot {0}=PRICE",
                                base));
      return std::nullopt;
    }
    return median_of(values, field);
  }

  std::optional<double> median_of(const std::vector<Found>& values, Field field) {
    const std::size_t problem_count = problems_.count();
    std::vector<double> numbers;
    for (const Found& found : values) {
      if (check_positive(found, field)) numbers.push_back(found.value);
    }
    if (problems_.count() != problem_count) return std::nullopt;
    const double median = lower_median(numbers);
    for (const Found& found : values) check_price(found, field, median);
    if (problems_.count() != problem_count) return std::nullopt;
    return median;
  }

  /// The last half hour before expiries, over which the delivery price is averaged.
  bool is_before_delivery() const {
    constexpr std::int64_t day = 86'400, delivery = 8 * 3600, half_hour = 1800;
    const std::int64_t time = chain_.as_of % day;
    return time >= delivery - half_hour && time < delivery;
  }

  bool set_mark(Instrument& terms, const Candidate& candidate, double spot_usd) {
    const std::optional<Found> mark = candidate.find(Field::mark_price);
    if (!mark) {
      const MarketRecord& record = candidate.first();
      record.report(problems_, (*record.names)[Field::mark_price],
                    "is missing; remove the instrument, or add a record that has it");
      return false;
    }
    terms.mark_price = mark->value;
    return check_price(*mark, Field::mark_price, spot_usd);
  }

  bool set_option(ListedInstrument& listed, const Candidate& candidate, double spot_usd) {
    const std::size_t problem_count = problems_.count();
    check_strike(candidate, spot_usd);
    set_forward(listed.terms, candidate, spot_usd);
    if (problems_.count() != problem_count) return false;
    if (const std::optional<Found> mark = candidate.find(Field::mark_price)) {
      // Far from the money less than the last digit is published as 0.
      if (mark->value < 0)
        mark->record->report(problems_, (*mark->record->names)[Field::mark_price],
                             fmt::format("is {}; no option is worth less than 0", mark->value));
      listed.premium = listed.terms.settlement == Settlement::inverse
                           ? mark->value
                           : mark->value / listed.terms.mark_price;
    }
    return set_volatility(listed, candidate) && problems_.count() == problem_count;
  }

  /// What the engine takes, and more than any venue lists.
  void check_strike(const Candidate& candidate, double spot_usd) {
    const double ratio = candidate.name.strike / spot_usd;
    if (ratio >= 1e-6 && ratio <= 1e6) return;
    const MarketRecord& record = candidate.first();
    record.report(
        problems_, record.names->instrument,
        fmt::format("has a strike {:.3g} times the index {}; it must be 1e-6 to 1e6 times", ratio,
                    spot_usd));
  }

  void set_forward(Instrument& terms, const Candidate& candidate, double spot_usd) {
    const std::optional<Found> forward = candidate.find(Field::forward);
    const MarketRecord& record = forward ? *forward->record : candidate.first();
    const bool is_future_named = check_forward_name(record, candidate.name);
    if (forward) {
      terms.mark_price = forward->value;
      if (check_price(*forward, Field::forward, spot_usd) && is_future_named)
        future_marks_[record.forward_name].push_back(forward->value);
    } else if (record.forward_name == "index_price") {
      terms.mark_price = spot_usd;
    } else {
      record.report(problems_, (*record.names)[Field::forward],
                    "is missing; an option needs the forward of its expiry");
    }
  }

  /// Whether the forward is the price of a listed future. An expiry without one has a synthetic
  /// forward, SYN.BTC-6FEB26, or is priced off the index.
  bool check_forward_name(const MarketRecord& record, const InstrumentName& option) {
    std::string_view text = record.forward_name;
    if (text.empty() || text == "index_price") return false;
    const bool is_synthetic = text.starts_with("SYN.");
    if (is_synthetic) text.remove_prefix(4);
    const std::optional<InstrumentName> future = parse_instrument_name(text);
    if (future && future->kind == Kind::future && future->base == option.base &&
        future->expiry == option.expiry)
      return !is_synthetic;
    record.report(problems_, record.names->forward_name,
                  fmt::format("is {}; the forward of {} is that of its own coin and expiry",
                              in_quotes(record.forward_name), record.instrument));
    return false;
  }

  bool set_volatility(ListedInstrument& listed, const Candidate& candidate) {
    const std::optional<Found> published = candidate.find(Field::mark_iv);
    const bool is_valid = published && published->value >= 0.01 && published->value <= 10;
    if (is_valid) listed.published_iv = published->value;
    if (options_.reimplies) return reimply(listed);
    const MarketRecord& record = published ? *published->record : candidate.first();
    if (!published)
      record.report(problems_, (*record.names)[Field::mark_iv],
                    "is missing; add a record that has it, or solve it with --reimply");
    else if (!is_valid)
      record.report(problems_, (*record.names)[Field::mark_iv],
                    fmt::format("is a volatility of {:.6g} %, outside 1 to 1000 %; check its unit, "
                                "or solve it with --reimply",
                                100 * published->value));
    listed.terms.mark_iv = published ? published->value : 0;
    return is_valid;
  }

  /// A mark whose last digit moves the volatility by a point says nothing about it. Then the
  /// published one stands, so that what is held of the option can still be margined.
  bool reimply(ListedInstrument& listed) {
    constexpr double mark_digit = 1e-6, point = 0.01;
    const Instrument& terms = listed.terms;
    const RelativeOption option{terms.type == InstrumentType::call, terms.strike / terms.mark_price,
                                years_between(chain_.as_of, terms.expiry)};
    const std::optional<double> implied =
        listed.premium ? implied_volatility(option, *listed.premium) : std::nullopt;
    if (implied && black_vega(option, *implied) * point >= mark_digit) {
      listed.terms.mark_iv = *implied;
      return true;
    }
    const std::string reason = !listed.premium ? "no mark to solve a volatility from"
                               : implied       ? "mark too insensitive to solve a volatility from"
                                               : "mark outside what a volatility can give";
    if (listed.published_iv) {
      listed.terms.mark_iv = *listed.published_iv;
      chain_.remarks.add(reason + ": the published one is kept", terms.name);
    } else {
      chain_.left_out.add(reason + ", and none in [0.01, 10] published", terms.name);
    }
    return listed.published_iv.has_value();
  }

  /// The future that options name as their forward, where no file has a mark of its own for it.
  void add_future(const std::string& name, const std::vector<double>& forwards) {
    Candidate candidate;
    if (const auto at = selection_.candidates.find(name); at != selection_.candidates.end()) {
      candidate = at->second;
      if (candidate.is_closed || !candidate.marks.empty()) return;
    }
    candidate.name = *parse_instrument_name(name);
    const std::optional<double> multiplier = multiplier_of(candidate);
    if (!multiplier) return;
    ListedInstrument listed;
    listed.terms.name = name;
    listed.terms.multiplier = *multiplier;
    listed.terms.mark_price = lower_median(forwards);
    set_terms(listed.terms, candidate.name);
    chain_.remarks.add("future marked at the forward of its options", name);
    add(std::move(listed), candidate.name.base);
  }

  void sort() {
    std::set<std::string> bases(bases_.begin(), bases_.end());
    for (const auto& [base, spot] : options_.spots_usd) bases.insert(base);
    for (const std::string& base : bases)
      chain_.underlyings.push_back({base, spot_of(base).value_or(0)});
    for (std::size_t i = 0; i < bases_.size(); ++i)
      chain_.instruments[i].terms.underlying =
          static_cast<std::uint32_t>(std::distance(bases.begin(), bases.find(bases_[i])));
    const auto rank = [](const ListedInstrument& listed) {
      const Instrument& t = listed.terms;
      return std::tuple(t.underlying, t.strike > 0, t.expiry, t.strike, std::string_view(t.name));
    };
    std::ranges::sort(chain_.instruments, {}, rank);
  }

  void report_nothing() {
    std::string why;
    for (const Tally::Line& line : chain_.left_out.lines())
      why += fmt::format("{}{} ({})", why.empty() ? "" : "; ", line.what, line.count);
    problems_.add("command line", 0, "nothing is left to import: " + why);
  }

  const Selection& selection_;
  const ImportOptions& options_;
  ImportedChain& chain_;
  Problems& problems_;
  const bool is_complete_;  ///< false where a record was reported, so that something may be missing
  std::vector<std::string> bases_;  ///< of each instrument
  std::map<std::string, std::optional<double>> spots_;
  std::map<std::string, std::vector<double>> future_marks_;  ///< forwards by the future they name
};

}  // namespace

void Tally::add(const std::string& what, const std::string& instrument) {
  auto line = std::ranges::find(lines_, what, &Line::what);
  if (line == lines_.end()) line = lines_.insert(lines_.end(), {what, 0, {}});
  if (line->count++ < example_count_max) line->examples.push_back(instrument);
}

double years_between(std::int64_t as_of, std::int64_t expiry) {
  constexpr double seconds_per_year = 365.0 * 86'400;
  return static_cast<double>(expiry - as_of) / seconds_per_year;
}

ImportedChain import_chain(const ImportOptions& options) {
  Problems problems;
  const std::vector<MarketRecord> records =
      read_market_records(options.files, options.map, problems);
  ImportedChain chain;
  chain.is_reimplied = options.reimplies;
  const Selection selection = select_records(records, options, chain, problems);
  // Marks that cannot be placed in time would only give problems that are not theirs.
  if (selection.as_of != 0 || problems.empty())
    Builder(selection, options, chain, problems).build();
  problems.throw_if_any();
  return chain;
}

}  // namespace shortfall::exchange
