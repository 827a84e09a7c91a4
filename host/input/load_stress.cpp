#include "load_stress.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "csv.hpp"
#include "name_table.hpp"
#include "text.hpp"

namespace shortfall {
namespace {

constexpr std::size_t scenarios_max = 10'000;
/// Of the log-moves: e^-5 is a loss of 99.3 %. A percentage written as such is beyond it.
constexpr double shock_max = 5;
constexpr double weight_max = 10;

enum Column : std::size_t { scenario, factor, shock, weight };

class StressReader {
 public:
  StressReader(const std::filesystem::path& file, const Covariance& covariance,
               std::vector<StressScenario>& scenarios, Problems& problems)
      : table_(file, {"scenario", "factor", "shock", "weight"}, problems),
        knows_factors_(!covariance.matrix.empty()),
        names_(scenarios) {
    for (std::uint32_t f = 0; f < covariance.factors.size(); ++f)
      factors_.emplace(covariance.factors[f].name, f);
  }

  void read() {
    while (table_.next()) {
      if (std::string problem = name_problem(table_[scenario]); !problem.empty()) {
        table_.report(scenario, problem);
        continue;
      }
      const std::uint32_t index = names_.insert(table_[scenario]).first;
      if (index == scenarios_max) {
        table_.file().report(
            fmt::format("is past the limit of {} scenarios; remove some", scenarios_max));
        return;
      }
      weight_lines_.resize(names_.entries().size());
      read_weight(index);
      read_shock(index);
    }
    table_.require_rows();
  }

 private:
  void read_weight(std::uint32_t index) {
    const std::optional<double> value = table_.real(weight);
    if (!value) return;
    if (!(*value > 0 && *value <= weight_max)) {
      table_.report(weight, fmt::format("{} must be above 0 and at most {}", *value, weight_max));
      return;
    }
    StressScenario& entry = names_.entries()[index];
    std::size_t& line = weight_lines_[index];
    if (line == 0) {
      entry.weight = *value;
      line = table_.line();
    } else if (*value != entry.weight) {
      table_.report(weight, fmt::format("{} differs from the {} of line {}; give the rows of "
                                        "scenario {} one weight",
                                        *value, entry.weight, line, in_quotes(entry.name)));
    }
  }

  void read_shock(std::uint32_t index) {
    const std::optional<double> move = table_.real(shock);
    const bool is_in_range = move && *move >= -shock_max && *move <= shock_max;
    if (move && !is_in_range) {
      table_.report(shock,
                    fmt::format("{} is outside [-{}, {}]; write the move in the factor's unit, a "
                                "fall of 16 % as ln(0.84) = -0.174",
                                *move, shock_max, shock_max));
    }
    const auto found = factors_.find(table_[factor]);
    if (found == factors_.end()) {
      if (knows_factors_)
        table_.report(factor, fmt::format("{} is not a factor of the covariance; name one of its "
                                          "header, or add it there",
                                          in_quotes(table_[factor])));
      return;
    }
    StressScenario& entry = names_.entries()[index];
    const auto [first, is_new] =
        factor_lines_.try_emplace(std::pair(index, found->second), table_.line());
    if (!is_new) {
      table_.report(factor,
                    fmt::format("{} is moved by scenario {} on line {} already; remove one "
                                "of them",
                                in_quotes(found->first), in_quotes(entry.name), first->second));
    } else if (is_in_range) {
      entry.shocks.emplace_back(found->second, *move);
    }
  }

  CsvTable table_;
  bool knows_factors_;
  std::map<std::string_view, std::uint32_t> factors_;
  NameTable<StressScenario> names_;
  std::vector<std::size_t> weight_lines_;  // of the first weight, per scenario; 0: none yet
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> factor_lines_;
};

}  // namespace

void load_stress(const std::filesystem::path& file, const Covariance& covariance,
                 std::vector<StressScenario>& scenarios, Problems& problems) {
  StressReader(file, covariance, scenarios, problems).read();
}

}  // namespace shortfall
