// shortfall_sampling: what Sobol points and importance sampling save, as ratios of the variance of
// an expected shortfall under independent paths to that under as many others, on ten books.
#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/fisher_f.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/one_account.hpp"
#include "sampling_books.hpp"
#include "shortfall/backend.hpp"
#include "shortfall/importance.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/plan.hpp"

namespace shortfall::bench {
namespace {

constexpr const char* usage =
    R"(usage: shortfall_sampling [--seeds N] [--paths-log2 N] [--check N] [--book CONFIG]

Prints the variance of the expected shortfall (99 %, one day) of ten books over so many seeds under
independent paths, over that under as many Sobol points (one scrambling, and sixteen that share
them; Cholesky, and principal components) and under importance sampling of one account; Gaussian and
Student t with 5 degrees of freedom; with the time of a path on one thread, and gains per second.
Importance sampling is timed with its pilot and against a plain run of that account alone.

  --seeds N       runs of each, 8 to 10000 (64)
  --paths-log2 N  paths are 2^N, 14 to 24 (17)
  --check N       instead: importance sampling against one plain run of N paths
  --book CONFIG   instead: medians of the Sobol columns over the accounts of this book

Exit status: 0 done; 1 two samplers do not agree on a mean, or an error; 2 wrong command line.
)";

struct Options {
  std::uint64_t seed_count = 64;
  std::uint32_t paths_log2 = 17;
  std::optional<std::uint64_t> check_path_count;
  std::string book;
};

/// A value per book, over seeds.
class Values {
 public:
  void add(const std::vector<double>& values) {
    if (origin_.empty()) {
      origin_ = values;
      sum_.resize(values.size());
      square_sum_.resize(values.size());
    }
    for (std::size_t b = 0; b < values.size(); ++b) {
      sum_[b] += values[b] - origin_[b];
      square_sum_[b] += (values[b] - origin_[b]) * (values[b] - origin_[b]);
    }
    ++count_;
  }
  double mean(std::size_t book) const { return origin_[book] + sum_[book] / count_; }
  double variance(std::size_t book) const {
    return (square_sum_[book] - sum_[book] * sum_[book] / count_) / (count_ - 1);
  }

