// A device of tests, which the CPU plays.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "shortfall/backend.hpp"
#include "shortfall/config.hpp"

namespace shortfall {

class FakeDevice;

/// What a fake device does before its part; it may throw.
using Accident =
    std::function<void(const FakeDevice& device, PathRange range, const Progress& progress)>;

/// A device that the CPU plays, with an accident.
class FakeDevice final : public Backend {
 public:
  explicit FakeDevice(std::string name, Accident accident = {})
      : name_(std::move(name)), accident_(std::move(accident)) {
    ComputeConfig config;
    config.backend = BackendChoice::cpu;
    config.thread_count = 1;
    cpu_ = make_backend(config);
  }
  BackendDescription describe(const Plan&) const override {
    return {"cuda", name_, "sm_90", 0, 128};
  }
  std::uint64_t bytes_needed(const Plan& plan) const override { return cpu_->bytes_needed(plan); }
  Tails simulate(const Plan& plan, PathRange range, const Progress& progress) override {
    ranges.push_back(range);
    if (accident_) accident_(*this, range, progress);
    return cpu_->simulate(plan, range, progress);
  }
  void replay(const Plan& plan, std::span<const std::uint32_t> paths,
              const UseValues& use) override {
    cpu_->replay(plan, paths, use);
  }
  PathTrace trace(const Plan& plan, std::uint64_t first_path, std::uint32_t count) override {
    return cpu_->trace(plan, first_path, count);
  }

  const std::string& name() const { return name_; }

  std::vector<PathRange> ranges;  ///< that it was asked for

 private:
  std::string name_;
  Accident accident_;
  std::unique_ptr<Backend> cpu_;
};

inline void lose_device(const FakeDevice& device, PathRange range, const Progress& progress) {
  progress((range.end - range.begin) / 2);
  throw DeviceError(device.name() + ": launch failure; paths " + std::to_string(range.begin) +
                        " to " + std::to_string(range.end - 1) + " were not done",
                    range);
}

}  // namespace shortfall
