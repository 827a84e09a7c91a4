#include "fuzz_requests.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "fuzz_words.hpp"

namespace shortfall::service {
namespace {

using nlohmann::json;

std::string read_bytes(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Every value in a document.
void collect(json& value, std::vector<json*>& values) {
  values.push_back(&value);
  if (value.is_structured())
    for (json& child : value) collect(child, values);
}

void replace(std::string& text, const std::string& wanted, const std::string& replacement) {
  if (const std::size_t at = text.find(wanted); at != std::string::npos)
    text.replace(at, wanted.size(), replacement);
}

}  // namespace

std::vector<CorpusEntry> read_corpus() {
  std::vector<CorpusEntry> corpus;
  for (const auto& file : std::filesystem::directory_iterator(corpus_folder)) {
    if (file.path().extension() != ".http") continue;
    const std::string stem = file.path().stem().string();
    const std::size_t dot = stem.rfind('.');
    if (dot == std::string::npos) throw std::runtime_error(stem + " names no status");
    CorpusEntry entry{stem.substr(0, dot), read_bytes(file.path()), {}};
    std::istringstream statuses(stem.substr(dot + 1));
    for (std::string status; std::getline(statuses, status, '-');)
      if (status != "none") entry.statuses.push_back(std::stoi(status));
    corpus.push_back(std::move(entry));
  }
  std::ranges::sort(corpus, {}, &CorpusEntry::name);
  return corpus;
}

std::optional<RequestParts> RequestParts::of(const std::string& text) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  std::istringstream lines(text.substr(0, end + 2));
  RequestParts parts;
  std::string line, more;
  std::getline(lines, line);
  std::istringstream words(line);
  if (!(words >> parts.method >> parts.target >> parts.version) || words >> more)
    return std::nullopt;
  std::size_t length = 0;
  while (std::getline(lines, line)) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos || !line.ends_with('\r')) return std::nullopt;
    parts.headers.emplace_back(line.substr(0, colon),
                               line.substr(colon + 2, line.size() - colon - 3));
    if (parts.headers.back().first == "Content-Length")
      length = std::strtoull(parts.headers.back().second.c_str(), nullptr, 10);
  }
  parts.body = text.substr(end + 4);
  return parts.body.size() == length ? std::optional(parts) : std::nullopt;
}

std::string RequestParts::text() const {
  std::string text = fmt::format("{} {} {}\r\n", method, target, version);
  for (const auto& [name, value] : headers) text += fmt::format("{}: {}\r\n", name, value);
  return text + "\r\n" + body;
}

void RequestParts::set_header(const std::string& name, std::string value) {
  std::erase_if(headers, [&](const auto& header) { return header.first == name; });
  headers.emplace_back(name, std::move(value));
}

RequestFuzzer::RequestFuzzer(const std::vector<CorpusEntry>& corpus, std::uint64_t seed)
    : random_(seed) {
  for (const CorpusEntry& entry : corpus) {
    if (!entry.bytes.starts_with("HEAD ")) texts_.push_back(entry.bytes);  // see next()
    std::optional<RequestParts> parts = RequestParts::of(entry.bytes);
    if (!parts) continue;
    // What is accepted leads farthest.
    const bool is_good = entry.statuses.size() == 1 && entry.statuses.front() < 300;
    seeds_.insert(seeds_.end(), is_good ? 12 : 1, *parts);
  }
}

RequestParts RequestFuzzer::request() {
  RequestParts request = any(seeds_);
  if (!authorization_.empty() && !chance(5)) request.set_header("Authorization", authorization_);
  const std::string id = R"("client_id":")";
  if (const std::size_t at = request.body.find(id); at != std::string::npos && chance(70))
    request.body.insert(at + id.size(), fmt::format("f{}-", ++client_count_));
  if (request.body.empty()) return request;
  while (chance(60)) spoil_body(request.body);
  request.set_header("Content-Length", std::to_string(request.body.size()));
  return request;
}

void RequestFuzzer::spoil_body(std::string& body) {
  json document = json::parse(body, nullptr, false);
  if (document.is_discarded() || chance(15)) return spoil_bytes(body);
  std::vector<json*> values;
  collect(document, values);
  json& value = *any(values);
  // Something that nothing else has, to be exchanged for text that no document can hold.
  constexpr const char* place = "\x02 place \x02";
  const std::string kept = value.dump();
  std::string written = any(hostile_values);
  switch (below(6)) {
    case 0:  // a member or an entry less
      if (value.is_structured() && !value.empty()) {
        const auto at = std::next(value.begin(), static_cast<std::ptrdiff_t>(below(value.size())));
        value.erase(at);
        body = document.dump();
        return;
      }
      break;
    case 1:  // another member
      if (value.is_object()) {
        value[chance(50) ? "open" : "x/~"] = place;
        break;
      }
      value = place;
      break;
    case 2: {  // many of them
      if (value.is_array() && !value.empty()) {
        const json first = value.front();
        const std::size_t count = chance(5) ? 10001 : below(120);
        while (value.size() < count) value.push_back(first);
        body = document.dump();
        return;
      }
      break;
    }
    case 3:  // what stands elsewhere
      written = any(values)->dump();
      value = place;
      break;
    case 4:  // deeper
      written = chance(50) ? "[" + kept + "]" : "{\"a\":" + kept + "}";
      value = place;
      break;
    default:
      value = place;
  }
  body = document.dump();
  replace(body, json(place).dump(), written);
}

