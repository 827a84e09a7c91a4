// What a server wrote on a connection, taken apart without mercy.
#pragma once

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace shortfall::service {

struct RawAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< by name in lower case
  std::string body;

  std::string header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? "" : at->second;
  }
  bool is_stream() const { return header("content-type") == "text/event-stream"; }
};

/// The text before the next end of a line, which are taken off.
inline std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  if (end == std::string_view::npos) throw std::runtime_error("a line of the answer has no end");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

inline void take_header(std::string_view line, RawAnswer& answer) {
  const std::size_t colon = line.find(": ");
  std::string name(line.substr(0, std::min(colon, line.size())));
  std::ranges::transform(name, name.begin(), ::tolower);
  const bool is_name = !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (colon == std::string_view::npos || !is_name)
    throw std::runtime_error("no header: " + std::string(line));
  const std::string value(line.substr(colon + 2));
  if (std::ranges::any_of(value, [](unsigned char c) { return c < ' ' || c > '~'; }))
    throw std::runtime_error("a header with control characters");
  if (!answer.headers.emplace(name, value).second)
    throw std::runtime_error("a header that is there twice: " + name);
}

/// Takes one answer off the front. Throws std::runtime_error where it is not well-formed (RFC
/// 9112). `has_no_body`: it is to a HEAD.
inline RawAnswer take_answer(std::string_view& text, bool has_no_body) {
  RawAnswer answer;
  const std::string_view line = take_line(text);
  if (!line.starts_with("HTTP/1.1 ") || line.size() < 13 || line[12] != ' ' ||
      std::from_chars(line.data() + 9, line.data() + 12, answer.status).ptr != line.data() + 12)
    throw std::runtime_error("no status line: " + std::string(line));
  for (std::string_view header; !(header = take_line(text)).empty();) take_header(header, answer);
  if (answer.status == 100) return answer;
  std::size_t length = text.size();  // a stream's end is the connection's
  if (!answer.is_stream()) {
    const std::string given = answer.header("content-length");
    if (given.empty() ||
        std::from_chars(given.data(), given.data() + given.size(), length).ec != std::errc())
      throw std::runtime_error("an answer has no length");
  }
  if (has_no_body) return answer;
  if (length > text.size()) throw std::runtime_error("an answer is shorter than its length");
  answer.body = text.substr(0, length);
  text.remove_prefix(length);
  return answer;
}

/// All of a connection's. Also throws where something follows an answer that ends it. `is_to_head`:
/// the first request is a HEAD, and no other is.
inline std::vector<RawAnswer> take_answers(std::string_view text, bool is_to_head) {
  std::vector<RawAnswer> answers;
  while (!text.empty()) {
    if (!answers.empty() && answers.back().header("connection") == "close")
      throw std::runtime_error("something follows the answer that ends the connection");
    answers.push_back(take_answer(text, is_to_head && answers.empty()));
  }
  return answers;
}

/// What every answer has in common. Throws std::runtime_error.
inline void require_answer(const RawAnswer& answer) {
  if (answer.status == 100) return;
  for (const char* name : {"content-security-policy", "x-content-type-options", "referrer-policy",
                           "cross-origin-resource-policy", "cache-control", "content-type"})
    if (answer.header(name).empty()) throw std::runtime_error(std::string("no header ") + name);
  const std::string type = answer.header("content-type");
  const bool is_refusal = answer.status >= 300;
  if (is_refusal != (type == "application/problem+json"))
    throw std::runtime_error("the type of an answer is " + type);
  if (type.find("json") == std::string::npos || answer.body.empty()) return;
  const nlohmann::json body = nlohmann::json::parse(answer.body);  // throws where it is no UTF-8
  if (!is_refusal) return;
  if (body.size() != 3 || body.at("error").get<std::string>().empty() ||
      body.at("message").get<std::string>().empty())
    throw std::runtime_error("a refusal says nothing");
  if (body.at("problems").size() > 21) throw std::runtime_error("a refusal has no end");
  for (const nlohmann::json& problem : body["problems"])
    if (problem.at("message").get<std::string>().empty() || !problem.at("where").is_string())
      throw std::runtime_error("a problem says nothing");
}

}  // namespace shortfall::service
