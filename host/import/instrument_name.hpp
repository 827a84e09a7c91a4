// What Deribit's instrument names say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shortfall::exchange {

/// BTC-27MAR26-95000-C, XRP_USDC-27MAR26-0d625-P, BTC-27MAR26, ETH_USDC-PERPETUAL, BTC_USDC,
/// BTC-FS-27MAR26_PERP (docs.deribit.com, "Naming").
struct InstrumentName {
  enum class Kind { call, put, future, perpetual, spot, combination };

  std::string base;   ///< the coin
  std::string quote;  ///< "USDC"; empty where it is settled in the coin
  Kind kind = Kind::spot;
  std::int64_t expiry = 0;  ///< seconds since the epoch, 08:00 UTC of the day named
  double strike = 0;        ///< USD per coin

  bool is_option() const { return kind == Kind::call || kind == Kind::put; }
};

/// Empty where it is no such name.
std::optional<InstrumentName> parse_instrument_name(std::string_view text);

}  // namespace shortfall::exchange
