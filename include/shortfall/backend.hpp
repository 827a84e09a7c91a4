// A backend turns a plan and a range of paths into the tails of its margin groups.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "shortfall/plan.hpp"
#include "shortfall/trace.hpp"

namespace shortfall {

struct PathRange {
  std::uint64_t begin = 0, end = 0;
};

/// The tails of every margin group over some paths: per group the min(tail.count, paths) worst, as
/// core/tail.hpp packs them, in no order but the least of each group last; where paths have weights
/// all of them, the worst first.
struct Tails {
  std::uint64_t path_count = 0;     ///< paths seen
  std::uint64_t count = 0;          ///< entries per group, the same for all
  std::vector<std::uint64_t> keys;  ///< group-major

  const std::uint64_t* group(std::size_t index) const { return keys.data() + index * count; }
};

/// Merges the tails of disjoint path ranges: exact, in any order.
Tails merge(const Plan& plan, const Tails& a, const Tails& b);

/// What backends do last: where paths have weights the worst of each group comes first.
void sort_if_weighted(const Plan& plan, Tails& tails);

/// Called with the number of paths finished, from one thread at a time.
using Progress = std::function<void(std::uint64_t paths_done)>;

/// A loss that is NaN or infinite, or too large to be summed. Indices are the plan's.
class LossError : public OperatingError {
 public:
  /// `priced_instrument` is core::none where no single instrument is to blame.
  LossError(std::uint32_t group_index, std::uint64_t path_number, std::uint32_t priced_instrument);
  std::uint32_t group;
  std::uint64_t path;
  std::uint32_t instrument;
};

/// A device failed, or could not be had: its paths are not done. Another backend may do them.
class DeviceError : public OperatingError {
 public:
  DeviceError(const std::string& message, PathRange lost_paths)
      : OperatingError(message), lost(lost_paths) {}
  PathRange lost;
};

/// Called in the order of a list of paths with what those from `first` on did.
using UseValues = std::function<void(std::size_t first, const PathValues& values)>;

/// What actually ran.
struct BackendDescription {
  std::string name;             ///< "cpu", "cuda"
  std::string device;           ///< processor or GPU
  std::string instruction_set;  ///< of the loops that ran
  std::uint32_t thread_count = 0;
  std::uint32_t tile_path_count = 0;

  bool operator==(const BackendDescription&) const = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual BackendDescription describe(const Plan& plan) const = 0;
  /// Bytes that simulate will hold for this plan, tails included.
  virtual std::uint64_t bytes_needed(const Plan& plan) const = 0;
  /// Throws LossError for a loss that is NaN or infinite, DeviceError where a device fails.
  virtual Tails simulate(const Plan& plan, PathRange range, const Progress& progress) = 0;
  /// Factor moves and instrument values of listed paths, computed by the same code as `simulate`,
  /// handed over some at a time, in the order of the list.
  virtual void replay(const Plan& plan, std::span<const std::uint32_t> paths,
                      const UseValues& use) = 0;
  /// Every intermediate of a few paths, computed by the same code as `simulate`.
  virtual PathTrace trace(const Plan& plan, std::uint64_t first_path, std::uint32_t path_count) = 0;
};

/// The backends a configuration asks for, which share the paths: the CPU, or each of its CUDA
/// devices. `auto` is CUDA where a device is usable. Throws InputError where the machine lacks the
/// instruction set, OperatingError where it lacks the device.
std::vector<std::unique_ptr<Backend>> make_backends(const ComputeConfig& config);
/// The first of them.
std::unique_ptr<Backend> make_backend(const ComputeConfig& config);

/// Instruction sets that this build has and this processor can run, the widest last.
std::vector<InstructionSet> usable_instruction_sets();

}  // namespace shortfall
