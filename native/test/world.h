// Two sessions and the bytes between them, with everything in hand: pieces, delays, time, and what each side was told.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "session.h"

namespace nz::test {

struct Told {
  EventType type;
  uint32_t stream;
  uint32_t a;
};

class Sink final : public SessionSink {
 public:
  uint8_t* reserve(size_t size) override {
    check_told();
    // Of exactly the size: a sanitizer sees one byte too many.
    area_.reset(new uint8_t[kToldBytes + size]);
    std::memset(area_.get(), kTold, kToldBytes);
    reserved_ = size;
    return area_.get() + kToldBytes;
  }
  bool has_in_front(size_t size) const override { return size <= kToldBytes; }
  void data(uint32_t, uint32_t stream, uint8_t* bytes, size_t size, bool) override {
    check_told();
    CHECK(bytes >= area_.get() + kToldBytes && bytes + size <= area_.get() + kToldBytes + reserved_);
    received[stream].append(reinterpret_cast<const char*>(bytes), size);
  }
  void event(EventType type, uint32_t, uint32_t stream, uint32_t a, uint32_t) override {
    check_told();
    told.push_back({type, stream, a});
  }
  int count(EventType type, uint32_t stream = 0) const {
    int found = 0;
    for (const Told& each : told) found += each.type == type && (stream == 0 || each.stream == stream);
    return found;
  }
  std::map<uint32_t, std::string> received;
  std::vector<Told> told;

 private:
  // In front of what is reserved, as if it had been told before.
  static constexpr size_t kToldBytes = 32;
  static constexpr uint8_t kTold = 0xa5;
  void check_told() const {
    for (size_t i = 0; area_ != nullptr && i < kToldBytes; ++i) CHECK(area_[i] == kTold);
  }
  std::unique_ptr<uint8_t[]> area_;
  size_t reserved_ = 0;
};

inline void key(RecordCipher& cipher, RecordCipher::Direction direction, int seed, uint64_t count = 0,
                uint64_t max = kMaxRecordsPerKey) {
  uint8_t bytes[kKeyBytes];
  for (size_t i = 0; i < kKeyBytes; ++i) bytes[i] = static_cast<uint8_t>(static_cast<size_t>(seed) + i);
  CHECK(cipher.init(direction, bytes, count, max));
}

// A session that dialled (client) or was dialled; the client seals with key 1, the server with key 2.
struct Side {
  OutPool pool;
  WindowBudget budget{64 * 1024 * 1024};
  uint64_t now_us = 1;
  Sink sink;
  std::unique_ptr<Session> session;

  explicit Side(bool is_client, SessionLimits limits = {}, uint64_t count = 0, uint64_t max = kMaxRecordsPerKey) {
    Session::Init init;
    init.id = 1;
    init.is_client = is_client;
    key(init.sealer, RecordCipher::Direction::seal, is_client ? 1 : 2, count, max);
    key(init.opener, RecordCipher::Direction::open, is_client ? 2 : 1, count, max);
    init.limits = limits;
    session = std::make_unique<Session>(std::move(init), sink, pool, budget, now_us);
  }
  std::string output() {
    std::string bytes;
    for (auto buffer = session->take_output(); buffer != nullptr; buffer = session->take_output()) {
      bytes.append(reinterpret_cast<const char*>(buffer->bytes), buffer->used);
      pool.give(std::move(buffer));
    }
    return bytes;
  }
  bool input(const std::string& bytes) {
    return session->receive(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  void write(uint32_t stream, const std::string& bytes) {
    session->write(stream, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
};

struct World {
  Side client;
  Side server;
  explicit World(SessionLimits limits = {}) : client(true, limits), server(false, limits) {}

  // Moves bytes until nobody has any more to say. Bytes are used up as soon as they arrive when `consumes`.
  void settle(bool consumes = true) {
    for (int turn = 0; turn < 100'000; ++turn) {
      const std::string to_server = client.output();
      const std::string to_client = server.output();
      if (to_server.empty() && to_client.empty()) return;
      client.now_us = server.now_us += 100;
      server.input(to_server);
      client.input(to_client);
      if (consumes) consume();
    }
    CHECK(false);
  }
  void consume() {
    for (Side* side : {&client, &server})
      for (const auto& [stream, bytes] : side->sink.received) {
        size_t& used = consumed[{side, stream}];
        side->session->consumed(stream, static_cast<uint32_t>(bytes.size() - used));
        used = bytes.size();
      }
  }
  std::map<std::pair<Side*, uint32_t>, size_t> consumed;
};

// Frames as an attacker would send them: sealed properly, said wrongly.
class Attacker {
 public:
  Attacker() { key(cipher_, RecordCipher::Direction::seal, 1); }
  static std::string frame(uint8_t type, uint16_t flags, uint32_t stream, uint32_t length, const std::string& body = "",
                           uint8_t version = 0) {
    uint8_t header[yamux::kHeaderBytes];
    header[0] = version;
    header[1] = type;
    put_u16(header + 2, flags);
    put_u32(header + 4, stream);
    put_u32(header + 8, length);
    return std::string(reinterpret_cast<char*>(header), sizeof header) + body;
  }
  std::string record(const std::string& plaintext) {
    std::string out(kLengthBytes + plaintext.size() + kTagBytes, '\0');
    auto* bytes = reinterpret_cast<uint8_t*>(out.data());
    put_u16(bytes, static_cast<uint16_t>(plaintext.size() + kTagBytes));
    std::memcpy(bytes + kLengthBytes, plaintext.data(), plaintext.size());
    CHECK(cipher_.seal(bytes + kLengthBytes, plaintext.size()) == RecordResult::ok);
    return out;
  }

 private:
  RecordCipher cipher_;
};

}  // namespace nz::test
