// The engine on real sockets, with this thread in the place of JS: both drivers, take-over, back-pressure, ends of every
// kind. Run under ThreadSanitizer it says whether the two threads share anything they should not.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <map>

#include "engine.h"
#include "world.h"

namespace nz::test {
namespace {

constexpr size_t kRingBytes = 256 * 1024;

struct Sockets {
  int client = -1;
  int server = -1;
};

Sockets connect_loopback() {
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

// An engine and what JS would do with it.
class Host {
 public:
  explicit Host(bool may_use_uring) : ring_(kRingBytes), control_(4), control_block_(control_.data()) {
    bell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    EngineInit init;
    init.commands = ring_.data();
    init.commands_bytes = ring_.size();
    init.control = control_.data();
    init.may_use_uring = may_use_uring;
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
    while (kRingBytes - (tail_ - control_block_.load(Control::head)) < skipped + length) pump(1);
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
    pollfd waiting = {bell_, POLLIN, 0};
    poll(&waiting, 1, timeout_ms);
    uint64_t count = 0;
    (void)!read(bell_, &count, sizeof count);
    Batch batch;
    bool has_more = true;
    while (has_more && engine->take(batch, has_more)) {
      for (const Event& event : batch.events) {
        if (event.type == static_cast<uint32_t>(EventType::data)) {
          received[event.stream].append(reinterpret_cast<const char*>(batch.slab.get()) + event.a, event.b);
          if (consumes) command(CommandType::consumed, event.session, event.stream, event.b);
        } else {
          told.push_back({static_cast<EventType>(event.type), event.stream, event.a});
          if (told.back().type == EventType::stream) command(CommandType::accept, event.session, event.stream);
        }
      }
      engine->slabs().give(std::move(batch.slab));
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
  void put(size_t offset, const Command& command) { std::memcpy(ring_.data() + offset, &command, sizeof command); }
  std::vector<uint8_t> ring_;
  std::vector<uint32_t> control_;
  ControlBlock control_block_;
  uint32_t tail_ = 0;
  int bell_ = -1;
};

// Lets both sides work until `is_done`; gives up after ten seconds.
template <typename Done>
void until(std::initializer_list<Host*> hosts, Done is_done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!is_done()) {
    for (Host* host : hosts) host->pump(1);
    CHECK(std::chrono::steady_clock::now() < limit);
  }
}

std::string pattern(size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (char& each : out) each = static_cast<char>(random());
  return out;
}

template <typename Run>
void with_both(Run run) {
  for (const bool may_use_uring : {true, false}) run(may_use_uring);
}

TEST("engines exchange megabytes, and close in order") {
  with_both([](bool may_use_uring) {
    Host client(may_use_uring);
    Host server(may_use_uring);
    const Sockets sockets = connect_loopback();
    client.attach(1, true, sockets.client);
    server.attach(9, false, sockets.server);
    const std::string sent = pattern(8 * 1024 * 1024);
    client.command(CommandType::open, 1, 1);
    for (size_t at = 0; at < sent.size(); at += 60'000) {
      client.command(CommandType::write, 1, 1, 0, sent.substr(at, 60'000));
      server.pump(0);
    }
    client.command(CommandType::close_write, 1, 1);
    client.command(CommandType::shutdown, 1);
    until({&client, &server}, [&] { return client.count(EventType::flushed) == 1; });
    until({&client, &server}, [&] { return server.count(EventType::go_away) == 1; });
    CHECK(server.received[1] == sent && server.count(EventType::end) == 1);
    CHECK(client.count(EventType::rtt) >= 1);
    client.command(CommandType::abort, 1);
    until({&client, &server}, [&] { return client.count(EventType::closed) + server.count(EventType::closed) == 2; });
    CHECK(client.failure() == Failure::aborted && server.failure() == Failure::ended);
  });
}

TEST("one that does not take its batches makes its sockets wait, and goes on afterwards") {
  with_both([](bool may_use_uring) {
    Host client(may_use_uring);
    Host server(may_use_uring);
    const std::string sent = pattern(200'000);
    constexpr uint32_t kConnections = 40;
    for (uint32_t id = 1; id <= kConnections; ++id) {
      const Sockets sockets = connect_loopback();
      client.attach(id, true, sockets.client);
      server.attach(id, false, sockets.server);
      client.command(CommandType::open, id, 1 + 2 * id);
      for (size_t at = 0; at < sent.size(); at += 50'000)
        client.command(CommandType::write, id, 1 + 2 * id, 0, sent.substr(at, 50'000));
      client.pump(0);
    }
    // Eight megabytes wait; of them at most a few batches have been read.
    for (int i = 0; i < 100; ++i) client.pump(1);
    CHECK(server.engine->slabs().in_use() <= kMaxWaitingBatches + 3);
    until({&client, &server}, [&] {
      size_t all = 0;
      for (const auto& [stream, bytes] : server.received) all += bytes.size();
      return all == kConnections * sent.size();
    });
    for (const auto& [stream, bytes] : server.received) CHECK(bytes == sent);
  });
}

TEST("ends of every kind are told once, with their reason") {
  with_both([](bool may_use_uring) {
    const auto end = [may_use_uring](void (*finish)(int)) {
      Host server(may_use_uring);
      const Sockets sockets = connect_loopback();
      server.attach(1, false, sockets.server);
      finish(sockets.client);
      until({&server}, [&] { return server.count(EventType::closed) == 1; });
      server.pump(5);
      CHECK(server.count(EventType::closed) == 1);
      return server.failure();
    };
    CHECK(end([](int fd) { close(fd); }) != Failure::none);
    CHECK(end([](int fd) { shutdown(fd, SHUT_WR); }) == Failure::ended);
    CHECK(end([](int fd) {
            // In the middle of a record.
            const std::string bytes = Attacker().record(Attacker::frame(1, yamux::kSyn, 1, 0));
            CHECK(send(fd, bytes.data(), bytes.size() / 2, 0) > 0);
            const linger abrupt = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
            close(fd);
          }) == Failure::io);
    CHECK(end([](int fd) {
            const std::string bytes(100, 'x');
            CHECK(send(fd, bytes.data(), bytes.size(), 0) > 0 && send(fd, std::string(40'000, 'y').data(), 40'000, 0) > 0);
          }) == Failure::record_unauthentic);
    CHECK(end([](int fd) {
            const std::string bytes = Attacker().record(Attacker::frame(0, yamux::kSyn, 1, 0xffff'ffff));
            CHECK(send(fd, bytes.data(), bytes.size(), 0) > 0);
          }) == Failure::window_exceeded);
  });
}

TEST("connections opened and closed leave no descriptor behind") {
  with_both([](bool may_use_uring) {
    const auto descriptors = [] {
      int open_count = 0;
      rlimit limit = {};
      getrlimit(RLIMIT_NOFILE, &limit);
      for (int fd = 0; fd < static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 4'096)); ++fd) open_count += fcntl(fd, F_GETFD) >= 0;
      return open_count;
    };
    Host client(may_use_uring);
    Host server(may_use_uring);
    const int before = descriptors();
    for (uint32_t id = 1; id <= 300; ++id) {
      const Sockets sockets = connect_loopback();
      client.attach(id, true, sockets.client);
      server.attach(id, false, sockets.server);
      client.command(CommandType::open, id, 1);
      client.command(CommandType::write, id, 1, 0, "hello");
      if (id % 2 == 0) until({&client, &server}, [&] { return server.count(EventType::stream) >= static_cast<int>(id / 2); });
      client.command(CommandType::abort, id, 0, id % 3 == 0);
    }
    until({&client, &server}, [&] { return client.count(EventType::closed) == 300 && server.count(EventType::closed) == 300; });
    CHECK(descriptors() == before);
  });
}

TEST("an engine may stop in the middle of everything") {
  with_both([](bool may_use_uring) {
    for (int turn = 0; turn < 10; ++turn) {
      Host client(may_use_uring);
      Host server(may_use_uring);
      const Sockets sockets = connect_loopback();
      client.attach(1, true, sockets.client);
      server.attach(1, false, sockets.server);
      client.command(CommandType::open, 1, 1);
      for (int i = 0; i < turn * 3; ++i) client.command(CommandType::write, 1, 1, 0, pattern(50'000));
      (turn % 2 == 0 ? client : server).engine->stop();
    }
  });
}

TEST("a broken command ring costs the connections, not the process") {
  Host host(true);
  const Sockets sockets = connect_loopback();
  host.attach(1, true, sockets.client);
  host.command(CommandType::write, 1, 1, 0, "x");
  host.break_ring();
  until({&host}, [&] { return host.count(EventType::closed) == 1; });
  CHECK(host.failure() == Failure::broken);
  close(sockets.server);
}

}  // namespace
}  // namespace nz::test
