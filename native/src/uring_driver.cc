// Sockets by io_uring: one multishot receive each, fed from a common ring of buffers, and one send at a time. All
// submissions of a turn go to the kernel in the call that waits for the next.
#include "driver.h"

#if defined(__linux__) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif

#ifdef IORING_SETUP_DEFER_TASKRUN

#include <poll.h>
#include <sys/socket.h>

#include <deque>
#include <utility>
#include <vector>

#include "uring.h"

namespace nz {

namespace {

// The low bits of a completion's user data; the rest is the socket.
enum Operation : uint64_t { kReceive = 1, kSend = 2, kCancel = 3, kWake = 4, kMask = 7 };

class UringDriver final : public Driver {
 public:
  UringDriver(DriverEvents& events, UringSizes sizes) : events_(events), sizes_(sizes) {}

  int init(int wake_fd) override {
    wake_fd_ = wake_fd;
    if (const int error = ring_.init(sizes_.submissions, sizes_.completions); error != 0) return error;
    if (const int error = buffers_.init(ring_.fd()); error != 0) return error;
    return watch_wakes() ? 0 : EAGAIN;
  }

  Backend backend() const override { return Backend::io_uring; }

  void add(Socket& socket) override { receive(socket); }

  void send(Socket& socket) override {
    io_uring_sqe* sqe = ring_.entry();
    if (sqe == nullptr) return unsent_.push_back(&socket);
    OutBuffer& buffer = *socket.sending;
    sqe->opcode = IORING_OP_SEND;
    sqe->fd = socket.fd;
    sqe->addr = reinterpret_cast<uint64_t>(buffer.bytes + buffer.sent);
    sqe->len = buffer.used - buffer.sent;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    sqe->user_data = reinterpret_cast<uint64_t>(&socket) | kSend;
    socket.operations += 1;
  }

  void remove(Socket& socket) override {
    socket.is_removing = true;
    std::erase(unsent_, &socket);
    std::erase(starved_, &socket);
    for (Held& held : held_)
      if (held.socket == &socket) held.socket = nullptr;
    if (socket.operations == 0) return events_.on_removed(socket);
    cancel(socket);
  }

  void detach(Socket& socket) override {
    socket.is_detaching = true;
    std::erase(starved_, &socket);
    if (socket.operations > 0) cancel_receive(socket);
    end_detaching(socket);
  }

  void wait(int timeout_ms) override {
    for (Socket* socket : std::exchange(unsent_, {})) send(*socket);
    for (Socket* socket : std::exchange(uncancelled_, {}))
      if (socket->operations > 0) socket->is_removing ? cancel(*socket) : cancel_receive(*socket);
    if (!events_.is_input_paused())
      for (Socket* socket : std::exchange(starved_, {})) receive(*socket);
    if (is_wake_lost_) watch_wakes();
    const bool must_wait = timeout_ms != 0 && !ring_.has_completion() && (held_.empty() || events_.is_input_paused());
    ring_.enter(must_wait ? 1 : 0, must_wait ? timeout_ms : 0);
    events_.on_woken();
    drain_held();
    for (io_uring_cqe completion; ring_.next(completion);) complete(completion);
    drain_held();
  }

 private:
  // Something received while JS was behind, or after something that was.
  struct Held {
    Socket* socket;
    int32_t result;
    int32_t buffer;
  };

  void receive(Socket& socket) {
    io_uring_sqe* sqe = ring_.entry();
    if (sqe == nullptr) return starved_.push_back(&socket);
    sqe->opcode = IORING_OP_RECV;
    sqe->fd = socket.fd;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = UringBuffers::kGroup;
    if (is_multishot_) sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->user_data = reinterpret_cast<uint64_t>(&socket) | kReceive;
    socket.operations += 1;
  }

  // By descriptor: whatever is under way, in one entry.
  void cancel(Socket& socket) {
    io_uring_sqe* sqe = ring_.entry();
    if (sqe == nullptr) return uncancelled_.push_back(&socket);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = socket.fd;
    sqe->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
    sqe->user_data = reinterpret_cast<uint64_t>(&socket) | kCancel;
    // The descriptor must not be closed, and used by somebody else, before this has run.
    socket.operations += 1;
  }

  void cancel_receive(Socket& socket) {
    io_uring_sqe* sqe = ring_.entry();
    if (sqe == nullptr) return uncancelled_.push_back(&socket);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = reinterpret_cast<uint64_t>(&socket) | kReceive;
    sqe->user_data = reinterpret_cast<uint64_t>(&socket) | kCancel;
    socket.operations += 1;
  }

