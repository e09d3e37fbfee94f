// The engine on real sockets, with this thread in the place of JS: both drivers, take-over, back-pressure, ends of every
// kind. Run under ThreadSanitizer it says whether the two threads share anything they should not.
#include <sys/resource.h>

#include "host.h"

namespace nz::test {
namespace {

TEST("engines exchange megabytes, and close in order") {
  with_each([](Way way) {
    Host client(way);
    Host server(way);
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
  with_each([](Way way) {
    Host client(way);
    Host server(way);
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
    CHECK(server.engine->slabs()->in_use() <= kMaxWaitingBatches + 3);
    until({&client, &server}, [&] {
      size_t all = 0;
      for (const auto& [stream, bytes] : server.received) all += bytes.size();
      return all == kConnections * sent.size();
    });
    for (const auto& [stream, bytes] : server.received) CHECK(bytes == sent);
  });
}

TEST("ends of every kind are told once, with their reason") {
  with_each([](Way way) {
    const auto end = [way](void (*finish)(int)) {
      Host server(way);
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
  with_each([](Way way) {
    const auto descriptors = [] {
      int open_count = 0;
      rlimit limit = {};
      getrlimit(RLIMIT_NOFILE, &limit);
      for (int fd = 0; fd < static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 4'096)); ++fd) open_count += fcntl(fd, F_GETFD) >= 0;
      return open_count;
    };
    Host client(way);
    Host server(way);
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
  with_each([](Way way) {
    for (int turn = 0; turn < 10; ++turn) {
      Host client(way);
      Host server(way);
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
  Host host(Way::uring);
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
