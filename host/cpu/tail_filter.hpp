// Keeps the worst paths of every margin group while paths stream by: a threshold per group, a small
// buffer of candidates, exact selection. Nothing of size paths x groups is stored.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "shortfall/core/tail.hpp"

namespace shortfall {

/// Exactness: a candidate is dropped only (a) in `compact`, when `keep_count` worse ones of the
/// total order (loss, path) are held, or (b) below the threshold that `refine` sets. (a) can never
/// be needed. (b) can, when too few others turn out worse: `missing` says so, and those paths are
/// offered again to a second filter that accepts only what lies below the threshold.
class TailFilter {
 public:
  /// Entries that fit in a group's buffer.
  static std::uint64_t capacity(std::uint64_t keep_count);

  TailFilter(std::uint32_t group_count, std::uint64_t keep_count, bool is_concurrent);

  std::uint64_t keep_count() const { return keep_count_; }

  /// The threshold for paths numbered first_path and up: a loss that is less cannot be needed. Ties
  /// with it are needed only from lower paths.
  float threshold(std::uint32_t group, std::uint32_t first_path) const;

  /// Fetches the place of the group's next candidate into the cache.
  void prefetch(std::uint32_t group) const {
    const std::uint64_t count = groups_[group].count.load(std::memory_order_relaxed);
    __builtin_prefetch(keys_.data() + group * capacity_ + count, 1);
  }

  /// Takes the losses of a row whose bits are set in `mask`; bit p is path first_path + p. Thread
  /// safe if the filter is concurrent. A loss that is not finite is recorded and not taken.
  void offer(std::uint32_t group, std::uint64_t mask, const float* losses,
             std::uint64_t first_path);

  /// Raises the threshold to the rank-th worst loss so far. Not concurrent with `offer`.
  void refine(std::uint32_t group, std::uint64_t rank);

  /// Accepts only keys below this one from now on.
  void set_ceiling(std::uint32_t group, std::uint64_t key) { groups_[group].ceiling = key; }

  /// How many of the `keep_count` worst are not held once every path was offered.
  std::uint64_t missing(std::uint32_t group) const;
  /// Every path dropped by `refine` has a key below this.
  std::uint64_t refined_floor(std::uint32_t group) const { return groups_[group].refined_floor; }

  /// Adds candidates of another filter's group (the redone ones).
  void absorb(std::uint32_t group, const TailFilter& other, std::uint32_t other_group);

  /// Selects the keep_count worst of each group, the least of them last, and hands over the buffer
  /// with groups side by side.
  std::vector<std::uint64_t> take();

  static constexpr std::uint64_t no_path = ~0ull;
  /// The lowest path with a loss that is NaN or infinite, or no_path.
  std::uint64_t bad_path() const { return bad_path_.load(); }

 private:
  struct Group {
    std::atomic<std::uint64_t> floor{0};  // keys below are dropped
    std::uint64_t refined_floor = 0;
    std::uint64_t ceiling = ~0ull;
    std::atomic<std::uint64_t> count{0};  // written under the lock, read by prefetch without
    std::atomic<bool> is_locked{false};
  };

  std::uint64_t* keys(std::uint32_t group) { return keys_.data() + group * capacity_; }
  void append(Group& state, std::uint64_t* keys, std::uint64_t key);
  void compact(Group& state, std::uint64_t* keys);

  std::uint64_t keep_count_, capacity_;
  bool is_concurrent_;
  std::vector<Group> groups_;
  std::vector<std::uint64_t> keys_;
  std::atomic<std::uint64_t> bad_path_{no_path};
};

}  // namespace shortfall
