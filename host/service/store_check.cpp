#include <fmt/format.h>

#include <algorithm>

#include "database.hpp"
#include "store.hpp"

namespace shortfall::service {
namespace {

/// Rows of one query that the other does not have, in both directions.
std::string difference(const char* log, const char* current) {
  return fmt::format(
      "SELECT count(*) FROM (SELECT * FROM ({0} EXCEPT {1}) UNION ALL SELECT * FROM ({1} EXCEPT "
      "{0}))",
      log, current);
}

struct Expectation {
  const char* problem;
  std::string count_of_failures;
};

const Expectation expectations[] = {
    {"numbers are missing in inputs", "SELECT max(sequence) <> count(*) FROM inputs"},
    {"numbers are missing in market_updates",
     "SELECT max(sequence) <> count(*) FROM market_updates"},
    {"numbers are missing in batches", "SELECT max(sequence) <> count(*) FROM batches"},
    {"numbers are missing in runs", "SELECT max(sequence) <> count(*) FROM runs"},
    {"a row refers to one that is missing", "SELECT count(*) FROM pragma_foreign_key_check"},
    {"current_marks is not what the market updates add up to",
     difference("SELECT kind, name, value, max(sequence) FROM marks WHERE NOT is_carried "
                "GROUP BY kind, name",
                "SELECT kind, name, value, sequence FROM current_marks")},
};

bool is_same(const NetPosition& a, const NetPosition& b) {
  return a.account == b.account && a.instrument == b.instrument &&
         a.quantity.units() == b.quantity.units();
}

}  // namespace

void StateStore::check_all() const {
  {
    Query structure = database_->query("PRAGMA integrity_check(1)");
    if (structure.next() && structure.text(0) != "ok") fail_check(std::string(structure.text(0)));
  }
  for (const Expectation& expectation : expectations) {
    if (database_->integer(expectation.count_of_failures) != 0) fail_check(expectation.problem);
  }
  const std::uint64_t sequence = position_sequence();
  const std::vector<NetPosition> current = positions_at(sequence);
  const std::vector<NetPosition> sums = sum_of_changes(sequence);
  if (!std::equal(current.begin(), current.end(), sums.begin(), sums.end(), is_same))
    fail_check("current_positions is not what the changes add up to");
  for (std::uint64_t generation = 1; generation <= inputs_generation(); ++generation)
    inputs(generation);
}

}  // namespace shortfall::service
