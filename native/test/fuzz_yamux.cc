// Arbitrary frames of a peer that knows the keys, between arbitrary commands of this side. Whatever happens, what is
// kept stays within its bounds.
#include <algorithm>

#include "world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nz;
  using namespace nz::test;
  SessionLimits limits;
  limits.max_inbound_streams = 16;
  limits.max_backlog = 8;
  limits.max_window_bytes = 512 * 1024;
  Side server(false, limits);
  Attacker attacker;
  size_t written = 0;
  for (size_t at = 0; at + 2 <= size && server.session->failure() == Failure::none;) {
    const uint8_t what = data[at];
    const uint32_t stream = 1 + data[at + 1] % 32u;
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
        server.session->reset(stream);
        break;
      case 5:
        server.session->consumed(stream, what * 1'000u);
        break;
      case 6:
        server.session->mark(stream);
        server.output();
        break;
      case 7: {
        // A frame as it should be, so that streams live long enough to be hurt.
        const uint16_t flags = what < 128 ? yamux::kSyn : what < 160 ? yamux::kFin : 0;
        const std::string body(what % 50, 'b');
        server.input(attacker.record(Attacker::frame(0, flags, stream, static_cast<uint32_t>(body.size()), body)));
        break;
      }
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
  }
  server.session->shutdown(0);
  server.output();
  return 0;
}
