#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "database.hpp"
#include "store.hpp"

namespace shortfall::service {
namespace {

constexpr const char* subject = "position changes";
constexpr std::size_t client_id_bytes_max = 128;

Quantity quantity(const Query& row, int column) {
  return {row.unsigned_integer(column), row.integer(column + 1)};
}

/// Empty where the sum exceeds 128 bits.
std::optional<Quantity> sum(Quantity a, Quantity b) {
  Quantity::Units units;
  if (__builtin_add_overflow(a.units(), b.units(), &units)) return std::nullopt;
  return Quantity::from_units(units);
}

void check_client_id(std::string_view id) {
  if (id.empty() || id.size() > client_id_bytes_max ||
      !std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c <= '~'; }))
    refuse(subject, "the client's id is not 1 to 128 printable ASCII characters");
}

struct Cell {
  std::int64_t account, instrument;
  bool operator==(const Cell&) const = default;
};
struct CellHash {
  std::size_t operator()(Cell cell) const {
    return static_cast<std::size_t>(static_cast<std::uint64_t>(cell.account) * 0x9e3779b97f4a7c15u +
                                    static_cast<std::uint64_t>(cell.instrument));
  }
};

}  // namespace

std::uint64_t StateStore::position_sequence() const {
  return static_cast<std::uint64_t>(database_->integer("SELECT max(sequence) FROM batches"));
}

std::optional<Accepted> StateStore::find_batch(std::string_view client_id,
                                               std::span<const PositionChange> changes) const {
  Query batch = database_->query("SELECT sequence FROM batches WHERE client_id = ?", client_id);
  if (!batch.next()) return std::nullopt;
  Query stored = database_->query(
      "SELECT account.name, instrument.name, low, high FROM position_changes "
      "JOIN names AS account ON account.id = account "
      "JOIN names AS instrument ON instrument.id = instrument WHERE sequence = ? ORDER BY ordinal",
      batch.unsigned_integer(0));
  const bool is_same = std::all_of(changes.begin(), changes.end(), [&](const PositionChange& one) {
    return stored.next() && stored.text(0) == one.account && stored.text(1) == one.instrument &&
           quantity(stored, 2).units() == one.change.units();
  });
  if (!is_same || stored.next())
    throw Conflict("a batch of other changes has this client's id: send a new id");
  return Accepted{batch.unsigned_integer(0), true};
}

void StateStore::add_to_position(std::int64_t account, std::int64_t instrument, Quantity change) {
  Quantity before;
  if (Query row = database_->query(
          "SELECT low, high FROM current_positions WHERE account = ? AND instrument = ?", account,
          instrument);
      row.next())
    before = quantity(row, 0);
  const std::optional<Quantity> after = sum(before, change);
  if (!after) refuse(subject, "a position would exceed 128 bits: send a smaller change");
  if (after->is_zero())
    database_->run("DELETE FROM current_positions WHERE account = ? AND instrument = ?", account,
                   instrument);
  else
    database_->run("INSERT OR REPLACE INTO current_positions VALUES (?, ?, ?, ?)", account,
                   instrument, after->low, after->high);
}

Accepted StateStore::append_positions(std::string_view client_id,
                                      std::span<const PositionChange> changes) {
  check_client_id(client_id);
  Transaction transaction(*database_);
  if (const std::optional<Accepted> repeat = find_batch(client_id, changes)) {
    transaction.commit();
    return *repeat;
  }
  const std::uint64_t sequence = position_sequence() + 1;
  database_->run("INSERT INTO batches VALUES (?, ?)", sequence, client_id);
  std::size_t ordinal = 0;
  for (const PositionChange& one : changes) {
    const std::int64_t account = intern(one.account, subject);
    const std::int64_t instrument = intern(one.instrument, subject);
    database_->run("INSERT INTO position_changes VALUES (?, ?, ?, ?, ?, ?)", sequence, ordinal++,
                   account, instrument, one.change.low, one.change.high);
    add_to_position(account, instrument, one.change);
  }
  transaction.commit();
  return {sequence, false};
}

std::vector<NetPosition> StateStore::positions_at(std::uint64_t sequence) const {
  SHORTFALL_ASSERT(sequence <= position_sequence());
  std::vector<NetPosition> positions;
  if (sequence == position_sequence()) {
    Query row = database_->query(
        "SELECT account.name, instrument.name, low, high FROM current_positions "
        "JOIN names AS account ON account.id = account "
        "JOIN names AS instrument ON instrument.id = instrument ORDER BY 1, 2");
    while (row.next())
      positions.push_back({std::string(row.text(0)), std::string(row.text(1)), quantity(row, 2)});
    return positions;
  }
  return sum_of_changes(sequence);
}

std::vector<NetPosition> StateStore::sum_of_changes(std::uint64_t sequence) const {
  std::unordered_map<Cell, Quantity, CellHash> sums;
  Query change = database_->query(
      "SELECT account, instrument, low, high FROM position_changes WHERE sequence <= ? "
      "ORDER BY sequence, ordinal",
      sequence);
  while (change.next()) {
    Quantity& net = sums[{change.integer(0), change.integer(1)}];
    const std::optional<Quantity> after = sum(net, quantity(change, 2));
    if (!after) fail_check("the changes of a position exceed 128 bits");
    net = *after;
  }
  std::vector<NetPosition> positions;
  for (const auto& [cell, net] : sums) {
    if (!net.is_zero()) positions.push_back({name(cell.account), name(cell.instrument), net});
  }
  std::sort(positions.begin(), positions.end(), [](const NetPosition& a, const NetPosition& b) {
    return std::tie(a.account, a.instrument) < std::tie(b.account, b.instrument);
  });
  return positions;
}

}  // namespace shortfall::service
