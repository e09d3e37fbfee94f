// The twin of the io_uring driver for kernels and containers without it.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>
#include <vector>

#include "driver.h"

namespace nz {

namespace {

constexpr size_t kScratchBytes = 256 * 1024;
constexpr int kMaxReady = 256;

class EpollDriver final : public Driver {
 public:
  explicit EpollDriver(DriverEvents& events) : events_(events), scratch_(new uint8_t[kScratchBytes]) {}
  ~EpollDriver() override {
    if (fd_ >= 0) close(fd_);
  }

  int init(int wake_fd) override {
    fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (fd_ < 0) return errno;
    wake_fd_ = wake_fd;
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;
    return epoll_ctl(fd_, EPOLL_CTL_ADD, wake_fd, &event) == 0 ? 0 : errno;
  }

  Backend backend() const override { return Backend::epoll; }

  void add(Socket& socket) override {
    if (!watch(socket, EPOLLIN)) events_.on_ended(socket, errno);
  }

  void send(Socket& socket) override {
    OutBuffer& buffer = *socket.sending;
    while (buffer.sent < buffer.used) {
      const ssize_t sent =
          ::send(socket.fd, buffer.bytes + buffer.sent, buffer.used - buffer.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0) {
        buffer.sent += static_cast<uint32_t>(sent);
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return events_.on_ended(socket, errno);
      watch(socket, socket.interest | EPOLLOUT);
      return;
    }
    watch(socket, socket.interest & ~static_cast<uint32_t>(EPOLLOUT));
    events_.on_sent(socket);
  }

  void remove(Socket& socket) override {
    socket.is_removing = true;
    watch(socket, 0);
    std::erase(paused_, &socket);
    // What `wait` still holds for it is passed over.
    for (epoll_event& event : ready_)
      if (event.data.ptr == &socket) event.data.ptr = kNobody;
    events_.on_removed(socket);
  }

  void wait(int timeout_ms) override {
    if (!events_.is_input_paused() && !paused_.empty()) {
      for (Socket* socket : std::exchange(paused_, {}))
        watch(*socket, EPOLLIN | (socket->sending == nullptr ? 0u : uint32_t{EPOLLOUT}));
    }
    const int count = epoll_wait(fd_, ready_.data(), kMaxReady, timeout_ms);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = ready_[static_cast<size_t>(i)];
      if (event.data.ptr == kNobody) continue;
      if (event.data.ptr == nullptr) {
        drain_wakes();
        continue;
      }
      Socket& socket = *static_cast<Socket*>(event.data.ptr);
      if ((event.events & EPOLLOUT) != 0 && socket.sending != nullptr) send(socket);
      if (event.data.ptr != kNobody && (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(socket, event);
    }
    for (int i = 0; i < count; ++i) ready_[static_cast<size_t>(i)].data.ptr = kNobody;
  }

 private:
  void receive(Socket& socket, const epoll_event& event) {
    if (events_.is_input_paused()) return pause(socket, event.events);
    const ssize_t size = recv(socket.fd, scratch_.get(), kScratchBytes, MSG_DONTWAIT);
    if (size < 0) {
      if (errno != EAGAIN && errno != EINTR) events_.on_ended(socket, errno);
      return;
    }
    if (size == 0) return events_.on_ended(socket, 0);
    // One piece a turn; the rest is still there after the others had theirs.
    events_.on_received(socket, scratch_.get(), static_cast<size_t>(size));
  }

  // Level-triggered: what is not read now is not to wake us again. A hang-up is told whatever one asks for.
  void pause(Socket& socket, uint32_t events) {
    const bool is_over = (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (watch(socket, is_over ? 0 : socket.interest & ~uint32_t{EPOLLIN})) paused_.push_back(&socket);
  }

  // Interest 0: the socket is not watched at all.
  bool watch(Socket& socket, uint32_t interest) {
    if (socket.interest == interest) return true;
    const int operation = socket.interest == 0 ? EPOLL_CTL_ADD : interest == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    socket.interest = interest;
    epoll_event event = {};
    event.events = interest;
    event.data.ptr = &socket;
    return epoll_ctl(fd_, operation, socket.fd, &event) == 0;
  }

  void drain_wakes() {
    uint64_t count = 0;
    while (read(wake_fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
  }

  static inline Socket nobody_;
  static constexpr Socket* kNobody = &nobody_;
  DriverEvents& events_;
  std::unique_ptr<uint8_t[]> scratch_;
  std::array<epoll_event, kMaxReady> ready_ = {};
  // Sockets with something to read, while JS is behind.
  std::vector<Socket*> paused_;
  int fd_ = -1;
  int wake_fd_ = -1;
};

}  // namespace

std::unique_ptr<Driver> make_epoll_driver(DriverEvents& events) {
  return std::unique_ptr<Driver>(new EpollDriver(events));
}

}  // namespace nz
