#include "terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include <Eigen/Eigenvalues>

#include "cpu/machine.hpp"
#include "fmt/format.h"
#include "margin/collateral.hpp"
#include "margin/components.hpp"
#include "shortfall/cuda.hpp"

namespace shortfall {
namespace {

std::string with_separators(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

double seconds_of(const RunRecord& record, const std::string& stage) {
  for (const auto& [name, seconds] : record.seconds_by_stage)
    if (name == stage) return seconds;
  return 0;
}

/// A column of the table of accounts.
struct SummaryColumn {
  const char* title;
  int width;
  bool adds_up;  ///< whether the row of totals shows it
  std::string (*text)(const AccountMargin& margin);
};

template <double AccountMargin::*member>
std::string usd(const AccountMargin& m) {
  return format_usd(m.*member);
}

/// With components, what the margin is made of takes the place of the statistics.
std::vector<SummaryColumn> summary_columns(const MarginConfig& config) {
  std::vector<SummaryColumn> columns = {{"positions", 9, true, [](const AccountMargin& m) {
                                           return with_separators(m.position_count);
                                         }}};
  if (config.has_components()) {
    columns.push_back({"exp. shortfall", 15, false, usd<&AccountMargin::expected_shortfall_usd>});
    columns.push_back(
        {"base", 15, true, [](const AccountMargin& m) { return format_usd(m.components.base); }});
    columns.push_back({"components", 15, true, [](const AccountMargin& m) {
                         return format_usd(m.components.sum() - m.components.base);
                       }});
  } else {
    columns.push_back({"gross notional", 17, true, usd<&AccountMargin::gross_notional_usd>});
    columns.push_back({"value at risk", 15, false, usd<&AccountMargin::value_at_risk_usd>});
    columns.push_back({"exp. shortfall", 15, false, usd<&AccountMargin::expected_shortfall_usd>});
    columns.push_back({"std. error", 12, false, usd<&AccountMargin::standard_error_usd>});
  }
  columns.push_back({"margin", 15, true, usd<&AccountMargin::margin_usd>});
  if (config.collateral) {
    columns.push_back({"equity", 15, true, usd<&AccountMargin::equity_usd>});
    columns.push_back({"status", 9, false,
                       [](const AccountMargin& m) { return std::string(to_string(m.status)); }});
  }
  return columns;
}

/// Sums of what columns show.
AccountMargin total_of(const std::vector<AccountMargin>& margins) {
  AccountMargin total;
  for (const AccountMargin& m : margins) {
    total.position_count += m.position_count;
    total.gross_notional_usd += m.gross_notional_usd;
    total.margin_usd += m.margin_usd;
    total.components.base += m.components.base;
    total.components.floor += m.components.sum() - m.components.base;  // all but the base
    total.equity_usd += m.equity_usd;
  }
  return total;
}

/// The accounts with the largest margins and the totals of all.
std::string format_largest(const RunResult& result) {
  const std::vector<SummaryColumn> columns = summary_columns(result.record.config.margin);
  std::vector<const AccountMargin*> largest;
  for (const AccountMargin& m : result.margins) largest.push_back(&m);
  const std::size_t shown = std::min<std::size_t>(10, largest.size());
  std::partial_sort(
      largest.begin(), largest.begin() + static_cast<std::ptrdiff_t>(shown), largest.end(),
      [](const AccountMargin* a, const AccountMargin* b) { return a->margin_usd > b->margin_usd; });
  std::string out;
  const auto row = [&](const std::string& name, const char* mode, auto text_of) {
    out += fmt::format("{:<24} {:<9}", name, mode);
    for (const SummaryColumn& c : columns) out += fmt::format(" {:>{}}", text_of(c), c.width);
    out += '\n';
  };
  row("largest margins (USD)", "mode", [](const SummaryColumn& c) { return std::string(c.title); });
  for (std::size_t i = 0; i < shown; ++i)
    row(clip(largest[i]->account, 24), to_string(largest[i]->mode),
        [&](const SummaryColumn& c) { return c.text(*largest[i]); });
  const AccountMargin total = total_of(result.margins);
  row(fmt::format("all {} accounts", with_separators(result.margins.size())), "",
      [&](const SummaryColumn& c) { return c.adds_up ? c.text(total) : std::string(); });
  return out;
}

/// Seconds for all paths, from as many as a quarter of a second allows. The shorter runs keep their
/// own shorter tails, or they would be all tail.
double estimated_seconds(Plan plan, double confidence_level, Backend& backend) {
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const std::uint64_t all_paths = plan.path_count;
  for (std::uint64_t paths = 4096;; paths *= 4) {
    plan.path_count = std::min(paths, all_paths);
    plan.tail = tail_size(plan.path_count, confidence_level);
    const auto start = now();
    backend.simulate(plan, {0, plan.path_count}, {});
    const double seconds = std::chrono::duration<double>(now() - start).count();
    if (seconds > 0.06 || plan.path_count == all_paths)
      return seconds * static_cast<double>(all_paths) / static_cast<double>(plan.path_count);
  }
}

std::string format_model(const RunConfig& config, const Covariance& covariance,
                         const FactorModel& model) {
  if (!covariance.dates.empty())
    return fmt::format(
        "history from {} to {}{}{}", covariance.dates.front(), covariance.dates.back(),
        config.model.history_filter == HistoryFilter::volatility
            ? fmt::format(", at today's volatilities (half-life {} rows)",
                          config.model.filter_half_life)
            : std::string(),
        config.model.weight_half_life
            ? fmt::format(", weights of half-life {} rows", *config.model.weight_half_life)
            : std::string());
  if (model.is_student_t)
    return fmt::format("Student t, {} degrees of freedom, tail floor {:.3g}",
                       model.degrees_of_freedom, model.tail_floor);
  return "Gaussian";
}

std::string count_by_type(const Plan& plan, const Book& book) {
  std::string out;
  for (const auto type : {InstrumentType::call, InstrumentType::put, InstrumentType::future,
                          InstrumentType::perpetual, InstrumentType::spot}) {
    const auto count =
        std::count_if(plan.instruments.begin(), plan.instruments.end(),
                      [&](std::uint32_t i) { return book.instruments[i].type == type; });
    if (count) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, to_string(type));
  }
  return out;
}

/// The first of the two simulations that `worst` takes.
RunConfig base_config(RunConfig config) {
  if (config.risk.revalue_at == RevalueAt::worst) config.risk.revalue_at = RevalueAt::horizon;
  return config;
}

bool needs_more_simulations(const RunConfig& config) {
  return config.risk.revalue_at == RevalueAt::worst || config.margin.dependence ||
         config.margin.procyclicality || config.margin.maintenance_confidence_level;
}

/// Condition number of the correlation matrix and how few directions carry the market.
std::string describe_covariance(const Covariance& covariance) {
  const auto n = static_cast<Eigen::Index>(covariance.factors.size());
  if (n > 1000) return "not examined above 1,000 factors";
  Eigen::MatrixXd correlation = Eigen::Map<const Eigen::MatrixXd>(covariance.matrix.data(), n, n);
  const Eigen::VectorXd deviation = correlation.diagonal().cwiseMax(1e-300).cwiseSqrt();
  correlation =
      deviation.cwiseInverse().asDiagonal() * correlation * deviation.cwiseInverse().asDiagonal();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(correlation, Eigen::EigenvaluesOnly);
  const Eigen::VectorXd values = eigen.eigenvalues().reverse();
  Eigen::Index count = 0;
  for (double sum = 0; count < n && sum < 0.9 * values.sum(); ++count) sum += values[count];
  return fmt::format("condition number {:.3g}; {} of {} directions carry 90 % of the variance",
                     values[0] / std::max(values[n - 1], 1e-300), count, n);
}

std::string counted(std::uint64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// "cpu, Intel Xeon, avx512, 2 threads, tiles of 256 paths".
std::string format_backend(const BackendDescription& backend) {
  std::string out = backend.name + ", " + backend.device;
  if (!backend.instruction_set.empty()) out += ", " + backend.instruction_set;
  if (backend.thread_count != 0) out += ", " + counted(backend.thread_count, "thread");
  return out + fmt::format(", tiles of {} paths", backend.tile_path_count);
}

/// What ran, a line per share of the paths.
std::string format_shares(const RunRecord& record) {
  std::string out;
  for (const PathShare& share : record.shares) {
    out += "ran on " + format_backend(share.backend);
    if (record.shares.size() > 1)
      out += fmt::format(": paths {} to {}", with_separators(share.paths.begin),
                         with_separators(share.paths.end - 1));
    out += '\n';
  }
  if (ran_on_cuda(record)) out += fmt::format("{}\n", cuda_contract);
  return out;
}

/// paths = "auto": what it came to.
std::string format_rounds(const RunRecord& record) {
  std::string out =
      fmt::format("results of {} paths, the last of {}", with_separators(record.path_count),
                  counted(record.rounds.size(), "round"));
  if (const std::size_t count = record.imprecise_accounts.size(); count > 0)
    out += fmt::format("; not as precise as asked for: {} ({})", counted(count, "account"),
                       clip(fmt::format("{}", fmt::join(record.imprecise_accounts, ", ")), 60));
  return out + "\n";
}

}  // namespace

std::string clip(const std::string& text, std::size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 3) + "...";
}

ProgressBar::ProgressBar(std::uint64_t count, bool is_quiet, const char* unit)
    : count_(count),
      unit_(unit),
      is_shown_(!is_quiet && isatty(STDERR_FILENO)),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {}

ProgressBar::~ProgressBar() {
  if (is_shown_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::update(std::uint64_t done) {
  if (!is_shown_ || done == 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  draw(done, std::chrono::duration<double>(now - start_).count());
}

void ProgressBar::draw(std::uint64_t done, double elapsed_seconds) {
  constexpr std::size_t width = 30;
  const double share = static_cast<double>(done) / static_cast<double>(count_);
  const auto filled = static_cast<std::size_t>(share * width);
  const double left = elapsed_seconds / share - elapsed_seconds;
  const std::string line =
      fmt::format("\r\033[K[{}{}] {:5.1f} %  {} of {} {}  {} left", std::string(filled, '#'),
                  std::string(width - filled, '.'), 100 * share, with_separators(done),
                  with_separators(count_), unit_, format_duration(left));
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

std::string format_summary(const RunResult& result, const std::string& directory) {
  const RunRecord& record = result.record;
  std::string out = format_largest(result);
  const double seconds = seconds_of(record, "simulate");
  std::uint64_t path_count = record.path_count;
  if (!record.rounds.empty())
    path_count = std::accumulate(record.rounds.begin(), record.rounds.end(), std::uint64_t{0});
  const double revaluations =
      static_cast<double>(path_count) * static_cast<double>(record.instrument_count);
  out += fmt::format(
      "\n{} paths x {} instruments in {:.2f} s: {:.0f} million revaluations/s "
      "(load and plan {:.0f} ms)\n",
      with_separators(path_count), with_separators(record.instrument_count), seconds,
      revaluations / seconds * 1e-6,
      1e3 * (seconds_of(record, "load") + seconds_of(record, "plan")));
  if (!record.rounds.empty()) out += format_rounds(record);
  out += format_shares(record);
  for (const std::string& warning : record.warnings) out += "warning: " + warning + "\n";
  out += fmt::format("results: {0}/margin.csv, {1}{0}/run.json\n", directory,
                     result.attribution ? directory + "/attribution.csv, " : "");
  return out;
}

std::string format_usd(double usd) {
  const double size = usd < 0 ? -usd : usd;
  if (!(size < 1e15)) return fmt::format("{:.4g}", usd);
  const std::string digits = size < 100 && size > 0
                                 ? fmt::format("{:.2f}", size)
                                 : with_separators(static_cast<std::uint64_t>(size + 0.5));
  return usd < 0 ? "-" + digits : digits;
}

std::string format_bytes(double bytes) {
  if (bytes < 1e6) return fmt::format("{:.1f} kB", bytes * 1e-3);
  if (bytes < 1e9) return fmt::format("{:.1f} MB", bytes * 1e-6);
  return fmt::format("{:.2f} GB", bytes * 1e-9);
}

std::string format_duration(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  if (seconds < 60) return fmt::format("{:.0f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (seconds < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

std::string describe_run(const RunConfig& config) {
  const std::vector<std::unique_ptr<Backend>> backends = make_backends(config.compute);
  const RunInputs inputs = simulated_inputs(config, load_inputs(config));
  Plan plan = build_plan(base_config(config), inputs);
  const Book& book = inputs.book;
  std::string out = fmt::format("{}: valid\n", config.file.string());
  const auto line = [&](const char* name, const std::string& text) {
    out += fmt::format("  {:<15} {}\n", name, text);
  };
  line("instruments", fmt::format("{} held of {} listed ({})", plan.instruments.size(),
                                  book.instruments.size(), count_by_type(plan, book)));
  line("accounts", fmt::format("{} in {} margin groups, {} positions", book.accounts.size(),
                               plan.groups.size(), plan.holdings.size()));
  line("factors",
       fmt::format("{} over {} underlyings{}", plan.model.factor_count, book.underlyings.size(),
                   plan.model.is_singular ? ", singular covariance" : ""));
  line("correlation", describe_covariance(inputs.covariance));
  line("model", format_model(config, inputs.covariance, plan.model));
  line("paths", fmt::format("{}{}, {:.6g} in the tail at {}", plan.path_count,
                            inputs.covariance.dates.empty() ? fmt::format(" (seed {})", plan.seed)
                                                            : std::string(),
                            plan.tail.k, plan.confidence_level));
  line("plan", plan.hash);
  for (const std::unique_ptr<Backend>& backend : backends) {
    const BackendDescription chosen = backend->describe(plan);
    line("backend", format_backend(chosen));
    line(chosen.name == "cuda" ? "device memory" : "memory",
         format_bytes(static_cast<double>(backend->bytes_needed(plan))));
  }
  for (const std::string& warning : plan.model.warnings) line("warning", warning);
  const double seconds =
      estimated_seconds(std::move(plan), config.risk.confidence_level, *backends.front()) /
      static_cast<double>(backends.size());
  std::string time = format_duration(seconds);
  if (needs_more_simulations(config)) time += " a simulation; the components take several";
  line("estimated time", time);
  return out;
}

std::string describe_program() {
  std::string out = fmt::format("shortfall {}\n", version());
  const auto line = [&](const std::string& name, const std::string& text) {
    out += fmt::format("{:<16} {}\n", name, text);
  };
  line("processor", fmt::format("{} ({})", processor_name(), counted(usable_cores(), "core")));
  std::string sets;
  for (const InstructionSet set : usable_instruction_sets())
    sets += fmt::format("{}{}", sets.empty() ? "" : " ", to_string(set));
  line("instruction sets", sets);
  line("CUDA build", cuda_build());
  const CudaDevices devices = find_cuda_devices();
  for (const CudaDevice& device : devices.usable)
    line(fmt::format("device {}", device.number),
         fmt::format("{}, compute capability {}.{}, {}", device.name,
                     device.compute_capability / 10, device.compute_capability % 10,
                     format_bytes(static_cast<double>(device.memory_bytes))));
  if (devices.usable.empty()) line("CUDA devices", "none: " + devices.reason);
  return out;
}

std::string format_selftest(const SelftestResult& result) {
  std::string out = "\n" + format_backend(result.backend) + "\n";
  for (const SelftestStage& stage : result.stages)
    out += fmt::format("  {:<11} {}  {}\n", stage.name, stage.hash,
                       stage.is_equal() ? "ok" : "DIFFERS from " + stage.expected_hash);
  return out;
}

}  // namespace shortfall
