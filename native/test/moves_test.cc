// Connections that go from the engine without a thread to the one with it, and back: in the middle of everything, and
// nothing is lost, said twice, or out of order.
#include <utility>

#include "bytes.h"
#include "host.h"

namespace nz::test {
namespace {

// Both engines of an environment, and what JS would do with them.
class Environment {
 public:
  explicit Environment(bool may_use_uring)
      : thread_(may_use_uring ? Way::uring : Way::epoll, {}, calm_soon()),
        inline_(Way::in_turns, {}, sharing(thread_.engine->budget())) {}

  void attach(uint32_t id, bool is_client, int fd) {
    inline_.attach(id, is_client, fd);
    places_[id] = Place::in_turns;
  }

  void command(CommandType type, uint32_t id, uint32_t stream = 0, uint32_t argument = 0, const std::string& bytes = "") {
    if (places_[id] == Place::between) return held_[id].push_back({type, stream, argument, bytes});
    (places_[id] == Place::in_turns ? inline_ : thread_).command(type, id, stream, argument, bytes);
  }

  // False when it cannot go just now.
  bool promote(uint32_t id) {
    if (places_[id] != Place::in_turns || !inline_.engine->hand_over(id, *thread_.engine)) return false;
    places_[id] = Place::with_thread;
    return true;
  }

  bool release(uint32_t id) {
    if (places_[id] != Place::with_thread) return false;
    thread_.command(CommandType::release, id);
    places_[id] = Place::between;
    return true;
  }

  void pump(int timeout_ms) {
    inline_.wait(0);
    take(inline_);
    thread_.wait(timeout_ms);
    // What the engine without a thread has told of a connection that the other one has now.
    take(inline_);
    take(thread_);
  }

  int count(EventType type, uint32_t stream = 0) const {
    int found = 0;
    for (const Told& each : told) found += each.type == type && (stream == 0 || each.stream == stream);
    return found;
  }

  void stop(bool is_thread_first) {
    (is_thread_first ? thread_ : inline_).engine->stop();
    (is_thread_first ? inline_ : thread_).engine->stop();
  }

  std::map<uint32_t, std::string> received;
  std::vector<Told> told;
  int moves_back = 0;

 private:
  enum class Place { in_turns, with_thread, between };
  struct Held {
    CommandType type;
    uint32_t stream;
    uint32_t argument;
    std::string bytes;
  };

  static EngineInit calm_soon() {
    EngineInit init;
    init.calm_ticks = 1;
    return init;
  }
  static EngineInit sharing(const std::shared_ptr<WindowBudget>& budget) {
    EngineInit init;
    init.budget = budget;
    // However long it takes.
    init.busy_us = 3'600'000'000;
    return init;
  }

  void take(Host& host) {
    host.take_each([this](const Event& event, const char* bytes) { tell(event, bytes); });
  }

  void tell(const Event& event, const char* bytes) {
    const auto type = static_cast<EventType>(event.type);
    if (type == EventType::data) {
      received[event.stream].append(bytes, event.b);
      return command(CommandType::consumed, event.session, event.stream, event.b);
    }
    told.push_back({type, event.stream, event.a});
    if (type == EventType::stream) command(CommandType::accept, event.session, event.stream);
    if (type == EventType::released) settle(event.session, event.a != 0);
  }

  void settle(uint32_t id, bool is_free) {
    if (is_free) CHECK(inline_.engine->adopt(id, *thread_.engine));
    moves_back += is_free;
    places_[id] = is_free ? Place::in_turns : Place::with_thread;
    for (const Held& each : std::exchange(held_[id], {})) command(each.type, id, each.stream, each.argument, each.bytes);
  }

  Host thread_;
  Host inline_;
  std::map<uint32_t, Place> places_;
  std::map<uint32_t, std::vector<Held>> held_;
};

template <typename Done>
void until_both(Environment& one, Environment& other, Done is_done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!is_done()) {
    one.pump(1);
    other.pump(1);
    CHECK(std::chrono::steady_clock::now() < limit);
  }
}

// What a side has to write to one stream, in pieces of seeded sizes.
class Script {
 public:
  Script(uint32_t stream, uint32_t seed, size_t size) : stream_(stream), random_(seed), bytes_(pattern(size)) {
    bytes_[0] = static_cast<char>(stream);
  }
  bool is_done() const { return at_ == bytes_.size(); }
  const std::string& bytes() const { return bytes_; }

