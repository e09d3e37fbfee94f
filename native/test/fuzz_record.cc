// Arbitrary bytes as what a socket gives, and records of arbitrary sizes there and back.
#include <algorithm>

#include "world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nz;
  using namespace nz::test;
  {
    Side server(false);
    const size_t cut = size == 0 ? 0 : data[0] % size;
    server.session->receive(data, cut);
    server.session->receive(data + cut, size - cut);
    CHECK(server.sink.received.empty() && server.sink.told.empty());
  }
  RecordCipher sealer;
  RecordCipher opener;
  key(sealer, RecordCipher::Direction::seal, 1);
  key(opener, RecordCipher::Direction::open, 1);
  for (size_t at = 0; at < size;) {
    const size_t part = std::min<size_t>(size - at, 1 + data[at] * 3u);
    std::string record(reinterpret_cast<const char*>(data + at), part);
    record.resize(part + kTagBytes);
    auto* bytes = reinterpret_cast<uint8_t*>(record.data());
    CHECK(sealer.seal(bytes, part) == RecordResult::ok);
    std::string opened(part, '\0');
    auto* out = reinterpret_cast<uint8_t*>(opened.data());
    record[data[at] % record.size()] ^= 0x10;
    CHECK(opener.open(bytes, record.size(), out) == RecordResult::unauthentic);
    record[data[at] % record.size()] ^= 0x10;
    CHECK(opener.open(bytes, record.size(), out) == RecordResult::ok);
    CHECK(std::memcmp(out, data + at, part) == 0);
    at += part;
  }
  return 0;
}
