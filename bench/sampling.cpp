// shortfall_sampling: what Sobol points save, as ratios of the variance of an expected shortfall
// under independent paths to that under as many points, on ten books.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/math/distributions/fisher_f.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "generate_venue.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/plan.hpp"

namespace shortfall::bench {
namespace {

using synthetic::Coin;
using synthetic::Holdings;
using synthetic::Market;

constexpr const char* usage = R"(usage: shortfall_sampling [--seeds N] [--paths-log2 N]

Prints the variance of the expected shortfall (99 %, one day) of ten books over so many seeds under
independent paths, over that under Sobol points: as one scrambling, as sixteen that share the paths,
and with principal components; Gaussian and Student t with 5 degrees of freedom; with the time of a
path, on one thread, and the gain per second.

  --seeds N       runs of each, 8 to 10000 (64)
  --paths-log2 N  paths are 2^N, 12 to 24 (17)

Exit status: 0 done; 1 two samplers do not agree on a mean, or an error; 2 wrong command line.
)";

/// The demonstration market: BTC and ETH settled in coins, SOL in USD.
Market demo_market() {
  synthetic::Random random(1);
  return synthetic::make_market({.instrument_count = 291,
                                 .coin_count = 3,
                                 .factor_count = 24,
                                 .expiry_days = {1, 7, 28, 84, 175}},
                                random);
}

/// "BTC.vol.30d" is the volatility of 30 days of BTC.
Factor factor_of(const synthetic::DrivenFactor& driven) {
  const std::string kind = driven.name.substr(driven.name.find('.') + 1);
  Factor factor{driven.name, driven.coin, FactorKind::vol, 0};
  if (kind.starts_with("vol."))
    factor.tenor_days = static_cast<std::uint32_t>(std::stoul(kind.substr(4)));
  else
    factor.kind = kind == "spot"    ? FactorKind::spot
                  : kind == "skew"  ? FactorKind::skew
                  : kind == "basis" ? FactorKind::basis
                                    : FactorKind::perp;
  return factor;
}

RunInputs inputs_of(const Market& market) {
  RunInputs inputs;
  for (const Coin& coin : market.coins)
    inputs.book.underlyings.push_back({coin.name, coin.spot_usd});
  inputs.book.instruments = market.instruments;
  for (const synthetic::DrivenFactor& a : market.factors) {
    inputs.covariance.factors.push_back(factor_of(a));
    for (const synthetic::DrivenFactor& b : market.factors)
      inputs.covariance.matrix.push_back(synthetic::covariance(a, b));
  }
  return inputs;
}

/// Writes the ten books as accounts. Sizes are USD of the underlying.
class BookWriter {
 public:
  BookWriter(const Market& market, Book& book) : market_(market), book_(book) {}

  void write_all();

 private:
  static constexpr double size_usd = 1e5;

  /// `make` adds to the holdings what the book has in one coin.
  template <class Make>
  void write(const char* name, Make make) {
    Holdings holdings;
    for (const Coin& coin : market_.coins) make(coin, holdings);
    write(name, holdings);
  }
  void write(const char* name, const Holdings& holdings);

  const Instrument& at(std::uint32_t i) const { return market_.instruments[i]; }
  void trade(Holdings& holdings, std::uint32_t instrument, double usd) const {
    holdings.push_back(
        {instrument, std::copysign(1.0, usd) *
                         synthetic::contracts_of(market_, at(instrument), std::abs(usd))});
  }
  std::uint32_t delta_one(const Coin& coin, InstrumentType type, std::size_t ordinal = 0) const {
    for (std::uint32_t i = coin.instrument_begin; i < coin.instrument_end; ++i)
      if (at(i).type == type && ordinal-- == 0) return i;
    SHORTFALL_ASSERT(false);
    return 0;
  }
  /// Of the expiry of that future, the strike nearest to a multiple of the forward.
  std::uint32_t option(const Coin& coin, InstrumentType type, std::size_t expiry,
                       double moneyness) const;
  void hedge(const Coin& coin, Holdings& holdings) const;
  void strangle(const Coin& coin, Holdings& holdings, double usd) const {
    trade(holdings, option(coin, InstrumentType::call, 2, 1.12), usd);
    trade(holdings, option(coin, InstrumentType::put, 2, 0.88), usd);
  }
  /// Options all over the chain, most of them on one side, and the perpetual against their delta.
  void market_maker(const Coin& coin, Holdings& holdings, double long_share) {
    for (std::uint32_t i = coin.instrument_begin; i < coin.instrument_end; ++i)
      if (at(i).strike > 0 && random_.chance(0.6))
        trade(holdings, i,
              (random_.chance(long_share) ? 1 : -1) * random_.between(0.1, 1) * size_usd);
    hedge(coin, holdings);
  }

