// What-if queries with their names resolved against a book.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "shortfall/book.hpp"
#include "shortfall/whatif.hpp"

namespace shortfall {

/// Where the names of a book are in it.
class BookNames {
 public:
  /// The book outlives it and does not change.
  explicit BookNames(const Book& book);

  std::optional<std::uint32_t> account(std::string_view name) const;
  std::optional<std::uint32_t> instrument(std::string_view name) const;
  std::uint64_t bytes() const;

 private:
  using Places = std::unordered_map<std::string_view, std::uint32_t>;
  Places accounts_, instruments_;
};

/// Of one instrument, all trades of a query added up: not zero.
struct TradeLeg {
  std::uint32_t instrument = 0;  ///< index into Book::instruments
  Quantity::Units units = 0;
};

struct ResolvedQuery {
  Account account;
  std::optional<std::uint32_t> held;  ///< index into Book::accounts; empty: opened by the query
  std::vector<TradeLeg> legs;         ///< ascending by instrument
};

/// Throws InputError with every problem of the query. `inputs` are as they were read.
ResolvedQuery resolve(const RunConfig& config, const RunInputs& inputs, const BookNames& names,
                      const WhatIfQuery& query);

/// What a run of a book that holds the instrument lacks of the other inputs. A message without a
/// file is to be said of the instrument or of what trades it.
std::vector<Problem> lacking_inputs(const RunConfig& config, const RunInputs& inputs,
                                    std::uint32_t instrument);

/// The inputs, as they were read, with the account of the query alone.
RunInputs inputs_of_query(const RunInputs& inputs, const ResolvedQuery& query);

/// Positions of one account, ascending by instrument, with the legs of a query in them.
std::vector<Position> with_legs(std::vector<Position> positions, const std::vector<TradeLeg>& legs);

}  // namespace shortfall
