#include "chain_files.hpp"

#include <array>
#include <fstream>
#include <iterator>
#include <list>
#include <utility>

#include "fmt/format.h"
#include "output/atomic_file.hpp"
#include "output/csv_text.hpp"
#include "shortfall/config.hpp"

namespace shortfall::exchange {
namespace {

void append_row(std::string& out, const Instrument& i, const std::string& underlying) {
  const bool is_option = i.type == InstrumentType::call || i.type == InstrumentType::put;
  append_field(out, i.name);
  out += fmt::format(",{},{},{},{},", to_string(i.type), underlying, to_string(i.settlement),
                     i.expiry == 0 ? std::string() : format_date_time(i.expiry));
  if (is_option) append_number(out, i.strike);
  out += ',';
  append_number(out, i.multiplier);
  out += ',';
  append_number(out, i.mark_price);
  out += ',';
  if (is_option) append_number(out, i.mark_iv);
  out += '\n';
}

bool has_other_text(const std::filesystem::path& file, const std::string& text) {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(file, error))) return false;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return true;
  const std::string found{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  return found != text;
}

}  // namespace

ChainFiles format_chain(const ImportedChain& chain) {
  ChainFiles files;
  files.underlyings = "underlying,spot\n";
  for (const Underlying& underlying : chain.underlyings) {
    append_field(files.underlyings, underlying.name);
    files.underlyings += ',';
    append_number(files.underlyings, underlying.spot_usd);
    files.underlyings += '\n';
  }
  files.instruments =
      "instrument,type,underlying,settlement,expiry,strike,multiplier,mark_price,mark_iv\n";
  for (const ListedInstrument& listed : chain.instruments)
    append_row(files.instruments, listed.terms, chain.underlyings[listed.terms.underlying].name);
  files.config = fmt::format(
      R"(# Deribit's marks, by `shortfall import`. positions.csv and covariance.csv are yours to add.
[inputs]
underlyings = "underlyings.csv"
instruments = "instruments.csv"
positions = "positions.csv"
covariance = "covariance.csv"

[market]
as_of = {}
)",
      format_date_time(chain.as_of));
  return files;
}

void write_chain(const ChainFiles& files, const std::filesystem::path& directory, bool overwrites) {
  const std::array<std::pair<std::filesystem::path, const std::string*>, 3> all = {
      {{directory / "underlyings.csv", &files.underlyings},
       {directory / "instruments.csv", &files.instruments},
       {directory / "run.toml", &files.config}}};
  Problems problems;
  for (const auto& [path, text] : all)
    if (!overwrites && has_other_text(path, *text))
      problems.add(path.string(), 0,
                   "is there already and differs; choose another --out, or replace it with "
                   "--overwrite");
  problems.throw_if_any();
  create_directory_for(directory);
  std::list<AtomicFile> written;
  for (const auto& [path, text] : all) {
    written.emplace_back(path).write(*text);
    written.back().sync();
  }
  for (AtomicFile& file : written) file.publish();
}

}  // namespace shortfall::exchange