 private:
  std::vector<double> origin_, sum_, square_sum_;  ///< sums from the first values, near the mean
  double count_ = 0;
};

/// A way to draw the paths of all accounts, and what came of it.
struct Way {
  const char* name;
  Sampler sampler;
  std::uint32_t scrambling_count;
  Factorization factorization;
  FactorModel model = {};
  Values values = {};
  double seconds = 0;
};

template <class Work>
double seconds_of(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Importance sampling of each account alone, and the seconds of it and of plain paths.
struct Alone {
  Values values = {};
  std::vector<double> seconds, plain_seconds;
};

FactorModel model_of(const RunConfig& config, const RunInputs& inputs) {
  Problems problems;
  FactorModel model = build_factor_model(inputs.covariance, config, problems);
  problems.throw_if_any();
  return model;
}

std::vector<double> shortfalls(const std::vector<AccountMargin>& margins) {
  std::vector<double> values;
  for (const AccountMargin& margin : margins) values.push_back(margin.expected_shortfall_usd);
  return values;
}

std::vector<Way> all_ways(RunConfig config, const RunInputs& inputs) {
  using enum Factorization;
  std::vector<Way> ways = {{"plain", Sampler::philox, 1, cholesky},
                           {"Cholesky, R=1", Sampler::sobol, 1, cholesky},
                           {"Cholesky, R=16", Sampler::sobol, 16, cholesky},
                           {"components, R=1", Sampler::sobol, 1, principal_components},
                           {"components, R=16", Sampler::sobol, 16, principal_components}};
  for (Way& way : ways) {
    config.model.factorization = way.factorization;
    way.model = model_of(config, inputs);
  }
  return ways;
}

/// One seed of every way. Samplers take turns, so that a disturbance is shared.
void add_seed(RunConfig config, const RunInputs& inputs, Backend& backend, std::vector<Way>& ways) {
  for (Way& way : ways) {
    config.risk.sampler = way.sampler;
    config.risk.scrambling_count = way.scrambling_count;
    const Plan plan = build_plan(config, inputs, way.model);
    Tails tails;
    way.seconds += seconds_of([&] { tails = backend.simulate(plan, {0, plan.path_count}, {}); });
    way.values.add(shortfalls(compute_margins(plan, inputs.book, tails, {})));
  }
}

void measure(RunConfig config, const RunInputs& inputs, const Options& options,
             std::vector<Way>& ways, Alone& alone) {
  const auto backend = make_backend(config.compute);
  const std::size_t book_count = inputs.book.accounts.size();
  alone.seconds.resize(book_count);
  alone.plain_seconds.resize(book_count);
  for (std::uint64_t seed = 0; seed < options.seed_count; ++seed) {
    config.risk.seed = seed;
    add_seed(config, inputs, *backend, ways);
    config.risk.sampler = Sampler::philox;
    std::vector<double> values;
    for (std::uint32_t b = 0; b < book_count; ++b) {
      const RunInputs own = inputs_of_account(inputs, b);
      alone.seconds[b] += seconds_of(
          [&] { values.push_back(sample_importance(config, own).expected_shortfall_usd); });
      const Plan plan = build_plan(config, own, ways.front().model);
      alone.plain_seconds[b] += seconds_of([&] {
        backend->simulate(plan, {0, plan.path_count}, {});
      });
    }
    alone.values.add(values);
  }
}

/// Ratios of variances of all tables, a column each.
using Columns = std::vector<std::vector<double>>;

/// Of the plain variance to another's; false where the means differ by more than 5 standard errors.
bool add_ratio(const char* book_name, const char* name, const Values& plain, const Values& ours,
               std::size_t book, const Options& options, std::vector<double>& column) {
  const auto seeds = static_cast<double>(options.seed_count);
  const double ratio = plain.variance(book) / ours.variance(book);
  const boost::math::fisher_f f(seeds - 1, seeds - 1);
  fmt::print("{:>17.1f}{}", ratio, ratio < quantile(f, 0.01) ? '*' : ' ');
  column.push_back(ratio);
  const double error = std::sqrt((plain.variance(book) + ours.variance(book)) / seeds);
  const double apart = (ours.mean(book) - plain.mean(book)) / error;
  if (std::abs(apart) <= 5) return true;
  fmt::print(stderr, "{}, {}: the mean is {:.1f} standard errors from independent paths'\n",
             book_name, name, apart);
  return false;
}

bool print_table(const std::vector<Way>& ways, const Alone& alone, const Book& book,
                 const Options& options, Columns& columns) {
  bool has_agreed = true;
  const double path_count =
      static_cast<double>(options.seed_count) * std::pow(2, options.paths_log2);
  fmt::print("{:26}", "variance ratio");
  for (std::size_t w = 1; w < ways.size(); ++w) fmt::print("{:>17} ", ways[w].name);
  fmt::print("{:>17} {:>17} {:>17} {:>17}\n", "importance", "importance, per s", "its ns/path",
             "plain ns/path");
  for (std::size_t b = 0; b < book.accounts.size(); ++b) {
    const char* const name = book.accounts[b].name.c_str();
    const Values& plain = ways.front().values;
    fmt::print("{:26}", name);
    for (std::size_t w = 1; w < ways.size(); ++w)
      has_agreed &=
          add_ratio(name, ways[w].name, plain, ways[w].values, b, options, columns[w - 1]);
    std::vector<double>& importance = columns[ways.size() - 1];
    has_agreed &= add_ratio(name, "importance", plain, alone.values, b, options, importance);
    columns.back().push_back(importance.back() * alone.plain_seconds[b] / alone.seconds[b]);
    fmt::print("{:>17.1f} {:>17.0f} {:>17.0f}\n", columns.back().back(),
               alone.seconds[b] / path_count * 1e9, alone.plain_seconds[b] / path_count * 1e9);
  }
  fmt::print("{:26}", fmt::format("ns/path (plain {:.0f})", ways[0].seconds / path_count * 1e9));
  for (std::size_t w = 1; w < ways.size(); ++w)
    fmt::print("{:>17.0f} ", ways[w].seconds / path_count * 1e9);
  fmt::print("\n* significantly below 1 (F-test at 1 %)\n\n");
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

/// Tables for both distributions; false where means differ.
bool compare_samplers(RunConfig config, const RunInputs& inputs, const Options& options) {
  Columns columns(6);
  bool has_agreed = true;
  for (const Distribution distribution : {Distribution::gaussian, Distribution::student_t}) {
    config.model.distribution = distribution;
    std::vector<Way> ways = all_ways(config, inputs);
    Alone alone;
    measure(config, inputs, options, ways, alone);
    fmt::print("{}, {} seeds of 2^{} paths\n", to_string(distribution), options.seed_count,
               options.paths_log2);
    has_agreed &= print_table(ways, alone, inputs.book, options, columns);
  }
  print_summary(columns);
  return has_agreed;
}

/// Medians over the accounts that hold something.
void compare_on_book(const Options& options) {
  RunConfig config = load_config(options.book);
  const RunInputs inputs = load_inputs(config);
  config.risk.path_count = std::uint64_t{1} << options.paths_log2;
  config.compute.backend = BackendChoice::cpu;
  config.compute.thread_count = 1;
  const auto backend = make_backend(config.compute);
  for (const Distribution distribution : {Distribution::gaussian, Distribution::student_t}) {
    config.model.distribution = distribution;
    std::vector<Way> ways = all_ways(config, inputs);
    for (config.risk.seed = 0; config.risk.seed < options.seed_count; ++config.risk.seed)
      add_seed(config, inputs, *backend, ways);
    fmt::print("{:10}", to_string(distribution));
    for (std::size_t w = 1; w < ways.size(); ++w) {
      std::vector<double> ratios;
      for (std::size_t b = 0; b < inputs.book.accounts.size(); ++b)
        if (ways[0].values.variance(b) > 0 && ways[w].values.variance(b) > 0)
          ratios.push_back(ways[0].values.variance(b) / ways[w].values.variance(b));
      std::ranges::sort(ratios);
      fmt::print("  {} {:.1f}", ways[w].name, ratios[ratios.size() / 2]);
    }
    fmt::print("\n");
  }
}

/// False where a difference is above 4.5 standard errors, which chance does once in 7,000 of these.
bool check_importance(RunConfig config, const RunInputs& inputs, const Options& options) {
  bool has_agreed = true;
  const auto backend = make_backend(config.compute);
  for (const Distribution distribution : {Distribution::gaussian, Distribution::student_t}) {
    config.model.distribution = distribution;
    config.risk.path_count = *options.check_path_count;
    const Plan plan = build_plan(config, inputs);
    const std::vector<AccountMargin> plain =
        compute_margins(plan, inputs.book, backend->simulate(plan, {0, plan.path_count}, {}), {});
    config.risk.path_count = std::uint64_t{1} << options.paths_log2;
    fmt::print("{:26}{:>16}{:>10}{:>16}{:>10}{:>12}\n", to_string(distribution),
               fmt::format("{:.3g} paths", static_cast<double>(plan.path_count)), "+-",
               fmt::format("2^{} importance", options.paths_log2), "+-", "difference");
    for (std::uint32_t b = 0; b < plain.size(); ++b) {
      const ImportanceEstimate ours = sample_importance(config, inputs_of_account(inputs, b));
      const double apart = (ours.expected_shortfall_usd - plain[b].expected_shortfall_usd) /
                           std::hypot(ours.standard_error_usd, plain[b].standard_error_usd);
      has_agreed &= std::abs(apart) <= 4.5;
      fmt::print("{:26}{:>16.2f}{:>10.2f}{:>16.2f}{:>10.2f}{:>9.2f} se\n", plain[b].account,
                 plain[b].expected_shortfall_usd, plain[b].standard_error_usd,
                 ours.expected_shortfall_usd, ours.standard_error_usd, apart);
    }
  }
  return has_agreed;
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
    else if (name == "--paths-log2" && is_number && value >= 14 && value <= 24)
      options.paths_log2 = value;
    else if (name == "--book" && !text.empty())
      options.book = text;
    else if (name == "--check" && is_number && value >= 10'000)
      options.check_path_count = value;
    else
      return fmt::print(stderr, "shortfall_sampling: {} {}: see --help\n", name, text),
             std::nullopt;
  }
  return options;
}

int run(const Options& options) {
  if (!options.book.empty()) return compare_on_book(options), 0;
  const TenBooks books = ten_books();
  RunConfig config;
  config.as_of = books.as_of;
  config.risk.path_count = std::uint64_t{1} << options.paths_log2;
  config.compute.backend = BackendChoice::cpu;
  config.compute.thread_count = 1;
  const bool has_agreed = options.check_path_count
                              ? check_importance(config, books.inputs, options)
                              : compare_samplers(config, books.inputs, options);
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
