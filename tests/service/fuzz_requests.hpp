// Requests that nobody should send, made from those of tests/service/corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace shortfall::service {

inline const std::filesystem::path corpus_folder =
    std::filesystem::path(__FILE__).parent_path() / "corpus";

/// A file NAME.STATUSES.http: the bytes of a connection, and the statuses that they are answered
/// with in order, 0 for none at all.
struct CorpusEntry {
  std::string name, bytes;
  std::vector<int> statuses;
};
std::vector<CorpusEntry> read_corpus();

/// One request in parts.
struct RequestParts {
  std::string method, target, version;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  /// Empty where the text is not one request with a body of its Content-Length.
  static std::optional<RequestParts> of(const std::string& text);
  std::string text() const;
  void set_header(const std::string& name, std::string value);
};

/// What to send on a connection, and how.
struct Delivery {
  enum class End : std::uint8_t { closes, waits, resets };

  std::string text;
  std::vector<std::size_t> pauses;  ///< offsets at which the client takes a break
  End end = End::closes;            ///< after the text: no more to come, silence, or gone
  /// The requests in `text`, where it is a row of well-framed ones and nothing else.
  std::vector<RequestParts> requests;
};

/// An endless row of deliveries that depends on the seed alone.
class RequestFuzzer {
 public:
  RequestFuzzer(const std::vector<CorpusEntry>& corpus, std::uint64_t seed);

  /// Sent with every request, spoilt now and then; empty: none.
  void set_authorization(std::string value) { authorization_ = std::move(value); }
  Delivery next();

 private:
  std::size_t below(std::size_t count) { return count == 0 ? 0 : random_() % count; }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class Container>
  const auto& any(const Container& entries) {
    return *(std::begin(entries) + static_cast<std::ptrdiff_t>(below(std::size(entries))));
  }

  RequestParts request();
  void spoil_body(std::string& body);
  void spoil_headers(RequestParts& request);
  void spoil_length(RequestParts& request);
  void spoil_target(std::string& target);
  void spoil_bytes(std::string& text);
  void add_pauses(Delivery& delivery);

  std::mt19937_64 random_;
  std::vector<RequestParts> seeds_;  ///< of the corpus, those that are one request each
  std::vector<std::string> texts_;   ///< all of it
  std::string authorization_;
  std::uint64_t client_count_ = 0;
};

}  // namespace shortfall::service
