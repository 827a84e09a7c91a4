// The page, and the document of the API: files of this folder that are compiled in.
#pragma once

#include <string_view>

namespace shortfall::service {

/// The bytes of "index.html", "page.css", ... or "openapi.json"; empty where there is none.
std::string_view compiled_file(std::string_view name);

}  // namespace shortfall::service
