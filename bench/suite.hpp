// The rows of the table: what each measures, what it is compared with, and how it is timed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace shortfall::bench {

/// Items per second among the counters of Google Benchmark.
inline constexpr const char* rate_counter = "items_per_second";

/// Another row, and how much of it one item of this row stands for.
struct Reference {
  std::string row;
  double amount = 1;
};

/// Another way to do the same, done as one or several rows one after the other.
struct Baseline {
  std::string name;
  std::vector<Reference> parts;  ///< per item
};

struct Row {
  std::string stage;
  std::string job = {};              ///< what it was measured on, where there is a choice
  std::string instruction_set = {};  ///< where there is a choice
  std::string item = {};             ///< what is counted: the rate is items per second
  /// What the machine must do for one item. No item takes less than the sum of amount / rate.
  std::vector<Reference> limits = {};
  /// As a limit of other rows, this one counts only from this share of its own limits.
  double counts_from_share = 0;
  std::vector<Baseline> baselines = {};
  double whole = 0;  ///< items of the whole job, where one stands for a part of it
  std::string note = {};

  std::string skipped = {};        ///< why it was not measured
  std::string failure = {};        ///< why its result is not to be trusted
  std::string hash = {};           ///< of the result; equal for all instruction sets
  std::vector<double> rates = {};  ///< of the repetitions: items per second

  std::string name() const;
  double best() const;  ///< 0 where nothing was measured or it failed
  double median() const;
};

/// "stage/job/instruction_set", without the parts that are empty.
std::string row_name(std::string_view stage, std::string_view job = {},
                     std::string_view instruction_set = {});

/// Of bytes (FNV-1a, 64 bits), to tell results apart.
std::uint64_t hash_bytes(const void* bytes, std::size_t byte_count,
                         std::uint64_t seed = 0xcbf29ce484222325u);
inline std::uint64_t hash_text(std::string_view text) {
  return hash_bytes(text.data(), text.size());
}
template <class T>
std::uint64_t hash_array(const T* first, std::size_t count,
                         std::uint64_t seed = 0xcbf29ce484222325u) {
  return hash_bytes(first, count * sizeof(T), seed);
}

class Suite {
 public:
  explicit Suite(bool is_quick) : is_quick_(is_quick) {}
  Suite(const Suite&) = delete;
  Suite& operator=(const Suite&) = delete;

  /// Everything tiny: shows that the benchmarks work, not how fast anything is.
  bool is_quick() const { return is_quick_; }

  using Hash = std::function<std::uint64_t()>;
  /// Registers a benchmark. A call of `work` processes `item_count` items; `hash` is of what the
  /// last call left behind. Either may throw: then the row fails. Timed by the processor time of
  /// this process.
  void add(Row row, double item_count, std::function<void()> work, Hash hash);
  /// The same for work that says how many seconds it took: of another process, or of threads.
  void add_timed(Row row, double item_count, std::function<double()> work, Hash hash);
  void skip(Row row, std::string reason);

  std::vector<Row>& rows() { return rows_; }
  const std::vector<Row>& rows() const { return rows_; }
  const Row* find(std::string_view name) const;

  /// What these rows take one after the other at their best; 0 where one is not known.
  double seconds(const std::vector<Reference>& parts) const;
  /// Share of what the machine allows; 0 where that is not known.
  double share_of_limit(const Row& row) const;
  /// How many times faster than a baseline; 0 where that was not measured.
  double times_faster(const Row& row, const Baseline& baseline) const;

  /// Marks as failed what differs from the same stage and job on another instruction set.
  void compare_hashes();

 private:
  void succeed(std::size_t index, std::string hash);

  bool is_quick_;
  std::vector<Row> rows_;
};

}  // namespace shortfall::bench
