// Reads the [margin] tables.
#pragma once

#include "shortfall/margin_config.hpp"
#include "toml_section.hpp"

namespace shortfall {

void read_margin(TomlSection section, MarginConfig& margin);

}  // namespace shortfall
