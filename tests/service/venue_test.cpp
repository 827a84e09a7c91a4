// A venue against plain runs of files that say the same as its state: the same bytes, whatever came
// in which order, what was interrupted, and how often it was restarted.
#include "host/service/venue.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "host/margin/joint_error.hpp"
#include "host/service/ledger_rows.hpp"
#include "host/service/replay.hpp"
#include "host/service/venue_state.hpp"
#include "tests/demo_run.hpp"
#include "tests/fake_device.hpp"
#include "tests/service/temporary_store.hpp"

namespace shortfall::service {
namespace {

using namespace std::chrono_literals;

Quantity contracts(double count) {
  return Quantity::from_units(static_cast<Quantity::Units>(std::llround(count * 1e6)) * 1'000'000);
}

constexpr const char* with_collateral =
    "sampling_uplift = 1\n[margin.collateral]\nhaircuts = {BTC = 0.1, ETH = 0.15}\n";

class VenueTest : public testing::Test {
 protected:
  explicit VenueTest(const char* margin = "") : demo_(margin, 1, 2000) {
    demo_.config().compute.thread_count = 2;
  }

  std::unique_ptr<Venue> open(VenueOptions options = {}) {
    options.full_run_seconds = std::min(options.full_run_seconds, 3600.0);
    return std::make_unique<Venue>(demo_.config(), state_.directory(), options);
  }

  static void settle(const Venue& venue) {
    for (int tries = 0; tries < 2000; ++tries) {
      const EngineView engine = venue.engine();
      if (engine.stale_account_count == 0 && engine.running.empty() && venue.is_ready()) return;
      std::this_thread::sleep_for(5ms);
    }
    FAIL() << "margins are still stale after ten seconds";
  }

  /// Rows of margin.csv of a run of the book as it stands in the store, in memory.
  std::map<std::string, std::string> plain_rows(const LiveBook& book) const {
    RunBackends backends(book.config().compute);
    std::vector<std::string> warnings;
    const Progress silent;
    MarginRun run(book.config(), backends, silent, warnings);
    BaseRun base = run.plan(book.inputs());
    run.simulate(base);
    std::map<std::string, std::string> rows;
    for (const MarginRow& row : rows_of(run.margins(base), book.config().margin))
      rows[row.account] = row.csv_row;
    return rows;
  }

  /// Closes the venue and compares its last margins with plain runs, and every entry of its ledger
  /// with a replay.
  void expect_rows_of_plain_runs(std::unique_ptr<Venue> venue) {
    const EngineView engine = venue->engine();
    std::map<std::string, std::string> got;
    for (const AccountView& account : venue->accounts()) {
      ASSERT_TRUE(account.margin) << account.name;
      EXPECT_EQ(account.staleness.seconds, 0);
      got[account.name] = rows_of({*account.margin}, demo_.config().margin).front().csv_row;
    }
    venue.reset();
    const StateStore store = StateStore::open(state_.directory());
    EXPECT_EQ(store.market_sequence(), engine.market_sequence);
    EXPECT_EQ(store.position_sequence(), engine.position_sequence);
    const LiveBook book =
        book_at(store, demo_.config(), store.market_sequence(), store.position_sequence());
    std::map<std::string, std::string> want = plain_rows(book);
    for (const auto& [name, row] : want) EXPECT_EQ(got[name], row) << name;
    store.check_all();
  }

  void expect_replays() {
    std::uint64_t last = 0;
    {
      const StateStore store = StateStore::open(state_.directory());
      last = store.run_sequence();
    }
    EXPECT_GT(last, 0u);
    for (std::uint64_t run = 1; run <= last; ++run) {
      const Replay replay = replay_run(state_.directory(), run, demo_.config().compute);
      EXPECT_TRUE(replay.is_equal()) << "run " << run << ": " << replay.differing_accounts.size()
                                     << " of " << replay.account_count << " rows differ";
    }
  }

