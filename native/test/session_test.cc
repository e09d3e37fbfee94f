// Sessions against each other, and against peers that break the rules.
#include "world.h"

namespace nz::test {
namespace {

std::string pattern(size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& each : out) each = static_cast<char>(random());
  return out;
}

TEST("a stream carries bytes both ways and ends by halves") {
  World world;
  world.client.session->open_stream(1);
  world.client.write(1, "hello");
  world.settle();
  CHECK(world.server.sink.count(EventType::stream, 1) == 1);
  CHECK(world.server.sink.received[1] == "hello");
  world.server.session->accept(1);
  world.client.session->close_write(1);
  world.settle();
  CHECK(world.server.sink.count(EventType::end, 1) == 1);
  CHECK(world.server.session->stream_count() == 1);
  world.server.write(1, "goodbye");
  world.server.session->close_write(1);
  world.settle();
  CHECK(world.client.sink.received[1] == "goodbye");
  CHECK(world.client.session->stream_count() == 0 && world.server.session->stream_count() == 0);
}

TEST("bytes survive any cut of the connection into pieces") {
  const std::string sent = pattern(300'000);
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{17}, size_t{65'536}, size_t{65'537}, size_t{65'538}}) {
    World world;
    world.client.session->open_stream(1);
    world.client.write(1, sent.substr(0, 200'000));
    std::string bytes = world.client.output();
    for (size_t at = 0; at < bytes.size(); at += piece) CHECK(world.server.input(bytes.substr(at, piece)));
    CHECK(world.server.sink.received[1] == sent.substr(0, 200'000));
  }
}

TEST("a take-over may come at any byte, before or behind the cipher") {
  World reference;
  reference.client.session->open_stream(1);
  reference.client.write(1, pattern(100));
  const std::string first = reference.client.output();
  reference.client.write(1, pattern(50, 2));
  const std::string both = first + reference.client.output();
  for (size_t cut = 0; cut <= both.size(); ++cut) {
    Side server(false);
    CHECK(server.input(both.substr(0, cut)));
    CHECK(server.input(both.substr(cut)));
    CHECK(server.sink.received[1] == pattern(100) + pattern(50, 2));
  }
  // Plaintext that somebody else has opened: the session begins in the middle of a frame, with the next nonce.
  const std::string plain = Attacker::frame(1, yamux::kSyn, 1, 0) + Attacker::frame(0, 0, 1, 4, "abcd");
  for (size_t cut = 0; cut <= plain.size(); ++cut) {
    Side server(false, {}, 1);
    Attacker peer;
    peer.record("");
    CHECK(server.session->receive_plaintext(reinterpret_cast<const uint8_t*>(plain.data()), cut));
    CHECK(server.input(peer.record(plain.substr(cut))));
    CHECK(server.sink.received[1] == "abcd");
  }
}

TEST("a reader that stops stops its own stream, and the writer holds what was written") {
  World world;
  world.client.session->open_stream(1);
  world.client.session->open_stream(3);
  world.client.write(1, pattern(1'000'000));
  world.client.session->mark(1);
  world.settle(false);
  CHECK(world.server.sink.received[1].size() == yamux::kInitialWindowBytes);
  CHECK(world.client.sink.count(EventType::mark, 1) == 0);
  CHECK(world.client.session->counters().get(Counter::queued_bytes) == 1'000'000 - yamux::kInitialWindowBytes);
  world.client.write(3, "not held up");
  world.settle(false);
  CHECK(world.server.sink.received[3] == "not held up");
  world.consume();
  world.settle();
  CHECK(world.server.sink.received[1] == pattern(1'000'000));
  CHECK(world.client.sink.count(EventType::mark, 1) == 1);
  CHECK(world.client.session->counters().get(Counter::queued_bytes) == 0);
}

TEST("windows grow where a window is too small for the path, up to the bound and to the budget") {
  SessionLimits limits;
  limits.max_window_bytes = 1024 * 1024;
  World world(limits);
  world.client.session->ping();
  world.server.session->ping();
  world.client.session->open_stream(1);
  world.settle();
  CHECK(world.server.sink.count(EventType::rtt) == 1);
  for (int i = 0; i < 8; ++i) world.client.write(1, pattern(512 * 1024, static_cast<unsigned>(i)));
  world.settle();
  CHECK(world.server.session->counters().get(Counter::receive_window_bytes) == 1024 * 1024);
  const uint64_t grown = 64 * 1024 * 1024 - world.server.budget.left();
  CHECK(grown == 1024 * 1024 - yamux::kInitialWindowBytes);
  world.client.session->reset(1);
  world.settle();
  CHECK(world.server.budget.left() == 64 * 1024 * 1024);
  CHECK(world.server.sink.count(EventType::reset, 1) == 1);
}

TEST("a stream begins with the window that earlier ones have used, within a bound and for a while") {
  World world;
  const auto left = [&world] { return world.server.budget.left(); };
  const uint64_t all = left();
  const auto open = [&world](uint32_t id) {
    world.client.session->open_stream(id);
    world.settle();
    world.server.session->accept(id);
    world.settle();
  };
  world.client.session->ping();
  world.server.session->ping();
  open(1);
  CHECK(left() == all);
  for (int i = 0; i < 16; ++i) world.client.write(1, pattern(512 * 1024, static_cast<unsigned>(i)));
  world.settle();
  CHECK(world.server.session->counters().get(Counter::receive_window_bytes) >= kMaxShownBytes);
  const uint64_t used = left();
  constexpr uint64_t kAhead = kMaxShownBytes - yamux::kInitialWindowBytes;
  constexpr uint64_t kStreams = kMaxAheadBytes / kAhead;
  for (uint32_t i = 1; i <= kStreams + 3; ++i) open(1 + 2 * i);
  CHECK(left() == used - kStreams * kAhead);
  // All of it may be sent before any of it is used up.
  world.client.write(3, pattern(kMaxShownBytes));
  world.client.write(9, pattern(kMaxShownBytes));
  world.settle(false);
  CHECK(world.server.sink.received[3].size() == kMaxShownBytes);
  CHECK(world.server.sink.received[9].size() == yamux::kInitialWindowBytes);
  // One that goes makes room for another.
  world.client.session->reset(5);
  world.settle(false);
  CHECK(left() == used - (kStreams - 1) * kAhead);
  world.client.session->open_stream(101);
  world.settle(false);
  world.server.session->accept(101);
  world.settle(false);
  CHECK(left() == used - kStreams * kAhead);
  world.client.session->reset(101);
  world.settle(false);
  world.client.now_us = world.server.now_us += 61'000'000;
  world.client.session->open_stream(103);
  world.settle(false);
  world.server.session->accept(103);
  world.settle(false);
  CHECK(left() == used - (kStreams - 1) * kAhead);
}

TEST("many streams share a connection fairly, and all of them arrive") {
  World world;
  constexpr uint32_t kStreams = 100;
  for (uint32_t i = 0; i < kStreams; ++i) {
    world.client.session->open_stream(1 + 2 * i);
    world.client.write(1 + 2 * i, pattern(300'000, i));
    world.client.session->close_write(1 + 2 * i);
  }
  world.settle();
  for (uint32_t i = 0; i < kStreams; ++i) {
    world.server.session->accept(1 + 2 * i);
    CHECK(world.server.sink.received[1 + 2 * i] == pattern(300'000, i));
    CHECK(world.server.sink.count(EventType::end, 1 + 2 * i) == 1);
  }
}

TEST("more streams than a peer takes at once wait to be opened") {
  World world;
  for (uint32_t i = 0; i < 600; ++i) {
    world.client.session->open_stream(1 + 2 * i);
    world.client.write(1 + 2 * i, "x");
  }
  world.settle();
  CHECK(world.server.sink.count(EventType::stream) == kMaxUnacknowledged);
  CHECK(world.client.sink.count(EventType::reset) == 0);
  for (size_t at = 0; at < world.server.sink.told.size(); ++at) {
    if (world.server.sink.told[at].type == EventType::stream) world.server.session->accept(world.server.sink.told[at].stream);
    world.settle();
  }
  CHECK(world.server.sink.count(EventType::stream) == 600);
  CHECK(world.client.sink.count(EventType::reset) == 0);
  for (uint32_t i = 0; i < 600; ++i) CHECK(world.server.sink.received[1 + 2 * i] == "x");
}

TEST("a shutdown says GoAway behind everything that was written") {
  World world;
  world.client.session->open_stream(1);
  world.client.write(1, pattern(400'000));
  world.client.session->close_write(1);
  world.client.session->shutdown(0);
  world.settle(false);
  CHECK(!world.client.session->is_flushed());
  world.consume();
  world.settle();
  CHECK(world.client.session->is_flushed());
  CHECK(world.server.sink.received[1] == pattern(400'000));
  CHECK(world.server.sink.told.back().type == EventType::go_away);
  // Streams that come later are refused.
  world.server.session->open_stream(2);
  world.settle();
  CHECK(world.server.sink.count(EventType::reset, 2) == 1);
}

// What each of these makes of the session; `none` stands for tolerated.
Failure outcome(const std::string& plaintext, SessionLimits limits = {}) {
  Side server(false, limits);
  Attacker attacker;
  server.input(attacker.record(plaintext));
  return server.session->failure();
}

TEST("a peer that breaks a rule loses its connection, with the reason") {
  const auto frame = [](uint8_t type, uint16_t flags, uint32_t stream, uint32_t length, const std::string& body = "",
                        uint8_t version = 0) { return Attacker::frame(type, flags, stream, length, body, version); };
  const std::string open = frame(1, yamux::kSyn, 1, 0);
  CHECK(outcome(frame(0, 0, 1, 0, "", 1)) == Failure::frame_invalid);
  CHECK(outcome(frame(4, 0, 1, 0)) == Failure::frame_invalid);
  CHECK(outcome(frame(0, 16, 1, 0)) == Failure::frame_invalid);
  CHECK(outcome(frame(0, 0, 0, 0)) == Failure::frame_invalid);
  CHECK(outcome(frame(1, 0, 0, 0)) == Failure::frame_invalid);
  CHECK(outcome(frame(2, yamux::kSyn, 1, 0)) == Failure::frame_invalid);
  CHECK(outcome(frame(3, 0, 1, 0)) == Failure::frame_invalid);
  // A stream of the wrong side, and one that is there already.
  CHECK(outcome(frame(1, yamux::kSyn, 2, 0)) == Failure::frame_invalid);
  CHECK(outcome(open + open) == Failure::frame_invalid);
  // More than the window, at once or by and by; also when it is the first frame (CVE-2026-32314).
  CHECK(outcome(open + frame(0, 0, 1, yamux::kInitialWindowBytes + 1)) == Failure::window_exceeded);
  CHECK(outcome(frame(0, yamux::kSyn, 1, yamux::kInitialWindowBytes + 1)) == Failure::window_exceeded);
  CHECK(outcome(frame(0, yamux::kSyn, 1, 0xffff'ffff)) == Failure::window_exceeded);
  CHECK(outcome(frame(0, 0, 7, 0xffff'ffff)) == Failure::window_exceeded);
  // Words after the last word.
  CHECK(outcome(open + frame(0, yamux::kFin, 1, 1, "x") + frame(0, 0, 1, 1, "y")) == Failure::frame_invalid);
  std::string credit = open;
  for (int i = 0; i < 300; ++i) credit += frame(1, 0, 1, 0xffff'ffff);
  CHECK(outcome(credit) == Failure::window_exceeded);
  // Tolerated: frames for streams that are gone, answers nobody asked for.
  CHECK(outcome(frame(0, 0, 9, 3, "abc") + frame(1, yamux::kFin, 9, 0) + frame(2, yamux::kAck, 0, 77)) == Failure::none);
}

TEST("a window is used up by and by, and the byte after it is one too many") {
  Side server(false);
  Attacker attacker;
  CHECK(server.input(attacker.record(Attacker::frame(1, yamux::kSyn, 1, 0))));
  const std::string body(32'768, 'x');
  for (int i = 0; i < 8; ++i) CHECK(server.input(attacker.record(Attacker::frame(0, 0, 1, 32'768, body))));
  CHECK(!server.input(attacker.record(Attacker::frame(0, 0, 1, 1, "x"))));
  CHECK(server.session->failure() == Failure::window_exceeded);
  const auto words = server.session->last_words();
  CHECK(words != nullptr && words->used > 0);
}

TEST("streams beyond the limit are refused, one by one, and a flood of them is cut") {
  SessionLimits limits;
  limits.max_inbound_streams = 4;
  Side server(false, limits);
  Attacker attacker;
  std::string opens;
  for (uint32_t i = 0; i < 10; ++i) opens += Attacker::frame(1, yamux::kSyn, 1 + 2 * i, 0);
  CHECK(server.input(attacker.record(opens)));
  CHECK(server.sink.count(EventType::stream) == 4);
  CHECK(!server.output().empty());
  // Nobody reads the refusals: what is kept has a bound.
  Failure failure = Failure::none;
  for (uint32_t at = 100; at < 200'000 && failure == Failure::none; at += 1'000) {
    std::string more;
    for (uint32_t i = 0; i < 1'000; ++i) more += Attacker::frame(1, yamux::kSyn, 1 + 2 * (at + i), 0);
    server.input(attacker.record(more));
    failure = server.session->failure();
  }
  CHECK(failure == Failure::flood);
}

TEST("a peer that opens streams faster than they are taken up is held back") {
  SessionLimits limits;
  limits.max_backlog = 8;
  Side server(false, limits);
  Attacker attacker;
  std::string rapid;
  for (uint32_t i = 0; i < 100; ++i)
    rapid += Attacker::frame(1, yamux::kSyn, 1 + 2 * i, 0) + Attacker::frame(1, yamux::kRst, 1 + 2 * i, 0);
  CHECK(server.input(attacker.record(rapid)));
  CHECK(server.sink.count(EventType::stream) == 8);
  CHECK(server.session->stream_count() == 0);
}

TEST("streams that come and go while nobody reads the answers leave nothing to be said about them") {
  constexpr size_t kFew = 4 * (kMaxPendingResets + kMaxPendingPongs);
  const auto churn = [](void (*answer)(Session&, uint32_t)) {
    auto server = std::make_unique<Side>(false);
    Attacker attacker;
    for (uint32_t i = 0; i < 50'000 && server->session->failure() == Failure::none; ++i) {
      const uint32_t stream = 1 + 2 * i;
      server->input(attacker.record(Attacker::frame(0, yamux::kSyn, stream, 1, "x")));
      answer(*server->session, stream);
      CHECK(server->session->pending() < kFew);
      server->input(attacker.record(Attacker::frame(1, yamux::kRst, stream, 0)));
    }
    return server;
  };
  const auto accepted = churn([](Session& session, uint32_t stream) { session.accept(stream); });
  CHECK(accepted->session->failure() == Failure::none && accepted->session->stream_count() == 0);
  const auto written = churn([](Session& session, uint32_t stream) {
    const std::string bytes(100, 'x');
    session.accept(stream);
    session.write(stream, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  });
  CHECK(written->session->failure() == Failure::none && written->session->stream_count() == 0);
  // A reset cannot be left out: who does not even take those is cut.
  const auto reset = churn([](Session& session, uint32_t stream) {
    session.accept(stream);
    session.reset(stream);
  });
  CHECK(reset->session->failure() == Failure::flood);
}

TEST("what is owed to many streams is said once each, however often some of them came and went") {
  SessionLimits limits;
  limits.max_inbound_streams = 500;
  limits.max_backlog = 500;
  Side server(false, limits);
  Side client(true);
  Attacker attacker;
  for (int turn = 0; turn < 40; ++turn) {
    for (uint32_t stream = 1; stream < 800; stream += 2) {
      server.input(attacker.record(Attacker::frame(0, yamux::kSyn, stream, 1, "x")));
      server.session->accept(stream);
      if (turn < 39) server.input(attacker.record(Attacker::frame(1, yamux::kRst, stream, 0)));
    }
  }
  CHECK(server.session->pending() <= 2 * 400 + kMaxGoneListed + 1);
  CHECK(client.input(server.output()));
  CHECK(client.session->counters().get(Counter::received_frames) == 400 && server.session->pending() == 0);
}

TEST("pings are answered as long as the answers are taken") {
  Side server(false);
  Attacker attacker;
  Failure failure = Failure::none;
  for (int i = 0; i < 100 && failure == Failure::none; ++i) {
    std::string pings;
    for (uint32_t n = 0; n < 5'000; ++n) pings += Attacker::frame(2, yamux::kSyn, 0, n);
    server.input(attacker.record(pings));
    failure = server.session->failure();
  }
  CHECK(failure == Failure::flood);
  Side patient(false);
  Attacker polite;
  for (uint32_t n = 0; n < 100'000; ++n) {
    patient.now_us += 4'000;
    CHECK(patient.input(polite.record(Attacker::frame(2, yamux::kSyn, 0, n))));
    CHECK(!patient.output().empty());
  }
}

TEST("what a peer may ask in vain has a bound, also when it takes every answer, and comes back with time") {
  const auto ask = [](const std::string& (*question)(uint32_t), SessionLimits limits) {
    Side server(false, limits);
    Attacker attacker;
    uint32_t asked = 0;
    for (; asked < 100'000 && server.input(attacker.record(question(asked))); ++asked) {
      server.output();
      for (const Told& each : server.sink.told)
        if (each.type == EventType::stream) server.session->accept(each.stream);
      server.sink.told.clear();
    }
    CHECK(server.session->failure() == Failure::flood);
    return asked;
  };
  static std::string question;
  const auto ping = [](uint32_t n) -> const std::string& { return question = Attacker::frame(2, yamux::kSyn, 0, n); };
  const auto open = [](uint32_t n) -> const std::string& {
    return question = Attacker::frame(1, yamux::kSyn, 1 + 2 * n, 0);
  };
  const auto come_and_go = [](uint32_t n) -> const std::string& {
    return question = Attacker::frame(1, yamux::kSyn, 1 + 2 * n, 0) + Attacker::frame(1, yamux::kRst, 1 + 2 * n, 0);
  };
  SessionLimits limits;
  limits.max_inbound_streams = 100;
  CHECK(ask(ping, limits) == 4'096);
  CHECK(ask(open, limits) == 100 + 4'096);
  CHECK(ask(come_and_go, limits) == 4'096 / 16);

  Side server(false);
  Attacker attacker;
  for (uint32_t n = 0; n < 4'096; ++n) CHECK(server.input(attacker.record(ping(n))) && !server.output().empty());
  server.now_us += 1'000'000;
  for (uint32_t n = 0; n < 256; ++n) CHECK(server.input(attacker.record(ping(n))) && !server.output().empty());
  CHECK(!server.input(attacker.record(ping(0))));
}

TEST("records that are altered, replayed, left out or too short end the session and deliver nothing") {
  Attacker attacker;
  const std::string open = attacker.record(Attacker::frame(0, yamux::kSyn, 1, 2, "ab"));
  const std::string more = attacker.record(Attacker::frame(0, 0, 1, 2, "cd"));
  Side replayed(false);
  CHECK(replayed.input(open) && !replayed.input(open));
  CHECK(replayed.session->failure() == Failure::record_unauthentic && replayed.sink.received[1] == "ab");
  Side skipped(false);
  CHECK(!skipped.input(more) && skipped.session->failure() == Failure::record_unauthentic);
  for (size_t i = kLengthBytes; i < open.size(); ++i) {
    std::string broken = open;
    broken[i] = static_cast<char>(broken[i] ^ 1);
    Side side(false);
    CHECK(!side.input(broken) && side.session->failure() == Failure::record_unauthentic);
    CHECK(side.sink.received.empty() && side.sink.told.empty());
  }
  for (uint16_t size = 0; size < kTagBytes; ++size) {
    std::string small(kLengthBytes + size, '\0');
    small[1] = static_cast<char>(size);
    Side side(false);
    CHECK(!side.input(small) && side.session->failure() == Failure::record_malformed);
  }
}

TEST("a session ends before a key is used too often") {
  Side client(true, {}, 0, 3);
  client.session->open_stream(1);
  for (int i = 0; i < 5 && client.session->failure() == Failure::none; ++i) {
    client.write(1, "x");
    client.output();
  }
  CHECK(client.session->failure() == Failure::exhausted);
}

TEST("streams opened and closed leave nothing behind") {
  World world;
  for (uint32_t i = 0; i < 5'000; ++i) {
    const uint32_t stream = 1 + 2 * i;
    world.client.session->open_stream(stream);
    world.client.write(stream, "ping");
    world.client.session->close_write(stream);
    world.settle();
    world.server.session->accept(stream);
    if (i % 3 == 0) {
      world.server.session->reset(stream);
    } else {
      world.server.write(stream, "pong");
      world.server.session->close_write(stream);
    }
    world.settle();
    CHECK(world.client.session->stream_count() == 0 && world.server.session->stream_count() == 0);
    if (i % 100 == 0) {
      world.client.sink.told.clear();
      world.server.sink.told.clear();
      world.client.sink.received.clear();
      world.server.sink.received.clear();
      world.consumed.clear();
    }
  }
  CHECK(world.client.session->counters().get(Counter::open_streams) == 0);
}

}  // namespace
}  // namespace nz::test
