// Diversification can fail: another dependence between the underlyings, and the two underlyings
// that matter most without it.
#include <algorithm>
#include <span>
#include <utility>

#include "components.hpp"
#include "model/block_model.hpp"

namespace shortfall {
namespace {

/// What each account holds, by underlying.
class Holdings {
 public:
  explicit Holdings(const Book& book) : book_(book), begin_(book.accounts.size() + 1) {
    for (const Position& p : book.positions)
      if (!p.quantity.is_zero()) positions_.push_back(p);
    std::ranges::stable_sort(
        positions_, {}, [&](const Position& p) { return std::pair(p.account, underlying(p)); });
    for (const Position& p : positions_) ++begin_[p.account + 1];
    for (std::size_t a = 1; a < begin_.size(); ++a) begin_[a] += begin_[a - 1];
  }

  std::size_t account_count() const { return book_.accounts.size(); }
  /// Ascending by (underlying, instrument).
  std::span<const Position> of(std::size_t account) const {
    return std::span(positions_).subspan(begin_[account], begin_[account + 1] - begin_[account]);
  }
  std::uint32_t underlying(const Position& position) const {
    return book_.instruments[position.instrument].underlying;
  }

 private:
  const Book& book_;
  std::vector<Position> positions_;
  std::vector<std::size_t> begin_;
};

/// Adds an account that holds nothing yet, and a position to the last account. All instruments stay
/// listed in a derived book, so that the blocks of its sums are those of the whole book.
void open_account(Book& book) { book.accounts.push_back({{}, MarginMode::portfolio}); }
void add_position(Book& book, Position position) {
  position.account = static_cast<std::uint32_t>(book.accounts.size() - 1);
  book.positions.push_back(position);
}

/// A part of an account: what it holds in one underlying.
struct Part {
  std::size_t account;
  std::uint32_t underlying;
};

/// Adds to the book an account for each part of the accounts that have several, which it returns
/// in order.
std::vector<Part> add_parts(Book& book, const Holdings& holdings) {
  std::vector<Part> parts;
  for (std::size_t a = 0; a < holdings.account_count(); ++a) {
    const std::span<const Position> held = holdings.of(a);
    if (held.empty() || holdings.underlying(held.front()) == holdings.underlying(held.back()))
      continue;
    for (std::size_t i = 0; i < held.size(); ++i) {
      const std::uint32_t underlying = holdings.underlying(held[i]);
      if (i == 0 || underlying != parts.back().underlying) {
        open_account(book);
        parts.push_back({a, underlying});
      }
      add_position(book, held[i]);
    }
  }
  return parts;
}

/// The two parts of an account with the largest expected shortfalls.
struct TwoLargest {
  std::uint32_t part_count = 0;
  std::uint32_t first = 0, second = 0;  ///< underlyings
  double first_usd = 0, second_usd = 0;

  /// Underlyings come ascending: of equals the first stays.
  void add(std::uint32_t underlying, double shortfall_usd) {
    if (part_count == 0 || shortfall_usd > first_usd) {
      second = std::exchange(first, underlying);
      second_usd = std::exchange(first_usd, shortfall_usd);
    } else if (part_count == 1 || shortfall_usd > second_usd) {
      second = underlying;
      second_usd = shortfall_usd;
    }
    ++part_count;
  }
};

/// Expected shortfalls at the base confidence of what each account holds beside its two largest
/// underlyings; 0 where that is nothing.
std::vector<double> rest_shortfalls(const ComponentContext& context, const Holdings& holdings,
                                    const std::vector<TwoLargest>& largest,
                                    const FactorModel& model) {
  RunInputs inputs = context.inputs;
  Book& book = inputs.book;
  book.accounts.clear();
  book.positions.clear();
  std::vector<std::size_t> account_of;
  for (std::size_t a = 0; a < largest.size(); ++a) {
    if (largest[a].part_count < 3) continue;
    open_account(book);
    account_of.push_back(a);
    for (const Position& p : holdings.of(a)) {
      const std::uint32_t underlying = holdings.underlying(p);
      if (underlying != largest[a].first && underlying != largest[a].second) add_position(book, p);
    }
  }
  std::vector<double> shortfalls(largest.size());
  if (account_of.empty()) return shortfalls;
  const std::vector<GroupRisk> risks = simulate_risks(context.config, inputs, context.simulate,
                                                      context.config.risk.confidence_level, &model);
  for (std::size_t r = 0; r < account_of.size(); ++r)
    shortfalls[account_of[r]] = risks[r].expected_shortfall_usd;
  return shortfalls;
}

double charge(double weight, double excess_usd) { return excess_usd > 0 ? weight * excess_usd : 0; }

}  // namespace

DependenceCharges dependence_charges(const ComponentContext& context) {
  const RunConfig& config = context.config;
  const RunInputs& inputs = context.inputs;
  SHORTFALL_ASSERT(config.margin.dependence);
  const double weight = config.margin.dependence->weight;
  const double confidence_level = config.margin.dependence->confidence_level;
  const std::size_t account_count = inputs.book.accounts.size();

  // One model, as at the base confidence: the tail floor stays where it is.
  Problems problems;
  const FactorModel model = build_factor_model(inputs.covariance, config, problems);
  problems.throw_if_any();
  const auto block_risks = [&](BetweenUnderlyings dependence) {
    const FactorModel changed =
        build_block_model(inputs.covariance, config, model, dependence, problems);
    problems.throw_if_any();
    return simulate_risks(config, inputs, context.simulate, confidence_level, &changed);
  };

  const Holdings holdings(inputs.book);
  RunInputs with_parts = inputs;
  const std::vector<Part> parts = add_parts(with_parts.book, holdings);
  const std::vector<GroupRisk> of_model =
      simulate_risks(config, with_parts, context.simulate, confidence_level, &model);
  const std::vector<GroupRisk> together = block_risks(BetweenUnderlyings::together);
  const std::vector<GroupRisk> uncorrelated = block_risks(BetweenUnderlyings::uncorrelated);

  std::vector<TwoLargest> largest(account_count);
  for (std::size_t p = 0; p < parts.size(); ++p)
    largest[parts[p].account].add(parts[p].underlying,
                                  of_model[account_count + p].expected_shortfall_usd);
  const std::vector<double> rests = rest_shortfalls(context, holdings, largest, model);

  DependenceCharges charges;
  for (std::size_t a = 0; a < account_count; ++a) {
    const double base_usd = context.base[a].expected_shortfall_usd;
    const double whole_usd = of_model[a].expected_shortfall_usd;
    const double greatest_usd = std::max(
        {whole_usd, together[a].expected_shortfall_usd, uncorrelated[a].expected_shortfall_usd});
    charges.dependence_usd.push_back(charge(weight, greatest_usd - base_usd));
    // Of one underlying, the account is its own largest part.
    const double largest_usd =
        largest[a].part_count > 0 ? largest[a].first_usd + largest[a].second_usd : whole_usd;
    charges.concentration_usd.push_back(charge(weight, largest_usd + rests[a] - base_usd));
  }
  return charges;
}

}  // namespace shortfall
