// Arbitrary frames of a peer that knows the keys, between arbitrary commands of this side. Whatever happens, what is
// kept stays within its bounds, what is said is well formed, and what was borrowed of the budget is given back.
#include <algorithm>

#include "world.h"

namespace {

using namespace nz;
using namespace nz::test;

constexpr uint32_t kStreams = 64;
constexpr uint64_t kBudgetBytes = 2 * 1024 * 1024;

SessionLimits limits() {
  SessionLimits made;
  made.max_inbound_streams = 16;
  made.max_backlog = 8;
  made.max_window_bytes = 512 * 1024;
  return made;
}

// A frame as it should be, so that streams live long enough to be hurt.
std::string proper_frame(uint8_t what, uint32_t stream) {
  static constexpr uint16_t kFlags[] = {yamux::kSyn, 0, yamux::kFin, yamux::kAck, 0, yamux::kRst, 0, yamux::kSyn};
  const uint16_t flags = kFlags[what / 10 % 8];
  if (what / 80 == 2) return Attacker::frame(1, flags, stream, what * 512u);
  const std::string body(what % 50, 'b');
  return Attacker::frame(0, flags, stream, static_cast<uint32_t>(body.size()), body);
}

// Opens what the session said, and reads its frames to their ends.
class Listener {
 public:
  Listener() { key(cipher_, RecordCipher::Direction::open, 2); }
  void hear(const std::string& sealed) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(sealed.data());
    for (size_t at = 0; at < sealed.size();) {
      CHECK(sealed.size() - at >= kLengthBytes);
      const size_t size = get_u16(bytes + at);
      CHECK(size >= kTagBytes && sealed.size() - at - kLengthBytes >= size);
      std::string plaintext(size - kTagBytes, '\0');
      auto* out = reinterpret_cast<uint8_t*>(plaintext.data());
      CHECK(cipher_.open(bytes + at + kLengthBytes, size, out) == RecordResult::ok);
      read(out, plaintext.size());
      at += kLengthBytes + size;
    }
  }

 private:
  void read(const uint8_t* bytes, size_t size) {
    for (size_t at = 0; at < size;) {
      // Frames of ours do not go across records.
      yamux::Header header;
      CHECK(size - at >= yamux::kHeaderBytes && yamux::decode(bytes + at, header));
      at += yamux::kHeaderBytes;
      if (header.type != yamux::Type::data) continue;
      CHECK(header.length > 0 && header.length <= size - at);
      at += header.length;
    }
  }
  RecordCipher cipher_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Side server(false, limits());
  server.budget.take(server.budget.left() - kBudgetBytes);
  Attacker attacker;
  Listener listener;
  size_t written = 0;
  for (size_t at = 0; at + 2 <= size && server.session->failure() == Failure::none;) {
    const uint8_t what = data[at];
    const uint32_t stream = 1 + data[at + 1] % kStreams;
    at += 2;
    switch (what % 10) {
      case 0:
        server.session->open_stream(stream);
        break;
      case 1:
        server.session->accept(stream);
        break;
      case 2: {
        const std::string bytes(std::min<size_t>(what * 64u, 16'384), 'w');
        server.write(stream, bytes);
        written += bytes.size();
        break;
      }
      case 3:
        server.session->close_write(stream);
        break;
      case 4:
        what < 128 ? server.session->reset(stream) : server.session->ping();
        break;
      case 5:
        server.session->consumed(stream, what * 1'000u);
        break;
      case 6:
        server.session->mark(stream);
        if (what < 192) listener.hear(server.output());
        if (what >= 250) server.session->trim();
        break;
      case 7:
      case 8:
        server.input(attacker.record(proper_frame(what, stream)));
        break;
      default: {
        const size_t part = std::min<size_t>(size - at, what);
        server.input(attacker.record(std::string(reinterpret_cast<const char*>(data + at), part)));
        at += part;
      }
    }
    server.now_us += what;
    size_t held = 0;
    for (const auto& [id, bytes] : server.sink.received) held += bytes.size();
    CHECK(held <= size * 64 + 64);
    CHECK(server.session->counters().get(Counter::queued_bytes) <= written);
    CHECK(server.session->stream_count() <= 16 + kStreams);
    CHECK(server.session->pending() <=
          kMaxPendingPongs + kMaxPendingResets + 2 * (kMaxGoneListed + 1) + 4 * (16 + kStreams));
  }
  server.session->shutdown(0);
  listener.hear(server.output());
  server.session = nullptr;
  CHECK(server.budget.left() == kBudgetBytes);
  return 0;
}
