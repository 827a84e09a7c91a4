// The text of the whatif command.
#pragma once

#include <iosfwd>
#include <string>

#include "shortfall/whatif.hpp"

namespace shortfall {

/// A table of the components that are configured, before, after and their difference, in USD.
std::string format_what_if(const WhatIf& answer, const MarginConfig& config);

/// Answers the lines of `in` until its end or `quit`, each at once:
///   INSTRUMENT:QUANTITY ...   trades, separated by blanks; a name with blanks is written in double
///                             quotes, "A B:2"
///   account NAME              asks for another account from now on
/// First what the session holds; then per line the base component, and where the configuration has
/// others and unless `is_base_only` the table of all. What is wrong with a line goes to `err`, and
/// the next is read. Returns the number of lines that were refused. Throws OperatingError where
/// `out` fails.
int answer_queries(WhatIfSession& session, const std::string& account, bool may_open,
                   bool is_base_only, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace shortfall
