// Fields of the CSV files that are written.
#pragma once

#include <string>

namespace shortfall {

/// The shortest decimal form that reads back as the same double; -0 is 0.
void append_number(std::string& out, double value);

/// RFC 4180: quoted where the field holds a comma, a quote or a line break.
void append_field(std::string& out, const std::string& field);

}  // namespace shortfall
