#include "connection.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace shortfall::service {
namespace {

/// So often a wait looks at the signals.
constexpr std::chrono::milliseconds slice{50};

bool is_ready(int socket, short events, int milliseconds) {
  pollfd entry{socket, events, 0};
  return ::poll(&entry, 1, milliseconds) > 0;
}

void get_ip_and_port(const sockaddr_storage& address, socklen_t size, std::string& ip, int& port) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> service{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(),
                    service.data(), service.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return;
  ip = host.data();
  port = std::atoi(service.data());
}

bool is_token(unsigned char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= 'a' && byte <= 'z') ||
         (byte != 0 && std::strchr("!#$%&'*+-.^_`|~", byte) != nullptr);
}

}  // namespace

bool HeaderSyntax::accepts(char byte) {
  const bool ends_line = byte == '\n', was_return = std::exchange(previous_, byte) == '\r';
  if (ends_line != was_return) return false;
  if (ends_line) {
    is_first_line_ = is_value_ = has_name_ = false;
    return true;
  }
  // A line without a colon is none, unless it is empty: the end.
  if (byte == '\r') return is_first_line_ || is_value_ || !has_name_;
  if (is_first_line_ || is_value_) return byte == '\t' || ((byte & 0xe0) != 0 && byte != '\x7f');
  if (byte == ':') return is_value_ = has_name_;
  return has_name_ = is_token(static_cast<unsigned char>(byte));
}

Connection::Connection(int socket, const ConnectionLimits& limits, const ConnectionSignals& signals)
    : socket_(socket), limits_(limits), signals_(signals) {
  // Headers and body go out in two writes.
  const int yes = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

Connection::~Connection() { ::close(socket_); }

bool Connection::wait(short events, Clock::time_point deadline) const {
  for (;;) {
    const Clock::time_point stop = signals_.stop_time.load();
    const Clock::time_point until =
        stop == Clock::time_point::max() ? deadline : std::min(deadline, stop + limits_.stopping);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    if (is_ready(socket_, events, static_cast<int>(std::clamp(left, {}, slice).count())))
      return true;
    if (left.count() <= 0) return false;
  }
}

bool Connection::wait_for_request() {
  header_bytes_ = 0;
  is_in_body_ = has_answered_ = has_line_ = false;
  syntax_ = {};
  failure_ = Failure::none;
  const Clock::time_point idle_until = Clock::now() + limits_.idle;
  while (begin_ == end_ && !is_ready(socket_, POLLIN, static_cast<int>(slice.count()))) {
    const bool is_wanted = request_count_ > 0 && signals_.waiting_count > 0;
    if (is_wanted || signals_.is_stopping() || Clock::now() >= idle_until) return false;
  }
  ++request_count_;
  deadline_ = Clock::now() + limits_.request;
  return begin_ != end_ || fill();
}

bool Connection::fill() {
  if (failure_ != Failure::none) return false;
  while (wait(POLLIN, deadline_)) {
    const ssize_t count = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (count > 0) {
      begin_ = 0;
      end_ = static_cast<std::size_t>(count);
      return true;
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    failure_ = Failure::closed;
    return false;
  }
  failure_ = Failure::timed_out;
  return false;
}

ssize_t Connection::read(char* ptr, size_t size) {
  if (!is_in_body_) {
    if (header_bytes_ == limits_.header_bytes_max) failure_ = Failure::too_large;
    size = std::min(size, limits_.header_bytes_max - header_bytes_);
  }
  if (failure_ == Failure::too_large || failure_ == Failure::malformed) return -1;
  if (begin_ == end_ && !fill()) return failure_ == Failure::closed ? 0 : -1;
  size = std::min(size, end_ - begin_);
  std::memcpy(ptr, buffer_.data() + begin_, size);
  begin_ += size;
  if (!is_in_body_) {
    header_bytes_ += size;
    has_line_ = has_line_ || std::memchr(ptr, '\n', size) != nullptr;
    if (!std::all_of(ptr, ptr + size, [this](char byte) { return syntax_.accepts(byte); })) {
      failure_ = Failure::malformed;
      return -1;
    }
  }
  return static_cast<ssize_t>(size);
}

bool Connection::read_body(std::size_t byte_count, std::string& body) {
  is_in_body_ = true;
  body.clear();
  std::array<char, 8192> piece;
  while (body.size() < byte_count) {
    const ssize_t count = read(piece.data(), std::min(piece.size(), byte_count - body.size()));
    if (count <= 0) return false;
    body.append(piece.data(), static_cast<std::size_t>(count));
  }
  return true;
}

ssize_t Connection::write(const char* ptr, size_t size) {
  has_answered_ = true;
  const Clock::time_point until = Clock::now() + limits_.answer;
  std::size_t sent = 0;
  while (sent < size) {
    if (!wait(POLLOUT, std::min(until, Clock::now() + limits_.stall))) return -1;
    const ssize_t count = ::send(socket_, ptr + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0)
      sent += static_cast<std::size_t>(count);
    else if (errno != EAGAIN && errno != EINTR)
      return -1;
  }
  return static_cast<ssize_t>(size);
}

void Connection::write_now(const std::string& text) {
  has_answered_ = true;
  std::array<char, 4096> piece;
  // What has come already would make the close a reset.
  (void)!::recv(socket_, piece.data(), piece.size(), MSG_DONTWAIT);
  (void)!::send(socket_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(socket_, SHUT_WR);
}

void Connection::finish() {
  ::shutdown(socket_, SHUT_WR);
  constexpr std::size_t taken_max = 8 << 20;
  const Clock::time_point until = Clock::now() + std::chrono::seconds(1);
  std::array<char, 8192> piece;
  for (std::size_t taken = 0; taken < taken_max && wait(POLLIN, until);) {
    const ssize_t count = ::recv(socket_, piece.data(), piece.size(), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (count > 0) taken += static_cast<std::size_t>(count);
  }
}

bool Connection::is_peer_gone() const { return is_ready(socket_, POLLRDHUP, 0); }

bool Connection::is_readable() const { return begin_ != end_ || is_ready(socket_, POLLIN, 0); }

bool Connection::is_writable() const { return is_ready(socket_, POLLOUT, 0); }

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket_, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    get_ip_and_port(address, size, ip, port);
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    get_ip_and_port(address, size, ip, port);
}

}  // namespace shortfall::service
