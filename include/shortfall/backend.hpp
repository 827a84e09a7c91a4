// A backend turns a plan and a range of paths into the tails of its margin groups.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "shortfall/plan.hpp"

namespace shortfall {

struct PathRange {
  std::uint64_t begin = 0, end = 0;
};

/// The tails of every margin group over some paths: per group the min(tail.count, paths) worst, as
/// core/tail.hpp packs them, in no order but the least of each group last.
struct Tails {
  std::uint64_t path_count = 0;     ///< paths seen
  std::uint64_t count = 0;          ///< entries per group, the same for all
  std::vector<std::uint64_t> keys;  ///< group-major

  const std::uint64_t* group(std::size_t index) const { return keys.data() + index * count; }
};

/// Merges the tails of disjoint path ranges: exact, in any order.
Tails merge(const Plan& plan, const Tails& a, const Tails& b);

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

/// What actually ran.
struct BackendDescription {
  std::string name;             ///< "cpu", "cuda"
  std::string device;           ///< processor or GPU
  std::string instruction_set;  ///< of the loops that ran
  std::uint32_t thread_count = 0;
  std::uint32_t tile_path_count = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual BackendDescription describe(const Plan& plan) const = 0;
  /// Bytes that simulate will hold for this plan, tails included.
  virtual std::uint64_t bytes_needed(const Plan& plan) const = 0;
  /// Throws LossError for a loss that is NaN or infinite.
  virtual Tails simulate(const Plan& plan, PathRange range, const Progress& progress) = 0;
};

/// The backend a configuration asks for. Throws InputError where the machine lacks the instruction
/// set, OperatingError where it lacks the device.
std::unique_ptr<Backend> make_backend(const ComputeConfig& config);

/// Instruction sets that this build has and this processor can run, the widest last.
std::vector<InstructionSet> usable_instruction_sets();

}  // namespace shortfall
