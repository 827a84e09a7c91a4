// Finds entries by name.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace shortfall {

/// Names to indices of a vector of entries with a `name`, by open addressing. The names stay in the
/// entries: a million accounts are held once.
template <typename Named>
class NameTable {
 public:
  /// `entries` is empty, outlives the table, and from now on grows only through it.
  explicit NameTable(std::vector<Named>& entries) : entries_(entries), slots_(16) {}

  std::vector<Named>& entries() { return entries_; }
  const std::vector<Named>& entries() const { return entries_; }

  std::optional<std::uint32_t> find(std::string_view name) const {
    const Slot& slot = slots_[probe(name, hash(name))];
    if (slot.entry == 0) return std::nullopt;
    return slot.entry - 1;
  }

  /// The index of the name, and whether it is new: then an entry with that name was appended.
  std::pair<std::uint32_t, bool> insert(std::string_view name) {
    const std::uint32_t name_hash = hash(name);
    Slot& slot = slots_[probe(name, name_hash)];
    if (slot.entry != 0) return {slot.entry - 1, false};
    entries_.emplace_back();
    entries_.back().name = name;
    const auto count = static_cast<std::uint32_t>(entries_.size());
    slot = {name_hash, count};
    if (2 * entries_.size() > slots_.size()) grow();
    return {count - 1, true};
  }

  /// False where part of the file could not be read: a name that is not found may be in that part,
  /// and is not worth a message of its own.
  bool is_complete() const { return is_complete_; }
  void mark_incomplete() { is_complete_ = false; }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t entry = 0;  // index + 1; 0: free
  };

  static std::uint32_t hash(std::string_view name) {
    return static_cast<std::uint32_t>(std::hash<std::string_view>()(name));
  }

  std::size_t probe(std::string_view name, std::uint32_t name_hash) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = name_hash & mask;
    while (slots_[i].entry != 0 &&
           (slots_[i].hash != name_hash || entries_[slots_[i].entry - 1].name != name)) {
      i = (i + 1) & mask;
    }
    return i;
  }

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    const std::size_t mask = slots_.size() - 1;
    for (const Slot& slot : old) {
      if (slot.entry == 0) continue;
      std::size_t i = slot.hash & mask;
      while (slots_[i].entry != 0) i = (i + 1) & mask;
      slots_[i] = slot;
    }
  }

  std::vector<Named>& entries_;
  std::vector<Slot> slots_;
  bool is_complete_ = true;
};

}  // namespace shortfall
