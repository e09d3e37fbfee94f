// A TCP socket bound to a port at which this process listens. node:net binds outgoing sockets without SO_REUSEPORT, and
// a NAT is known, and pierced, only by connections that leave from the listening port.
#pragma once
#include <cstdint>

namespace nz {

// A descriptor, the caller's to close, of a socket that is bound and not connected; or a negative errno. `address` is
// IPv4 or IPv6 in text. The listener must have been opened with SO_REUSEPORT by the same user.
int open_on_shared_port(const char* address, uint16_t port);

}  // namespace nz