  void step(Environment& side, uint32_t id) {
    if (is_done()) return;
    const size_t size = std::min<size_t>(1 + random_() % (random_() % 4 == 0 ? 60'000 : 900), bytes_.size() - at_);
    side.command(CommandType::write, id, stream_, 0, bytes_.substr(at_, size));
    if (random_() % 8 == 0) side.command(CommandType::mark, id, stream_);
    at_ += size;
    if (is_done()) side.command(CommandType::close_write, id, stream_);
  }

 private:
  const uint32_t stream_;
  std::mt19937 random_;
  std::string bytes_;
  size_t at_ = 0;
};

// Both ends of one connection.
void join(Environment& client, Environment& server) {
  const Sockets sockets = connect_loopback();
  client.attach(1, true, sockets.client);
  server.attach(2, false, sockets.server);
}

// How often it came back from the thread.
int transfer_with_moves(bool may_use_uring, uint32_t seed) {
  std::mt19937 random(seed);
  Environment client(may_use_uring);
  Environment server(may_use_uring);
  join(client, server);
  // Three streams of the one side and two of the other, each written to by who opened it.
  std::vector<Script> of_client;
  std::vector<Script> of_server;
  for (const uint32_t stream : {1u, 3u, 5u}) {
    client.command(CommandType::open, 1, stream);
    of_client.emplace_back(stream, seed + stream, 150'000 + random() % 250'000);
  }
  for (const uint32_t stream : {2u, 4u}) {
    server.command(CommandType::open, 2, stream);
    of_server.emplace_back(stream, seed + stream, 150'000 + random() % 250'000);
  }
  const auto is_received = [](Environment& side, const std::vector<Script>& scripts) {
    for (const Script& each : scripts)
      if (!each.is_done() || side.received[static_cast<uint8_t>(each.bytes()[0])].size() < each.bytes().size()) return false;
    return true;
  };
  until_both(client, server, [&] {
    for (int i = 0; i < 8; ++i) {
      of_client[random() % of_client.size()].step(client, 1);
      of_server[random() % of_server.size()].step(server, 2);
    }
    if (random() % 3 == 0) random() % 2 == 0 ? client.promote(1) : client.release(1);
    if (random() % 3 == 0) random() % 2 == 0 ? server.promote(2) : server.release(2);
    return is_received(server, of_client) && is_received(client, of_server);
  });
  for (const Script& each : of_client) CHECK(server.received[static_cast<uint8_t>(each.bytes()[0])] == each.bytes());
  for (const Script& each : of_server) CHECK(client.received[static_cast<uint8_t>(each.bytes()[0])] == each.bytes());
  // Its end, too, is where it should be, wherever the connection is.
  client.command(CommandType::shutdown, 1);
  until_both(client, server, [&] { return client.count(EventType::flushed) == 1 && server.count(EventType::go_away) == 1; });
  server.command(CommandType::abort, 2);
  until_both(client, server, [&] { return client.count(EventType::closed) + server.count(EventType::closed) == 2; });
  return client.moves_back + server.moves_back;
}

TEST("a connection that goes to the thread and back in the middle of transfers loses and reorders nothing") {
  for (const bool may_use_uring : {true, false}) {
    int moves = 0;
    for (uint32_t seed = 1; seed <= 6; ++seed) moves += transfer_with_moves(may_use_uring, seed);
    CHECK(moves > 0);
  }
}

TEST("a connection that is calm for a while is said to be, and comes back; one that moves much is said to be busy") {
  for (const bool may_use_uring : {true, false}) {
    Environment client(may_use_uring);
    Environment server(may_use_uring);
    join(client, server);
    client.command(CommandType::open, 1, 1);
    const std::string sent = pattern(64 * 1024);
    for (int i = 0; client.count(EventType::busy) == 0; ++i) {
      client.command(CommandType::write, 1, 1, 0, sent);
      client.pump(0);
      server.pump(0);
      CHECK(i < 100'000);
    }
    CHECK(client.promote(1));
    until_both(client, server, [&] { return client.count(EventType::calm) > 0; });
    CHECK(client.release(1));
    client.command(CommandType::write, 1, 1, 0, "behind the move");
    until_both(client, server, [&] { return client.moves_back == 1 && server.received[1].ends_with("behind the move"); });
    CHECK(!client.release(1) && client.promote(1));
  }
}

TEST("ends of every kind, and of engines, in the middle of a move") {
  for (const bool may_use_uring : {true, false}) {
    for (uint32_t turn = 0; turn < 24; ++turn) {
      Environment client(may_use_uring);
      Environment server(may_use_uring);
      join(client, server);
      client.command(CommandType::open, 1, 1);
      const std::string sent = pattern(50'000);
      for (uint32_t i = 0; i < turn; ++i) client.command(CommandType::write, 1, 1, 0, sent);
      server.pump(0);
      client.promote(1);
      if (turn % 2 == 0) server.promote(2);
      if (turn % 3 == 0) client.pump(1);
      client.release(1);
      switch (turn % 4) {
        case 0:
          server.command(CommandType::abort, 2, 0, 1);
          break;
        case 1:
          client.command(CommandType::abort, 1, 0, turn % 8 == 1);
          break;
        case 2:
          client.stop(turn % 8 == 2);
          continue;
        default:
          server.stop(turn % 8 == 3);
          until_both(client, client, [&] { return client.count(EventType::closed) == 1; });
          continue;
      }
      until_both(client, server, [&] { return client.count(EventType::closed) + server.count(EventType::closed) == 2; });
      CHECK(!client.promote(1));
    }
  }
}

// As much as fits is sent and waits in the socket.
void flood(int fd, Attacker& peer) {
  const std::string bytes = peer.record(Attacker::frame(1, yamux::kSyn, 1, 0));
  CHECK(send(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  for (;;) {
    std::string pings;
    for (int i = 0; i < 2'000; ++i) pings += Attacker::frame(2, yamux::kAck, 0, 77);
    const std::string record = peer.record(pings);
    for (size_t at = 0; at < record.size();) {
      const ssize_t sent = send(fd, record.data() + at, record.size() - at, MSG_DONTWAIT);
      if (sent < 0) return;
      at += static_cast<size_t>(sent);
    }
  }
}

TEST("a flood fills one turn and no more, and others have theirs") {
  constexpr int kFloods = 6;
  Host host(Way::in_turns);
  uint64_t slots[(kFloods + 1) * kCounterSlotBytes / sizeof(uint64_t)] = {};
  const auto attach = [&](uint32_t id, int fd) {
    AttachInit init;
    init.session.id = id;
    key(init.session.sealer, RecordCipher::Direction::seal, 2);
    key(init.session.opener, RecordCipher::Direction::open, 1);
    init.session.counters = slots + (id - 1) * (kCounterSlotBytes / sizeof(uint64_t));
    init.fd = fd;
    host.engine->attach(std::move(init));
  };
  Attacker floods[kFloods];
  std::vector<Sockets> pairs;
  for (uint32_t id = 1; id <= kFloods + 1; ++id) {
    pairs.push_back(connect_loopback());
    attach(id, pairs.back().server);
  }
  const auto received = [&](uint32_t id) { return slots[(id - 1) * (kCounterSlotBytes / sizeof(uint64_t))]; };
  Attacker honest;
  const std::string hello = honest.record(Attacker::frame(1, yamux::kSyn, 1, 0));
  for (int i = 0; i < kFloods; ++i) flood(pairs[static_cast<size_t>(i)].client, floods[i]);
  CHECK(send(pairs[kFloods].client, hello.data(), hello.size(), 0) == static_cast<ssize_t>(hello.size()));
  int turns = 0;
  for (uint64_t before = 0; received(kFloods + 1) < hello.size(); ++turns) {
    host.engine->run_sockets();
    uint64_t now = 0;
    for (uint32_t id = 1; id <= kFloods + 1; ++id) now += received(id);
    // The last piece of a turn may be a whole one.
    CHECK(now - before <= 256 * 1024 + 64 * 1024);
    before = now;
    host.take_each([](const Event&, const char*) {});
    CHECK(turns < 20);
  }
  for (const Sockets& each : pairs) close(each.client);
}

TEST("a round trip is as long as it takes") {
  with_each([](Way way) {
    Host host(way);
    const Sockets sockets = connect_loopback();
    host.attach(1, false, sockets.server);
    host.command(CommandType::ping, 1);
    uint8_t sealed[kLengthBytes + yamux::kHeaderBytes + kTagBytes];
    CHECK(recv(sockets.client, sealed, sizeof sealed, MSG_WAITALL) == static_cast<ssize_t>(sizeof sealed));
    RecordCipher opener;
    key(opener, RecordCipher::Direction::open, 2);
    uint8_t ping[yamux::kHeaderBytes];
    CHECK(opener.open(sealed + kLengthBytes, yamux::kHeaderBytes + kTagBytes, ping) == RecordResult::ok);
    usleep(20'000);
    Attacker peer;
    const std::string answer = peer.record(Attacker::frame(2, yamux::kAck, 0, get_u32(ping + 8)));
    CHECK(send(sockets.client, answer.data(), answer.size(), 0) == static_cast<ssize_t>(answer.size()));
    until({&host}, [&] { return host.count(EventType::rtt) == 1; });
    for (const Told& each : host.told) CHECK(each.type != EventType::rtt || each.a >= 20'000);
    close(sockets.client);
  });
}

}  // namespace
}  // namespace nz::test
