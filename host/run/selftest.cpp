#include "shortfall/selftest.hpp"

#include <algorithm>
#include <bit>
#include <functional>

#include "output/sha256.hpp"
#include "shortfall/margin.hpp"
#include "shortfall/report.hpp"

namespace shortfall {
namespace {

static_assert(std::endian::native == std::endian::little, "the hashes are of little-endian bytes");

constexpr std::int64_t day_seconds = 86'400;
constexpr std::int64_t as_of = 1'767'225'600;  // 2026-01-01T00:00:00Z
constexpr int horizon_days = 2;

/// No multiple of a row, a tile or a warp; nor is where the trace begins, or its length.
constexpr std::uint64_t path_count = 10'007, first_traced_path = 9'501;
constexpr std::uint32_t traced_path_count = 333;

/// What each stage has to be, in their order. A change of the methodology changes them.
struct Expected {
  const char* stage;
  const char* hash;
};
constexpr Expected expected_hashes[] = {
    {"plan", "5be4f607094aa70a"},      {"normals", "8356d69b1bd4ccdf"},
    {"mixing", "99c42abc2fcab461"},    {"factors", "520fa12ffa8755f1"},
    {"states", "9ce3954e2d595b87"},    {"values", "c7c356c71a52f10a"},
    {"losses", "d4e55ae8eb24a679"},    {"tails", "fc2d377503e84d0f"},
    {"margin.csv", "01ef8a380bd59c27"}};

RunConfig make_config() {
  RunConfig config;
  config.as_of = as_of;
  config.model.distribution = Distribution::student_t;
  config.model.degrees_of_freedom = 4;
  config.risk.path_count = path_count;
  config.risk.seed = 0x123456789abcdef0;
  config.risk.confidence_level = 0.975;
  config.risk.horizon_days = horizon_days;
  config.margin.multiplier = 1.25;
  return config;
}

/// Two underlyings with every kind of factor, one with the least. Each factor is moved by one
/// common shock and one of its own.
void add_market(RunInputs& inputs) {
  struct Move {
    FactorKind kind;
    std::uint32_t tenor_days;
    double deviation, common_share;
  };
  const Move moves[] = {{FactorKind::spot, 0, 0.03, 0.75},   {FactorKind::vol, 7, 0.07, -0.5},
                        {FactorKind::vol, 60, 0.04, -0.625}, {FactorKind::skew, 0, 0.02, 0.25},
                        {FactorKind::basis, 0, 0.01, 0.375}, {FactorKind::perp, 0, 0.0005, 0.125}};
  inputs.book.underlyings = {{"BTC", 92'913.1}, {"ETH", 3'290.34}, {"SOL", 138.27}};
  std::vector<double> common, own;
  for (std::uint32_t u = 0; u < 3; ++u)
    for (const Move& move : moves) {
      if (u == 2 && move.kind != FactorKind::spot) continue;
      inputs.covariance.factors.push_back({"", u, move.kind, move.tenor_days});
      const double deviation = move.deviation * (1 + 0.5 * u);
      common.push_back(deviation * move.common_share);
      own.push_back(deviation * deviation * (1 - move.common_share * move.common_share));
    }
  for (std::size_t i = 0; i < common.size(); ++i)
    for (std::size_t j = 0; j < common.size(); ++j)
      inputs.covariance.matrix.push_back(common[i] * common[j] + (i == j ? own[i] : 0));
}

/// Futures and options that expire inside the horizon, at its end, and beyond; more listed
/// instruments than a superblock has.
void add_instruments(Book& book) {
  const auto add = [&](InstrumentType type, Settlement settlement, std::uint32_t underlying,
                       int expiry_days, double strike, double iv) {
    const bool is_in_usd = settlement == Settlement::inverse &&
                           (type == InstrumentType::future || type == InstrumentType::perpetual);
    const double spot_usd = book.underlyings[underlying].spot_usd;
    Instrument instrument;
    instrument.name = std::to_string(book.instruments.size());
    instrument.type = type;
    instrument.settlement = settlement;
    instrument.underlying = underlying;
    instrument.expiry = expiry_days ? as_of + expiry_days * day_seconds : 0;
    instrument.strike = strike;
    instrument.multiplier = is_in_usd ? 10 : 1;
    instrument.mark_price = spot_usd * (1 + 0.0002 * expiry_days);
    instrument.mark_iv = iv;
    book.instruments.push_back(std::move(instrument));
  };
  for (std::uint32_t u = 0; u < book.underlyings.size(); ++u) {
    add(InstrumentType::spot, Settlement::linear, u, 0, 0, 0);
    for (const Settlement settlement : {Settlement::linear, Settlement::inverse}) {
      add(InstrumentType::perpetual, settlement, u, 0, 0, 0);
      for (const int days : {1, horizon_days, 30, 180})
        add(InstrumentType::future, settlement, u, days, 0, 0);
    }
    for (const int days : {1, horizon_days, 9, 45, 270})
      for (int level = 0; level < 18; ++level)
        for (const Settlement settlement : {Settlement::linear, Settlement::inverse})
          for (const InstrumentType type : {InstrumentType::call, InstrumentType::put})
            add(type, settlement, u, days, book.underlyings[u].spot_usd * (0.575 + 0.05 * level),
                0.45 + 0.015 * level);
  }
}

/// Whether any account holds this instrument: all but options, and a fifth of these, some of them
/// as a call and put of one strike.
bool is_held(const Book& book, std::uint32_t instrument) {
  const InstrumentType type = book.instruments[instrument].type;
  const bool is_option = type == InstrumentType::call || type == InstrumentType::put;
  return !is_option || instrument % 7 == 0 || instrument % 21 == 1;
}

/// Accounts, each holding what it chooses of the instruments that are held at all.
class AccountWriter {
 public:
  explicit AccountWriter(Book& book) : book_(book) {
    for (std::uint32_t i = 0; i < book.instruments.size(); ++i)
      if (is_held(book, i)) held_.push_back(i);
  }

