// One table of a run configuration: typed values with their ranges, and every key accounted for.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shortfall/error.hpp"
#include "text.hpp"

namespace shortfall {

/// Where a value came from; the line is 0 for the command line and for a default.
struct Origin {
  std::string file;
  std::size_t line = 0;
};

/// Whole numbers, both ends included.
struct IntegerRange {
  std::uint64_t least, greatest;
};

/// Reals: what the domain is in words, and whether a finite number lies in it.
struct RealDomain {
  const char* description;
  bool (*contains)(double);
};

class TomlSection {
 public:
  /// The table `name` of the document; one that is absent leaves every default.
  TomlSection(const toml::table& document, const char* name, std::string file, Problems& problems);
  /// The table `key` inside this one, which is to be there.
  TomlSection table(const char* key);

  /// Each reads a key into `value`, which holds the default and keeps it where the key is absent or
  /// wrong, and reports what is wrong.
  void real(const char* key, double& value, const RealDomain& domain);
  void required_real(const char* key, double& value, const RealDomain& domain, const char* remedy);
  void boolean(const char* key, bool& value);
  /// A table of reals, all keys of which are names.
  void reals(const char* key, std::map<std::string, double>& values, const RealDomain& domain);
  void date_time(const char* key, std::int64_t& seconds);    ///< required
  bool path(const char* key, std::filesystem::path& value);  ///< false where absent
  void integers(const char* key, std::vector<int>& values, IntegerRange range);
  void strings(const char* key, std::vector<std::string>& values);

  /// `replacement` comes from the command line's `option` and takes the place of the key.
  template <typename Integer>
  Origin integer(const char* key, Integer& value, IntegerRange range, const char* option,
                 const std::optional<Integer>& replacement) {
    std::uint64_t wide = value;
    std::optional<std::uint64_t> wide_replacement(replacement);
    const Origin origin = integer_of_64_bits(key, wide, range, option, wide_replacement);
    value = static_cast<Integer>(wide);
    return origin;
  }

  template <typename Enum, std::size_t count>
  void choice(const char* key, Enum& value, const Choice<Enum> (&choices)[count]) {
    const std::optional<std::string> text = string(key);
    if (!text) return;
    if (const std::optional<Enum> found = find_choice(choices, *text)) {
      value = *found;
    } else {
      report(key, choice_problem(choices, *text));
    }
  }

  std::optional<std::string> string(const char* key);
  /// The value of a key, which counts as known from now on; null where it is absent.
  const toml::node* find(const char* key);
  /// Reports "[table] key message" at the line of the key, or of the table where it is absent.
  void report(const char* key, const std::string& message);
  void report_missing(const char* key, const char* remedy);
  void report_type(const char* key, const char* wanted, const toml::node& found);
  /// Reports every key that nobody asked for.
  void report_unknown_keys();

 private:
  Origin integer_of_64_bits(const char* key, std::uint64_t& value, IntegerRange range,
                            const char* option, const std::optional<std::uint64_t>& replacement);
  std::size_t line_of(const char* key) const;

  TomlSection(const toml::node* node, std::string name, std::string file, Problems& problems);

  const toml::table* table_ = nullptr;
  bool is_no_table_ = false;  ///< reported: nothing is missing from what is no table
  std::string name_;
  std::string file_;
  Problems& problems_;
  std::vector<std::string_view> known_keys_;
};

}  // namespace shortfall
