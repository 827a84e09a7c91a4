// What the store keeps, and that it gives back the same.
#include "host/service/store.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <utility>

#include "temporary_store.hpp"

namespace shortfall::service {
namespace {

using Files = std::vector<InputFileCopy>;

TEST(Store, StartsEmpty) {
  const TemporaryState state;
  const StateStore store = state.open();
  EXPECT_EQ(store.inputs_generation(), 0u);
  EXPECT_EQ(store.market_sequence(), 0u);
  EXPECT_EQ(store.position_sequence(), 0u);
  EXPECT_EQ(store.run_sequence(), 0u);
  EXPECT_TRUE(store.positions_at(0).empty());
  EXPECT_EQ(store.market_at(0).as_of, 0);
  EXPECT_FALSE(store.run(1));
  store.check_all();
}

TEST(Store, KeepsInputsByteForByte) {
  const TemporaryState state;
  const std::string bytes("\0\r\n\xff,x", 6);
  {
    StateStore store = state.open();
    EXPECT_EQ(store.adopt(Files{{"config", "run.toml", "abc"}, {"positions", "p.csv", bytes}}), 1u);
    EXPECT_EQ(store.adopt(Files{{"config", "run.toml", ""}, {"positions", "p.csv", bytes}}), 2u);
  }
  const StateStore store = state.open();
  ASSERT_EQ(store.inputs_generation(), 2u);
  const std::vector<InputFileCopy> first = store.inputs(1), second = store.inputs(2);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].role, "config");
  EXPECT_EQ(first[0].name, "run.toml");
  EXPECT_EQ(first[0].bytes, "abc");
  EXPECT_EQ(first[1].bytes, bytes);
  EXPECT_EQ(second[0].bytes, "");
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(store.input_hashes(1)[0].sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(state.database().integer("SELECT count(*) FROM contents"), 3) << "p.csv is kept once";
}

/// (kind, name) -> value, as the store says.
using Marks = std::map<std::pair<int, std::string>, double>;

Marks marks_of(const MarketUpdate& market) {
  Marks marks;
  for (const SpotMark& one : market.spots) marks[{0, one.underlying}] = one.spot_usd;
  for (const InstrumentMark& one : market.marks) {
    if (one.mark_price) marks[{1, one.instrument}] = *one.mark_price;
    if (one.mark_iv) marks[{2, one.instrument}] = *one.mark_iv;
  }
  return marks;
}

/// Few marks at a time, then all at once, then few again: with and without keyframes.
TEST(Store, MarketAtAnyUpdateIsTheLatestOfEachMark) {
  const TemporaryState state;
  StateStore store = state.open();
  std::mt19937_64 random(1);
  std::vector<Marks> expected(1);
  for (std::int64_t m = 1; m <= 300; ++m) {
    MarketUpdate update;
    update.as_of = 1000 + m / 2;
    const double share = m == 150 ? 1 : 0.1;
    const auto is_given = [&] { return static_cast<double>(random() % 1000) < share * 1000; };
    const auto value = [&] { return static_cast<double>(random() % 100'000) / 7; };
    for (int i = 0; i < 5; ++i)
      if (is_given()) update.spots.push_back({"U" + std::to_string(i), value()});
    for (int i = 0; i < 40; ++i) {
      InstrumentMark mark{"I" + std::to_string(i), {}, {}};
      if (is_given()) mark.mark_price = value();
      if (is_given()) mark.mark_iv = value();
      if (mark.mark_price || mark.mark_iv) update.marks.push_back(mark);
    }
    ASSERT_EQ(store.append_market(update), static_cast<std::uint64_t>(m));
    expected.push_back(expected.back());
    for (const auto& [key, mark] : marks_of(update)) expected.back()[key] = mark;
  }
  for (std::uint64_t m = 0; m <= 300; ++m) {
    const MarketUpdate market = store.market_at(m);
    EXPECT_EQ(marks_of(market), expected[m]) << m;
    EXPECT_EQ(market.as_of, m == 0 ? 0 : 1000 + static_cast<std::int64_t>(m) / 2);
    EXPECT_TRUE(
        std::is_sorted(market.marks.begin(), market.marks.end(),
                       [](const auto& a, const auto& b) { return a.instrument < b.instrument; }));
  }
  store.check_all();
  Database database = state.database();
  EXPECT_EQ(database.integer("SELECT keyframe FROM market_updates WHERE sequence = 150"), 150);
  EXPECT_GT(database.integer("SELECT count(DISTINCT keyframe) FROM market_updates"), 3);
}

TEST(Store, RefusesMarketUpdates) {
  const TemporaryState state;
  StateStore store = state.open();
  store.append_market({100, {{"BTC", 1.5}}, {{"F", 2, {}}}});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(store.append_market({99, {{"BTC", 2}}, {}}), Conflict);
  EXPECT_THROW(store.append_market({100, {{"BTC", 2}, {"ETH", nan}}, {}}), InputError);
  EXPECT_THROW(store.append_market({100, {}, {{"F", INFINITY, {}}}}), InputError);
  EXPECT_THROW(store.append_market({100, {{"BTC", 2}, {"BTC", 2}}, {}}), InputError);
  EXPECT_THROW(store.append_market({100, {}, {{"F", 2, {}}, {"F", 2, {}}}}), InputError);
  EXPECT_THROW(store.append_market({100, {{"", 2}}, {}}), InputError);
  EXPECT_EQ(store.market_sequence(), 1u);
  EXPECT_EQ(marks_of(store.market_at(1)), (Marks{{{0, "BTC"}, 1.5}, {{1, "F"}, 2.0}}));
  EXPECT_EQ(store.append_market({100, {}, {{"F", 3, {}}, {"F", {}, 0.5}}}), 2u)
      << "the same time again, and two marks of one instrument";
  store.check_all();
}

TEST(Store, PositionsAtAnyBatchAreTheSumOfChanges) {
  const TemporaryState state;
  std::mt19937_64 random(2);
  std::map<std::pair<std::string, std::string>, Quantity::Units> sums;
  std::vector<Cells> expected(1);
  StateStore store = state.open();
  for (int c = 1; c <= 200; ++c) {
    std::vector<PositionChange> changes(1 + random() % 5);
    for (PositionChange& one : changes) {
      one.account = "account " + std::to_string(random() % 4);
      one.instrument = "Ω'\"" + std::to_string(random() % 3);
      // Small enough to cancel now and then, or beyond 64 bits.
      const auto small = static_cast<Quantity::Units>(random() % 5) - 2;
      one.change = units(random() % 2 ? small : small << 70);
      sums[{one.account, one.instrument}] += one.change.units();
    }
    const Accepted accepted = store.append_positions("c" + std::to_string(c), changes);
    ASSERT_EQ(accepted.sequence, static_cast<std::uint64_t>(c));
    ASSERT_FALSE(accepted.is_repeat);
    Cells now;
    for (const auto& [cell, sum] : sums)
      if (sum != 0) now.emplace_back(cell.first, cell.second, sum);
    expected.push_back(now);
  }
  for (std::uint64_t c = 0; c <= 200; ++c) EXPECT_EQ(cells(store.positions_at(c)), expected[c]);
  store.check_all();
}

TEST(Store, TakesABatchOnce) {
  const TemporaryState state;
  const std::vector<PositionChange> batch = {{"ann", "F", units(5)}, {"bob", "F", units(-1)}};
  {
    StateStore store = state.open();
    store.append_positions("other", {});
    EXPECT_EQ(store.append_positions("id", batch).sequence, 2u);
  }
  StateStore store = state.open();
  for (int i = 0; i < 2; ++i) {
    const Accepted again = store.append_positions("id", batch);
    EXPECT_EQ(again.sequence, 2u);
    EXPECT_TRUE(again.is_repeat);
  }
  const std::vector<std::vector<PositionChange>> others = {
      {},
      {batch[0]},
      {batch[1], batch[0]},
      {batch[0], batch[1], batch[1]},
      {batch[0], {"bob", "F", units(1)}},
      {batch[0], {"bob", "G", units(-1)}},
      {batch[0], {"zoe", "F", units(-1)}},
      {batch[0], {"bob", "F", units((Quantity::Units{1} << 64) - 1)}}};
  for (const auto& other : others) EXPECT_THROW(store.append_positions("id", other), Conflict);
  EXPECT_EQ(store.position_sequence(), 2u);
  EXPECT_EQ(cells(store.positions_at(2)), (Cells{{"ann", "F", 5}, {"bob", "F", -1}}));
  EXPECT_EQ(state.database().integer("SELECT count(*) FROM names WHERE name = 'zoe'"), 0);
}

TEST(Store, RefusesPositionChanges) {
  const TemporaryState state;
  StateStore store = state.open();
  const std::vector<PositionChange> good = {{"ann", "F", units(1)}};
  for (const std::string& id : {std::string(), std::string(129, 'x'), std::string("tab\t"),
                                std::string("\xc3\xa4"), std::string("nul\0", 4)})
    EXPECT_THROW(store.append_positions(id, good), InputError) << id;
  for (const std::string& name :
       {std::string(), std::string(257, 'x'), std::string("\xff"), std::string("nul\0", 4)}) {
    EXPECT_THROW(store.append_positions("a", std::vector{good[0], {name, "F", units(1)}}),
                 InputError);
    EXPECT_THROW(store.append_positions("a", std::vector{good[0], {"ann", name, units(1)}}),
                 InputError);
  }
  EXPECT_EQ(store.position_sequence(), 0u);
  EXPECT_EQ(store.append_positions(std::string(128, '~'), good).sequence, 1u);
}

TEST(Store, SumsUpTo128Bits) {
  const TemporaryState state;
  StateStore store = state.open();
  const Quantity most{std::numeric_limits<std::uint64_t>::max(),
                      std::numeric_limits<std::int64_t>::max()};
  const Quantity least{0, std::numeric_limits<std::int64_t>::min()};
  store.append_positions("1", std::vector<PositionChange>{{"a", "F", most}, {"b", "F", least}});
  EXPECT_THROW(store.append_positions("2", std::vector<PositionChange>{{"a", "F", units(1)}}),
               InputError);
  EXPECT_THROW(store.append_positions(
                   "2", std::vector<PositionChange>{{"c", "F", units(1)}, {"b", "F", units(-1)}}),
               InputError);
  EXPECT_EQ(cells(store.positions_at(1)),
            (Cells{{"a", "F", most.units()}, {"b", "F", least.units()}}));
  store.check_all();
}

TEST(Store, KeepsTheLedger) {
  const TemporaryState state;
  RunEntry done = a_run(), failed = a_run();
  {
    StateStore store = state.open();
    store.adopt(Files{{"config", "run.toml", "abc"}});
    store.append_market({10, {{"BTC", 1}}, {}});
    store.append_positions("c", {});
    done.market_sequence = done.position_sequence = 1;
    done.seed = std::numeric_limits<std::uint64_t>::max();
    done.began_at_ms = 2000;
    done.ended_at_ms = 1000;  // the clock has jumped
    failed.kind = RunKind::partial;
    failed.began_at_ms = -5;
    failed.failure = "";
    EXPECT_EQ(store.append_run(done, std::vector<MarginRow>{{"zoe", "zoe,1"}, {"ann", "ann,2"}}),
              1u);
    EXPECT_EQ(store.append_run(failed, {}), 2u);
  }
  const StateStore store = state.open();
  const std::vector<StoredRun> runs = store.runs(10);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].sequence, 2u) << "newest first, whatever the clock says";
  EXPECT_EQ(runs[0].entry.kind, RunKind::partial);
  EXPECT_EQ(runs[0].entry.failure, "");
  EXPECT_EQ(runs[0].entry.market_sequence, 0u);
  EXPECT_EQ(store.runs(1).size(), 1u);
  EXPECT_FALSE(store.run(0));
  EXPECT_FALSE(store.run(3));
  const RunEntry entry = store.run(1)->entry;
  EXPECT_EQ(entry.kind, RunKind::full);
  EXPECT_EQ(std::tie(entry.inputs_generation, entry.market_sequence, entry.position_sequence),
            std::tie(done.inputs_generation, done.market_sequence, done.position_sequence));
  EXPECT_EQ(std::tie(entry.as_of, entry.seed, entry.path_count, entry.began_at_ms,
                     entry.ended_at_ms, entry.failure),
            std::tie(done.as_of, done.seed, done.path_count, done.began_at_ms, done.ended_at_ms,
                     done.failure));
  EXPECT_EQ(std::tie(entry.sampler, entry.plan_hash, entry.program_version),
            std::tie(done.sampler, done.plan_hash, done.program_version));
  ASSERT_EQ(store.run(1)->input_hashes.size(), 1u);
  EXPECT_EQ(store.run(1)->input_hashes[0].sha256, store.input_hashes(1)[0].sha256);
  const std::vector<MarginRow> margins = store.margins(1);
  ASSERT_EQ(margins.size(), 2u);
  EXPECT_EQ(margins[0].csv_row, "zoe,1") << "in the order of margin.csv";
  EXPECT_TRUE(store.margins(2).empty());
  store.check_all();
}

/// One row in every table.
void fill(StateStore& store) {
  store.adopt(Files{{"config", "run.toml", "abc"}});
  store.append_market({10, {{"BTC", 1}}, {}});
  store.append_positions("c", std::vector<PositionChange>{{"ann", "F", units(5)}});
  store.append_run(a_run(), std::vector<MarginRow>{{"ann", "ann,1"}});
}

TEST(Store, IsAppendOnly) {
  const TemporaryState state;
  StateStore store = state.open();
  fill(store);
  Database database = state.database();
  for (const std::string table : {"names", "contents", "inputs", "input_files", "market_updates",
                                  "marks", "batches", "position_changes", "runs", "margins"}) {
    ASSERT_GT(database.integer("SELECT count(*) FROM " + table), 0);
    expect_fault(fault_of([&] { database.execute(("DELETE FROM " + table).c_str()); }),
                 StoreFault::failed, table + " is append-only");
    const char* const column = table == "names"      ? "name"
                               : table == "contents" ? "sha256"
                               : table == "margins"  ? "run"
                                                     : "sequence";
    expect_fault(
        fault_of([&] {
          database.execute(("UPDATE " + table + " SET " + column + " = " + column).c_str());
        }),
        StoreFault::failed, table + " is append-only");
  }
  for (const char* const insert :
       {"INSERT INTO batches VALUES (3, 'x')", "INSERT OR REPLACE INTO batches VALUES (1, 'x')",
        "INSERT OR REPLACE INTO market_updates VALUES (1, 0, 1)"})
    expect_fault(fault_of([&] { database.execute(insert); }), StoreFault::failed, "without gaps");
  store.check_all();
}

TEST(Store, CheckFindsWhatDoesNotAddUp) {
  const std::pair<const char*, const char*> spoilings[] = {
      {"UPDATE current_positions SET low = low + 1", "current_positions"},
      {"DELETE FROM current_positions", "current_positions"},
      {"UPDATE current_marks SET value = 2", "current_marks"},
      {"DROP TRIGGER contents_no_UPDATE; UPDATE contents SET bytes = x'00'", "SHA-256"},
      {"DROP TRIGGER position_changes_no_DELETE; DELETE FROM position_changes",
       "current_positions"},
      {"DROP TRIGGER batches_no_gap; INSERT INTO batches VALUES (3, 'x')", "numbers are missing"},
      {"PRAGMA foreign_keys = OFF; DROP TRIGGER names_no_DELETE; DELETE FROM names", "missing"},
  };
  for (const auto& [sql, part] : spoilings) {
    const TemporaryState state;
    StateStore store = state.open();
    fill(store);
    store.check_all();
    state.database().execute(sql);
    expect_fault(fault_of([&] { store.check_all(); }), StoreFault::corrupt, part);
  }
}

TEST(GroupCommit, IsAllOrNothing) {
  const TemporaryState state;
  StateStore store = state.open();
  const std::vector<PositionChange> one = {{"ann", "F", units(1)}};
  const auto durable = [&] { return state.database().integer("SELECT count(*) FROM batches"); };
  {
    GroupCommit group(store);
    store.append_positions("a", one);
    EXPECT_THROW(store.append_positions("a", {}), Conflict);
    EXPECT_THROW(store.append_positions("b", std::vector<PositionChange>{one[0], {"", "F", {}}}),
                 InputError);
    EXPECT_EQ(store.append_positions("c", one).sequence, 2u);
    EXPECT_EQ(store.append_market({1, {{"BTC", 1}}, {}}), 1u);
    EXPECT_EQ(durable(), 0);
    group.commit();
  }
  EXPECT_EQ(durable(), 2);
  {
    GroupCommit group(store);
    store.append_positions("d", one);
  }
  EXPECT_EQ(store.position_sequence(), 2u);
  EXPECT_EQ(cells(store.positions_at(2)), (Cells{{"ann", "F", 2}}));
  EXPECT_FALSE(store.append_positions("d", one).is_repeat);
  store.check_all();
}

}  // namespace
}  // namespace shortfall::service
