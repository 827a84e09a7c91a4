#include "shortfall/config.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <utility>

#include "history.hpp"
#include "margin_config.hpp"
#include "model/confidence_interval.hpp"
#include "shortfall/plan.hpp"
#include "text.hpp"
#include "toml_document.hpp"
#include "toml_section.hpp"

namespace shortfall {
namespace {

constexpr Choice<Distribution> distributions[] = {{"gaussian", Distribution::gaussian},
                                                  {"student_t", Distribution::student_t}};
constexpr Choice<Sampler> samplers[] = {{"philox", Sampler::philox}, {"sobol", Sampler::sobol}};
constexpr Choice<Scenarios> scenario_choices[] = {{"drawn", Scenarios::drawn},
                                                  {"history", Scenarios::history}};
constexpr Choice<HistoryFilter> history_filters[] = {{"none", HistoryFilter::none},
                                                     {"volatility", HistoryFilter::volatility}};
constexpr Choice<Factorization> factorizations[] = {
    {"cholesky", Factorization::cholesky},
    {"principal_components", Factorization::principal_components}};
constexpr Choice<RevalueAt> revaluation_times[] = {
    {"horizon", RevalueAt::horizon}, {"now", RevalueAt::now}, {"worst", RevalueAt::worst}};
constexpr Choice<InstructionSet> instruction_sets[] = {{"auto", InstructionSet::automatic},
                                                       {"generic", InstructionSet::generic},
                                                       {"avx2", InstructionSet::avx2},
                                                       {"avx512", InstructionSet::avx512}};
constexpr Choice<BackendChoice> backends[] = {
    {"auto", BackendChoice::automatic}, {"cpu", BackendChoice::cpu}, {"cuda", BackendChoice::cuda}};
constexpr Choice<bool> fallbacks[] = {{"none", false}, {"cpu", true}};

constexpr std::string_view section_names[] = {"inputs", "market",  "model", "risk",
                                              "margin", "compute", "output"};

// Far beyond any use, and far from where a scaled variance overflows.
constexpr RealDomain days_domain{"above 0 (at least 1e-9) and at most 100000 days",
                                 [](double x) { return x >= 1e-9 && x <= 1e5; }};
constexpr RealDomain degrees_domain{
    "above 2 and at most 1000000; beyond that use distribution = \"gaussian\"",
    [](double x) { return x > 2 && x <= 1e6; }};
constexpr RealDomain half_life_domain{"at least 1 and at most 100000 rows",
                                      [](double x) { return x >= 1 && x <= 1e5; }};
constexpr RealDomain confidence_domain{"at least 0.5 and below 1",
                                       [](double x) { return x >= 0.5 && x < 1; }};
constexpr RealDomain relative_error_domain{"at least 1e-6 and at most 1",
                                           [](double x) { return x >= 1e-6 && x <= 1; }};
constexpr RealDomain share_domain{"above 0 and at most 1",
                                  [](double x) { return x > 0 && x <= 1; }};
constexpr RealDomain tail_floor_domain{"above 0 and below 1, or \"auto\"",
                                       [](double x) { return x > 0 && x < 1; }};

constexpr std::uint64_t path_count_max = std::uint64_t{1} << 32;
constexpr std::uint32_t tile_paths_max = 65'536;

void read_inputs(TomlSection section, InputFiles& inputs, Scenarios scenarios) {
  const auto required = [&](const char* key, std::filesystem::path& path) {
    if (!section.path(key, path)) section.report_missing(key, "write the path of the file");
  };
  required("underlyings", inputs.underlyings);
  required("instruments", inputs.instruments);
  required("positions", inputs.positions);
  const bool has_history = scenarios == Scenarios::history;
  required(has_history ? "history" : "covariance", inputs.covariance);
  if (section.find(has_history ? "covariance" : "history"))
    section.report(has_history ? "covariance" : "history",
                   has_history ? "is not used with [model] scenarios = \"history\"; remove one"
                               : "needs [model] scenarios = \"history\"");
  std::filesystem::path accounts, collateral;
  if (section.path("accounts", accounts)) inputs.accounts = accounts;
  if (section.path("collateral", collateral)) inputs.collateral = collateral;
  section.report_unknown_keys();
}

/// [model] scenarios, and what has a meaning with one of them only.
void read_scenarios(TomlSection& section, ModelConfig& model) {
  section.choice("scenarios", model.scenarios, scenario_choices);
  const bool has_history = model.scenarios == Scenarios::history;
  const auto refuse = [&](const char* key, const char* remedy) {
    if (section.find(key)) section.report(key, remedy);
  };
  if (has_history) {
    for (const char* const key :
         {"distribution", "degrees_of_freedom", "tail_floor", "factorization"})
      refuse(key, "has no meaning with scenarios = \"history\"; remove it");
    section.choice("history_filter", model.history_filter, history_filters);
    section.real("filter_half_life", model.filter_half_life, half_life_domain);
    if (section.find("weight_half_life")) {
      double half_life = 0;
      section.real("weight_half_life", half_life, half_life_domain);
      model.weight_half_life = half_life;
    }
  } else {
    for (const char* const key : {"history_filter", "filter_half_life", "weight_half_life"})
      refuse(key, "needs scenarios = \"history\"");
  }
}

void read_model(TomlSection section, ModelConfig& model) {
  section.choice("distribution", model.distribution, distributions);
  section.real("degrees_of_freedom", model.degrees_of_freedom, degrees_domain);
  const toml::node* const tail_floor = section.find("tail_floor");
  if (tail_floor && tail_floor->is_string()) {
    const std::string text = *tail_floor->value<std::string>();
    if (text != "auto") {
      section.report("tail_floor", fmt::format("is {}; it must be {}", in_quotes(text),
                                               tail_floor_domain.description));
    }
  } else if (tail_floor) {
    double value = 0;
    section.real("tail_floor", value, tail_floor_domain);
    model.tail_floor = value;
  }
  section.real("covariance_horizon_days", model.covariance_horizon_days, days_domain);
  section.choice("factorization", model.factorization, factorizations);
  read_scenarios(section, model);
  section.report_unknown_keys();
}

/// k < 1 leaves no tail: methodology, section 5.
void check_tail(const RiskConfig& risk, const Origin& origin, bool has_history,
                Problems& problems) {
  const double k = tail_size(risk.path_count, risk.confidence_level).k;
  if (k >= 1) return;
  const double needed = std::ceil((1 - 1e-9) / (1 - risk.confidence_level));
  if (has_history) {
    problems.add(origin.file, origin.line,
                 fmt::format("{} rows at confidence {} leave no tail: (1 - confidence) * rows is "
                             "{}, below 1; use {:.0f} rows or more, or a lower confidence",
                             risk.path_count, risk.confidence_level, k, needed));
    return;
  }
  const std::string remedy = needed <= static_cast<double>(path_count_max)
                                 ? fmt::format("set paths to {:.0f} or more", needed)
                                 : "lower confidence";
  problems.add(
      origin.file, origin.line,
      fmt::format("{} paths at confidence {} leave no tail: (1 - confidence) * paths is {}, "
                  "below 1; {}",
                  risk.path_count, risk.confidence_level, k, remedy));
}

/// Sobol points are stratified by powers of two: any other count loses what they are for.
void check_points(const RiskConfig& risk, const Origin& origin, Problems& problems) {
  const std::uint64_t count = risk.scrambling_count;
  if (risk.sampler != Sampler::sobol) return;
  if (risk.path_count % count == 0 && std::has_single_bit(risk.path_count / count)) return;
  const std::uint64_t below =
      count * std::bit_floor(std::max(risk.path_count / count, std::uint64_t{1}));
  const std::uint64_t above = 2 * below <= path_count_max ? 2 * below : below;
  problems.add(origin.file, origin.line,
               fmt::format("{} paths are not {} scramblings of a power of two each; the nearest "
                           "counts are {} and {}",
                           risk.path_count, count, below, above));
}

/// The confidences of components leave a tail too.
void check_component_tails(const RunConfig& config, Problems& problems) {
  const auto check = [&](double confidence, const char* key) {
    if (tail_size(config.risk.path_count, confidence).k >= 1) return;
    const double needed = std::ceil((1 - 1e-9) / (1 - confidence));
    const std::string remedy = needed <= static_cast<double>(path_count_max)
                                   ? fmt::format("lower it, or use {:.0f} paths", needed)
                                   : "lower it";
    problems.add(config.file.string(), 0,
                 fmt::format("{} {} leaves no tail of {} paths; {}", key, confidence,
                             config.risk.path_count, remedy));
  };
  if (config.margin.dependence)
    check(config.margin.dependence->confidence_level, "[margin.dependence] confidence");
  if (config.margin.maintenance_confidence_level)
    check(*config.margin.maintenance_confidence_level, "[margin] maintenance");
}

/// The least number of paths of a round with a tail of 1,000 paths: a power of two, times the
/// scramblings.
std::uint64_t first_round(const RiskConfig& risk) {
  std::uint64_t count = scrambling_count_of(risk);
  while (tail_size(count, risk.confidence_level).k < 1000) count *= 2;
  return count;
}

/// paths = "auto" and what goes with it.
void read_precision(TomlSection& section, RiskConfig& risk) {
  section.real("target_relative_error", risk.target_relative_error, relative_error_domain);
  section.integer("max_paths", risk.path_count_max, {1, path_count_max}, "",
                  std::optional<std::uint64_t>());
  section.real("precise_margin_share", risk.precise_margin_share, share_domain);
  section.strings("precise_accounts", risk.precise_accounts);
}

void check_rounds(TomlSection& section, RiskConfig& risk) {
  risk.path_count = first_round(risk);
  if (risk.path_count <= risk.path_count_max) return;
  section.report("max_paths",
                 fmt::format("is {}; the first round takes {} paths, which leave a tail of 1,000",
                             risk.path_count_max, risk.path_count));
}

/// Paths are the rows of the history: nothing is drawn.
void take_paths_of_history(TomlSection& section, RiskConfig& risk, const RunOverrides& overrides,
                           const std::filesystem::path& history, Problems& problems) {
  const auto refuse = [&](const char* key) {
    if (section.find(key))
      section.report(key, "has no meaning with scenarios = \"history\"; remove it");
  };
  for (const char* const key :
       {"paths", "seed", "sampler", "scramblings", "max_paths", "target_relative_error",
        "precise_accounts", "precise_margin_share"})
    refuse(key);
  if (overrides.path_count)
    problems.add("command line", 0, "--paths has no meaning with scenarios = \"history\"");
  if (overrides.seed)
    problems.add("command line", 0, "--seed has no meaning with scenarios = \"history\"");
  risk.seed = 0;
  // Where they cannot be counted the loader says why.
  if (const auto row_count = count_history_rows(history)) risk.path_count = *row_count;
}

/// Charges that simulate another model than the run's.
void check_charges_of_history(TomlSection section, const MarginConfig& margin) {
  if (margin.dependence)
    section.report("dependence", "resamples a distribution and a history is none; remove it");
  if (margin.procyclicality)
    section.report("procyclicality",
                   "simulates a stressed covariance and a history has none; "
                   "remove it");
}

void read_risk(TomlSection section, RiskConfig& risk, const RunOverrides& overrides,
               const std::filesystem::path* history, Problems& problems) {
  const std::size_t problems_before = problems.count();
  if (history) take_paths_of_history(section, risk, overrides, *history, problems);
  constexpr std::uint64_t seed_max = (std::uint64_t{1} << 63) - 1;
  const toml::node* const automatic = history ? nullptr : section.find("paths");
  risk.is_automatic = automatic && automatic->is_string() && !overrides.path_count;
  Origin paths;
  if (history) paths.file = history->string();
  if (risk.is_automatic) {
    if (*automatic->value<std::string>() != "auto")
      section.report("paths", fmt::format("is {}; it must be \"auto\" or a number of paths",
                                          in_quotes(*automatic->value<std::string>())));
  } else if (!history) {
    paths = section.integer("paths", risk.path_count, {1, path_count_max}, "--paths",
                            overrides.path_count);
  }
  if (!history) {
    section.integer("seed", risk.seed, {0, seed_max}, "--seed", overrides.seed);
    section.choice("sampler", risk.sampler, samplers);
    section.integer("scramblings", risk.scrambling_count, {2, scrambling_count_max}, "",
                    std::optional<std::uint32_t>());
  }
  section.real("confidence", risk.confidence_level, confidence_domain);
  section.real("horizon_days", risk.horizon_days, days_domain);
  section.choice("revalue_at", risk.revalue_at, revaluation_times);
  if (!history) read_precision(section, risk);
  section.report_unknown_keys();
  if (problems.count() > problems_before) return;
  if (risk.is_automatic) return check_rounds(section, risk);
  check_tail(risk, paths, history != nullptr, problems);
  check_points(risk, paths, problems);
}

void read_compute(TomlSection section, ComputeConfig& compute, const RunOverrides& overrides) {
  if (overrides.backend) {
    section.find("backend");
    compute.backend = *overrides.backend;
  } else {
    section.choice("backend", compute.backend, backends);
  }
  section.integer("threads", compute.thread_count, {0, 1024}, "--threads", overrides.thread_count);
  section.integers("devices", compute.devices, {0, 1023});
  section.choice("fallback", compute.fallback_to_cpu, fallbacks);
  section.choice("instruction_set", compute.instruction_set, instruction_sets);
  section.integer("tile_paths", compute.tile_path_count, {0, tile_paths_max}, "",
                  std::optional<std::uint32_t>());
  if (compute.tile_path_count % 64 != 0) {
    section.report("tile_paths",
                   fmt::format("is {}; it must be 0 or a multiple of 64", compute.tile_path_count));
  }
  section.report_unknown_keys();
}

void read_output(TomlSection section, OutputConfig& output, const RunOverrides& overrides) {
  if (overrides.attribution) {
    section.find("attribution");
    output.has_attribution = *overrides.attribution;
  } else {
    section.boolean("attribution", output.has_attribution);
  }
  section.report_unknown_keys();
}

/// Takes `digits` digits from the front of the text; empty where it has others, or above
/// `greatest`.
std::optional<int> take_number(std::string_view& text, std::size_t digits, int greatest) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  text.remove_prefix(digits);
  if (value > greatest) return std::nullopt;
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

/// Minutes east of Greenwich: "Z", "+01:00" or "-05:30" and nothing after it.
std::optional<int> parse_offset(std::string_view text) {
  if (text == "Z") return 0;
  const bool is_west = take(text, '-');
  if (!is_west && !take(text, '+')) return std::nullopt;
  const std::optional<int> hours = take_number(text, 2, 23);
  if (!hours || !take(text, ':')) return std::nullopt;
  const std::optional<int> minutes = take_number(text, 2, 59);
  if (!minutes || !text.empty()) return std::nullopt;
  return (is_west ? -1 : 1) * (60 * *hours + *minutes);
}

}  // namespace

RunConfig load_config(const std::filesystem::path& file, const RunOverrides& overrides) {
  Problems problems;
  RunConfig config;
  config.file = file;
  constexpr std::string_view what = "a run configuration";
  const std::optional<toml::table> document = read_toml(file, what, problems);
  problems.throw_if_any();
  const auto section = [&](const char* name) {
    return TomlSection(*document, name, file.string(), problems);
  };
  report_unknown_tables(*document, file, what, section_names, problems);
  read_model(section("model"), config.model);
  const bool has_history = config.model.scenarios == Scenarios::history;
  read_inputs(section("inputs"), config.inputs, config.model.scenarios);
  TomlSection market = section("market");
  market.date_time("as_of", config.as_of);
  market.report_unknown_keys();
  read_risk(section("risk"), config.risk, overrides,
            has_history ? &config.inputs.covariance : nullptr, problems);
  read_margin(section("margin"), config.margin);
  if (has_history) check_charges_of_history(section("margin"), config.margin);
  check_component_tails(config, problems);
  read_compute(section("compute"), config.compute, overrides);
  read_output(section("output"), config.output, overrides);
  problems.throw_if_any();
  return config;
}

const char* to_string(Distribution value) { return name_of(distributions, value); }
const char* to_string(Sampler value) { return name_of(samplers, value); }
const char* to_string(Scenarios value) { return name_of(scenario_choices, value); }
const char* to_string(HistoryFilter value) { return name_of(history_filters, value); }
const char* to_string(Factorization value) { return name_of(factorizations, value); }
const char* to_string(RevalueAt value) { return name_of(revaluation_times, value); }
const char* to_string(InstructionSet value) { return name_of(instruction_sets, value); }
const char* to_string(BackendChoice value) { return name_of(backends, value); }

std::optional<std::int64_t> parse_date_time(std::string_view text) {
  const std::optional<int> year = take_number(text, 4, 9999);
  if (!year || !take(text, '-')) return std::nullopt;
  const std::optional<int> month = take_number(text, 2, 12);
  if (!month || !take(text, '-')) return std::nullopt;
  const std::optional<int> day = take_number(text, 2, 31);
  if (!day || !take(text, 'T')) return std::nullopt;
  const std::optional<int> hour = take_number(text, 2, 23);
  if (!hour || !take(text, ':')) return std::nullopt;
  const std::optional<int> minute = take_number(text, 2, 59);
  if (!minute || !take(text, ':')) return std::nullopt;
  const std::optional<int> second = take_number(text, 2, 59);
  if (!second) return std::nullopt;
  const std::optional<int> offset_minutes = parse_offset(text);
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!offset_minutes || !date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + *hour) * 60 + *minute - *offset_minutes) * 60 + *second;
}

std::string format_date_time(std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

}  // namespace shortfall
