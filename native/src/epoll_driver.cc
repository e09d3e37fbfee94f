// The twin of the io_uring driver for kernels and containers without it, and the one for connections on the thread of JS.
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
constexpr size_t kSmallScratchBytes = 64 * 1024;
constexpr int kMaxReady = 256;

class EpollDriver final : public Driver {
 public:
  EpollDriver(DriverEvents& events, Pace pace)
      : events_(events),
        is_small_(pace == Pace::small),
        scratch_bytes_(is_small_ ? kSmallScratchBytes : kScratchBytes),
        scratch_(new uint8_t[scratch_bytes_]) {}
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
  int watch_fd() const override { return fd_; }

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
    forget(socket);
    events_.on_removed(socket);
  }

  void detach(Socket& socket) override {
    forget(socket);
    events_.on_detached(socket);
  }

  void wait(int timeout_ms) override {
    if (!events_.is_input_paused() && !paused_.empty()) {
      for (Socket* socket : std::exchange(paused_, {}))
        watch(*socket, EPOLLIN | (socket->sending == nullptr ? 0u : uint32_t{EPOLLOUT}));
    }
    const int count = epoll_wait(fd_, ready_.data(), kMaxReady, timeout_ms);
    events_.on_woken();
    // Another one goes first each time: what a turn may read can be used up before all had theirs.
    turn_ += 1;
    for (int i = 0; i < count; ++i) serve(ready_[(turn_ + static_cast<size_t>(i)) % static_cast<size_t>(count)]);
    for (int i = 0; i < count; ++i) ready_[static_cast<size_t>(i)].data.ptr = kNobody;
  }

 private:
  void serve(const epoll_event& event) {
    if (event.data.ptr == kNobody) return;
    if (event.data.ptr == nullptr) return drain_wakes();
    Socket& socket = *static_cast<Socket*>(event.data.ptr);
    if ((event.events & EPOLLOUT) != 0 && socket.sending != nullptr) send(socket);
    if (event.data.ptr != kNobody && (event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(socket, event);
  }

  // What `wait` still holds for it is passed over.
  void forget(Socket& socket) {
    watch(socket, 0);
    std::erase(paused_, &socket);
    for (epoll_event& event : ready_)
      if (event.data.ptr == &socket) event.data.ptr = kNobody;
  }

  void receive(Socket& socket, const epoll_event& event) {
    // In small turns the next one is soon, and finds it ready again.
    if (events_.is_input_paused()) return is_small_ ? void() : pause(socket, event.events);
    const ssize_t size = recv(socket.fd, scratch_.get(), scratch_bytes_, MSG_DONTWAIT);
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
  const bool is_small_;
  const size_t scratch_bytes_;
  size_t turn_ = 0;
  std::unique_ptr<uint8_t[]> scratch_;
  std::array<epoll_event, kMaxReady> ready_ = {};
  // Sockets with something to read, while JS is behind.
  std::vector<Socket*> paused_;
  int fd_ = -1;
  int wake_fd_ = -1;
};

}  // namespace

std::unique_ptr<Driver> make_epoll_driver(DriverEvents& events, Pace pace) {
  return std::unique_ptr<Driver>(new EpollDriver(events, pace));
}

}  // namespace nz