  const Market& market_;
  Book& book_;
  synthetic::Random random_{7};
};

std::uint32_t BookWriter::option(const Coin& coin, InstrumentType type, std::size_t expiry,
                                 double moneyness) const {
  const Instrument& future = at(delta_one(coin, InstrumentType::future, expiry));
  const auto distance = [&](std::uint32_t i) {
    return std::abs(at(i).strike - moneyness * future.mark_price);
  };
  std::optional<std::uint32_t> nearest;
  for (std::uint32_t i = coin.instrument_begin; i < coin.instrument_end; ++i)
    if (at(i).type == type && at(i).expiry == future.expiry &&
        (!nearest || distance(i) < distance(*nearest)))
      nearest = i;
  return nearest.value();
}

void BookWriter::hedge(const Coin& coin, Holdings& holdings) const {
  const std::uint32_t perpetual = delta_one(coin, InstrumentType::perpetual);
  double coins = 0;
  for (const auto& [instrument, contracts] : holdings)
    if (instrument >= coin.instrument_begin && instrument < coin.instrument_end)
      coins += contracts * synthetic::delta_coins(market_, at(instrument));
  holdings.push_back({perpetual, -coins / synthetic::delta_coins(market_, at(perpetual))});
}

void BookWriter::write(const char* name, const Holdings& holdings) {
  const auto account = static_cast<std::uint32_t>(book_.accounts.size());
  book_.accounts.push_back({name, MarginMode::portfolio});
  const auto begin = static_cast<std::ptrdiff_t>(book_.positions.size());
  for (const auto& [instrument, contracts] : holdings)
    book_.positions.push_back({account, instrument,
                               Quantity::from_units(static_cast<Quantity::Units>(
                                   std::round(contracts * Quantity::units_per_contract)))});
  std::sort(book_.positions.begin() + begin, book_.positions.end(),
            [](const Position& a, const Position& b) { return a.instrument < b.instrument; });
}

void BookWriter::write_all() {
  using enum InstrumentType;
  write("linear",
        [&](const Coin& coin, Holdings& h) { trade(h, delta_one(coin, perpetual), size_usd); });
  write("short strangles", [&](const Coin& coin, Holdings& h) { strangle(coin, h, -size_usd); });
  write("short at-the-money calls",
        [&](const Coin& coin, Holdings& h) { trade(h, option(coin, call, 2, 1), -size_usd); });
  write("delta-hedged strangles", [&](const Coin& coin, Holdings& h) {
    strangle(coin, h, -size_usd);
    hedge(coin, h);
  });
  write("market maker, short gamma",
        [&](const Coin& coin, Holdings& h) { market_maker(coin, h, 0.25); });
  write("market maker, long gamma",
        [&](const Coin& coin, Holdings& h) { market_maker(coin, h, 0.75); });
  Holdings thirty;
  while (thirty.size() < 30) {
    const std::uint32_t i = random_.below(static_cast<std::uint32_t>(market_.instruments.size()));
    if (std::ranges::find(thirty, i, &synthetic::Holding::instrument) == thirty.end())
      trade(thirty, i, (random_.chance(0.5) ? 1 : -1) * random_.between(0.01, 1) * size_usd);
  }
  write("thirty random positions", thirty);
  write("call spread, sold", [&](const Coin& coin, Holdings& h) {
    trade(h, option(coin, call, 2, 1), -size_usd);
    trade(h, option(coin, call, 2, 1.1), size_usd);
  });
  write("calendar", [&](const Coin& coin, Holdings& h) {
    trade(h, option(coin, call, 1, 1), -size_usd);
    trade(h, option(coin, call, 3, 1), size_usd);
  });
  write("basis", [&](const Coin& coin, Holdings& h) {
    trade(h, delta_one(coin, spot), size_usd);
    trade(h, delta_one(coin, future, 3), -size_usd);
  });
}

/// A way to draw paths, and what came of it: a value per book.
struct Way {
  const char* name;
  Sampler sampler;
  std::uint32_t scrambling_count;
  Factorization factorization;
  FactorModel model = {};
  std::vector<double> sum = {}, square_sum = {};
  double seconds = 0;
};

struct Moments {
  double mean, variance;
};
Moments moments(const Way& way, std::size_t book, double seed_count) {
  const double mean = way.sum[book] / seed_count;
  return {mean, (way.square_sum[book] - way.sum[book] * mean) / (seed_count - 1)};
}

struct Options {
  std::uint64_t seed_count = 64;
  std::uint32_t paths_log2 = 17;
};

/// Samplers take turns, so that a disturbance is shared.
void measure(RunConfig config, const RunInputs& inputs, const Options& options,
             std::vector<Way>& ways) {
  const auto backend = make_backend(config.compute);
  std::vector<double> origin;  // of the sums of squares, near the mean
  for (std::uint64_t seed = 0; seed < options.seed_count; ++seed)
    for (Way& way : ways) {
      config.risk.seed = seed;
      config.risk.sampler = way.sampler;
      config.risk.scrambling_count = way.scrambling_count;
      const Plan plan = build_plan(config, inputs, way.model);
      const auto start = std::chrono::steady_clock::now();
      const Tails tails = backend->simulate(plan, {0, plan.path_count}, {});
      way.seconds +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const std::vector<AccountMargin> margins = compute_margins(plan, inputs.book, tails, {});
      if (origin.empty())
        for (const AccountMargin& margin : margins) origin.push_back(margin.expected_shortfall_usd);
      way.sum.resize(margins.size());
      way.square_sum.resize(margins.size());
      for (std::size_t b = 0; b < margins.size(); ++b) {
        const double value = margins[b].expected_shortfall_usd - origin[b];
        way.sum[b] += value;
        way.square_sum[b] += value * value;
      }
    }
}

/// Ratios of variances, over all tables, a column per way but the first.
using Columns = std::vector<std::vector<double>>;

/// False where a mean is not that of independent paths.
bool print_table(const std::vector<Way>& ways, const Book& book, const Options& options,
                 Columns& columns) {
  const auto seeds = static_cast<double>(options.seed_count);
  const boost::math::fisher_f f(seeds - 1, seeds - 1);
  const double lowest = quantile(f, 0.01);
  bool has_agreed = true;
  fmt::print("{:26}", "variance ratio");
  for (std::size_t w = 1; w < ways.size(); ++w) fmt::print("{:>18}", ways[w].name);
  fmt::print("{:>18}\n", "components, per s");
  for (std::size_t b = 0; b < book.accounts.size(); ++b) {
    const Moments plain = moments(ways[0], b, seeds);
    fmt::print("{:26}", book.accounts[b].name);
    for (std::size_t w = 1; w < ways.size(); ++w) {
      const Moments ours = moments(ways[w], b, seeds);
      const double ratio = plain.variance / ours.variance;
      columns[w - 1].push_back(ratio);
      fmt::print("{:>17.1f}{}", ratio, ratio < lowest ? '*' : ' ');
      const double error = std::sqrt((plain.variance + ours.variance) / seeds);
      if (!(std::abs(plain.mean - ours.mean) <= 5 * error)) {
        fmt::print(stderr, "{}, {}: the mean is {:.1f} standard errors from independent paths'\n",
                   book.accounts[b].name, ways[w].name, (ours.mean - plain.mean) / error);
        has_agreed = false;
      }
    }
    columns.back().push_back(columns[2].back() * ways[0].seconds / ways[3].seconds);
    fmt::print("{:>17.1f}\n", columns.back().back());
  }
  const double path_count = seeds * std::pow(2, options.paths_log2);
  fmt::print("{:26}", fmt::format("ns/path (plain {:.0f})", ways[0].seconds / path_count * 1e9));
  for (std::size_t w = 1; w < ways.size(); ++w)
    fmt::print("{:>17.0f} ", ways[w].seconds / path_count * 1e9);
  fmt::print("\n* significantly below 1 (F-test at 1 %, ratio < {:.2f})\n\n", lowest);
  return has_agreed;
}

void print_summary(Columns columns) {
  for (const bool is_median : {true, false}) {
    fmt::print("{:26}", is_median ? "median of all" : "minimum of all");
    for (std::vector<double>& column : columns) {
      std::ranges::sort(column);
      const std::size_t n = column.size();
      fmt::print("{:>17.1f} ",
                 is_median ? (column[(n - 1) / 2] + column[n / 2]) / 2 : column.front());
    }
    fmt::print("\n");
  }
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i], text = i + 1 < argc ? argv[i + 1] : "";
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_number = error == std::errc() && end == text.data() + text.size();
    if (name == "--seeds" && is_number && value >= 8 && value <= 10'000)
      options.seed_count = value;
    else if (name == "--paths-log2" && is_number && value >= 12 && value <= 24)
      options.paths_log2 = value;
    else
      return fmt::print(stderr, "shortfall_sampling: {} {}: see --help\n", name, text),
             std::nullopt;
  }
  return options;
}

