// Who may do what: bearer tokens with roles, and where the service may listen without them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shortfall::service {

/// Each includes those before it.
enum class Role : std::uint8_t { none, read, trade, admin };
const char* to_string(Role value);

/// Tokens by their SHA-256: the text is not kept.
class AccessTokens {
 public:
  AccessTokens() = default;  ///< none: everybody is admin
  /// Lines "ROLE TOKEN", # begins a comment. Throws InputError with every problem, the file's
  /// permissions among them; no message has a token in it.
  static AccessTokens load(const std::filesystem::path& file);

  bool empty() const { return tokens_.empty(); }
  /// Of the header Authorization. Takes as long for any token of a length, known or not.
  std::optional<Role> role_of(std::string_view authorization) const;

 private:
  struct Token {
    Role role = Role::none;
    std::string sha256;
  };
  std::vector<Token> tokens_;
};

/// Where to listen.
struct ListenAddress {
  std::string host;  ///< an IPv4 or IPv6 address, without brackets
  int port = 0;      ///< 0: any that is free
  bool is_loopback = false;
};

/// "127.0.0.1:8090", "[::1]:8090" or "localhost:8090". Throws InputError.
ListenAddress parse_listen_address(const std::string& text);

/// Throws InputError: elsewhere than on loopback, tokens are needed.
void require_access(const ListenAddress& address, const AccessTokens& tokens);

/// Whether the header Host is one under which loopback can be meant: a page of somebody else's
/// domain that resolves to it (DNS rebinding) is not.
bool is_loopback_host(std::string_view host_header, const ListenAddress& address);

/// "http://[::1]:8090"
std::string url_of(const ListenAddress& address);

}  // namespace shortfall::service
