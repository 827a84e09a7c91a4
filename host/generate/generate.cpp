#include "generate.hpp"

#include "generate_venue.hpp"

namespace shortfall {
namespace {

using synthetic::AccountFiles;
using synthetic::Market;
using synthetic::MarketLayout;
using synthetic::Random;
using Preset = GenerateOptions::Preset;

struct Size {
  const char* option;
  std::optional<std::uint32_t> given;
  std::uint32_t min, max, standard;

  std::uint32_t value() const { return given.value_or(standard); }
};

struct Sizes {
  Size instruments, accounts, underlyings, factors;
};

/// The sizes of a venue; throws InputError with every one that cannot be had.
Sizes venue_sizes(const GenerateOptions& options) {
  const std::uint32_t underlying_count = options.underlyings.value_or(4);
  const Sizes sizes{{"--instruments", options.instruments, 1, 100'000, 1'000},
                    {"--accounts", options.accounts, 1, 1'000'000, 1'000},
                    {"--underlyings", options.underlyings, 1, 64, 4},
                    {"--factors", options.factors, 1, 6'000, 16 * underlying_count}};
  Problems problems;
  const auto report = [&](const Size& size, const std::string& message) {
    problems.add("command line", 0, fmt::format("{} {}: {}", size.option, size.value(), message));
  };
  for (const Size& size : {sizes.instruments, sizes.accounts, sizes.underlyings, sizes.factors}) {
    if (size.given && (*size.given < size.min || *size.given > size.max)) {
      report(size, fmt::format("has to be from {} to {}", size.min, size.max));
    }
  }
  problems.throw_if_any();
  if (sizes.instruments.value() < underlying_count) {
    report(sizes.instruments, fmt::format("{} underlyings need a perpetual each; give at least {}",
                                          underlying_count, underlying_count));
  }
  if (sizes.factors.value() < underlying_count) {
    report(sizes.factors, fmt::format("{} underlyings need a spot factor each; give at least {}",
                                      underlying_count, underlying_count));
  }
  problems.throw_if_any();
  return sizes;
}

void refuse_sizes(const GenerateOptions& options, const char* preset) {
  Problems problems;
  const auto refuse = [&](const char* option, bool is_given) {
    if (!is_given) return;
    problems.add("command line", 0,
                 fmt::format("{0}: the preset {1} has its own; leave out {0}, or --preset {1}",
                             option, preset));
  };
  refuse("--instruments", options.instruments.has_value());
  refuse("--accounts", options.accounts.has_value());
  refuse("--underlyings", options.underlyings.has_value());
  refuse("--factors", options.factors.has_value());
  problems.throw_if_any();
}

/// What differs from one preset to the next.
struct Venue {
  MarketLayout layout;
  std::uint32_t account_count = 0;  ///< venue only
  std::string command;              ///< that makes it again, without --out
  std::uint32_t path_count = 0;
};

Venue resolve(const GenerateOptions& options) {
  const auto command = [&](const std::string& arguments) {
    return fmt::format("shortfall generate {} --seed {}", arguments, options.seed);
  };
  if (options.preset == Preset::demo) {
    refuse_sizes(options, "demo");
    return {.layout = {.instrument_count = 291,
                       .coin_count = 3,
                       .factor_count = 24,
                       .expiry_days = {1, 7, 28, 84, 175}},
            .command = command("--preset demo"),
            .path_count = 100'000};
  }
  if (options.preset == Preset::canonical) {
    refuse_sizes(options, "canonical");
    return {.layout = {.instrument_count = 1'000,
                       .coin_count = 4,
                       .factor_count = 64,
                       .expiry_days = {7, 14, 28, 56, 84, 175, 266, 357},
                       .has_spot_and_futures = false,
                       .has_linear_settlement = false},
            .command = command("--preset canonical"),
            .path_count = 102'400};
  }
  const Sizes sizes = venue_sizes(options);
  std::string arguments;
  for (const Size& size : {sizes.instruments, sizes.accounts, sizes.underlyings, sizes.factors}) {
    arguments += fmt::format("{}{} {}", arguments.empty() ? "" : " ", size.option, size.value());
  }
  return {.layout = {.instrument_count = sizes.instruments.value(),
                     .coin_count = sizes.underlyings.value(),
                     .factor_count = sizes.factors.value(),
                     .expiry_days = {1, 7, 14, 28, 84, 175, 266, 357}},
          .account_count = sizes.accounts.value(),
          .command = command(arguments),
          .path_count = 100'000};
}

void write_underlyings(const Market& market, AtomicFile& file) {
  file.print("underlying,spot\n");
  for (const synthetic::Coin& coin : market.coins) file.print("{},{}\n", coin.name, coin.spot_usd);
}

void write_instruments(const Market& market, AtomicFile& file) {
  file.print("instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n");
  const auto number = [](double value, bool applies) {
    return applies ? fmt::format("{}", value) : std::string();
  };
  for (const Instrument& i : market.instruments) {
    const bool is_option = i.type == InstrumentType::call || i.type == InstrumentType::put;
    file.print("{},{},{},{},{},{},{},{},{}\n", i.name, to_string(i.type),
               market.coins[i.underlying].name, to_string(i.settlement),
               i.expiry == 0 ? std::string() : format_date_time(i.expiry),
               number(i.strike, is_option), i.multiplier,
               number(i.mark_price, i.type != InstrumentType::spot), number(i.mark_iv, is_option));
  }
}

/// Seven digits disturb the correlations by less than 5e-7 each, and so the eigenvalues of 6,000
/// factors by less than 0.003: far below the 0.02 that every factor has of its own.
void write_covariance(const Market& market, AtomicFile& file) {
  file.print("factor");
  for (const synthetic::DrivenFactor& factor : market.factors) file.print(",{}", factor.name);
  for (const synthetic::DrivenFactor& row : market.factors) {
    file.print("\n{}", row.name);
    for (const synthetic::DrivenFactor& column : market.factors) {
      file.print(",{:.7g}", covariance(row, column));
    }
  }
  file.print("\n");
}

void write_config(const Venue& venue, const Market& market, AtomicFile& file) {
  file.print(R"(# Synthetic, made by: {}
[inputs]
underlyings = "underlyings.csv"
instruments = "instruments.csv"
positions = "positions.csv"
covariance = "covariance.csv"
accounts = "accounts.csv"

[market]
as_of = {}

[model]
distribution = "student_t"
degrees_of_freedom = 5.0

[risk]
paths = {}
seed = 42
confidence = 0.99
horizon_days = 1.0
)",
             venue.command, format_date_time(market.as_of), venue.path_count);
}

}  // namespace

void generate(const GenerateOptions& options, const std::filesystem::path& directory) {
  const Venue venue = resolve(options);
  Random random(options.seed);
  const Market market = synthetic::make_market(venue.layout, random);

  create_directory_for(directory);
  const auto write = [&](const char* name, const auto& print) {
    AtomicFile file(directory / name);
    print(file);
    file.publish();
  };
  write("underlyings.csv", [&](AtomicFile& file) { write_underlyings(market, file); });
  write("instruments.csv", [&](AtomicFile& file) { write_instruments(market, file); });
  write("covariance.csv", [&](AtomicFile& file) { write_covariance(market, file); });
  {
    AtomicFile accounts(directory / "accounts.csv"), positions(directory / "positions.csv");
    accounts.print("account,mode\n");
    positions.print("account,instrument,quantity\n");
    AccountFiles files{accounts, positions};
    if (options.preset == Preset::demo) {
      write_demo_accounts(market, random, files);
    } else if (options.preset == Preset::canonical) {
      write_canonical_accounts(market, random, files);
    } else {
      write_venue_accounts(market, venue.account_count, random, files);
    }
    accounts.publish();
    positions.publish();
  }
  if (options.preset == Preset::demo) {
    const std::string text = demo_readme(market, options.seed);
    write("README.md", [&](AtomicFile& file) { file.print("{}", text); });
  }
  write("run.toml", [&](AtomicFile& file) { write_config(venue, market, file); });
}

}  // namespace shortfall
