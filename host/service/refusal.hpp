// A request that is answered with an error: what the document calls Error.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "api_json.hpp"
#include "shortfall/error.hpp"

namespace shortfall::service {

struct Refusal {
  int status = 500;
  std::string error;    ///< a word for programs
  std::string message;  ///< a sentence for people
  /// Problem::file is where: a JSON pointer into the body, "query NAME", "header NAME", or empty.
  std::vector<Problem> problems = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

Json json_of(const Refusal& refusal);

/// Those of the error, and a last one that says how many there are besides.
std::vector<Problem> listed_problems(const InputError& error);

/// What an exception of the venue, the store or a parser comes to, for those that are not Refusals
/// themselves. Called while it is being handled.
Refusal refusal_of_current_exception();

/// For a status that the HTTP library answers by itself.
Refusal refusal_of_status(int status);

/// Busy or full: come again.
Refusal refuse_for_now(int status, std::string error, std::string message, int retry_seconds);

}  // namespace shortfall::service
