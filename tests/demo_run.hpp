// The demonstration book with [margin] tables, in a folder of its own.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "shortfall/shortfall.hpp"
#include "temporary_book.hpp"

namespace shortfall {

inline const std::filesystem::path demo_folder =
    std::filesystem::path(__FILE__).parent_path().parent_path() / "configs" / "demo";

inline constexpr const char* every_component =
    "sampling_uplift = 1.5\nfloor = 2000\nmaintenance = 0.8\n"
    "[margin.dependence]\n[margin.liquidity]\nfile = \"liquidity.csv\"\n"
    "[margin.stress]\nfile = \"stress.csv\"\n"
    "[margin.procyclicality]\ncovariance = \"stressed.csv\"\n"
    "[margin.funding]\nfile = \"funding.csv\"\n[margin.short_option_minimum]\nrate = 0.4\n"
    "[margin.collateral]\nhaircuts = {BTC = 0.1, ETH = 0.15}\n";

inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Every number but the header's and the names, times a power of two.
inline std::string scaled(const std::string& csv, int column, double factor) {
  std::istringstream lines(csv);
  std::string line, text;
  for (bool is_header = true; std::getline(lines, line); is_header = false) {
    std::istringstream fields(line);
    std::string field, row;
    for (int c = 0; std::getline(fields, field, ','); ++c) {
      const bool is_number = !is_header && (c == column || (column < 0 && c > 0));
      row += (c ? "," : "") + (is_number ? fmt::format("{}", std::stod(field) * factor) : field);
    }
    text += row + "\n";
  }
  return text;
}

/// The demonstration book with [margin] tables, on the CPU.
class DemoRun {
 public:
  explicit DemoRun(const std::string& margin, double size = 1, std::uint64_t path_count = 6000) {
    for (const char* name : {"underlyings", "instruments", "accounts", "covariance"})
      book_.write(fmt::format("{}.csv", name),
                  read_file(demo_folder / fmt::format("{}.csv", name)));
    book_.write("positions.csv", scaled(read_file(demo_folder / "positions.csv"), 2, size));
    book_.write("stressed.csv", scaled(read_file(demo_folder / "covariance.csv"), -1, 4));
    book_.write("liquidity.csv",
                "underlying,daily_volume_usd,half_spread_bps,impact,vol_spread,liquidation_days\n"
                "BTC,2e9,2,0.5,0.01,\nETH,1e9,3,0.5,0.02,2\n"
                "SOL,1e8,5,0.5,0.03,\n");
    book_.write("funding.csv",
                "underlying,long_pays,short_pays\nBTC,0.004,0.003\nETH,0.004,0.003\n"
                "SOL,0.005,0.004\n");
    book_.write("stress.csv",
                "scenario,factor,shock,weight\ncrash,BTC.spot,-0.5,1\ncrash,ETH.spot,-0.6,1\n");
    book_.write("collateral.csv",
                "account,asset,amount\nmarket-maker-03,USD,50000\n"
                "market-maker-01,BTC,2\n");
    book_.write("run.toml", read_file(demo_folder / "run.toml") + "[margin]\n" + margin);
    RunOverrides overrides;
    overrides.path_count = path_count;
    config_ = load_config(book_.path("run.toml"), overrides);
    if (margin.find("[margin.collateral]") != std::string::npos)
      config_.inputs.collateral = book_.path("collateral.csv");
    config_.compute.backend = BackendChoice::cpu;
  }

  RunConfig& config() { return config_; }
  std::vector<AccountMargin> margins() const { return shortfall::run(config_).margins; }
  std::string text() const { return format_margins(margins(), config_.margin); }

 private:
  TemporaryBook book_;
  RunConfig config_;
};

}  // namespace shortfall
