#include "rounds.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "cpu/cpu_backend.hpp"
#include "cpu/machine.hpp"
#include "fmt/format.h"
#include "shortfall/core/tail.hpp"

namespace shortfall {
namespace {

/// Of a part of so many paths. Of the worst paths of a run it has its share, k of its own size,
/// with a standard deviation of sqrt(k) at most: eight of these are kept beyond it.
std::uint64_t keep_count(std::uint64_t path_count, double confidence_level) {
  const TailSize tail = tail_size(path_count, confidence_level);
  const auto more = static_cast<std::uint64_t>(8 * __builtin_sqrt(tail.k) + 8);
  return std::min(tail.count + more, path_count);
}

void require_memory(const Plan& plan, std::uint64_t entry_count) {
  const std::uint64_t bytes = entry_count * plan.groups.size() * sizeof(std::uint64_t);
  if (bytes > machine_memory_bytes())
    throw OperatingError(
        fmt::format("out of memory: paths = \"auto\" with {} paths and {} margin groups needs "
                    "{:.1f} GB for the worst paths of each group; use a lower max_paths, a larger "
                    "target_relative_error or a higher confidence",
                    plan.path_count, plan.groups.size(), static_cast<double>(bytes) * 1e-9));
}

/// Lengthens the last where one backend simulated both, one after the other.
void add_share(std::vector<PathShare>& shares, PathShare share) {
  if (!shares.empty() && shares.back().paths.end == share.paths.begin &&
      shares.back().backend == share.backend)
    shares.back().paths.end = share.paths.end;
  else
    shares.push_back(std::move(share));
}

/// Some groups of a plan alone; every loss has its bits.
Plan with_groups(const Plan& plan, const std::vector<std::uint32_t>& groups) {
  Plan part = plan;
  part.holdings.clear();
  part.groups.clear();
  part.group_begin = {0};
  for (const std::uint32_t g : groups) {
    const auto at = [&](std::uint64_t holding) {
      return plan.holdings.begin() + static_cast<std::ptrdiff_t>(holding);
    };
    part.holdings.insert(part.holdings.end(), at(plan.group_begin[g]), at(plan.group_begin[g + 1]));
    part.group_begin.push_back(part.holdings.size());
    part.groups.push_back(plan.groups[g]);
  }
  return part;
}

std::uint64_t* group(Tails& tails, std::uint64_t index) {
  return tails.keys.data() + index * tails.count;
}

}  // namespace

Simulated Rounds::simulate(const Plan& plan, const SimulatePart& simulate_part) {
  std::uint64_t done = 0, entry_count = plan.tail.count;
  for (const Tails& part : parts_) {
    done += part.path_count;
    entry_count += part.count;
  }
  Plan of_part = plan;
  of_part.tail.count = keep_count(plan.path_count - done, plan.confidence_level);
  require_memory(plan, entry_count + of_part.tail.count);
  Simulated simulated = simulate_part(of_part, {done, plan.path_count});
  simulated.tails.keys.shrink_to_fit();  // a filter leaves room for candidates
  parts_.push_back(std::move(simulated.tails));
  for (PathShare& share : simulated.shares) add_share(shares_, std::move(share));

  Simulated joined;
  joined.shares = shares_;
  redo(plan, join(plan, joined.tails), simulate_part, joined.tails);
  return joined;
}

/// Returns the groups of which a loss that was not kept may be among the worst.
std::vector<std::uint32_t> Rounds::join(const Plan& plan, Tails& tails) {
  enum Lack : std::uint8_t { nothing, paths, losses };
  const std::uint64_t count = plan.tail.count;
  tails = {plan.path_count, count, std::vector<std::uint64_t>(plan.groups.size() * count)};
  std::vector<Lack> lacks(plan.groups.size());
  std::atomic<std::size_t> next{0};
  on_threads(thread_count_, [&](std::uint32_t) {
    std::vector<std::uint64_t> keys;
    for (std::size_t g; (g = next.fetch_add(1)) < plan.groups.size();) {
      keys.clear();
      std::uint64_t floor = 0;  // no key above was dropped
      for (const Tails& part : parts_) {
        keys.insert(keys.end(), part.group(g), part.group(g) + part.count);
        if (part.count < part.path_count) floor = std::max(floor, keys.back());
      }
      SHORTFALL_ASSERT(keys.size() >= count);
      const auto least = keys.begin() + static_cast<std::ptrdiff_t>(count - 1);
      std::nth_element(keys.begin(), least, keys.end(), std::greater<>());
      std::copy(keys.begin(), least + 1, group(tails, g));
      if (*least < floor)
        lacks[g] = core::tail_loss(*least) < core::tail_loss(floor) ? losses : paths;
    }
  });
  lacking_paths_.clear();
  std::vector<std::uint32_t> lacking_losses;
  for (std::uint32_t g = 0; g < lacks.size(); ++g) {
    if (lacks[g] == paths) lacking_paths_.push_back(g);
    if (lacks[g] == losses) lacking_losses.push_back(g);
  }
  return lacking_losses;
}

void Rounds::redo(const Plan& plan, const std::vector<std::uint32_t>& groups,
                  const SimulatePart& simulate_part, Tails& tails) const {
  if (groups.empty()) return;
  const Tails redone = simulate_part(with_groups(plan, groups), {0, plan.path_count}).tails;
  for (std::size_t i = 0; i < groups.size(); ++i)
    std::copy_n(redone.group(i), tails.count, group(tails, groups[i]));
}

}  // namespace shortfall