void RequestFuzzer::spoil_length(RequestParts& request) {
  const std::size_t size = request.body.size();
  const std::string lengths[] = {std::to_string(size + 1 + below(100)),
                                 std::to_string(below(size + 1)),
                                 std::to_string((1 << 20) + below(3)),
                                 "-" + std::to_string(size),
                                 "0" + std::to_string(size),
                                 " " + std::to_string(size),
                                 std::to_string(size) + " ",
                                 fmt::format("{:#x}", size),
                                 "18446744073709551616",
                                 "%31%30",
                                 ""};
  if (chance(30)) {  // chunks, whole or not
    std::erase_if(request.headers, [](const auto& h) { return h.first == "Content-Length"; });
    request.set_header("Transfer-Encoding", chance(80) ? "chunked" : "Chunked, identity");
    request.body =
        fmt::format("{:x}{}\r\n{}\r\n0\r\n{}", chance(80) ? size : below(1 << 20),
                    chance(20) ? ";a=b" : "", request.body, chance(80) ? "\r\n" : "X: y\r\n\r\n");
  } else if (chance(30)) {
    request.headers.emplace_back("Content-Length", any(lengths));
  } else {
    request.set_header("Content-Length", any(lengths));
  }
}

void RequestFuzzer::spoil_headers(RequestParts& request) {
  auto& headers = request.headers;
  const auto at = [&] {
    return headers.begin() + static_cast<std::ptrdiff_t>(below(headers.size()));
  };
  switch (below(8)) {
    case 0:
      if (!headers.empty()) headers.erase(at());
      return;
    case 1:
      if (!headers.empty()) headers.push_back(*at());
      return;
    case 2:
      if (!headers.empty()) at()->second = any(hostile_header_values);
      return;
    case 3:
      if (!headers.empty()) spoil_bytes(at()->second);
      return;
    case 4:
      for (std::size_t h = below(400); h > 0; --h)
        headers.emplace_back(fmt::format("X-{}", h), std::string(below(80), 'x'));
      return;
    case 5:
      return spoil_length(request);
    default:
      headers.emplace_back(any(header_names), any(hostile_header_values));
  }
}

void RequestFuzzer::spoil_target(std::string& target) {
  switch (below(4)) {
    case 0:
      target = any(hostile_targets);
      return;
    case 1:
      target += any(hostile_targets);
      return;
    case 2:
      target +=
          (target.find('?') == std::string::npos ? "?" : "&") +
          fmt::format("{}={}",
                      any(std::array{"limit", "offset", "sort", "search", "status", "order", "x"}),
                      any(std::array{"1", "0", "-1", "ok", "account", "%zz", "%00", "a+b", ""}));
      return;
    default:
      spoil_bytes(target);
  }
}

/// Without regard to what they mean.
void RequestFuzzer::spoil_bytes(std::string& text) {
  const std::size_t at = below(text.size() + 1);
  const std::size_t count = below(std::min<std::size_t>(text.size() - at, 64) + 1);
  switch (below(7)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
      return;
    case 1:
      text.resize(at);
      return;
    case 2:
      text.erase(at, count);
      return;
    case 3:
      text.insert(at, repeated(text.substr(at, count), 1 + below(chance(10) ? 2000 : 5)));
      return;
    case 4:
      text.insert(at, any(fragments));
      return;
    case 5: {
      const std::string& other = any(texts_);
      const std::size_t begin = below(other.size() + 1);
      text.replace(at, count, other.substr(begin, below(200)));
      return;
    }
    default:
      for (std::size_t b = 0; b < 1 + below(8); ++b)
        text.insert(at, 1, static_cast<char>(below(256)));
  }
}

void RequestFuzzer::add_pauses(Delivery& delivery) {
  if (chance(10))
    for (std::size_t p = 1 + below(4); p > 0; --p)
      delivery.pauses.push_back(below(delivery.text.size() + 1));
  std::ranges::sort(delivery.pauses);
}

Delivery RequestFuzzer::next() {
  Delivery delivery;
  const std::size_t count = chance(12) ? 2 + below(4) : 1;
  for (std::size_t r = 0; r < count; ++r) {
    delivery.requests.push_back(request());
    // Whether an answer has a body would depend on which request it is to.
    std::string& method = delivery.requests.back().method;
    if (count > 1 && method == "HEAD") method = "DELETE";
    delivery.text += delivery.requests.back().text();
  }
  const std::size_t way = below(100);
  if (way >= 40) {
    RequestParts& first = delivery.requests.front();
    if (way < 65) do
        spoil_headers(first);
      while (chance(30));
    else if (way < 80)
      spoil_target(first.target);
    else if (way < 85)
      first.method = any(methods);
    else if (way < 88)
      first.version =
          any(std::array{"HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 ", "", "http/1.1"});
    delivery.text.clear();
    for (const RequestParts& one : delivery.requests) delivery.text += one.text();
    if (way >= 88) do
        spoil_bytes(delivery.text);
      while (chance(50));
    delivery.requests.clear();
  }
  if (way < 40 && delivery.requests.size() == 1 && chance(4)) {
    // Gone before the end of its only request: nothing may come of it.
    delivery.end = Delivery::End::resets;
    delivery.text.resize(below(delivery.text.size()));
    delivery.requests.clear();
  } else if (chance(2)) {
    delivery.end = Delivery::End::waits;
  }
  add_pauses(delivery);
  return delivery;
}

}  // namespace shortfall::service
