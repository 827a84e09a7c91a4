// A client's connection under the limits that the HTTP library does not have: of a request's
// headers together, and of the time for all of a request, however slowly its bytes come.
#pragma once

#include <httplib.h>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace shortfall::service {

struct ConnectionLimits {
  std::size_t header_bytes_max = 16 << 10;   ///< request line and headers
  std::chrono::milliseconds idle{5000};      ///< until a request begins
  std::chrono::milliseconds request{5000};   ///< from its first byte to its last
  std::chrono::milliseconds stall{5000};     ///< while nothing of an answer is taken
  std::chrono::milliseconds answer{30000};   ///< until all of one piece of it is
  std::chrono::milliseconds stopping{1500};  ///< of all these, once the service stops
};

/// What connections are told from outside, and each other.
struct ConnectionSignals {
  using Clock = std::chrono::steady_clock;
  std::atomic<Clock::time_point> stop_time{Clock::time_point::max()};
  std::atomic<std::size_t> waiting_count{0};  ///< connections that no thread has yet

  bool is_stopping() const { return stop_time.load() != Clock::time_point::max(); }
};

/// Whether the bytes of a request's line and headers are what HTTP allows (RFC 9112). The library
/// leaves out the lines that it does not understand; something in front of the service may not.
class HeaderSyntax {
 public:
  /// Takes the next byte; false where it may not be there.
  bool accepts(char byte);

 private:
  bool is_first_line_ = true, is_value_ = false, has_name_ = false;
  char previous_ = '\n';
};

class Connection : public httplib::Stream {
 public:
  using Clock = ConnectionSignals::Clock;
  enum class Failure : std::uint8_t { none, closed, timed_out, too_large, malformed };

  /// Owns the socket.
  Connection(int socket, const ConnectionLimits& limits, const ConnectionSignals& signals);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() override;

  /// Until the first byte of a request; false where there is none to come: the client has gone or
  /// is idle, the service stops, or another connection waits for this thread.
  bool wait_for_request();
  /// The request's body, of that many bytes; false with a failure.
  bool read_body(std::size_t byte_count, std::string& body);
  /// Says at once what can be said without waiting, and no more.
  void write_now(const std::string& text);
  /// Ends the answer, then takes for a moment what the client still sends: it would lose the answer
  /// if it were told of a reset first.
  void finish();

  Failure failure() const { return failure_; }
  bool has_begun() const { return header_bytes_ > 0; }  ///< a byte of the request was read
  bool has_answered() const { return has_answered_; }
  bool has_line() const { return has_line_; }  ///< the request's first line is complete
  bool is_peer_gone() const;

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* ptr, size_t size) override;
  ssize_t write(const char* ptr, size_t size) override;
  using httplib::Stream::write;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  int socket() const override { return socket_; }

 private:
  bool fill();
  /// Whether the socket is ready for the events before the deadline.
  bool wait(short events, Clock::time_point deadline) const;

  const int socket_;
  const ConnectionLimits& limits_;
  const ConnectionSignals& signals_;
  std::array<char, 8192> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  Clock::time_point deadline_;
  std::size_t header_bytes_ = 0, request_count_ = 0;
  HeaderSyntax syntax_;
  bool is_in_body_ = false, has_answered_ = false, has_line_ = false;
  Failure failure_ = Failure::none;
};

}  // namespace shortfall::service
