#include "suite.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace shortfall::bench {

std::string row_name(std::string_view stage, std::string_view job,
                     std::string_view instruction_set) {
  std::string name(stage);
  for (const std::string_view part : {job, instruction_set})
    if (!part.empty()) name.append("/").append(part);
  return name;
}

std::string Row::name() const { return row_name(stage, job, instruction_set); }

double Row::best() const {
  return rates.empty() ? 0.0 : *std::max_element(rates.begin(), rates.end());
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

void Suite::add(Row row, double item_count, std::function<void()> work,
                std::function<std::uint64_t()> hash) {
  const std::size_t index = rows_.size();
  const std::string name = row.name();
  rows_.push_back(std::move(row));
  const auto timed = [this, index, item_count, work = std::move(work),
                      hash = std::move(hash)](benchmark::State& state) {
    Row& own = rows_[index];
    try {
      for ([[maybe_unused]] auto _ : state) work();
      state.counters["items_per_second"] = benchmark::Counter(
          item_count * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
      const std::string text = fmt::format("{:016x}", hash());
      if (!own.hash.empty() && own.hash != text) own.failure = "two calls gave two results";
      own.hash = text;
      state.SetLabel(own.note.empty() ? text : text + " " + own.note);
    } catch (const std::exception& error) {
      own.failure = error.what();
    }
    if (!own.failure.empty()) state.SkipWithError(own.failure.c_str());
  };
  benchmark::RegisterBenchmark(name.c_str(), timed)
      ->Unit(benchmark::kMicrosecond)
      ->MeasureProcessCPUTime();
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