  std::size_t held_count() const { return held_.size(); }

  void add(MarginMode mode, const std::function<bool(std::size_t)>& holds) {
    const auto account = static_cast<std::uint32_t>(book_.accounts.size());
    book_.accounts.push_back({std::to_string(account), mode});
    for (std::size_t h = 0; h < held_.size(); ++h)
      if (holds(h)) book_.positions.push_back({account, held_[h], next_quantity()});
  }

  /// An account that nets to nothing.
  void add_flat() {
    add(MarginMode::portfolio, [](std::size_t h) { return h == 0; });
    book_.positions.back().quantity = {};
  }

 private:
  /// Odd numbers of thousandths of a contract, -20 to 20 contracts (Knuth's MMIX generator).
  Quantity next_quantity() {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    const auto thousandths = static_cast<std::int64_t>((state_ >> 33) % 20'000) * 2 - 19'999;
    return Quantity::from_units(static_cast<Quantity::Units>(thousandths) * 1'000'000'000);
  }

  Book& book_;
  std::vector<std::uint32_t> held_;
  std::uint64_t state_ = 1;
};

/// Accounts that hold everything, a part of each block, a few, one; in every margin mode.
void add_accounts(Book& book) {
  AccountWriter accounts(book);
  const std::size_t n = accounts.held_count();
  for (int i = 0; i < 7; ++i) accounts.add(MarginMode::portfolio, [](std::size_t) { return true; });
  accounts.add(MarginMode::cross, [](std::size_t) { return true; });
  accounts.add(MarginMode::isolated, [](std::size_t h) { return h % 5 == 0; });
  accounts.add_flat();
  for (std::size_t i = 0; i < 24; ++i)  // a run of 8 to 54 neighbours
    accounts.add(MarginMode::portfolio,
                 [=](std::size_t h) { return (h + n - 37 * i % n) % n < 8 + 2 * i; });
  for (std::size_t i = 0; i < 12; ++i)  // a few, far apart
    accounts.add(MarginMode::cross, [=](std::size_t h) { return h % 47 == 3 * i; });
  for (std::size_t i = 0; i < 32; ++i)
    accounts.add(MarginMode::portfolio, [=](std::size_t h) { return h == 7 * i; });
}

RunInputs make_inputs() {
  RunInputs inputs;
  add_market(inputs);
  add_instruments(inputs.book);
  add_accounts(inputs.book);
  return inputs;
}

template <class T>
std::string hash_of(const std::vector<T>& values) {
  Sha256 hash;
  hash.add(values.data(), values.size() * sizeof(T));
  return hash.finish_hex();
}

/// Backends leave the entries of a group in different orders.
std::string hash_of_sorted(Tails tails) {
  for (auto group = tails.keys.begin(); group != tails.keys.end();
       group += static_cast<std::ptrdiff_t>(tails.count))
    std::sort(group, group + static_cast<std::ptrdiff_t>(tails.count), std::greater<>());
  return hash_of(tails.keys);
}

}  // namespace

bool SelftestResult::is_equal() const {
  return std::all_of(stages.begin(), stages.end(),
                     [](const SelftestStage& stage) { return stage.is_equal(); });
}

SelftestResult selftest(Backend& backend) {
  const RunConfig config = make_config();
  const RunInputs inputs = make_inputs();
  const Plan plan = build_plan(config, inputs);
  const PathTrace trace = backend.trace(plan, first_traced_path, traced_path_count);
  const Tails tails = backend.simulate(plan, {0, plan.path_count}, {});
  const std::string margins =
      format_margins(compute_margins(plan, inputs.book, tails, config.margin));

  SelftestResult result{backend.describe(plan), {}};
  const auto add = [&](const std::string& hash) {
    const Expected& expected = expected_hashes[result.stages.size()];
    result.stages.push_back({expected.stage, hash.substr(0, 16), expected.hash});
  };
  add(plan.hash);
  add(hash_of(trace.normals));
  add(hash_of(trace.mixing));
  add(hash_of(trace.factors));
  add(hash_of(trace.states));
  add(hash_of(trace.values));
  add(hash_of(trace.losses));
  add(hash_of_sorted(tails));
  add(hash_of(std::vector<char>(margins.begin(), margins.end())));
  return result;
}

}  // namespace shortfall