  DemoRun demo_;
  TemporaryState state_;
};

/// The configuration names its collateral itself, as it has to be replayed from.
class VenueWithCollateral : public VenueTest {
 protected:
  VenueWithCollateral() : VenueTest(with_collateral) {
    const std::filesystem::path file = demo_.config().file;
    std::ofstream(file.parent_path() / "collateral.csv", std::ios::app)
        << "long-straddle-01,USD,10000000\n";
    std::string text = read_file(file);
    const std::string heading = "[inputs]\n";
    text.insert(text.find(heading) + heading.size(), "collateral = \"collateral.csv\"\n");
    std::ofstream(file) << text;
    RunOverrides overrides;
    overrides.path_count = 2000;
    overrides.thread_count = 2;
    overrides.backend = BackendChoice::cpu;
    demo_.config() = load_config(file, overrides);
  }
};

MarketUpdate marks(const Venue& venue, double factor, const std::string& underlying) {
  MarketUpdate update;
  update.as_of = venue.engine().as_of;
  std::uint32_t index = 0;
  for (const std::string& name : venue.underlyings()) {
    if (name == underlying) break;
    ++index;
  }
  for (const Instrument& i : venue.instruments())
    if (i.underlying == index && i.type != InstrumentType::spot)
      update.marks.push_back({i.name, i.mark_price * factor, std::nullopt});
  return update;
}

TEST_F(VenueTest, BeginsWithTheMarginsOfItsFiles) {
  std::unique_ptr<Venue> venue = open();
  settle(*venue);
  const std::vector<RunView> runs = venue->runs(10);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].entry.kind, RunKind::full);
  EXPECT_EQ(runs[0].status, RunStatus::done);
  EXPECT_EQ(runs[0].sequence, 1u);
  EXPECT_EQ(runs[0].account_count, venue->accounts().size());
  expect_rows_of_plain_runs(std::move(venue));
  expect_replays();
}

TEST_F(VenueWithCollateral, FollowsChangesToTheBit) {
  std::unique_ptr<Venue> venue = open();
  settle(*venue);
  std::mt19937 random(11);
  const std::vector<Instrument> listed = venue->instruments();
  const std::vector<AccountView> accounts = venue->accounts();
  for (int step = 0; step < 60; ++step) {
    if (step % 10 == 9) {
      venue->update_market(marks(*venue, 1 + 0.001 * static_cast<double>(random() % 20),
                                 step % 20 == 9 ? "SOL" : "BTC"));
      continue;
    }
    std::vector<PositionChange> changes;
    for (std::uint32_t c = 0; c <= random() % 3; ++c)
      changes.push_back(
          {step % 7 == 6 ? fmt::format("new-{}", 9 - step / 7)
                         : accounts[random() % accounts.size()].name,
           listed[random() % listed.size()].name,
           contracts((random() % 2 ? 0.5 : -0.5) * static_cast<double>(1 + random() % 20))});
    venue->change_positions(fmt::format("batch-{}", step), changes);
  }
  settle(*venue);
  EXPECT_GT(venue->engine().run_sequence, 2u);
  expect_rows_of_plain_runs(std::move(venue));
  expect_replays();
}

TEST_F(VenueTest, AnUpdateOfOneUnderlyingRerunsItsHoldersAlone) {
  std::unique_ptr<Venue> venue = open();
  settle(*venue);
  const std::size_t all = venue->accounts().size();
  venue->update_market(marks(*venue, 1.01, "SOL"));
  settle(*venue);
  const RunView run = venue->runs(1).front();
  EXPECT_EQ(run.entry.kind, RunKind::partial);
  EXPECT_GT(run.account_count, 0u);
  EXPECT_LT(run.account_count, all / 2);
  // Marks as they are move nothing.
  MarketUpdate same;
  same.as_of = venue->engine().as_of;
  const Instrument first = venue->instruments().front();
  same.marks = {{first.name, first.mark_price, std::nullopt}};
  venue->update_market(same);
  EXPECT_EQ(venue->engine().stale_account_count, 0u);
  expect_rows_of_plain_runs(std::move(venue));
}

