#include <fmt/format.h>

#include <memory>

#include "sections.hpp"
#include "slice.hpp"
#if SHORTFALL_BENCH_QUANTLIB
#include "quantlib_revaluation.hpp"
#endif

namespace shortfall::bench {

#if SHORTFALL_BENCH_QUANTLIB
namespace {

using plain::block_path_count;
using quantlib::Pricer;

struct Work {
  plain::Book book;
  Slice slice;
  quantlib::Revaluation revaluation;
  std::vector<double> changes, block_losses;

  Work(const Job& job, Pricer pricer, std::uint32_t path_count)
      : book(job.config, job.inputs),
        slice(job, path_count, 0.9),
        revaluation(book, pricer),
        block_losses(book.accounts.size() * block_path_count) {}

  void revalue() { revaluation.changes_usd(slice.moves(), slice.path_count(), changes); }
  void sum_block(std::size_t block) {
    plain::sum_accounts(book, changes.data() + block * block_path_count * book.contracts.size(),
                        block_losses.data());
  }
  /// A row of paths per account.
  std::vector<double> losses() {
    std::vector<double> rows(book.accounts.size() * slice.path_count());
    for (std::size_t block = 0; block < slice.path_count() / block_path_count; ++block) {
      sum_block(block);
      for (std::size_t a = 0; a < book.accounts.size(); ++a)
        std::copy_n(block_losses.data() + a * block_path_count, block_path_count,
                    rows.data() + a * slice.path_count() + block * block_path_count);
    }
    return rows;
  }
};

void add_revaluation(Suite& suite, const Job& job, Pricer pricer, const char* stage,
                     const char* what) {
  const auto work = std::make_shared<Work>(job, pricer, suite.is_quick() ? 64 : 256);
  const auto contracts = static_cast<double>(work->book.contracts.size());
  suite.add(
      {.stage = stage,
       .job = job.name,
       .item = "revaluation",
       .whole = contracts * static_cast<double>(job.plan.path_count),
       .note = fmt::format("QuantLib {}, {}, each instrument once per path; time "
                           "extrapolated from {} paths, without draws, sums and tails",
                           quantlib::version(), what, work->slice.path_count())},
      contracts * work->slice.path_count(), [=] { work->revalue(); },
      [=] {
        const std::vector<double> losses = work->losses();
        work->slice.check_losses(losses);
        return hash_array(losses.data(), losses.size());
      });
}

/// Sums of the same block, a path at a time: what one writes who values a path at a time.
struct ByPath {
  std::vector<double> changes, losses;  ///< a row of contracts, of accounts, per path

  explicit ByPath(const Work& work)
      : changes(work.book.contracts.size() * block_path_count),
        losses(work.book.accounts.size() * block_path_count) {
    const std::size_t count = work.book.contracts.size();
    for (std::size_t c = 0; c < count; ++c)
      for (std::size_t p = 0; p < block_path_count; ++p)
        changes[p * count + c] = work.changes[c * block_path_count + p];
  }
  void sum(const plain::Book& book) {
    for (std::size_t p = 0; p < block_path_count; ++p)
      plain::sum_accounts_on_path(book, changes.data() + p * book.contracts.size(),
                                  losses.data() + p * book.accounts.size());
  }
  /// A row of paths per account.
  std::vector<double> rows(std::size_t account_count) const {
    std::vector<double> rows(losses.size());
    for (std::size_t a = 0; a < account_count; ++a)
      for (std::size_t p = 0; p < block_path_count; ++p)
        rows[a * block_path_count + p] = losses[p * account_count + a];
    return rows;
  }
};

void add_sums(Suite& suite, const Job& job) {
  const auto work = std::make_shared<Work>(job, Pricer::black_formula, block_path_count);
  work->revalue();
  const auto by_path = std::make_shared<ByPath>(*work);
  const auto positions = static_cast<double>(job.plan.holdings.size());
  const auto add = [&](const char* stage, const char* note, std::function<void()> sum,
                       std::function<std::vector<double>()> losses) {
    suite.add({.stage = stage,
               .job = job.name,
               .item = "position",
               .whole = positions * static_cast<double>(job.plan.path_count),
               .note = note},
              positions * block_path_count, std::move(sum), [=] {
                const std::vector<double> rows = losses();
                work->slice.check_losses(rows);
                return hash_array(rows.data(), rows.size());
              });
  };
  add(
      "baseline.sums", "sums per account for QuantLib: double, vectorised over 64 paths in cache",
      [=] { work->sum_block(0); }, [=] { return work->losses(); });
  add(
      "baseline.sums.by_path", "the same, path by path", [=] { by_path->sum(work->book); },
      [=] { return by_path->rows(work->book.accounts.size()); });
}

}  // namespace

void add_quantlib(Suite& suite, const Job& job) {
  add_revaluation(suite, job, Pricer::black_formula, "baseline.quantlib.formula", "blackFormula");
  add_revaluation(suite, job, Pricer::analytic_engine, "baseline.quantlib.engine",
                  "VanillaOption with AnalyticEuropeanEngine");
  add_sums(suite, job);
}
#else
void add_quantlib(Suite& suite, const Job& job) {
  suite.skip({.stage = "baseline.quantlib", .job = job.name},
             "no QuantLib was found when this was configured (Debian: libquantlib0-dev)");
}
#endif

}  // namespace shortfall::bench
