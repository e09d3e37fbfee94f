#include "shared_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace nz {

int open_on_shared_port(const char* address, uint16_t port) {
  sockaddr_storage at{};
  socklen_t length = 0;
  auto* four = reinterpret_cast<sockaddr_in*>(&at);
  auto* six = reinterpret_cast<sockaddr_in6*>(&at);
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    length = sizeof *four;
  } else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    length = sizeof *six;
  } else {
    return -EINVAL;
  }
  const int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
      bind(fd, reinterpret_cast<sockaddr*>(&at), length) == 0) {
    return fd;
  }
  const int error = errno;
  close(fd);
  return -error;
}

}  // namespace nz