TEST_F(VenueTest, ABatchCountsOnce) {
  std::unique_ptr<Venue> venue = open();
  const std::vector<PositionChange> changes = {{"newcomer", "BTC-PERPETUAL", contracts(3)}};
  const Accepted first = venue->change_positions("id-1", changes);
  const Accepted again = venue->change_positions("id-1", changes);
  EXPECT_FALSE(first.is_repeat);
  EXPECT_TRUE(again.is_repeat);
  EXPECT_EQ(first.sequence, again.sequence);
  const std::vector<PositionChange> other = {{"newcomer", "BTC-PERPETUAL", contracts(4)}};
  EXPECT_THROW(venue->change_positions("id-1", other), Conflict);
  settle(*venue);
  const std::optional<AccountDetail> detail = venue->account("newcomer");
  ASSERT_TRUE(detail);
  ASSERT_EQ(detail->positions.size(), 1u);
  EXPECT_EQ(detail->positions[0].quantity.contracts(), 3);
  venue.reset();
  venue = open();
  EXPECT_TRUE(venue->change_positions("id-1", changes).is_repeat);
  settle(*venue);
  expect_rows_of_plain_runs(std::move(venue));
}

TEST_F(VenueTest, TimeDoesNotGoBackAndExpiresWhatNobodyHolds) {
  std::unique_ptr<Venue> venue = open();
  settle(*venue);
  MarketUpdate update;
  update.as_of = venue->engine().as_of - 1;
  EXPECT_THROW(venue->update_market(update), Conflict);
  // Past the first expiry, which somebody holds.
  std::int64_t first_expiry = 0;
  for (const Instrument& i : venue->instruments())
    if (i.expiry && (!first_expiry || i.expiry < first_expiry)) first_expiry = i.expiry;
  update.as_of = first_expiry;
  try {
    venue->update_market(update);
    FAIL() << "a held instrument expired";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("close the positions first"), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(venue->engine().market_sequence, 0u);
  // Everything in it closed.
  std::vector<PositionChange> closing;
  for (const AccountView& account : venue->accounts()) {
    const std::optional<AccountDetail> detail = venue->account(account.name);
    for (const PositionView& p : detail->positions)
      for (const Instrument& i : venue->instruments())
        if (i.name == p.instrument && i.expiry == first_expiry)
          closing.push_back({account.name, i.name, Quantity::from_units(-p.quantity.units())});
  }
  ASSERT_FALSE(closing.empty());
  venue->change_positions("close", closing);
  const std::size_t listed = venue->instruments().size();
  EXPECT_EQ(venue->update_market(update).sequence, 1u);
  EXPECT_LT(venue->instruments().size(), listed);
  settle(*venue);
  expect_rows_of_plain_runs(std::move(venue));
  expect_replays();
}

TEST_F(VenueTest, WhatIfsHaveTheBitsOfRunsOrNearly) {
  std::unique_ptr<Venue> venue = open();
  const WhatIfQuery query{"market-maker-03", {{"SOL-PERPETUAL", contracts(2000)}}};
  const WhatIf want = what_if(demo_.config(), query);
  const WhatIfView exact = venue->what_if(query, true), quick = venue->what_if(query, false);
  EXPECT_TRUE(exact.is_exact);
  EXPECT_FALSE(quick.is_exact);
  const auto row = [&](const AccountMargin& margin) {
    return format_margins({margin}, demo_.config().margin);
  };
  EXPECT_EQ(row(exact.answer.before), row(want.before));
  EXPECT_EQ(row(exact.answer.after), row(want.after));
  const double near = 1e-8 * want.after.gross_notional_usd;
  EXPECT_EQ(quick.answer.before.position_count, want.before.position_count);
  EXPECT_EQ(quick.answer.after.position_count, want.after.position_count);
  EXPECT_NEAR(quick.answer.after.gross_notional_usd, want.after.gross_notional_usd, near);
  EXPECT_NEAR(quick.answer.after.margin_usd, want.after.margin_usd, near);
  EXPECT_NEAR(quick.answer.before.expected_shortfall_usd, want.before.expected_shortfall_usd, near);
  // After a change the book is another.
  venue->change_positions(
      "1", std::vector<PositionChange>{{"market-maker-03", "SOL-PERPETUAL", contracts(2000)}});
  EXPECT_NEAR(venue->what_if(query, false).answer.before.margin_usd, want.after.margin_usd, near);
  EXPECT_EQ(row(venue->what_if(query, true).answer.before), row(want.after));
  EXPECT_THROW(venue->what_if({"nobody", query.trades}, false), InputError);
}

TEST_F(VenueTest, DetailsAddUp) {
  std::unique_ptr<Venue> venue = open();
  settle(*venue);
  EXPECT_FALSE(venue->account("nobody"));
  for (const char* name : {"market-maker-03", "calendar-02"}) {
    const std::optional<AccountDetail> detail = venue->account(name);
    ASSERT_TRUE(detail && detail->distribution);
    const AccountMargin& margin = *detail->account.margin;
    double sum = detail->contributions_rest_usd;
    for (const Contribution& c : detail->contributions) sum += c.component_usd;
    EXPECT_NEAR(sum, margin.expected_shortfall_usd, 1e-6 * margin.gross_notional_usd);
    std::uint64_t paths = 0;
    for (const std::uint64_t count : detail->distribution->counts) paths += count;
    EXPECT_EQ(paths, 2000u);
    EXPECT_EQ(detail->distribution->bin_edges.size(), detail->distribution->counts.size() + 1);
    EXPECT_TRUE(std::ranges::is_sorted(detail->distribution->bin_edges));
    if (detail->account.mode == MarginMode::portfolio) {
      EXPECT_NEAR(detail->distribution->expected_shortfall_usd, margin.expected_shortfall_usd,
                  1e-6 * margin.gross_notional_usd);
    }
  }
}

TEST_F(VenueTest, OtherFilesAreRefusedUnlessAdopted) {
  open().reset();
  const std::filesystem::path& positions = demo_.config().inputs.positions;
  std::ofstream(positions, std::ios::app) << "late,BTC-PERPETUAL,1\n";
  try {
    open();
    FAIL() << "another positions file";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("--adopt"), std::string::npos) << error.what();
  }
  VenueOptions options;
  options.adopts_new_inputs = true;
  std::unique_ptr<Venue> venue = open(options);
  settle(*venue);
  EXPECT_EQ(venue->engine().inputs_generation, 2u);
  EXPECT_TRUE(venue->account("late"));
  expect_rows_of_plain_runs(std::move(venue));
  expect_replays();
}

