#include <fmt/format.h>

#include <cmath>

#include "database.hpp"
#include "store.hpp"
#include "text.hpp"

namespace shortfall::service {
namespace {

constexpr const char* subject = "market update";
enum MarkKind : int { spot_usd, mark_price, mark_iv };  // as in the tables

/// A keyframe where reading up to the latest one would take this many times what a keyframe has.
constexpr std::int64_t keyframe_factor = 8;

}  // namespace

std::uint64_t StateStore::market_sequence() const {
  return static_cast<std::uint64_t>(database_->integer("SELECT max(sequence) FROM market_updates"));
}

void StateStore::set_mark(std::uint64_t sequence, int kind, std::int64_t name, double value,
                          std::string_view mark) {
  if (!std::isfinite(value))
    refuse(subject, fmt::format("the mark of {} is no finite number", in_quotes(mark)));
  Query set = database_->query(
      "INSERT INTO current_marks VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
      "value = excluded.value, sequence = excluded.sequence "
      "WHERE sequence < excluded.sequence RETURNING 1",
      kind, name, value, sequence);
  if (!set.next())
    refuse(subject, fmt::format("the mark of {} is given twice: give it once", in_quotes(mark)));
  set.next();
}

std::uint64_t StateStore::append_market(const MarketUpdate& update) {
  Transaction transaction(*database_);
  const std::uint64_t sequence = market_sequence() + 1;
  std::uint64_t keyframe = 0;
  if (Query last = database_->query("SELECT as_of, keyframe FROM market_updates WHERE sequence = ?",
                                    sequence - 1);
      last.next()) {
    if (update.as_of < last.integer(0))
      throw Conflict("as_of may not go backwards: send the time of the last update or a later one");
    keyframe = last.unsigned_integer(1);
  }
  for (const SpotMark& spot : update.spots)
    set_mark(sequence, spot_usd, intern(spot.underlying, subject), spot.spot_usd, spot.underlying);
  for (const InstrumentMark& mark : update.marks) {
    const std::int64_t name = intern(mark.instrument, subject);
    if (mark.mark_price) set_mark(sequence, mark_price, name, *mark.mark_price, mark.instrument);
    if (mark.mark_iv) set_mark(sequence, mark_iv, name, *mark.mark_iv, mark.instrument);
  }

  const std::int64_t total = database_->integer("SELECT count(*) FROM current_marks");
  const std::int64_t own =
      database_->integer("SELECT count(*) FROM current_marks WHERE sequence = ?", sequence);
  const std::int64_t since =
      database_->integer("SELECT count(*) FROM marks WHERE sequence > ?", keyframe);
  const bool is_keyframe = keyframe == 0 || own == total || since + own > keyframe_factor * total;
  if (is_keyframe) keyframe = sequence;
  database_->run("INSERT INTO market_updates VALUES (?, ?, ?)", sequence, update.as_of, keyframe);
  database_->run(
      "INSERT INTO marks SELECT ?1, kind, name, value, sequence < ?1 FROM current_marks "
      "WHERE sequence = ?1 OR ?2",
      sequence, is_keyframe);
  transaction.commit();
  return sequence;
}

MarketUpdate StateStore::market_at(std::uint64_t sequence) const {
  MarketUpdate market;
  if (sequence == 0) return market;
  Query update =
      database_->query("SELECT as_of, keyframe FROM market_updates WHERE sequence = ?", sequence);
  SHORTFALL_ASSERT(update.next());
  market.as_of = update.integer(0);
  // SQLite takes the value from the row that has the maximum.
  Query mark = database_->query(
      "SELECT names.name, kind, value, max(sequence) FROM marks JOIN names ON names.id = "
      "marks.name "
      "WHERE sequence BETWEEN ? AND ? GROUP BY names.name, kind ORDER BY names.name, kind",
      update.integer(1), sequence);
  while (mark.next()) {
    const std::string_view name = mark.text(0);
    if (mark.integer(1) == spot_usd) {
      market.spots.push_back({std::string(name), mark.real(2)});
      continue;
    }
    if (market.marks.empty() || market.marks.back().instrument != name)
      market.marks.push_back({std::string(name), {}, {}});
    InstrumentMark& instrument = market.marks.back();
    (mark.integer(1) == mark_price ? instrument.mark_price : instrument.mark_iv) = mark.real(2);
  }
  return market;
}

}  // namespace shortfall::service