int run(const Options& options) {
  const Market market = demo_market();
  RunInputs inputs = inputs_of(market);
  BookWriter(market, inputs.book).write_all();
  RunConfig config;
  config.as_of = market.as_of;
  config.risk.path_count = std::uint64_t{1} << options.paths_log2;
  config.compute.backend = BackendChoice::cpu;
  config.compute.thread_count = 1;
  Columns columns(5);
  bool has_agreed = true;
  for (const Distribution distribution : {Distribution::gaussian, Distribution::student_t}) {
    config.model.distribution = distribution;
    using enum Factorization;
    std::vector<Way> ways = {{"plain", Sampler::philox, 1, cholesky},
                             {"Cholesky, R=1", Sampler::sobol, 1, cholesky},
                             {"Cholesky, R=16", Sampler::sobol, 16, cholesky},
                             {"components, R=1", Sampler::sobol, 1, principal_components},
                             {"components, R=16", Sampler::sobol, 16, principal_components}};
    for (Way& way : ways) {
      config.model.factorization = way.factorization;
      Problems problems;
      way.model = build_factor_model(inputs.covariance, config, problems);
      problems.throw_if_any();
    }
    measure(config, inputs, options, ways);
    fmt::print("{}, {} seeds of 2^{} paths\n",
               distribution == Distribution::gaussian ? "Gaussian" : "Student t(5)",
               options.seed_count, options.paths_log2);
    has_agreed = print_table(ways, inputs.book, options, columns) && has_agreed;
  }
  print_summary(columns);
  return has_agreed ? 0 : 1;
}

}  // namespace
}  // namespace shortfall::bench

int main(int argc, char** argv) {
  using namespace shortfall::bench;
  if (argc == 2 && std::string_view(argv[1]) == "--help") return fmt::print("{}", usage), 0;
  try {
    const std::optional<Options> options = parse(argc, argv);
    return options ? run(*options) : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "shortfall_sampling: {}\n", error.what());
    return 1;
  }
}
