#include "access.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>

#include "output/sha256.hpp"
#include "shortfall/error.hpp"
#include "text.hpp"

namespace shortfall::service {
namespace {

constexpr std::size_t token_length_min = 16, file_bytes_max = 1 << 20;
constexpr Choice<Role> roles[] = {
    {"read", Role::read}, {"trade", Role::trade}, {"admin", Role::admin}};

[[noreturn]] void refuse_file(const std::filesystem::path& file, std::string message) {
  throw InputError({{file.string(), 0, std::move(message)}}, 0);
}

/// The file's text, if nobody else can read it. Checked on the open file, so that it cannot be
/// exchanged in between.
std::string read_private(const std::filesystem::path& file) {
  struct File {
    int descriptor = -1;
    ~File() {
      if (descriptor >= 0) ::close(descriptor);
    }
  } open_file{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (open_file.descriptor < 0 || ::fstat(open_file.descriptor, &status) != 0)
    refuse_file(file, fmt::format("cannot be read: {}", std::strerror(errno)));
  if (!S_ISREG(status.st_mode)) refuse_file(file, "is no file; give one with tokens");
  if ((status.st_mode & 077) != 0)
    refuse_file(file, fmt::format("can be read or changed by others (mode {:04o}); chmod 600 {}",
                                  status.st_mode & 07777, file.string()));
  std::string text(file_bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(open_file.descriptor, text.data() + size, text.size() - size);
    if (count < 0) refuse_file(file, fmt::format("cannot be read: {}", std::strerror(errno)));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size > file_bytes_max) refuse_file(file, "has more than 1 MiB; it is no token file");
  text.resize(size);
  return text;
}

/// What a bearer token may consist of (RFC 6750, section 2.1).
bool is_token(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) {
    return c < 0x80 &&
           (std::isalnum(c) != 0 ||
            std::string_view("-._~+/=").find(static_cast<char>(c)) != std::string_view::npos);
  });
}

std::string hash_of(std::string_view text) {
  Sha256 hash;
  hash.add(text);
  return hash.finish_hex();
}

}  // namespace

const char* to_string(Role value) { return value == Role::none ? "none" : name_of(roles, value); }

AccessTokens AccessTokens::load(const std::filesystem::path& file) {
  AccessTokens tokens;
  Problems problems;
  std::istringstream lines(read_private(file));
  std::string line;
  for (std::size_t number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string role_name, token, more;
    if (!(words >> role_name)) continue;
    const auto report = [&](std::string message) {
      problems.add(file.string(), number, std::move(message));
    };
    const std::optional<Role> role = find_choice(roles, role_name);
    // The first word may be the token.
    if (!role) report("begins with no role; write `read TOKEN`, `trade TOKEN` or `admin TOKEN`");
    if (!(words >> token) || words >> more) {
      report("is not a role and a token; write both, with a blank between them");
      continue;
    }
    if (token.size() < token_length_min || !is_token(token)) {
      report(
          "has a token that is too short, or has characters other than letters, digits and "
          "-._~+/=; take 16 or more at random, as `openssl rand -hex 32` writes");
      continue;
    }
    std::string hash = hash_of(token);
    if (std::ranges::find(tokens.tokens_, hash, &Token::sha256) != tokens.tokens_.end())
      report("has a token that a line before has; give each role its own");
    tokens.tokens_.push_back({role.value_or(Role::none), std::move(hash)});
  }
  problems.throw_if_any();
  if (tokens.empty()) refuse_file(file, "has no tokens; write lines like `admin TOKEN`");
  return tokens;
}

std::optional<Role> AccessTokens::role_of(std::string_view authorization) const {
  constexpr std::string_view scheme = "bearer ";
  const bool is_bearer =
      authorization.size() > scheme.size() &&
      std::ranges::equal(authorization.substr(0, scheme.size()), scheme, {},
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (!is_bearer) return std::nullopt;
  const std::string hash = hash_of(authorization.substr(scheme.size()));
  std::optional<Role> role;
  for (const Token& token : tokens_)  // all of them, whichever it is
    if (CRYPTO_memcmp(token.sha256.data(), hash.data(), hash.size()) == 0) role = token.role;
  return role;
}

ListenAddress parse_listen_address(const std::string& text) {
  const auto refuse = [&]() {
    throw InputError({{"command line", 0,
                       fmt::format("--listen is {}; write an address and a port, such as "
                                   "127.0.0.1:8090 or [::1]:8090",
                                   in_quotes(text))}},
                     0);
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) refuse();
  ListenAddress address;
  address.host = text.substr(0, colon);
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || rest != end || address.port < 0 || address.port > 65535) refuse();
  if (address.host == "localhost") address.host = "127.0.0.1";
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET, address.host.c_str(), bytes.data()) == 1) {
    address.is_loopback = bytes[0] == 127;
    return address;
  }
  if (!address.host.starts_with('[') || !address.host.ends_with(']')) refuse();
  address.host = address.host.substr(1, address.host.size() - 2);
  if (::inet_pton(AF_INET6, address.host.c_str(), bytes.data()) != 1) refuse();
  constexpr std::array<unsigned char, 16> loopback = {0, 0, 0, 0, 0, 0, 0, 0,
                                                      0, 0, 0, 0, 0, 0, 0, 1};
  address.is_loopback = bytes == loopback;
  return address;
}

void require_access(const ListenAddress& address, const AccessTokens& tokens) {
  if (address.is_loopback || !tokens.empty()) return;
  throw InputError({{"command line", 0,
                     fmt::format("--listen {} is open to other machines; add --token-file FILE, or "
                                 "listen on 127.0.0.1",
                                 address.host)}},
                   0);
}

bool is_loopback_host(std::string_view host_header, const ListenAddress& address) {
  const std::size_t bracket = host_header.find(']');
  const std::size_t colon = host_header.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string host(host_header.substr(0, colon));
  std::ranges::transform(host, host.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (colon != std::string_view::npos &&
      !std::ranges::all_of(host_header.substr(colon + 1),
                           [](unsigned char c) { return c >= '0' && c <= '9'; }))
    return false;
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host == address.host;
}

std::string url_of(const ListenAddress& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", is_v6 ? "[" : "", address.host, is_v6 ? "]" : "",
                     address.port);
}

}  // namespace shortfall::service