/// A device that is lost when it is asked for the n-th time, counted over all classes of jobs.
VenueOptions with_device_lost_at(int call, bool has_fallback) {
  const auto calls = std::make_shared<int>(0);
  VenueOptions options;
  options.make_backends = [=] {
    std::vector<std::unique_ptr<Backend>> devices;
    devices.push_back(std::make_unique<FakeDevice>(
        "fragile", [=](const FakeDevice& device, PathRange range, const Progress& progress) {
          if (++*calls == call) lose_device(device, range, progress);
        }));
    MakeFallback fallback = [] { return std::make_unique<FakeDevice>("spare"); };
    return RunBackends(std::move(devices), has_fallback ? fallback : MakeFallback());
  };
  return options;
}

TEST_F(VenueTest, ADeviceThatIsLostIsToldOfAndItsPathsAreRedone) {
  std::unique_ptr<Venue> venue = open(with_device_lost_at(2, true));
  settle(*venue);
  EXPECT_EQ(venue->counts().backend_errors, 0u);
  venue->update_market(marks(*venue, 1.01, "BTC"));
  settle(*venue);
  const RunView run = venue->runs(1).front();
  EXPECT_EQ(run.status, RunStatus::done);
  const std::string told =
      "fragile: launch failure; paths 0 to 1999 were not done, and were redone on cuda, spare";
  EXPECT_EQ(std::ranges::count(run.warnings, told), 1);
  EXPECT_EQ(venue->engine().backend_failures, std::vector{told});
  EXPECT_EQ(venue->counts().backend_errors, 1u);
  EXPECT_EQ(venue->engine().backend.device, "spare");
  expect_rows_of_plain_runs(std::move(venue));
  expect_replays();
}

