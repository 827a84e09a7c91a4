#include "suite.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace shortfall::bench {
namespace {

void label(benchmark::State& state, const Row& row) {
  state.SetLabel(row.note.empty() ? row.hash : row.hash + " " + row.note);
  if (!row.failure.empty()) state.SkipWithError(row.failure.c_str());
}

}  // namespace

std::string row_name(std::string_view stage, std::string_view job,
                     std::string_view instruction_set) {
  std::string name(stage);
  for (const std::string_view part : {job, instruction_set})
    if (!part.empty()) name.append("/").append(part);
  return name;
}

std::string Row::name() const { return row_name(stage, job, instruction_set); }

double Row::best() const {
  return rates.empty() || !failure.empty() ? 0.0 : *std::max_element(rates.begin(), rates.end());
}

double Row::median() const {
  if (rates.empty()) return 0.0;
  std::vector<double> sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t middle = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[middle] : 0.5 * (sorted[middle - 1] + sorted[middle]);
}

std::uint64_t hash_bytes(const void* bytes, std::size_t byte_count, std::uint64_t seed) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  for (std::size_t i = 0; i < byte_count; ++i) seed = (seed ^ at[i]) * 0x100000001b3u;
  return seed;
}

void Suite::succeed(std::size_t index, std::string hash) {
  Row& own = rows_[index];
  if (!own.hash.empty() && own.hash != hash) own.failure = "two calls gave two results";
  own.hash = std::move(hash);
}

void Suite::add(Row row, double item_count, std::function<void()> work, Hash hash) {
  const std::size_t index = rows_.size();
  const std::string name = row.name();
  rows_.push_back(std::move(row));
  const auto timed = [this, index, item_count, work = std::move(work),
                      hash = std::move(hash)](benchmark::State& state) {
    try {
      for ([[maybe_unused]] auto _ : state) work();
      state.counters[rate_counter] = benchmark::Counter(
          item_count * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
      succeed(index, fmt::format("{:016x}", hash()));
    } catch (const std::exception& error) {
      rows_[index].failure = error.what();
    }
    label(state, rows_[index]);
  };
  benchmark::RegisterBenchmark(name.c_str(), timed)
      ->Unit(benchmark::kMicrosecond)
      ->MeasureProcessCPUTime();
}

void Suite::add_timed(Row row, double item_count, std::function<double()> work, Hash hash) {
  const std::size_t index = rows_.size();
  const std::string name = row.name();
  rows_.push_back(std::move(row));
  const auto timed = [this, index, item_count, work = std::move(work),
                      hash = std::move(hash)](benchmark::State& state) {
    for ([[maybe_unused]] auto _ : state) {
      try {
        const double seconds = work();
        state.SetIterationTime(seconds);
        state.counters[rate_counter] = item_count / seconds;
        succeed(index, fmt::format("{:016x}", hash()));
      } catch (const std::exception& error) {
        rows_[index].failure = error.what();
      }
    }
    label(state, rows_[index]);
  };
  benchmark::RegisterBenchmark(name.c_str(), timed)
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(1)
      ->UseManualTime();
}

void Suite::skip(Row row, std::string reason) {
  row.skipped = std::move(reason);
  rows_.push_back(std::move(row));
}

const Row* Suite::find(std::string_view name) const {
  const auto found =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return row.name() == name; });
  return found == rows_.end() ? nullptr : &*found;
}

double Suite::seconds(const std::vector<Reference>& parts) const {
  double sum = 0;
  for (const Reference& part : parts) {
    const Row* const row = find(part.row);
    if (!row || row->best() == 0) return 0;
    sum += part.amount / row->best();
  }
  return sum;
}

double Suite::share_of_limit(const Row& row) const {
  for (const Reference& limit : row.limits) {
    const Row* const other = find(limit.row);
    if (!other || share_of_limit(*other) < other->counts_from_share) return 0;
  }
  return row.best() * seconds(row.limits);
}

double Suite::times_faster(const Row& row, const Baseline& baseline) const {
  return row.best() * seconds(baseline.parts);
}

void Suite::compare_hashes() {
  std::map<std::string, const Row*> first;
  for (Row& row : rows_) {
    if (row.instruction_set.empty() || row.hash.empty()) continue;
    const Row* const other = first.try_emplace(row_name(row.stage, row.job), &row).first->second;
    if (other->hash != row.hash)
      row.failure = fmt::format("differs from {} {}", other->name(), other->hash);
  }
}

}  // namespace shortfall::bench
