// The expected shortfall of one account and what trades do to it, on paths that are held.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "margin/components.hpp"
#include "plan/plan_groups.hpp"
#include "shortfall/whatif.hpp"
#include "whatif_paths.hpp"
#include "whatif_query.hpp"

namespace shortfall {

/// What every account of a session is revalued with.
struct HeldMarket {
  /// From inputs as they were read. Throws InputError as build_plan does.
  HeldMarket(const RunConfig& config, const RunInputs& as_read, const Progress& progress);
  /// On paths that were drawn for other marks.
  HeldMarket(const RunConfig& config, const RunInputs& as_read,
             std::shared_ptr<const HeldPaths> drawn);

  /// A plan without instruments and groups; of the model it has the number of factors.
  Plan empty_plan() const;

  std::vector<RunConfig> configs;    ///< one per time of revaluation: two where it is worst
  RunInputs inputs;                  ///< as simulated; without accounts
  std::vector<std::uint32_t> order;  ///< of the listing
  std::vector<std::uint32_t> ranks;  ///< its inverse: of each instrument
  std::shared_ptr<const HeldPaths> paths;
};

/// A margin group's shortfall at one time of revaluation.
struct GroupTail {
  GroupRisk risk;
  double unit_usd = 0;  ///< USD per unit of loss
  std::vector<std::uint64_t> keys;
};

class HeldAccount {
 public:
  /// `positions` are the account's, as simulated, ascending by instrument.
  HeldAccount(std::shared_ptr<const HeldMarket> market, Account account,
              std::vector<Position> positions);

  const std::string& name() const { return account_.name; }
  MarginMode mode() const { return account_.mode; }
  const std::vector<Position>& positions() const { return positions_; }
  /// Throws OperatingError for a loss that is not usable.
  BaseWhatIf answer(const std::vector<TradeLeg>& legs);
  std::uint64_t bytes() const;
  /// What bytes() comes to once every group is evaluated and its losses are kept.
  std::uint64_t bytes_evaluated() const;

  /// Evaluates accounts of one market before they are asked for, together: every path once, every
  /// instrument once, the same bits. Throws LossError, and what `progress` throws; then nothing has
  /// changed.
  static void evaluate(std::span<const std::unique_ptr<HeldAccount>> accounts,
                       const Progress& progress);

 private:
  struct Group {
    std::vector<HeldPosition> positions;     // in the order of the listing
    std::vector<GroupTail> tails;            // per time of revaluation; empty: not evaluated yet
    std::vector<std::vector<float>> losses;  // likewise, of every path; empty: not needed yet
  };
  using Positions = std::span<const HeldPosition>;
  struct Evaluation;

  HeldPosition held(std::uint32_t instrument, Quantity quantity) const;
  std::vector<HeldPosition> after(const std::vector<TradeLeg>& legs) const;
  Group* group_of(const HeldPosition& position);
  void evaluate(Group& group, bool keeps_losses) const;
  std::vector<GroupTail> tails_with(Group* group, Positions legs) const;
  GroupTail tail_of(const Plan& plan, const float* before, float* losses) const;
  Plan plan_of(std::size_t time, Positions positions) const;
  Plan plan_of_change(std::size_t time, Positions before, Positions after, Positions legs) const;
  double base_usd(const GroupRisk& risk) const;

  std::shared_ptr<const HeldMarket> market_;
  Account account_;
  std::vector<Position> positions_;
  std::vector<Group> groups_;
};

}  // namespace shortfall
