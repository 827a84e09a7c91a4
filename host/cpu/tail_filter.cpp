#include "tail_filter.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "shortfall/error.hpp"

namespace shortfall {
namespace {

/// Spins: held for a few dozen instructions, or rarely for one compaction.
class Lock {
 public:
  Lock(std::atomic<bool>& flag, bool is_needed) : flag_(is_needed ? &flag : nullptr) {
    while (flag_ && flag_->exchange(true, std::memory_order_acquire)) {
    }
  }
  ~Lock() {
    if (flag_) flag_->store(false, std::memory_order_release);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  std::atomic<bool>* flag_;
};

float next_above(float loss) {
  if (loss == 0.0f) return std::numeric_limits<float>::denorm_min();
  const std::uint32_t bits = core::bit_cast<std::uint32_t>(loss);
  return core::bit_cast<float>(loss > 0 ? bits + 1 : bits - 1);
}

}  // namespace

std::uint64_t TailFilter::capacity(std::uint64_t keep_count) {
  return keep_count + std::max<std::uint64_t>(8, keep_count * 2 / 5);
}

TailFilter::TailFilter(std::uint32_t group_count, std::uint64_t keep_count, bool is_concurrent)
    : keep_count_(keep_count),
      capacity_(capacity(keep_count)),
      is_concurrent_(is_concurrent),
      groups_(group_count),
      keys_(group_count * capacity_) {
  SHORTFALL_ASSERT(keep_count >= 1);
}

float TailFilter::threshold(std::uint32_t group, std::uint32_t first_path) const {
  const std::uint64_t floor = groups_[group].floor.load(std::memory_order_relaxed);
  if (floor == 0) return -std::numeric_limits<float>::infinity();
  const float loss = core::tail_loss(floor);
  return core::tail_path(floor) < first_path ? next_above(loss) : loss;
}

void TailFilter::append(Group& state, std::uint64_t* keys, std::uint64_t key) {
  if (key < state.floor.load(std::memory_order_relaxed) || key >= state.ceiling) return;
  std::uint64_t count = state.count.load(std::memory_order_relaxed);
  if (count == capacity_) {
    compact(state, keys);
    if (key < state.floor.load(std::memory_order_relaxed)) return;
    count = keep_count_;
  }
  keys[count] = key;
  state.count.store(count + 1, std::memory_order_relaxed);
}

void TailFilter::offer(std::uint32_t group, std::uint64_t mask, const float* losses,
                       std::uint64_t first_path) {
  Group& state = groups_[group];
  const Lock lock(state.is_locked, is_concurrent_);
  for (; mask; mask &= mask - 1) {
    const int p = std::countr_zero(mask);
    const float loss = losses[p];
    const std::uint64_t path = first_path + static_cast<std::uint64_t>(p);
    if (!(core::abs(loss) <= std::numeric_limits<float>::max())) {
      std::uint64_t seen = bad_path_.load();
      while (path < seen && !bad_path_.compare_exchange_weak(seen, path)) {
      }
      continue;
    }
    append(state, keys(group), core::tail_key(loss, static_cast<std::uint32_t>(path)));
  }
}

void TailFilter::compact(Group& state, std::uint64_t* keys) {
  std::nth_element(keys, keys + keep_count_ - 1, keys + state.count, std::greater<>());
  state.count = keep_count_;
  state.floor.store(keys[keep_count_ - 1], std::memory_order_relaxed);
}

void TailFilter::refine(std::uint32_t group, std::uint64_t rank) {
  Group& state = groups_[group];
  std::uint64_t* const own = keys(group);
  if (rank >= keep_count_ || state.count < rank) return;
  std::nth_element(own, own + rank - 1, own + state.count, std::greater<>());
  // All ties with the rank-th loss stay: an option that expires worthless gives most paths one
  // loss.
  const std::uint64_t floor = own[rank - 1] & ~0xffffffffull;
  if (floor <= state.floor.load(std::memory_order_relaxed)) return;
  state.floor.store(floor, std::memory_order_relaxed);
  state.refined_floor = floor;
  std::uint64_t* const end =
      std::remove_if(own + rank, own + state.count, [&](std::uint64_t key) { return key < floor; });
  state.count = static_cast<std::uint64_t>(end - own);
}

std::uint64_t TailFilter::missing(std::uint32_t group) const {
  const std::uint64_t count = groups_[group].count;
  return count < keep_count_ ? keep_count_ - count : 0;
}

void TailFilter::absorb(std::uint32_t group, const TailFilter& other, std::uint32_t other_group) {
  Group& state = groups_[group];
  state.floor.store(0, std::memory_order_relaxed);
  const std::uint64_t* const from = other.keys_.data() + other_group * other.capacity_;
  std::vector<std::uint64_t> sorted(from, from + other.groups_[other_group].count);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  for (const std::uint64_t key : sorted)
    if (state.count < keep_count_) keys(group)[state.count++] = key;
}

std::vector<std::uint64_t> TailFilter::take() {
  for (std::uint32_t g = 0; g < groups_.size(); ++g) {
    Group& state = groups_[g];
    SHORTFALL_ASSERT(state.count >= keep_count_);
    compact(state, keys(g));
    std::copy(keys(g), keys(g) + keep_count_, keys_.data() + g * keep_count_);
  }
  keys_.resize(groups_.size() * keep_count_);
  return std::move(keys_);
}

}  // namespace shortfall
