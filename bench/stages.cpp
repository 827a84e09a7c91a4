#include <fmt/format.h>

#include <limits>
#include <memory>

#include "cpu/cpu_backend.hpp"
#include "cpu/group_bundles.hpp"
#include "sections.hpp"

namespace shortfall::bench {
namespace {

constexpr std::size_t row_paths = core::row_path_count;

/// Counts of one path of a plan: what each stage does.
struct Work {
  double normals, correlation_flops, states, revaluations, sparse_positions, dense_flops, groups;
  double options, settled, linear;  ///< revaluations by type

  Work(const core::PlanArrays& plan, const GroupBundles& bundles) {
    normals = plan.factor_count;
    correlation_flops = 0;
    for (std::uint32_t f = 0; f < plan.factor_count; ++f)
      correlation_flops += 2.0 * plan.column_count[f];
    states = plan.state_row_count;
    revaluations = plan.instrument_count;
    settled = plan.settled_cell_count;
    linear = plan.linear_cell_count;
    options = revaluations - settled - linear;
    const auto positions = [&](std::uint32_t group) {
      return static_cast<double>(plan.group_begin[group + 1] - plan.group_begin[group]);
    };
    sparse_positions = dense_flops = 0;
    for (const std::uint32_t group : bundles.single) sparse_positions += positions(group);
    for (const GroupBundles::Shared& bundle : bundles.shared)
      for (const std::uint32_t group : bundle.groups) sparse_positions += positions(group);
    for (const GroupBundles::Dense& bundle : bundles.dense)
      for (const std::uint32_t group : bundle.groups) dense_flops += 2.0 * positions(group);
    groups = plan.group_count;
  }
};

/// The first tile of a job on one instruction set, every stage's input in place. Whatever ran
/// before, a stage leaves the result of the tile's last row behind: that is what is hashed.
struct Tile {
  const CpuLoops& loops;
  core::PlanArrays plan;
  GroupBundles bundles;
  std::uint32_t rows;
  RowBuffers row;
  std::size_t stride;

  Tile(const Job& job, const CpuLoops& engine)
      : loops(engine),
        plan(job.plan.arrays()),
        bundles(bundle_groups(job.plan)),
        rows(job.tile_rows()),
        row(plan, rows),
        stride(plan.instrument_count * row_paths) {
    for (std::uint32_t r = 0; r < rows; ++r)
      revalue_row(loops, plan, r * row_paths, row, row.values + r * stride);
  }

