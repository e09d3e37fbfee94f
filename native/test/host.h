// An engine with this thread in the place of JS, on real sockets of the loopback.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <map>

#include "engine.h"
#include "world.h"

namespace nz::test {

inline constexpr size_t kRingBytes = 256 * 1024;

struct Sockets {
  int client = -1;
  int server = -1;
};

inline Sockets connect_loopback() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener, 1) == 0);
  CHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Sockets made;
  made.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(connect(made.client, reinterpret_cast<sockaddr*>(&address), size) == 0);
  made.server = accept(listener, nullptr, nullptr);
  close(listener);
  return made;
}

// How an engine runs: with a thread, by io_uring or epoll, or in turns on this one.
enum class Way { uring, epoll, in_turns };

// An engine and what JS would do with it.
class Host {
 public:
  explicit Host(Way way, UringSizes uring_sizes = {}, EngineInit init = {})
      : is_inline_(way == Way::in_turns), ring_(kRingBytes), control_(4), control_block_(control_.data()) {
    bell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    init.commands = ring_.data();
    init.commands_bytes = ring_.size();
    init.control = control_.data();
    init.may_use_uring = way == Way::uring;
    init.is_inline = way == Way::in_turns;
    init.uring_sizes = uring_sizes;
    init.window_budget_bytes = 64 * 1024 * 1024;
    init.notify = [](void* context) {
      const uint64_t one = 1;
      CHECK(write(static_cast<Host*>(context)->bell_, &one, sizeof one) == sizeof one);
    };
    init.context = this;
    int error = 0;
    engine = Engine::create(init, error);
    CHECK(engine != nullptr);
  }
  ~Host() {
    engine->stop();
    close(bell_);
  }

  void attach(uint32_t id, bool is_client, int fd) {
    AttachInit init;
    init.session.id = id;
    init.session.is_client = is_client;
    key(init.session.sealer, RecordCipher::Direction::seal, is_client ? 1 : 2);
    key(init.session.opener, RecordCipher::Direction::open, is_client ? 2 : 1);
    init.fd = fd;
    engine->attach(std::move(init));
  }

  void command(CommandType type, uint32_t session, uint32_t stream = 0, uint32_t argument = 0,
               const std::string& bytes = "") {
    const size_t length = kCommandBytes + ((bytes.size() + 15) & ~size_t{15});
    size_t offset = tail_ & (kRingBytes - 1);
    const size_t skipped = offset + length > kRingBytes ? kRingBytes - offset : 0;
    // The engine reads on whether or not its batches are taken.
    while (kRingBytes - (tail_ - control_block_.load(Control::head)) < skipped + length) usleep(100);
    if (skipped > 0) {
      put(offset, {CommandType::wrap, 0, 0, 0});
      tail_ += static_cast<uint32_t>(skipped);
      offset = 0;
    }
    put(offset, {type, session, stream, type == CommandType::write ? static_cast<uint32_t>(bytes.size()) : argument});
    std::memcpy(ring_.data() + offset + kCommandBytes, bytes.data(), bytes.size());
    tail_ += static_cast<uint32_t>(length);
    control_block_.store(Control::tail, tail_);
    if (control_block_.exchange(Control::is_sleeping, 0) != 0) engine->wake();
  }

  // Takes what waits; waits for something at most `timeout_ms`.
  void pump(int timeout_ms) {
    wait(timeout_ms);
    take_each([this](const Event& event, const char* bytes) {
      if (event.type == static_cast<uint32_t>(EventType::data)) {
        received[event.stream].append(bytes, event.b);
        if (consumes) command(CommandType::consumed, event.session, event.stream, event.b);
      } else {
        told.push_back({static_cast<EventType>(event.type), event.stream, event.a});
        if (told.back().type == EventType::stream) command(CommandType::accept, event.session, event.stream);
      }
    });
  }

  // Until something may wait; runs a turn if it is this thread's to run.
  void wait(int timeout_ms) {
    pollfd waiting[] = {{bell_, POLLIN, 0}, {is_inline_ ? engine->watch_fd() : -1, POLLIN, 0}};
    poll(waiting, 2, timeout_ms);
    uint64_t count = 0;
    (void)!read(bell_, &count, sizeof count);
    if (is_inline_ && waiting[1].revents != 0) engine->run_sockets();
  }

  // Calls `use(event, bytes)` for all that waits, `bytes` being those of `data`.
  template <typename Use>
  void take_each(Use use) {
    Batch batch;
    bool has_more = true;
    while (has_more && engine->take(batch, has_more)) {
      for (const Event& event : batch.events) {
        const bool is_data = event.type == static_cast<uint32_t>(EventType::data);
        use(event, is_data ? reinterpret_cast<const char*>(batch.slab.get()) + event.a : nullptr);
      }
      engine->slabs()->give(std::move(batch.slab));
      batch = Batch{};
    }
  }

  // A tail that no writer would set.
  void break_ring() {
    control_block_.store(Control::tail, tail_ + 2 * kRingBytes);
    engine->wake();
  }

  int count(EventType type) const {
    int found = 0;
    for (const Told& each : told) found += each.type == type;
    return found;
  }
  Failure failure() const {
    for (const Told& each : told)
      if (each.type == EventType::closed) return static_cast<Failure>(each.a);
    return Failure::none;
  }

  std::unique_ptr<Engine> engine;
  std::map<uint32_t, std::string> received;
  std::vector<Told> told;
  bool consumes = true;

 private:
  const bool is_inline_;
  void put(size_t offset, const Command& command) { std::memcpy(ring_.data() + offset, &command, sizeof command); }
  std::vector<uint8_t> ring_;
  std::vector<uint32_t> control_;
  ControlBlock control_block_;
  uint32_t tail_ = 0;
  int bell_ = -1;
};

// Lets both sides work until `is_done`; gives up after a minute.
template <typename Done>
void until(std::initializer_list<Host*> hosts, Done is_done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!is_done()) {
    for (Host* host : hosts) host->pump(1);
    CHECK(std::chrono::steady_clock::now() < limit);
  }
}

inline std::string pattern(size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (char& each : out) each = static_cast<char>(random());
  return out;
}

template <typename Run>
void with_each(Run run) {
  for (const Way way : {Way::uring, Way::epoll, Way::in_turns}) run(way);
}

}  // namespace nz::test