  // Nothing is under way any more, and nothing received waits.
  void end_detaching(Socket& socket) {
    if (!socket.is_detaching || socket.is_removing || socket.operations > 0) return;
    for (const Held& held : held_)
      if (held.socket == &socket) return;
    socket.is_detaching = false;
    std::erase(uncancelled_, &socket);
    events_.on_detached(socket);
  }

  // A poll and not a read: nothing of ours is written to by the kernel when the ring is torn down.
  bool watch_wakes() {
    io_uring_sqe* sqe = ring_.entry();
    is_wake_lost_ = sqe == nullptr;
    if (is_wake_lost_) return false;
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = wake_fd_;
    sqe->poll32_events = POLLIN;
    sqe->user_data = kWake;
    return true;
  }

  void drain_wakes() {
    uint64_t count = 0;
    while (read(wake_fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
    watch_wakes();
  }

  void complete(const io_uring_cqe& completion) {
    const uint64_t operation = completion.user_data & kMask;
    if (operation == kWake) return drain_wakes();
    Socket& socket = *reinterpret_cast<Socket*>(completion.user_data & ~uint64_t{kMask});
    const bool is_last = (completion.flags & IORING_CQE_F_MORE) == 0;
    if (is_last) socket.operations -= 1;
    const int32_t buffer = (completion.flags & IORING_CQE_F_BUFFER) != 0
                               ? static_cast<int32_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT)
                               : -1;
    if (socket.is_removing) {
      if (buffer >= 0) buffers_.give(static_cast<uint16_t>(buffer));
      if (socket.operations > 0) return;
      std::erase(uncancelled_, &socket);
      return events_.on_removed(socket);
    }
    if (operation == kSend) return sent(socket, completion.res);
    if (operation == kReceive) received(socket, completion.res, buffer, is_last);
    end_detaching(socket);
  }

  void sent(Socket& socket, int32_t result) {
    if (result == -EINTR || result == -EAGAIN) return send(socket);
    if (result < 0) return events_.on_ended(socket, -result);
    socket.sending->sent += static_cast<uint32_t>(result);
    if (socket.sending->sent < socket.sending->used) return send(socket);
    events_.on_sent(socket);
  }

  void received(Socket& socket, int32_t result, int32_t buffer, bool is_last) {
    if (result == -EINVAL && is_multishot_) {
      // Linux before 6.0.
      is_multishot_ = false;
      return socket.is_detaching ? void() : receive(socket);
    }
    const bool is_cancelled = result == -ECANCELED && socket.is_detaching;
    const bool is_over =
        result == 0 || (result < 0 && !is_cancelled && result != -ENOBUFS && result != -EINTR && result != -EAGAIN);
    if (is_last && !is_over && !socket.is_detaching) starved_.push_back(&socket);
    if (result <= 0 && !is_over) return;
    if (events_.is_input_paused() || !held_.empty()) return held_.push_back({&socket, result, buffer});
    pass_on({&socket, result, buffer});
  }

  void drain_held() {
    while (!held_.empty() && !events_.is_input_paused()) {
      const Held held = held_.front();
      held_.pop_front();
      pass_on(held);
    }
  }

  void pass_on(const Held& held) {
    if (held.socket != nullptr) {
      if (held.result > 0) {
        events_.on_received(*held.socket, buffers_.at(static_cast<uint16_t>(held.buffer)),
                            static_cast<size_t>(held.result));
      } else {
        events_.on_ended(*held.socket, -held.result);
      }
    }
    if (held.buffer >= 0) buffers_.give(static_cast<uint16_t>(held.buffer));
    if (held.socket != nullptr) end_detaching(*held.socket);
  }

  DriverEvents& events_;
  const UringSizes sizes_;
  // The ring goes first: the kernel may use the buffers until then.
  UringBuffers buffers_;
  Uring ring_;
  int wake_fd_ = -1;
  bool is_wake_lost_ = false;
  bool is_multishot_ = true;
  std::deque<Held> held_;
  // Their receive ended for want of buffers, or found no entry: again at the next turn.
  std::vector<Socket*> starved_;
  std::vector<Socket*> unsent_;
  std::vector<Socket*> uncancelled_;
};

}  // namespace

std::unique_ptr<Driver> make_uring_driver(DriverEvents& events, UringSizes sizes) {
  return std::unique_ptr<Driver>(new UringDriver(events, sizes));
}

}  // namespace nz

#else

namespace nz {
std::unique_ptr<Driver> make_uring_driver(DriverEvents&, UringSizes) { return nullptr; }
}  // namespace nz

#endif