  void draw() {
    for (std::uint32_t r = 0; r < rows; ++r)
      loops.draw(plan, r * row_paths, row.normals, row.mixing);
  }
  void correlate() { loops.correlate(plan, row.normals, row.mixing, row.factors); }
  void market_states() { loops.market_states(plan, row.factors, row.states); }
  void revalue() {
    for (std::uint32_t r = 0; r < rows; ++r)
      loops.revalue(plan, row.states, row.values + r * stride);
  }
  void revalue_options() { revalue_only(plan.strike_cell_count, 0, 0); }
  void revalue_settled() { revalue_only(0, plan.settled_cell_count, 0); }
  void revalue_linear() { revalue_only(0, 0, plan.linear_cell_count); }
  void revalue_only(std::uint32_t strike, std::uint32_t settled, std::uint32_t linear) {
    core::PlanArrays part = plan;
    part.strike_cell_count = strike;
    part.settled_cell_count = settled;
    part.linear_cell_count = linear;
    for (std::uint32_t r = 0; r < rows; ++r)
      loops.revalue(part, row.states, row.values + r * stride);
  }
  /// Every loss below the threshold: no candidates.
  void sparse() {
    for (const std::uint32_t group : bundles.single)
      for (std::uint32_t r = 0; r < rows; ++r)
        loops.aggregate(plan.holdings + plan.group_begin[group],
                        plan.group_begin[group + 1] - plan.group_begin[group],
                        row.values + r * stride, std::numeric_limits<float>::infinity(),
                        row.losses);
    float thresholds[shared_group_count];
    std::uint64_t masks[shared_group_count];
    std::fill_n(thresholds, shared_group_count, std::numeric_limits<float>::infinity());
    for (const GroupBundles::Shared& bundle : bundles.shared)
      for (std::uint32_t r = 0; r < rows; ++r)
        loops.aggregate_shared(bundle.view(), row.values + r * stride, thresholds, row.losses,
                               masks);
  }
  void dense() {
    float thresholds[dense_group_count];
    std::uint64_t masks[dense_group_count];
    std::fill_n(thresholds, dense_group_count, std::numeric_limits<float>::infinity());
    for (const GroupBundles::Dense& bundle : bundles.dense)
      for (std::uint32_t r = 0; r < rows; ++r)
        loops.aggregate_dense(bundle.view(), row.values + r * stride, thresholds, row.losses,
                              masks);
  }
};

struct Stage {
  const char* name;
  const char* item;
  void (Tile::*work)();
  double items_per_path;
  bool is_every_row;  ///< or only one row of the tile
  Reference limit;    ///< per item
};

std::uint64_t hash_of(const Tile& tile, const Stage& stage) {
  const std::string_view name = stage.name;
  const RowBuffers& row = tile.row;
  if (name == "draw") return hash_array(row.normals, tile.plan.factor_count * row_paths);
  if (name == "correlate") return hash_array(row.factors, tile.plan.factor_count * row_paths);
  if (name == "states") return hash_array(row.states, tile.plan.state_row_count * row_paths);
  if (name.starts_with("revalue"))
    return hash_array(row.values + (tile.rows - 1) * tile.stride, tile.stride);
  return hash_array(row.losses, (name == "dense" ? dense_group_count : 1) * row_paths);
}

std::vector<Stage> stages(const Work& work, const std::string& set) {
  const std::string fma_double = row_name("limit.fma.double", {}, set);
  const std::string fma_float = row_name("limit.fma.float", {}, set);
  const std::string read_l2 = row_name("limit.read.l2", {}, set);
  return {{"draw", "normal", &Tile::draw, work.normals, true, {}},
          {"correlate", "FLOP", &Tile::correlate, work.correlation_flops, false, {fma_double, 1}},
          {"states", "state", &Tile::market_states, work.states, false, {}},
          {"revalue", "revaluation", &Tile::revalue, work.revaluations, true, {}},
          {"revalue.options", "revaluation", &Tile::revalue_options, work.options, true, {}},
          {"revalue.settled", "revaluation", &Tile::revalue_settled, work.settled, true, {}},
          {"revalue.linear", "revaluation", &Tile::revalue_linear, work.linear, true, {}},
          {"sparse", "position", &Tile::sparse, work.sparse_positions, true, {read_l2, 4}},
          {"dense", "FLOP", &Tile::dense, work.dense_flops, true, {fma_float, 1}}};
}

/// Per path: what others do for the whole job.
std::vector<Baseline> job_baselines(const Job& job) {
  const auto positions = static_cast<double>(job.plan.holdings.size());
  const auto instruments = static_cast<double>(job.plan.instruments.size());
  const auto row = [&](const char* stage) { return row_name(stage, job.name); };
  const Reference sums{row("baseline.sums"), positions};
  const Reference sums_by_path{row("baseline.sums.by_path"), positions};
  return {
      {"naive", {{row("baseline.naive"), positions}}},
      {"hoisted", {{row("baseline.hoisted"), positions}}},
      {"per_account", {{row("baseline.per_account"), positions}}},
      {"QuantLib formula", {{row("baseline.quantlib.formula"), instruments}, sums}},
      {"QuantLib formula by path", {{row("baseline.quantlib.formula"), instruments}, sums_by_path}},
      {"QuantLib engine", {{row("baseline.quantlib.engine"), instruments}, sums}},
      {"numpy64", {{row("baseline.numpy.float64")}}},
      {"numpy32", {{row("baseline.numpy.float32")}}}};
}

void add_job(Suite& suite, const Usable& set, const Job& job, std::vector<Reference> limits) {
  const std::shared_ptr<Backend> backend = job.backend(set.instruction_set);
  const auto margins = std::make_shared<std::vector<AccountMargin>>();
  suite.add(
      {.stage = "job",
       .job = job.name,
       .instruction_set = set.name,
       .item = "path",
       .limits = std::move(limits),
       .baselines = job_baselines(job),
       .whole = static_cast<double>(job.plan.path_count),
       .note = fmt::format("{} paths, tails and margins included", job.plan.path_count)},
      static_cast<double>(job.plan.path_count),
      [=, &job] {
        const Tails tails = backend->simulate(job.plan, {0, job.plan.path_count}, {});
        *margins = compute_margins(job.plan, job.inputs.book, tails, job.config.margin);
      },
      [=] { return hash_text(format_margins(*margins)); });
}

}  // namespace

void add_stages(Suite& suite, const std::vector<Usable>& sets, const Job& job) {
  for (const Usable& set : sets) {
    const auto tile = std::make_shared<Tile>(job, *set.engine);
    const Work work(tile->plan, tile->bundles);
    std::vector<Reference> of_job = {{row_name("filter", {}, set.name), work.groups}};
    for (const Stage& stage : stages(work, set.name)) {
      if (stage.items_per_path == 0) continue;
      Row row{.stage = stage.name,
              .job = job.name,
              .instruction_set = set.name,
              .item = stage.item,
              .whole = stage.items_per_path * static_cast<double>(job.plan.path_count)};
      if (row.stage.starts_with("revalue.")) {
        // A part of another row.
      } else if (stage.limit.row.empty()) {
        of_job.push_back({row.name(), stage.items_per_path});
      } else {
        row.limits = {stage.limit};
        of_job.push_back({stage.limit.row, stage.items_per_path * stage.limit.amount});
      }
      if (row.stage == "revalue" || row.stage == "revalue.options")
        row.baselines = {{"naive", {{row_name("baseline.naive", job.name)}}},
                         {"hoisted", {{row_name("baseline.hoisted", job.name)}}},
                         {"QuantLib formula", {{row_name("baseline.quantlib.formula", job.name)}}},
                         {"QuantLib engine", {{row_name("baseline.quantlib.engine", job.name)}}}};
      const double paths = static_cast<double>(row_paths * (stage.is_every_row ? tile->rows : 1));
      suite.add(
          std::move(row), stage.items_per_path * paths, [=] { (*tile.*stage.work)(); },
          [=] { return hash_of(*tile, stage); });
    }
    const bool is_long = job.plan.path_count > 200'000;
    if (is_long && set.instruction_set != sets.back().instruction_set)
      suite.skip({.stage = "job", .job = job.name, .instruction_set = set.name},
                 "long: measured on the widest instruction set only");
    else
      add_job(suite, set, job, std::move(of_job));
  }
}

void add_filter(Suite& suite, const std::vector<Usable>& sets, const Job& job) {
  for (const Usable& set : sets) {
    const std::shared_ptr<Backend> backend = job.backend(set.instruction_set);
    const auto tails = std::make_shared<Tails>();
    suite.add(
        {.stage = "filter",
         .instruction_set = set.name,
         .item = "loss",
         .note = "filter and selection, 1 % kept"},
        static_cast<double>(job.plan.path_count * job.plan.groups.size()),
        [=, &job] {
          *tails = backend->simulate(job.plan, {0, job.plan.path_count}, {});
        },
        [=, &job] {
          return hash_text(format_margins(
              compute_margins(job.plan, job.inputs.book, *tails, job.config.margin)));
        });
  }
}

void add_preparation(Suite& suite, const Job& job, const std::filesystem::path& directory) {
  const std::size_t many = suite.is_quick() ? 20'000 : 1'000'000;
  const auto config = std::make_shared<RunConfig>(with_many_positions(job, many, directory));
  const auto inputs = std::make_shared<RunInputs>();
  suite.add(
      {.stage = "load", .item = "position", .note = fmt::format("{} positions", many)},
      static_cast<double>(many), [=] { *inputs = load_inputs(*config); },
      [=] {
        std::uint64_t hash = hash_text({});
        for (const Position& p : inputs->book.positions)
          hash = hash_array(&p.quantity.low, 1, hash) ^ p.account ^ p.instrument;
        return hash;
      });
  const auto plan = std::make_shared<Plan>();
  suite.add(
      {.stage = "plan",
       .job = job.name,
       .item = "position",
       .note = fmt::format("{} positions, {} factors", job.plan.holdings.size(),
                           job.plan.model.factor_count)},
      static_cast<double>(job.plan.holdings.size()),
      [=, &job] { *plan = build_plan(job.config, job.inputs); },
      [=] { return hash_text(plan->hash); });
}

}  // namespace shortfall::bench
