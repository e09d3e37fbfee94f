// The engine where everything is scarce or comes in the worst of ways: entries of the ring, descriptors, bytes one by one,
// a reader that stops among many, an end in the middle of everything.
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "host.h"

namespace nz::test {
namespace {

size_t received_bytes(const Host& host) {
  size_t all = 0;
  for (const auto& [stream, bytes] : host.received) all += bytes.size();
  return all;
}

TEST("a ring far too small for its connections delays them, and loses nothing") {
  for (const UringSizes sizes : {UringSizes{1, 2}, UringSizes{2, 4}, UringSizes{8, 8}}) {
    Host client(Way::uring, sizes);
    Host server(Way::uring, sizes);
    constexpr uint32_t kConnections = 60;
    const std::string sent = pattern(60'000);
    for (uint32_t id = 1; id <= kConnections; ++id) {
      const Sockets sockets = connect_loopback();
      client.attach(id, true, sockets.client);
      server.attach(id, false, sockets.server);
      client.command(CommandType::open, id, 1 + 2 * id);
      client.command(CommandType::write, id, 1 + 2 * id, 0, sent);
    }
    until({&client, &server}, [&] { return received_bytes(server) == kConnections * sent.size(); });
    for (const auto& [stream, bytes] : server.received) CHECK(bytes == sent);
    for (uint32_t id = 1; id <= kConnections; ++id) client.command(CommandType::abort, id);
    until({&client, &server}, [&] {
      return client.count(EventType::closed) == kConnections && server.count(EventType::closed) == kConnections;
    });
    // Not one of them was missed, and the ring works on.
    const Sockets sockets = connect_loopback();
    client.attach(100, true, sockets.client);
    server.attach(100, false, sockets.server);
    client.command(CommandType::open, 100, 999);
    client.command(CommandType::write, 100, 999, 0, "still here");
    until({&client, &server}, [&] { return server.received[999] == "still here"; });
  }
}

TEST("bytes that come one by one are the same bytes") {
  with_each([](Way way) {
    Host server(way);
    const Sockets sockets = connect_loopback();
    const int at_once = 1;
    setsockopt(sockets.client, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    server.attach(1, false, sockets.server);
    Attacker peer;
    std::string bytes = peer.record(Attacker::frame(1, yamux::kSyn, 1, 0));
    for (int i = 0; i < 20; ++i) bytes += peer.record(Attacker::frame(0, 0, 1, 30, pattern(30)));
    for (const char byte : bytes) {
      CHECK(send(sockets.client, &byte, 1, 0) == 1);
      server.pump(0);
    }
    until({&server}, [&] { return server.received[1].size() == 600; });
    for (size_t at = 0; at < 600; at += 30) CHECK(server.received[1].compare(at, 30, pattern(30)) == 0);
    CHECK(server.failure() == Failure::none);
    close(sockets.client);
  });
}

// Lowers the number of descriptors a process may have to those it has and `spare` more.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t spare) {
    getrlimit(RLIMIT_NOFILE, &before_);
    // The lowest free number is the next to be given.
    const int next = fcntl(0, F_DUPFD_CLOEXEC, 0);
    close(next);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(next) + spare;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
  }
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST("without descriptors an engine does not start, says why, and keeps none") {
  std::vector<uint8_t> ring(64 * 1024);
  std::vector<uint32_t> control(4);
  const auto start = [&](Way way) {
    EngineInit init;
    init.commands = ring.data();
    init.commands_bytes = ring.size();
    init.control = control.data();
    init.may_use_uring = way == Way::uring;
    init.is_inline = way == Way::in_turns;
    int error = 0;
    const std::unique_ptr<Engine> engine = Engine::create(init, error);
    CHECK((engine == nullptr) == (error != 0));
    if (engine != nullptr) engine->stop();
    return error;
  };
  // One for the bell of the thread or the timer of turns, one for the ring or for epoll.
  for (const rlim_t spare : {0u, 1u}) {
    for (int i = 0; i < 50; ++i) {
      for (const Way way : {Way::uring, Way::epoll, Way::in_turns}) {
        const FewDescriptors few(spare);
        CHECK(start(way) == EMFILE);
      }
    }
  }
  const FewDescriptors enough(4);
  for (int i = 0; i < 20; ++i) CHECK(start(Way::uring) == 0 && start(Way::epoll) == 0 && start(Way::in_turns) == 0);
}

TEST("one of a hundred that stops reading is held back alone, within bounds") {
  with_each([](Way way) {
    Host client(way);
    Host server(way);
    constexpr uint32_t kOthers = 100;
    constexpr int kRounds = 20;
    const std::string sent = pattern(32'768);
    for (uint32_t id = 1; id <= kOthers; ++id) {
      const Sockets sockets = connect_loopback();
      client.attach(id, true, sockets.client);
      server.attach(id, false, sockets.server);
      client.command(CommandType::open, id, 1 + 2 * id);
    }
    // The slow one: its end of the socket is read by nobody.
    const Sockets slow = connect_loopback();
    client.attach(500, true, slow.client);
    client.command(CommandType::open, 500, 1);
    for (int i = 0; i < kRounds; ++i) {
      client.command(CommandType::write, 500, 1, 0, sent);
      for (uint32_t id = 1; id <= kOthers; ++id) client.command(CommandType::write, id, 1 + 2 * id, 0, sent);
      until({&client, &server}, [&] { return received_bytes(server) == kOthers * sent.size() * static_cast<size_t>(i + 1); });
    }
    CHECK(client.count(EventType::closed) == 0 && server.count(EventType::closed) == 0);
    close(slow.server);
    until({&client, &server}, [&] { return client.count(EventType::closed) == 1; });
  });
}

TEST("engines end while hundreds of connections open, talk, and are cut") {
  with_each([](Way way) {
    for (uint32_t turn = 0; turn < 6; ++turn) {
      Host client(way);
      Host server(way);
      const std::string sent = pattern(20'000);
      for (uint32_t id = 1; id <= 60; ++id) {
        const Sockets sockets = connect_loopback();
        client.attach(id, true, sockets.client);
        server.attach(id, false, sockets.server);
        for (uint32_t stream = 1; stream < 8; stream += 2) {
          client.command(CommandType::open, id, stream);
          client.command(CommandType::write, id, stream, 0, sent);
          client.command(CommandType::mark, id, stream);
        }
        if (id % 5 == turn % 5) client.command(CommandType::abort, id, 0, id % 2);
        if (id % 7 == 0) server.command(CommandType::abort, id, 0, 1);
        if (id % 11 == 0) client.command(CommandType::shutdown, id, 0, 0);
        server.pump(0);
        client.pump(0);
      }
      if (turn % 3 == 0) until({&client, &server}, [&] { return client.count(EventType::closed) >= 12; });
      (turn % 2 == 0 ? client : server).engine->stop();
    }
  });
}

}  // namespace
}  // namespace nz::test
