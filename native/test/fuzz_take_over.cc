// A conversation that is taken over at an arbitrary moment: some records opened by somebody else, some bytes read and
// not opened, the rest from the socket in arbitrary pieces. The same bytes must come out; with one bit turned, none more.
#include <algorithm>

#include "world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nz;
  using namespace nz::test;
  if (size < 8) return 0;
  const size_t count = 1 + data[0] % 6;
  const size_t opened = data[1] % (count + 1);
  const bool is_hurt = data[2] % 4 == 0;
  std::string plaintext = Attacker::frame(1, yamux::kSyn, 1, 0);
  const std::string body(reinterpret_cast<const char*>(data + 8), std::min<size_t>(size - 8, 4'096));
  if (!body.empty()) plaintext += Attacker::frame(0, 0, 1, static_cast<uint32_t>(body.size()), body);

  // Cut into records where the input says.
  Attacker attacker;
  std::string early;
  std::string sealed;
  for (size_t i = 0, at = 0; i < count; ++i) {
    const size_t part = i + 1 == count ? plaintext.size() - at : std::min<size_t>(plaintext.size() - at, data[3 + i % 5]);
    const std::string record = attacker.record(plaintext.substr(at, part));
    if (i < opened) {
      early += plaintext.substr(at, part);
    } else {
      sealed += record;
    }
    at += part;
  }
  if (is_hurt && !sealed.empty()) {
    const size_t where = (data[4] * 256u + data[5]) % sealed.size();
    sealed[where] = static_cast<char>(sealed[where] ^ (1 << data[6] % 8));
  }
  Side server(false, {}, opened);
  server.session->receive_plaintext(reinterpret_cast<const uint8_t*>(early.data()), early.size());
  for (size_t at = 0, turn = 3; at < sealed.size(); ++turn) {
    const size_t piece = std::min<size_t>(sealed.size() - at, 1 + data[turn % size]);
    server.input(sealed.substr(at, piece));
    at += piece;
  }
  const std::string& got = server.sink.received[1];
  CHECK(body.compare(0, got.size(), got) == 0);
  if (!is_hurt) CHECK(got == body && server.session->failure() == Failure::none);
  return 0;
}
