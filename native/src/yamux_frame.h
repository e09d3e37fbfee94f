// The frames of yamux (github.com/hashicorp/yamux spec.md): a header of twelve bytes, and behind a data frame its bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"

namespace nz::yamux {

inline constexpr size_t kHeaderBytes = 12;
inline constexpr uint32_t kInitialWindowBytes = 256 * 1024;

enum class Type : uint8_t { data = 0, window_update = 1, ping = 2, go_away = 3 };

inline constexpr uint16_t kSyn = 1;
inline constexpr uint16_t kAck = 2;
inline constexpr uint16_t kFin = 4;
inline constexpr uint16_t kRst = 8;
inline constexpr uint16_t kAllFlags = kSyn | kAck | kFin | kRst;

inline constexpr uint32_t kGoAwayNormal = 0;
inline constexpr uint32_t kGoAwayProtocolError = 1;

struct Header {
  Type type = Type::data;
  uint16_t flags = 0;
  uint32_t stream = 0;
  // Bytes that follow (data), credit (window update), opaque (ping), reason (go away).
  uint32_t length = 0;
};

// False for another version, an unknown type or unknown flags.
inline bool decode(const uint8_t* bytes, Header& header) {
  const uint16_t flags = get_u16(bytes + 2);
  if (bytes[0] != 0 || bytes[1] > static_cast<uint8_t>(Type::go_away) || (flags & ~kAllFlags) != 0) return false;
  header = {static_cast<Type>(bytes[1]), flags, get_u32(bytes + 4), get_u32(bytes + 8)};
  return true;
}

inline void encode(uint8_t* out, const Header& header) {
  out[0] = 0;
  out[1] = static_cast<uint8_t>(header.type);
  put_u16(out + 2, header.flags);
  put_u32(out + 4, header.stream);
  put_u32(out + 8, header.length);
}

}  // namespace nz::yamux