TEST_F(VenueTest, ARunWithoutADeviceFailsAndTheNextChangeTriesAgain) {
  std::unique_ptr<Venue> venue = open(with_device_lost_at(2, false));
  settle(*venue);
  venue->update_market(marks(*venue, 1.01, "BTC"));
  for (int tries = 0; tries < 2000 && venue->counts().runs_failed == 0; ++tries)
    std::this_thread::sleep_for(5ms);
  const RunView failed = venue->runs(1).front();
  EXPECT_EQ(failed.status, RunStatus::failed);
  EXPECT_NE(failed.error.find("no device is left"), std::string::npos) << failed.error;
  EXPECT_EQ(venue->engine().backend_failures, std::vector{failed.error});
  EXPECT_GT(venue->engine().stale_account_count, 0u);
  venue->update_market(marks(*venue, 1.02, "BTC"));
  settle(*venue);
  EXPECT_EQ(venue->counts().backend_errors, 1u);
  expect_rows_of_plain_runs(std::move(venue));
}

/// While a full run is on its way, an account near a call changes and is run inside it: the full
/// run, which does not know of the change and ends last, leaves that margin alone.
TEST_F(VenueWithCollateral, AnEarlierSnapshotDoesNotReplaceALaterMargin) {
  std::unique_ptr<Venue> venue;
  int backends_made = 0, full_class_calls = 0;
  const auto change_inside = [&](const FakeDevice&, PathRange, const Progress& progress) {
    if (++full_class_calls != 2) return;
    const std::uint64_t done = venue->counts().runs_done;
    venue->change_positions("inside", std::vector<PositionChange>{
                                          {"short-strangle-03", "BTC-PERPETUAL", contracts(1e5)}});
    for (int tries = 0; tries < 2000 && venue->counts().runs_done == done; ++tries) {
      progress(0);
      std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(venue->counts().runs_done, done + 1);
  };
  std::size_t stale_inside = 0;  // while the change is being computed
  const auto look_inside = [&](const FakeDevice&, PathRange, const Progress&) {
    stale_inside = venue->engine().stale_account_count;
  };
  const Accident of_class[job_class_count] = {{}, look_inside, change_inside};
  VenueOptions options;
  options.make_backends = [&] {
    std::vector<std::unique_ptr<Backend>> devices;
    devices.push_back(std::make_unique<FakeDevice>("cpu", of_class[backends_made++]));
    return RunBackends(std::move(devices), {});
  };
  venue = open(options);
  settle(*venue);
  venue->request_run({});
  for (int tries = 0; tries < 2000 && venue->counts().runs_done < 3; ++tries)
    std::this_thread::sleep_for(5ms);
  settle(*venue);
  EXPECT_EQ(stale_inside, 1u);
  EXPECT_EQ(venue->runs(1).front().entry.position_sequence, 1u);
  EXPECT_EQ(venue->account("short-strangle-03")->account.source.position_sequence, 1u);
  EXPECT_EQ(venue->account("long-straddle-01")->account.source.position_sequence, 0u);
  expect_rows_of_plain_runs(std::move(venue));
  expect_replays();
}

TEST_F(VenueWithCollateral, TellsOfCallsAndRecoveries) {
  std::unique_ptr<Venue> venue = open();
  settle(*venue);
  // Beyond what ten million USD stand for.
  venue->change_positions(
      "big", std::vector<PositionChange>{{"long-straddle-01", "SOL-PERPETUAL", contracts(1e6)}});
  settle(*venue);
  venue->change_positions(
      "undo", std::vector<PositionChange>{{"long-straddle-01", "SOL-PERPETUAL", contracts(-1e6)}});
  settle(*venue);
  // They follow the margins, and others, without collateral, have been called at the start.
  std::string names;
  for (int tries = 0; tries < 200 && names != "call recovery "; ++tries) {
    names.clear();
    for (const Event& event : venue->events().after(0, 0ms).events)
      if ((event.name == "call" || event.name == "recovery") &&
          event.data.find("\"long-straddle-01\"") != std::string::npos)
        names += event.name + " ";
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(names, "call recovery ");
}

}  // namespace
}  // namespace shortfall::service
