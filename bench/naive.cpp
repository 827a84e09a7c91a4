#include "naive.hpp"

#include <utility>

#include "tests/reference_engine.hpp"

namespace shortfall::naive {

std::vector<double> plain_losses(const RunConfig& config, const RunInputs& inputs,
                                 const double* moves, std::size_t path_count) {
  const reference::GroupLosses groups =
      reference::group_losses(config, inputs, {moves, path_count});
  std::vector<double> losses(inputs.book.accounts.size() * path_count);
  for (std::size_t g = 0; g < groups.groups.size(); ++g)
    for (std::size_t p = 0; p < path_count; ++p)
      losses[groups.groups[g].account * path_count + p] += groups.row(g)[p];
  return losses;
}

Engine::Engine(plain::Book book) : book_(std::move(book)), accounts_(book_.accounts.size()) {
  for (std::size_t a = 0; a < accounts_.size(); ++a)
    for (const plain::Holding& held : book_.accounts[a])
      accounts_[a].push_back({book_.contracts[held.contract], held.weight});
}

std::vector<double> Engine::losses(const double* moves, std::size_t path_count) const {
  const std::vector<plain::TermState> states = book_.states(moves, path_count);
  const auto black = [](const plain::Contract& contract, double forward, double deviation) {
    return plain::black(contract.type == InstrumentType::call, forward, contract.strike, deviation);
  };
  std::vector<double> losses(accounts_.size() * path_count);
  for (std::size_t a = 0; a < accounts_.size(); ++a) {
    for (std::size_t p = 0; p < path_count; ++p) {
      const plain::TermState* const now = states.data() + p * book_.terms.size();
      double gain_usd = 0;
      for (const Held& held : accounts_[a])
        gain_usd += held.weight * plain::change_usd(held.contract, now[held.contract.term], black);
      losses[a * path_count + p] = -gain_usd;
    }
  }
  return losses;
}

}  // namespace shortfall::naive
