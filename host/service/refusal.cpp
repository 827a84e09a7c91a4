#include "refusal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <new>
#include <string_view>

#include "run/job_scheduler.hpp"
#include "store_error.hpp"

namespace shortfall::service {
namespace {

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::islower(c) != 0 || c == '_';
  });
}

/// "changes[3]" as "/changes/3"; empty where it is none of the body's members.
std::string pointer_of(std::string_view place) {
  const std::size_t bracket = std::min(place.find('['), place.size());
  if (!is_word(place.substr(0, bracket))) return {};
  std::string pointer = "/" + std::string(place.substr(0, bracket));
  if (bracket == place.size()) return pointer;
  const std::string_view index = place.substr(bracket + 1);
  return pointer + "/" + std::string(index.substr(0, index.find(']')));
}

/// A problem that the venue found, with its place in the body. Its messages about an entry begin
/// with the member that they are about.
Problem with_pointer(const Problem& problem) {
  if (problem.file.empty() || problem.file.front() == '/') return problem;
  std::string pointer = pointer_of(problem.file);
  if (pointer.empty()) {  // an input file, or the command line, which nobody here sees
    const bool is_known = problem.file.starts_with("instrument ");
    return {"", 0, is_known ? problem.file + ": " + problem.message : problem.message};
  }
  constexpr std::array<std::string_view, 6> members = {"account",  "instrument", "underlying",
                                                       "spot_usd", "mark_price", "mark_iv"};
  const std::string_view first =
      std::string_view(problem.message).substr(0, problem.message.find(' '));
  if (problem.file.find('[') != std::string::npos &&
      std::ranges::find(members, first) != members.end())
    pointer += "/" + std::string(first);
  return {pointer, 0, problem.message};
}

Refusal unprocessable(const InputError& error) {
  const std::size_t count = error.problems().size() + error.omitted_count();
  Refusal refusal{422, "unprocessable", fmt::format("the request has {} problems", count)};
  for (const Problem& problem : listed_problems(error))
    refusal.problems.push_back(with_pointer(problem));
  if (count == 1) refusal.message = refusal.problems.front().message;
  return refusal;
}

Refusal of_store(const StoreError& error) {
  if (error.fault() == StoreFault::full || error.fault() == StoreFault::read_only ||
      error.fault() == StoreFault::in_use)
    return refuse_for_now(503, "state_not_writable", error.what(), 5);
  return {500, "state_failed", error.what()};
}

}  // namespace

Json json_of(const Refusal& refusal) {
  Json problems = Json::array();
  for (const Problem& problem : refusal.problems)
    problems.push_back({{"where", problem.file}, {"message", problem.message}});
  return {
      {"error", refusal.error}, {"message", refusal.message}, {"problems", std::move(problems)}};
}

std::vector<Problem> listed_problems(const InputError& error) {
  std::vector<Problem> problems = error.problems();
  if (error.omitted_count() > 0)
    problems.push_back({"", 0, fmt::format("and {} more", error.omitted_count())});
  return problems;
}

Refusal refusal_of_current_exception() {
  try {
    throw;
  } catch (const Refusal& refusal) {
    return refusal;
  } catch (const InputError& error) {
    return unprocessable(error);
  } catch (const Conflict& error) {
    return {409, "conflict", error.what()};
  } catch (const StoreError& error) {
    return of_store(error);
  } catch (const JobCancelled&) {
    return refuse_for_now(503, "stopping", "the service is stopping", 5);
  } catch (const OperatingError& error) {
    return {500, "failed", error.what()};
  } catch (const std::bad_alloc&) {
    return refuse_for_now(503, "out_of_memory", "there is no memory left for this request", 5);
  } catch (const std::exception&) {
    return {500, "defect", "a defect of the program; nothing has changed"};
  }
}

Refusal refusal_of_status(int status) {
  switch (status) {
    case 404:
      return {404, "no_such_route", "there is no such route; see /openapi.json"};
    case 408:
      return {408, "timeout", "the request did not arrive in time"};
    case 414:
      return {414, "uri_too_long", "the request's line is too long"};
    case 417:
      return {417, "expectation_failed", "an Expect other than 100-continue is not met"};
    case 431:
      return {431, "headers_too_large", "the request's headers are too large"};
    case 416:  // of a Range that is none: others are not looked at
      return refusal_of_status(400);
    default:
      if (status >= 500) return {status, "defect", "a defect of the program"};
      return {status, "malformed", "this is no HTTP request that is understood"};
  }
}

Refusal refuse_for_now(int status, std::string error, std::string message, int retry_seconds) {
  return {status,
          std::move(error),
          std::move(message),
          {},
          {{"Retry-After", std::to_string(retry_seconds)}}};
}

}  // namespace shortfall::service
