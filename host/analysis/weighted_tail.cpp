#include "weighted_tail.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "cpu/cpu_backend.hpp"
#include "shortfall/core/tail.hpp"

namespace shortfall {

void draw_paths(const Plan& plan, std::span<const std::uint32_t> paths, std::uint32_t thread_count,
                const UseNormals& use) {
  const CpuLoops& loops = cpu_loops(InstructionSet::automatic);
  const core::PlanArrays arrays = plan.arrays();
  const std::size_t row_count = (paths.size() + core::row_path_count - 1) / core::row_path_count;
  std::atomic<std::size_t> next{0};
  on_threads(thread_count, [&](std::uint32_t) {
    RowBuffers row(arrays, 1);
    for (std::size_t r; (r = next.fetch_add(1)) < row_count;) {
      const std::size_t at = r * core::row_path_count;
      std::uint32_t listed[core::row_path_count];
      for (std::uint32_t p = 0; p < core::row_path_count; ++p)
        listed[p] = paths[std::min(at + p, paths.size() - 1)];
      loops.draw_listed(arrays, listed, row.normals, row.mixing);
      use(at, std::min<std::size_t>(core::row_path_count, paths.size() - at), row.normals,
          row.mixing);
    }
  });
}

namespace {

enum Source : std::uint8_t { of_tilt, of_model };

struct WeightedPath {
  double loss = 0, weight = 0;
  Source source = of_tilt;
};

/// Losses, worst first, sorted as far as they are asked for.
class LossQueue {
 public:
  explicit LossQueue(AllLosses losses) : losses_(std::move(losses)) {}

  const Plan& plan() const { return losses_.plan; }
  std::size_t path_count() const { return losses_.keys.size(); }
  /// 0, which no finite loss has, where there is none.
  std::uint64_t front() {
    std::vector<std::uint64_t>& keys = losses_.keys;
    if (next_ == sorted_) {
      if (sorted_ == keys.size()) return 0;
      sorted_ = std::min(keys.size(), sorted_ + std::max<std::size_t>(1024, keys.size() / 16));
      const auto at = [&](std::size_t i) { return keys.begin() + static_cast<std::ptrdiff_t>(i); };
      if (sorted_ < keys.size())
        std::nth_element(at(next_), at(sorted_), keys.end(), std::greater<>());
      std::sort(at(next_), at(sorted_), std::greater<>());
    }
    return keys[next_];
  }
  void pop() { ++next_; }

 private:
  AllLosses losses_;
  std::size_t next_ = 0, sorted_ = 0;
};

/// The paths of both simulations, worst first, with their weights. Only as many are drawn again as
/// are asked for: a third of the paths are in the tail.
class WeightedPaths {
 public:
  WeightedPaths(const FactorModel& model, const Tilt& tilt, LossQueue from_tilt,
                LossQueue from_model, std::uint32_t thread_count)
      : ratio_(model, tilt),
        model_share_(static_cast<double>(from_model.path_count()) /
                     static_cast<double>(from_tilt.path_count() + from_model.path_count())),
        from_{std::move(from_tilt), std::move(from_model)},
        thread_count_(thread_count) {}

  /// The next paths, at most `count`; none at the end.
  std::vector<WeightedPath> next(std::size_t count);

 private:
  void weigh(Source source, const std::vector<std::uint32_t>& numbers,
             const std::vector<std::size_t>& places, std::vector<WeightedPath>& paths) const;

  const TiltRatio ratio_;
  const double model_share_;
  LossQueue from_[2];
  const std::uint32_t thread_count_;
};

std::vector<WeightedPath> WeightedPaths::next(std::size_t count) {
  std::vector<WeightedPath> paths;
  std::vector<std::uint32_t> numbers[2];
  std::vector<std::size_t> places[2];
  while (paths.size() < count) {
    const Source source = from_[of_model].front() > from_[of_tilt].front() ? of_model : of_tilt;
    const std::uint64_t key = from_[source].front();
    if (key == 0) break;
    from_[source].pop();
    numbers[source].push_back(core::tail_path(key));
    places[source].push_back(paths.size());
    paths.push_back({static_cast<double>(core::tail_loss(key)), 0, source});
  }
  for (const Source source : {of_tilt, of_model})
    weigh(source, numbers[source], places[source], paths);
  return paths;
}

void WeightedPaths::weigh(Source source, const std::vector<std::uint32_t>& numbers,
                          const std::vector<std::size_t>& places,
                          std::vector<WeightedPath>& paths) const {
  if (numbers.empty()) return;
  const auto drawn = source == of_tilt ? TiltRatio::Drawn::by_tilt : TiltRatio::Drawn::by_model;
  draw_paths(from_[source].plan(), numbers, thread_count_,
             [&](std::size_t at, std::size_t count, const double* normals, const double* mixing) {
               double logs[core::row_path_count];
               ratio_.logs_of(drawn, normals, core::row_path_count, mixing, count, logs);
               for (std::size_t p = 0; p < count; ++p)
                 paths[places[at + p]].weight = defensive_weight(logs[p], model_share_);
             });
}

/// The paths above the value at risk and, last, the one that is it; empty where all of the weight
/// is not more than k.
std::vector<WeightedPath> tail_paths(WeightedPaths& paths, double k, std::size_t batch) {
  std::vector<WeightedPath> tail;
  for (double weight = 0;;) {
    const std::vector<WeightedPath> more = paths.next(batch);
    if (more.empty()) return {};
    for (const WeightedPath& path : more) {
      tail.push_back(path);
      weight += path.weight;
      if (weight > k) return tail;
    }
  }
}

double root(double variance) { return variance > 0 ? __builtin_sqrt(variance) : 0; }

}  // namespace

WeightedTail weighted_tail(const FactorModel& model, const Tilt& tilt, AllLosses from_tilt,
                           AllLosses from_model, double k, std::uint32_t thread_count) {
  const auto tilt_count = static_cast<double>(from_tilt.keys.size());
  const auto model_count = static_cast<double>(from_model.keys.size());
  WeightedPaths paths(model, tilt, LossQueue(std::move(from_tilt)),
                      LossQueue(std::move(from_model)), thread_count);
  const auto batch = static_cast<std::size_t>((tilt_count + model_count) / 16) + 1;
  const std::vector<WeightedPath> tail = tail_paths(paths, k, batch);
  if (tail.size() < 2) return {};
  WeightedTail result;
  result.value_at_risk = tail.back().loss;
  double psi[2] = {}, psi_square[2] = {}, plain_square = 0, weight = 0, weight_square = 0;
  for (auto path = tail.begin(); path != tail.end() - 1; ++path) {
    const double excess = path->loss - result.value_at_risk, weighted = path->weight * excess;
    psi[path->source] += weighted;
    psi_square[path->source] += weighted * weighted;
    plain_square += weighted * excess;
    weight += path->weight;
    weight_square += path->weight * path->weight;
  }
  const double sum = psi[of_tilt] + psi[of_model];
  const double variance = (psi_square[of_tilt] - psi[of_tilt] * psi[of_tilt] / tilt_count) +
                          (psi_square[of_model] - psi[of_model] * psi[of_model] / model_count);
  result.expected_shortfall = result.value_at_risk + sum / k;
  result.standard_error = root(variance) / k;
  result.plain_error = root(plain_square - sum * sum / (tilt_count + model_count)) / k;
  result.effective_count = weight * weight / weight_square;
  return result;
}

}  // namespace shortfall
